"""Whole clusters of the real machines in one thread, in virtual time, from one seed."""
