"""Generated protobuf of the services; never edited."""
