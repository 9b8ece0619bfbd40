"""Generated protobuf; never edited."""
