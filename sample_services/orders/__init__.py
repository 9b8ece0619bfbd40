"""The service of the realm `orders`: orders."""
