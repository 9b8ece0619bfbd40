"""The service of the realm `social`: the graph of purchases."""
