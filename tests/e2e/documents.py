"""The documents as a test sees them: pages, and the code blocks of each in order.

A block is a fence of three backticks at the left margin. A comment on the line above says what is special about it:

    <!-- not run: reason -->    it cannot run by itself, and why
    <!-- file: rules.yaml -->   a file of the project: it is written, and run by a command further down
"""

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

DOCS = Path(__file__).parents[2] / "docs"
_FENCE = re.compile(r"```(?P<language>[a-z]*)")
_COMMENT = re.compile(r"<!-- (?P<what>not run|file): (?P<text>.+) -->")


class Block(msgspec.Struct, frozen=True):
    """A code block. `line`: of its fence, from 1; `file`: its name, `reason`: why it is not run; "" when it has none."""

    page: str
    line: int
    language: str
    text: str
    file: str = ""
    reason: str = ""

    @property
    def place(self) -> str:
        """Return "page:line"."""
        return f"{self.page}:{self.line}"


def pages() -> list[str]:
    """Return every page below docs/, as a path from there, sorted."""
    return sorted(str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md"))


def read_page(page: str) -> str:
    """Return the text of a page."""
    return (DOCS / page).read_text(encoding="utf-8")


def blocks_of(page: str, text: str) -> Iterator[Block]:
    """Yield the code blocks of a page in order.

    Raises:
        ValueError: A fence is not closed.
    """
    lines = text.splitlines()
    at = 0
    while at < len(lines):
        opened = _FENCE.fullmatch(lines[at])
        if opened is None:
            at += 1
            continue
        try:
            end = lines.index("```", at + 1)
        except ValueError:
            raise ValueError(f"{page}:{at + 1}: this block is not closed") from None
        comment = _COMMENT.fullmatch(lines[at - 1]) if at else None
        said = {comment["what"]: comment["text"]} if comment else {}
        body = "".join(f"{line}\n" for line in lines[at + 1 : end])
        yield Block(page, at + 1, opened["language"], body, said.get("file", ""), said.get("not run", ""))
        at = end + 1


class Command(msgspec.Struct, frozen=True):
    """One command of a console block: its words, the exit status it ends with, and what it prints."""

    words: tuple[str, ...]
    status: int
    output: str


def commands_of(block: Block) -> list[Command]:
    """Return the commands of a console block: `$ words   # exit status 1`, then the lines that they print.

    Raises:
        ValueError: The block does not begin with a command.
    """
    chunks = re.split(r"^\$ ", block.text, flags=re.MULTILINE)
    if chunks[0]:
        raise ValueError(f"{block.place}: a console block begins with a command, `$ grit ...`")
    commands = []
    for chunk in chunks[1:]:
        line, _, output = chunk.partition("\n")
        words, _, status = line.partition("  # exit status ")
        commands.append(Command(tuple(words.split()), int(status or 0), output))
    return commands
