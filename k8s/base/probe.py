#!/usr/bin/env python3
"""Asks a role of this pod how it is: `probe.py PORT live` or `probe.py PORT ready`; the exit status is the answer.

The metrics server listens on loopback, where a probe of the kubelet cannot reach it; this runs inside of the container.
Live: something answers, whatever it says. Ready: /healthz says 200. Only `socket` is imported: a probe runs every few
seconds in every pod.
"""

import socket
import sys

ANSWER_S_MAX = 3.0
"""Less than the timeoutSeconds of the probes, so that the reason is told."""


def main(port: str, wanted: str) -> int:
    """Return 0 when it is as wanted, else say what is wrong and return 1."""
    try:
        with socket.create_connection(("127.0.0.1", int(port)), ANSWER_S_MAX) as connection:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            with connection.makefile("rb") as answer:
                head, _, body = answer.read().partition(b"\r\n\r\n")
    except OSError as error:
        sys.stderr.write(f"127.0.0.1:{port} does not answer: {error}\n")
        return 1
    if head.startswith(b"HTTP/1.1 200 ") or (wanted == "live" and head.startswith(b"HTTP/1.1 ")):
        return 0
    sys.stderr.write(body.decode(errors="replace") or "it closed the connection without an answer\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
