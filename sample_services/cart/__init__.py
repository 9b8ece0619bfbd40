"""The service of the realm `cart`: carts."""
