"""A YAML document whose every piece knows where it stands.

`Section`, `Scalar` and `Sequence` wrap the nodes of the YAML composer, which have positions, and turn them into Python
values one at a time; whatever is wrong becomes a `ConfigError` "file:line:column: what; remedy".
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NoReturn

import yaml

from grit.core.errors import ConfigError
from grit.core.spelling import unknown_name

_VARIABLE = re.compile(r"\$(?:\$|\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}|(?P<bad>\{?))")
_INTEGER = re.compile(r"[-+]?[0-9]+(_[0-9]+)*")
_KINDS = {yaml.MappingNode: "a section", yaml.SequenceNode: "a list", yaml.ScalarNode: "a single value"}


@dataclass(frozen=True)
class Piece:
    """A piece of a document: `path` is its place in words, `environ` what ${NAME} stands for."""

    node: yaml.Node
    file: str
    path: str
    environ: Mapping[str, str]

    @property
    def place(self) -> str:
        """Return "file:line:column"."""
        return f"{self.file}:{self.node.start_mark.line + 1}:{self.node.start_mark.column + 1}"

    def refuse(self, message: str, *, column_offset: int = 0) -> NoReturn:
        """Raise a ConfigError at this place, or some columns to the right of it.

        Raises:
            ConfigError: Always.
        """
        mark = self.node.start_mark
        raise ConfigError(f"{self.file}:{mark.line + 1}:{mark.column + 1 + column_offset}: {message}")

    def section(self) -> "Section":
        """Return this as a section; its keys are unique."""
        if not isinstance(self.node, yaml.MappingNode):
            self.refuse(f"{self.path} must be a section (name: value lines), not {self._found()}")
        entries: dict[str, tuple[Piece, Piece]] = {}
        for key, value in self.node.value:
            name = Piece(key, self.file, f"a name in {self.path}", self.environ)
            if not isinstance(key, yaml.ScalarNode):
                name.refuse(f"a name in {self.path} must be a single word, not {name._found()}")
            if key.value in entries:
                first = entries[key.value][0].node.start_mark.line + 1
                name.refuse(f'{self.path} has "{key.value}" twice, first on line {first}: remove one')
            entries[key.value] = (name, Piece(value, self.file, self._below(key.value), self.environ))
        return Section(self.node, self.file, self.path, self.environ, entries)

    def items(self) -> "list[Piece]":
        """Return the pieces of a list."""
        if not isinstance(self.node, yaml.SequenceNode):
            self.refuse(f"{self.path} must be a list, [one, another], not {self._found()}")
        pieces = enumerate(self.node.value)
        return [Piece(item, self.file, f"{self.path}[{at}]", self.environ) for at, item in pieces]

    def text(self) -> str:
        """Return a text with its variables put in."""
        node = self._scalar("text")
        if node.style is None and node.tag != "tag:yaml.org,2002:str" and "$" not in node.value:
            found = node.tag.rpartition(":")[2]
            self.refuse(f'{self.path} must be text, not {found}: put it in quotes, "{node.value}"')
        return self._substituted(node.value)

    def texts(self) -> tuple[str, ...]:
        """Return a list of texts."""
        return tuple(item.text() for item in self.items())

    def integer(self) -> int:
        """Return a whole number; one that comes from the environment may stand in quotes."""
        node = self._scalar("a whole number")
        text = self._substituted(node.value)
        if not _INTEGER.fullmatch(text) or (node.style is not None and text == node.value):
            self.refuse(f"{self.path} must be a whole number, not {text!r}")
        return int(text)

    def choice(self, known: Iterable[str]) -> str:
        """Return a text that is one of those."""
        names = tuple(known)
        text = self.text()
        if text not in names:
            self.refuse(f'{self.path} cannot be "{text}"{unknown_name(text, names)}')
        return text

    def _scalar(self, wanted: str) -> yaml.ScalarNode:
        if not isinstance(self.node, yaml.ScalarNode):
            self.refuse(f"{self.path} must be {wanted}, not {self._found()}")
        return self.node

    def _substituted(self, text: str) -> str:
        return _VARIABLE.sub(self._variable, text)

    def _variable(self, match: re.Match[str]) -> str:
        name = match["name"]
        if name is None and not match["bad"]:
            return "$"  # one, or two that stand for one
        if name is None:
            self.refuse(
                f"{self.path} has a broken variable: write ${{NAME}} or ${{NAME:-default}}, and $$ for a dollar"
            )
        value = self.environ.get(name, match["default"])
        if value is None:
            self.refuse(
                f"{self.path} needs the environment variable {name}, which is not set: set it, or write ${{{name}:-default}}"
            )
        return value

    def _found(self) -> str:
        if isinstance(self.node, yaml.ScalarNode) and not self.node.value:
            return "nothing"
        return _KINDS[type(self.node)]

    def _below(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name


@dataclass(frozen=True)
class Section(Piece):
    """A mapping: names, in order, and the pieces under them."""

    entries: Mapping[str, tuple[Piece, Piece]]

    def __iter__(self) -> Iterator[tuple[str, Piece, Piece]]:
        """Yield (name, piece of the name, piece of the value) in the order of the file."""
        for name, (at, value) in self.entries.items():
            yield name, at, value

    def expect(self, *known: str) -> None:
        """Refuse every name that is not one of `known`."""
        for name, at, _ in self:
            if name not in known:
                at.refuse(f'{self.path or "the file"} has no "{name}"{unknown_name(name, known)}')

    def get(self, name: str) -> Piece | None:
        """Return what stands under a name; None when it is left out."""
        entry = self.entries.get(name)
        return None if entry is None else entry[1]

    def need(self, name: str, example: str) -> Piece:
        """Return what stands under a name that must be there."""
        found = self.get(name)
        if found is None:
            self.refuse(f"{self.path or 'the file'} needs {name}: write `{example}`")
        return found


def parse_document(text: str, file: str, environ: Mapping[str, str]) -> Section:
    """Return the document as one section.

    Raises:
        ConfigError: It is no YAML, empty, or not a section.
    """
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{file}:{mark.line + 1}:{mark.column + 1}" if mark else file
        before = text[: mark.index][-1:] if mark else ""
        raise ConfigError(
            f"{place}: not YAML: {error.problem or error.context}; {_remedy(error.problem, before)}"
        ) from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{file}: not YAML: {str(error).splitlines()[0]}") from error
    except RecursionError as error:
        raise ConfigError(f"{file}: not a configuration: nested too deep") from error
    if node is None:
        raise ConfigError(f"{file}:1:1: the file is empty: `grit init DIR` writes one to start from")
    return Piece(node, file, "", environ).section()


def _remedy(problem: str | None, before: str) -> str:
    if problem is not None and "got '{'" in problem and before == "$":
        return 'a variable in {braces} stands in quotes: "${NAME}"'
    if problem is not None and "got '?'" in problem:
        return 'a nullable type in {braces} stands in quotes: "string(16)?"'
    return "check indentation and quotes"
