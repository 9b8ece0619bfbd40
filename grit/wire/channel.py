"""Options of channels and servers of the public surface."""

from grit.core.errors import Code, GritError

MESSAGE_BYTES_MAX = 16 * 1024 * 1024
"""One gRPC message: a transaction of 8 MiB as a Transact, typed, with room."""


def expect_sendable(message: bytes, what: str = "request") -> bytes:
    """Return an encoded message that gRPC can carry. A larger one would break the stream of everybody else with it.

    Args:
        message: Encoded.
        what: It is, in the error's message.

    Raises:
        GritError: TOO_LARGE; nothing has been sent.
    """
    if len(message) > MESSAGE_BYTES_MAX:
        text = f"the {what} has {len(message):,} bytes, one message carries {MESSAGE_BYTES_MAX:,}: do less at once"
        raise GritError(Code.TOO_LARGE, text)
    return message


_SHARED: tuple[tuple[str, int], ...] = (
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.max_pings_without_data", 0),
)

CHANNEL_OPTIONS: tuple[tuple[str, int], ...] = (
    *_SHARED,
    # The SDK retries by itself, and knows what may be sent twice; gRPC does not.
    ("grpc.enable_retries", 0),
    # Clients of one process must not share a connection: a stream per SDK, each its own flow control.
    ("grpc.use_local_subchannel_pool", 1),
)
"""Of a client."""

SERVER_OPTIONS: tuple[tuple[str, int], ...] = (
    *_SHARED,
    # Two servers on one port would each get half of the calls; a port in use is an error instead.
    ("grpc.so_reuseport", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
)
"""Of a sidecar."""
