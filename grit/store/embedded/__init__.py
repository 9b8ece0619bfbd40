"""Document and graph stores in one SQLite file, for development, tests and small deployments."""
