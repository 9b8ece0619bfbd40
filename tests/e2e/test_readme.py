"""What a newcomer does: the README, and the project that `grit init` writes."""

import asyncio
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import grit.client
from grit.cli.main import COMMANDS
from grit.client import Transaction
from tests.e2e.deployment import ENDS_ITS_PROCESSES, LIMIT_S, Deployment
from tests.e2e.load import patiently

pytestmark = [pytest.mark.xdist_group("bad input"), ENDS_ITS_PROCESSES]  # shares its deployment
ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SCRIPT_LINES_MAX = 12


def blocks(*languages: str) -> list[str]:
    return [
        body
        for language, body in re.findall(r"^```(\w+)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
        if language in languages
    ]


def run_python(script: Path) -> str:
    done = subprocess.run(
        [sys.executable, script], cwd=script.parent, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


async def test_the_script_of_the_readme_commits_across_the_three_databases(dev: Deployment, tmp_path: Path) -> None:
    (script,) = [block for block in blocks("python") if "connect(" in block]
    assert len([line for line in script.splitlines() if line.strip()]) <= SCRIPT_LINES_MAX
    assert "127.0.0.1:7400" in script, "where `grit dev` listens"
    path = tmp_path / "buy.py"
    path.write_text(script.replace("127.0.0.1:7400", dev.sidecar), encoding="utf-8")
    assert "committed" in await asyncio.to_thread(run_python, path)
    async with grit.client.connect(dev.sidecar) as db:
        assert await patiently(db, what_it_wrote) == [
            {"product": "lamp", "on_hand": 10, "sold": 0},
            {"customer": "alice", "items": ["lamp"], "status": "open"},
            {"product": "lamp", "name": "Lamp"},
        ]


async def what_it_wrote(txn: Transaction) -> list[Any]:
    places = (("orders.stock", "lamp"), ("carts.carts", "alice"), ("social.Product", "lamp"))
    return [await txn.get(collection, key) for collection, key in places]


def test_every_command_of_the_readme_exists() -> None:
    lines = [line.split("#")[0].split() for block in blocks("bash", "console") for line in block.splitlines()]
    commands = [words for words in lines if words]
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert {words[1] for words in commands if words[0] == "make"} - targets == set()
    assert {words[1] for words in commands if words[0].endswith("grit")} - set(COMMANDS) == set()
    assert {Path(words[0]).name for words in commands} <= {"make", "grit", "cd"}


def test_every_link_of_the_readme_leads_somewhere() -> None:
    links = {link.split("#")[0] for link in re.findall(r"\]\(([^)]+)\)", README) if "://" not in link}
    assert sorted(link for link in links if link and not (ROOT / link).exists()) == []


async def test_the_project_that_init_writes_runs(dev: Deployment) -> None:
    printed = await asyncio.to_thread(run_python, dev.folder / "app.py")
    assert printed.startswith("bought 1")
    async with grit.client.connect(dev.sidecar) as db:
        order = await patiently(db, lambda txn: txn.get("orders.orders", "o-1-lamp"))
        edges = await patiently(db, lambda txn: txn.neighbours("social.Customer", "alice", "PURCHASED"))
    assert (order["status"], len(edges)) == ("paid", 1)
