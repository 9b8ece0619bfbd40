"""Application rules: `RULES.yaml`, read strictly.

    rules:
      - id: R5
        title: every order has a delivery
        sql: SELECT order_id FROM orders.orders WHERE order_id NOT IN (SELECT order_id FROM delivery.jobs)

Each is one query that must return no row. A table is `realm.collection`.
"""

from collections.abc import Iterator

import msgspec
import yaml

from grit.core.errors import ConfigError
from grit.core.ids import Collection, Realm

Named = tuple[Realm, Collection]
_KEYS = ("id", "title", "sql")


class Rule(msgspec.Struct, frozen=True):
    """`place`: file and line of the query."""

    id: str
    title: str
    sql: str
    place: str


class Broken(msgspec.Struct, frozen=True):
    """What a rule returned: the first rows, as text, and how many there are in all."""

    rows: tuple[str, ...]
    count: int


def parse_rules(text: str, name: str) -> tuple[Rule, ...]:
    """Return the rules of a file.

    Args:
        text: What the file holds.
        name: Its name, for messages.

    Raises:
        ConfigError: Not as above; names file, line and remedy.
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{name}:{line}: not YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{name}:1: not YAML: {error}") from error
    except RecursionError as error:
        raise ConfigError(f"{name}:1: nested too deep to be a list of rules") from error
    rules = tuple(_parse_rule(node, name) for node in _rule_nodes(root, name))
    _refuse_twins(rules)
    return rules


def _rule_nodes(root: yaml.Node | None, name: str) -> list[yaml.Node]:
    if not isinstance(root, yaml.MappingNode) or [key.value for key, _ in root.value] != ["rules"]:
        raise ConfigError(f"{_place(root, name)}: a file of rules holds one list, named rules")
    listed = root.value[0][1]
    if not isinstance(listed, yaml.SequenceNode) or not listed.value:
        raise ConfigError(f"{_place(listed, name)}: rules is a list of rules, with at least one")
    return list(listed.value)


def _parse_rule(node: yaml.Node, name: str) -> Rule:
    if not isinstance(node, yaml.MappingNode):
        raise ConfigError(f"{_place(node, name)}: a rule has id, title and sql")
    fields = dict(_fields(node, name))
    missing = [key for key in _KEYS if key not in fields]
    if missing:
        raise ConfigError(f"{_place(node, name)}: the rule lacks {', '.join(missing)}")
    return Rule(fields["id"].value, fields["title"].value, fields["sql"].value, _place(fields["sql"], name))


def _fields(node: yaml.MappingNode, name: str) -> Iterator[tuple[str, yaml.ScalarNode]]:
    seen: set[str] = set()
    for key, value in node.value:
        if key.value not in _KEYS or key.value in seen:
            known = "is there twice" if key.value in seen else f"is unknown; a rule has {', '.join(_KEYS)}"
            raise ConfigError(f"{_place(key, name)}: {key.value!r} {known}")
        if not isinstance(value, yaml.ScalarNode) or not value.value.strip():
            raise ConfigError(f"{_place(value, name)}: {key.value} is a text, and not empty")
        seen.add(key.value)
        yield key.value, value


def _refuse_twins(rules: tuple[Rule, ...]) -> None:
    places: dict[str, str] = {}
    for rule in rules:
        if places.setdefault(rule.id, rule.place) != rule.place:
            raise ConfigError(f"{rule.place}: rule {rule.id} is there twice, see {places[rule.id]}")


def _place(node: yaml.Node | None, name: str) -> str:
    return f"{name}:{node.start_mark.line + 1 if node is not None else 1}"
