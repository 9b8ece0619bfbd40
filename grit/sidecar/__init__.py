"""The home of transactions: a pure session each, and the gRPC service around them."""
