"""`make demo`: the whole marketplace on this machine, leaders and a player that are killed on the way, and the proof that nothing was lost."""

import os

# gRPC warns of every process that is started beside a connection; they are new programs, and use none of it.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
