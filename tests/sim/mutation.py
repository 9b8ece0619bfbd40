"""A rule taken out: what it is, how it is removed, and what notices."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import msgspec

Removal = AbstractContextManager[Any]
FILES = "tests/scenarios/test_files.py::test_what_comes_of_a_scenario_is_what_its_file_says"
"""The test of scenario files; the name of a file in brackets."""


class Mutation(msgspec.Struct, frozen=True, eq=False):
    """One rule taken out.

    Attributes:
        rule: The sentence of the protocol that no longer holds.
        remove: Makes the patch.
        scenario: A directed test that must fail, where chance is too rare; "" = random runs.
    """

    rule: str
    remove: Callable[[], Removal]
    scenario: str = ""

    @property
    def place(self) -> str:
        """Return where the directed scenario stands, from tests/ on."""
        if self.scenario.startswith(FILES):
            return f"scenarios/{self.scenario.removeprefix(FILES).strip('[]')}.txt"
        return self.scenario.removeprefix("tests/")


def method(owner: type, name: str, replacement: Callable[..., Any]) -> Callable[[], Removal]:
    """Return what replaces one method."""
    return lambda: patch.object(owner, name, replacement)


def together(*patches: Removal) -> Removal:
    """Return all of them as one."""

    @contextmanager
    def all_of() -> Iterator[None]:
        with ExitStack() as stack:
            for one in patches:
                stack.enter_context(one)
            yield

    return all_of()
