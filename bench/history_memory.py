"""`python -m bench.history_memory KEYS`: what a DBTM's history of so many keys takes, in a process of its own."""

import gc
import os

import click

from bench.certify import filled_history
from bench.processes import memory_mib
from grit.core.keys import encode_key


@click.command()
@click.argument("keys", type=int)
def main(keys: int) -> None:
    """Print MiB: the peak of this process beyond what it took before; the keys themselves count."""
    gc.collect()
    before = memory_mib(os.getpid())
    history = filled_history([encode_key([number]) for number in range(keys)])
    assert history.size() == keys
    click.echo(f"{memory_mib(os.getpid()) - before:.1f}")


if __name__ == "__main__":
    main()
