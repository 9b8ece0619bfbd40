"""Collections as tables of a temporary SQLite database, for application rules.

One attached database a realm, one table a collection: `realm.collection`. Columns: the key fields and the declared fields;
of a relationship `start` and `end` too; of a document also `_record`, the whole of it as JSON. Values: bool as 0 and 1,
decimal as a number, timestamp as ISO text in UTC, list and map as JSON text, null and missing as NULL.

Rules may only read: SQLite asks an authorizer for every action, which also tells which tables a rule names.
"""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from typing import Self

import msgspec

from grit.checker.replay import Images
from grit.checker.rules import Broken, Named, Rule
from grit.core.catalog import END, START, CollectionDef, RealmDef, Shape
from grit.core.errors import ConfigError
from grit.core.ids import Collection, Realm
from grit.core.values import Value, decode_record

WHOLE = "_record"
ROWS_MAX = 20
"""Rows of a broken rule that are kept; the others are counted."""
_REALMS_MAX = 10
STEPS_MAX = 2_000_000_000
"""Instructions of SQLite's machine that one query may take: some minutes."""
_STEPS_A_LOOK = 100_000
_READING = frozenset(
    {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
)  # fmt: skip


class Tables:
    """A SQLite database in memory with the tables of some realms, filled as asked. To be closed.

    A query that takes more than `steps_max` instructions is ended.
    """

    def __init__(self, realms: Iterable[RealmDef], *, steps_max: int = STEPS_MAX) -> None:
        self._steps_max = steps_max
        self._realms = {realm.name: realm for realm in realms}
        if len(self._realms) > _REALMS_MAX:
            raise ConfigError(
                f"the rules name {len(self._realms)} realms; SQLite joins {_REALMS_MAX} at most: split them"
            )
        self._database = sqlite3.connect(":memory:", isolation_level=None)
        self._named: set[Named] = set()
        for realm in self._realms.values():
            self._attach(realm)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def collections_of(self, rule: Rule) -> frozenset[Named]:
        """Return the collections that a rule reads.

        Raises:
            ConfigError: It is not one query over these tables; in SQLite's words, with file and line.
        """
        self._named = set()
        self._run(rule, f"EXPLAIN {rule.sql}")
        return frozenset(self._named)

    def fill(self, states: Mapping[Realm, Images], wanted: frozenset[Named]) -> int:
        """Replace the rows of the wanted collections; return how many there are."""
        count = 0
        self._database.set_authorizer(None)
        self._database.execute("BEGIN")
        for realm, collection in sorted(wanted):
            definition = self._realms[realm].collections[collection]
            table, columns = _table(realm, collection), columns_of(definition)
            self._database.execute(f"DELETE FROM {table}")  # noqa: S608 - quoted names of the catalogue
            rows = [_cells(image, columns) for image in _images(states.get(realm, {}), collection)]
            marks = ", ".join("?" * len(columns))
            self._database.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)  # noqa: S608 - likewise
            count += len(rows)
        self._database.execute("COMMIT")
        return count

    def broken_by(self, rule: Rule) -> Broken | None:
        """Return what the rule returns, None when it returns nothing; raises as `collections_of`."""
        names, rows = self._run(rule, rule.sql)
        if not rows:
            return None
        told = tuple(", ".join(f"{n}={v!r}" for n, v in zip(names, row, strict=True)) for row in rows[:ROWS_MAX])
        return Broken(told, len(rows))

    def _attach(self, realm: RealmDef) -> None:
        try:
            self._database.execute(f"ATTACH ':memory:' AS {_quoted(realm.name)}")
            for name, definition in realm.collections.items():
                columns = ", ".join(_quoted(column) for column in columns_of(definition))
                self._database.execute(f"CREATE TABLE {_table(realm.name, name)} ({columns})")
        except sqlite3.Error as error:
            raise ConfigError(f"realm {realm.name} cannot be laid out as tables: {error}") from error

    def _run(self, rule: Rule, sql: str) -> tuple[list[str], list[tuple[Value, ...]]]:
        looks = iter(range(self._steps_max // _STEPS_A_LOOK))
        self._database.set_authorizer(self._allow)
        self._database.set_progress_handler(lambda: next(looks, -1) < 0, _STEPS_A_LOOK)
        try:
            with closing(self._database.execute(sql)) as cursor:
                names = [column[0] for column in cursor.description or ()]
                return names, cursor.fetchall()
        except (sqlite3.Error, sqlite3.Warning) as error:
            said = "it takes too long" if "interrupted" in str(error) else str(error)
            tables = ", ".join(sorted(f"{realm}.{name}" for realm, d in self._realms.items() for name in d.collections))
            raise ConfigError(f"{rule.place}: rule {rule.id}: {said}. A rule is one SELECT over {tables}") from error

    def _allow(self, action: int, table: str | None, _: str | None, database: str | None, __: str | None) -> int:
        if action == sqlite3.SQLITE_READ and table and database in self._realms:
            self._named.add((Realm(database), Collection(table)))
        return sqlite3.SQLITE_OK if action in _READING else sqlite3.SQLITE_DENY


def columns_of(definition: CollectionDef) -> tuple[str, ...]:
    """Return the columns of a collection, in order: key, ends of a relationship, declared fields, the whole document."""
    ends = (START, END) if definition.shape == Shape.RELATIONSHIP else ()
    whole = (WHOLE,) if definition.shape == Shape.DOCUMENT else ()
    return tuple(dict.fromkeys((*definition.key, *ends, *definition.fields, *whole)))


def realms_named_in(rules: Sequence[Rule], realms: Mapping[Realm, RealmDef]) -> list[RealmDef]:
    """Return the realms that the text of a rule may mean: their name, or that of one of their collections, is in it."""
    text = "\n".join(rule.sql for rule in rules).lower()
    return [
        realms[name]
        for name in sorted(realms)
        if name.lower() in text or any(collection.lower() in text for collection in realms[name].collections)
    ]


def _images(state: Images, collection: Collection) -> Iterable[bytes]:
    return (image for (of, _), image in sorted(state.items()) if of == collection and image is not None)


def _cells(image: bytes, columns: tuple[str, ...]) -> tuple[Value, ...]:
    row = decode_record(image)
    return tuple(_json(row) if column == WHOLE else _cell(row.get(column)) for column in columns)


def _cell(value: Value) -> Value:
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() and abs(value) < 2**63 else float(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    return _json(value) if isinstance(value, list | dict) else value


def _json(value: Value) -> str:
    return msgspec.json.encode(_plain(value), order="sorted").decode()


def _plain(value: Value) -> Value:
    """Return the value as JSON has it: what JSON lacks as in a column, bytes as hexadecimal digits."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, bytes):
        return value.hex()
    return value if isinstance(value, bool) else _cell(value)


def _table(realm: Realm, collection: Collection) -> str:
    return f"{_quoted(realm)}.{_quoted(collection)}"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
