"""GRIT: strictly serializable transactions over the databases of many microservices."""
