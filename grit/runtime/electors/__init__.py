"""Who says which replica of a role should lead: the port, and its adapters."""
