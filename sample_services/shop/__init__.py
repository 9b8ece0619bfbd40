"""The shop front: it owns no data, opens the transactions, and calls the services that do."""
