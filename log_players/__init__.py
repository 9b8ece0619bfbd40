"""Log players: each applies the log of one realm to its database, in order, exactly once (protocol.md section 9)."""
