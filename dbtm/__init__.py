"""The database transaction manager of a realm: serves reads, certifies, orders. See `dbtm.machine`."""
