"""Version 1 of the public surface, generated from proto/grit/pb/v1 by proto/generate.sh."""
