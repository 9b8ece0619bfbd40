"""Relational stores on SQLAlchemy Core, and what the embedded stores share with them."""
