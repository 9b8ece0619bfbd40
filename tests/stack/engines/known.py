"""Every engine that the tool knows, and which are meant when none is named."""

from collections.abc import Sequence

from tests.stack.engines.kafka import Kafka
from tests.stack.engines.mongodb import Mongodb
from tests.stack.engines.mysql import Mysql
from tests.stack.engines.neo4j import Neo4j
from tests.stack.engines.port import Engine
from tests.stack.errors import StackError

_ALL: tuple[Engine, ...] = (Kafka(), Kafka("kafka3", brokers=3), Mysql(), Mongodb(), Neo4j())
KNOWN = {engine.name: engine for engine in _ALL}
USUAL = ("kafka", "mysql", "mongodb", "neo4j")


def chosen(names: Sequence[str]) -> list[Engine]:
    """Return the engines of these names, each once, or the usual ones.

    Raises:
        StackError: There is none of that name.
    """
    unknown = next((name for name in names if name not in KNOWN), None)
    if unknown is not None:
        raise StackError(f"there is no engine {unknown!r}; there is {', '.join(KNOWN)}")
    return [KNOWN[name] for name in dict.fromkeys(names or USUAL)]
