"""Plans: what a batch of log entries writes to a database. Pure."""
