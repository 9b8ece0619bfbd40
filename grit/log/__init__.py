"""Logs: append-only, totally ordered, shared by many writers; the arbiter of every outcome."""
