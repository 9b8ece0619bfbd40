"""Nothing in the documents escapes the test that runs it."""

import pytest

from tests.e2e.documents import blocks_of, commands_of, pages, read_page


@pytest.mark.parametrize("page", pages())
def test_every_fence_stands_at_the_margin_where_it_is_seen(page: str) -> None:
    fences = [line for line in read_page(page).splitlines() if line.lstrip().startswith("```")]
    assert all(line.startswith("```") for line in fences)
    assert len(fences) == 2 * len(list(blocks_of(page, read_page(page))))


def test_a_block_knows_its_place_its_file_and_why_it_is_not_run() -> None:
    page = "# A\n\n<!-- file: a.py -->\n```python\nx = 1\n```\n\n<!-- not run: no network -->\n```console\n$ grit dev\n```\n"
    named, skipped = blocks_of("a.md", page)
    assert (named.place, named.language, named.text, named.file, named.reason) == (
        "a.md:4",
        "python",
        "x = 1\n",
        "a.py",
        "",
    )
    assert (skipped.place, skipped.language, skipped.file, skipped.reason) == ("a.md:9", "console", "", "no network")


def test_a_comment_that_stands_apart_says_nothing_of_the_block() -> None:
    (block,) = blocks_of("a.md", "<!-- not run: no network -->\n\n```python\nx = 1\n```\n")
    assert block.reason == ""


def test_a_block_that_is_not_closed_is_named() -> None:
    with pytest.raises(ValueError, match=r"a\.md:1: this block is not closed"):
        list(blocks_of("a.md", "```python\nx = 1\n"))


def test_commands_have_a_status_and_what_they_print() -> None:
    (block,) = blocks_of("a.md", "```console\n$ grit status  # exit status 1\ndown\n$ grit --version\n```\n")
    first, second = commands_of(block)
    assert (first.words, first.status, first.output) == (("grit", "status"), 1, "down\n")
    assert (second.words, second.status, second.output) == (("grit", "--version"), 0, "")


def test_a_console_block_that_shows_no_command_is_refused() -> None:
    (block,) = blocks_of("a.md", "```console\nready\n```\n")
    with pytest.raises(ValueError, match=r"a\.md:1: a console block begins with a command"):
        commands_of(block)
