"""The service of the realm `stock`: the stock."""
