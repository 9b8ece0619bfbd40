"""Every block of code in the documents runs: on one deployment, the project that `grit init` writes, under `grit dev`.

Blocks of a page run in order, in the project's folder. Python runs as in `python -m asyncio`: names stay from block to
block. Printed lines are compared with the text block that follows, those of a command with what stands below it; `...`
stands for anything.
"""

import ast
import asyncio
import contextlib
import doctest
import io
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import grit.client as grit
from sample_services.demo.deployment import free_ports
from tests.e2e.documents import DOCS, Block, blocks_of, commands_of, pages, read_page

GRIT = Path(sys.executable).with_name("grit")
PORTS = ("7400", "7410", "7420", "7421", "7422", "9100")
"""Those of the documents; each stands for a free one."""
LANGUAGES = {"python", "console", "text", "yaml"}
LIMIT_S = 60
FIRST_COMMIT = """\
import asyncio, sys, grit.client

async def main():
    async with grit.client.connect(sys.argv[1]) as db, db.transaction() as txn:
        await txn.put("carts.carts", {"customer": "first"})

asyncio.run(main())
"""
"""The checker says UNKNOWN of a deployment without a transaction, and any page may come first."""

pytestmark = [pytest.mark.timeout(2 * LIMIT_S), pytest.mark.xdist_group("docs")]


class Deployment:
    """The project of the documents while it runs; `port_of`: what stands in the documents -> where it is."""

    def __init__(self, folder: Path, port_of: dict[str, str]) -> None:
        self.folder = folder
        self.port_of = port_of

    def localised(self, text: str) -> str:
        """Return a text of the documents with the ports of this deployment."""
        return re.sub(r"127\.0\.0\.1:(\d+)", lambda found: f"127.0.0.1:{self.port_of.get(found[1], found[1])}", text)


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    folder = tmp_path_factory.mktemp("docs") / "shop"
    subprocess.run([GRIT, "init", folder], check=True, timeout=LIMIT_S, capture_output=True)
    made = Deployment(folder, dict(zip(PORTS, map(str, free_ports(len(PORTS))), strict=True)))
    for path in (folder / "grit.yaml", folder / "app.py"):
        path.write_text(made.localised(path.read_text()))
    command = [str(GRIT), "dev", "grit.yaml", "--metrics-port", made.port_of["9100"]]
    with (
        (folder / "dev.log").open("w") as log,
        subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=log, text=True) as process,
    ):
        assert process.stdout is not None
        try:
            said = process.stdout.readline()
            assert said.startswith("ready"), said + (folder / "dev.log").read_text()
            first = [sys.executable, "-c", FIRST_COMMIT, f"127.0.0.1:{made.port_of['7400']}"]
            subprocess.run(first, check=True, timeout=LIMIT_S, cwd=folder)
            yield made
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(LIMIT_S) == 0


@pytest.mark.parametrize("page", pages())
async def test_every_block_of_a_page_runs(page: str, deployment: Deployment) -> None:
    blocks = list(blocks_of(page, deployment.localised(read_page(page))))
    names: dict[str, Any] = {"__name__": "__docs__"}
    try:
        for at, block in enumerate(blocks):
            follows = blocks[at + 1] if at + 1 < len(blocks) else None
            await run_block(block, follows, names, deployment.folder)
    finally:
        if isinstance(names.get("db"), grit.Client):
            await names["db"].close()


async def test_the_script_of_the_readme_runs(deployment: Deployment) -> None:
    text = deployment.localised((DOCS.parent / "README.md").read_text(encoding="utf-8"))
    (script,) = [block.text for block in blocks_of("README.md", text) if block.language == "python"]
    (deployment.folder / "readme.py").write_text(script)
    status, printed = await run_command(("python", "readme.py"), deployment.folder)
    assert status == 0, printed


async def run_block(block: Block, follows: Block | None, names: dict[str, Any], folder: Path) -> None:
    """Run one block; `follows`: the next one, which may say what it prints."""
    assert block.language in LANGUAGES, f"{block.place}: a block is one of {sorted(LANGUAGES)}"
    if block.reason:
        return
    if block.file:
        (folder / block.file).write_text(block.text)
    elif block.language == "console":
        for command in commands_of(block):
            status, printed = await run_command(command.words, folder)
            assert status == command.status, f"{block.place}: {' '.join(command.words)}: status {status}\n{printed}"
            assert_printed(command.output, printed, f"{block.place}: {' '.join(command.words)}")
    elif block.language == "python":
        printed = await run_python(block, names)
        if follows is not None and follows.language == "text":
            assert_printed(follows.text, printed, block.place)
        else:
            assert not printed, f"{block.place}: prints what the page does not show:\n{printed}"


async def run_command(words: Sequence[str], folder: Path) -> tuple[int, str]:
    """Run `grit` or `python` of this environment; return its status and all that it prints."""
    assert words[0] in ("grit", "python"), f"{words}: neither grit nor python; say `not run` and why"
    program = {"grit": str(GRIT), "python": sys.executable}[words[0]]
    process = await asyncio.create_subprocess_exec(
        program,
        *words[1:],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "COLUMNS": "120"},
    )
    async with asyncio.timeout(LIMIT_S):
        printed, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, printed.decode()


async def run_python(block: Block, names: dict[str, Any]) -> str:
    """Run a block as the asyncio prompt does; return what it prints."""
    # Blank lines in front: a traceback then shows the line of the page.
    code = compile("\n" * block.line + block.text, block.page, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        async with asyncio.timeout(LIMIT_S):
            waiting = eval(code, names)
            if waiting is not None:
                await waiting
    return printed.getvalue()


def assert_printed(wanted: str, printed: str, place: str) -> None:
    """Compare what was printed with what the page shows; `...` there stands for anything, nothing for all of it."""
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    is_same = not wanted or doctest.OutputChecker().check_output(wanted, printed, flags)
    assert is_same, f"{place}: the page shows\n{wanted}\nit printed\n{printed}"


async def test_the_metrics_of_the_operating_guide_are_those_that_there_are(deployment: Deployment) -> None:
    async with grit.connect(f"127.0.0.1:{deployment.port_of['7400']}") as db:
        with pytest.raises(grit.TxnAborted):
            await lose_a_conflict(db)
    address = f"http://127.0.0.1:{deployment.port_of['9100']}/metrics"
    body = await asyncio.to_thread(lambda: urllib.request.urlopen(address, timeout=LIMIT_S).read().decode())
    served = {line.split()[2] for line in body.splitlines() if line.startswith("# TYPE")}
    documented = set(re.findall(r"^\| `(grit_\w+)`", read_page("operating/README.md"), re.MULTILINE))
    assert documented == served


async def lose_a_conflict(db: grit.Client) -> None:
    """Have one transaction over two realms aborted, so that the counters of aborts are there."""
    async with db.transaction() as txn:
        await txn.get("carts.carts", "nobody")
        async with db.transaction() as rival:
            await rival.put("carts.carts", {"customer": "nobody"})
        await txn.put("orders.stock", {"product": "nothing", "on_hand": 0, "sold": 0})
