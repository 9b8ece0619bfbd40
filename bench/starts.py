"""Starts against the length of the logs: from nothing, and from a checkpoint that is as old as checkpoints get.

The same logs both times: the checkpoints are appended in between. Each start is a process of its own.
"""

import asyncio
import subprocess
import sys
from pathlib import Path

from bench.figure import Figure, Target
from bench.long_logs import DBTL, add_checkpoints, fill, write_config
from bench.results import ROOT
from bench.settings import Settings

TARGET_S, MILLION = 5.0, 1_000_000


def run(settings: Settings) -> list[Figure]:
    """Measure a GTM, a DBTM, and all roles in one process."""
    figures: list[Figure] = []
    for count in (1_000, 10_000) if settings.is_quick else (10_000, 100_000, MILLION):
        folder = settings.new_folder(f"starts-{count}")
        config = write_config(folder)
        asyncio.run(fill(config, count))
        figures += [_figure(role, count, folder, "the first record") for role in ("gtm", "dbtm")]
        asyncio.run(add_checkpoints(config))
        figures += [_figure(role, count, folder, "a checkpoint") for role in ("gtm", "dbtm", "dev")]
    return figures


def _figure(role: str, count: int, folder: Path, begin: str) -> Figure:
    is_aimed_at = begin == "a checkpoint" and count == MILLION
    name = f"{role}, {count:,} transactions, from {begin}"
    return Figure(name, _start_s(role, folder), "s", Target("<", TARGET_S) if is_aimed_at else None, _sizes(folder))


def _start_s(role: str, folder: Path) -> float:
    command = [sys.executable, "-m", "bench.start_role", role, str(folder / "grit.yaml")]
    return float(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT).stdout)


def _sizes(folder: Path) -> str:
    return ", ".join(
        f"{name} {sum(path.stat().st_size for path in (folder / 'log').glob(f'{name}.*')) / (1 << 20):,.0f} MiB"
        for name in ("gtl", DBTL)
    )
