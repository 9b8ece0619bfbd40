"""The load generator: what customers do, decided by a seed; how it went, told apart by what may be concluded."""
