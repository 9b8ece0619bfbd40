"""`python -m tests.stack COMMAND [ENGINE...]`: the real engines on this machine; see README.md beside this file."""

import argparse
import os
import sys

from tests.stack import commands
from tests.stack.engines.known import KNOWN, USUAL
from tests.stack.errors import StackError
from tests.stack.places import Places

_CHANGES = {
    "install": commands.install,
    "up": commands.up,
    "down": commands.down,
    "kill": commands.kill,
    "restart": commands.restart,
    "lock": commands.lock,
}


def main(arguments: list[str]) -> int:
    """Carry out one command; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.stack", description=__doc__)
    parser.add_argument("command", choices=[*_CHANGES, "status"])
    parser.add_argument(
        "names",
        nargs="*",
        metavar="ENGINE",
        help=f"of {', '.join(KNOWN)}; usually {', '.join(USUAL)}; kill and restart take a member, such as kafka3.2, too",
    )
    asked = parser.parse_args(arguments)
    places = Places.of(os.environ)
    try:
        if asked.command == "status":
            commands.status(places, print)
        else:
            with places.locked():
                _CHANGES[asked.command](places, asked.names, print)
    except StackError as error:
        print(f"stack: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
