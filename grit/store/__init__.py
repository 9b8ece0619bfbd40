"""Stores: the databases behind the realms, each behind the same two ports."""
