"""The service of the realm `payment`: money."""
