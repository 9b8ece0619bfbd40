"""Who may import what, where import-linter has no word for it (its layers stand in pyproject.toml).

The source is parsed, not imported: a module that does not exist yet is held from its first line.
"""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = ("grit", "gtm", "dbtm", "log_players", "sample_services")

PURE = (
    "grit/core/**/*.py",
    "*/machine.py",
    "dbtm/certify.py",
    "dbtm/history.py",
    "dbtm/overlay.py",
    "log_players/cursor.py",
    "log_players/plans/**/*.py",
    "grit/sidecar/session.py",
    "grit/checker/**/*.py",
)
CHECKER_SHELL = {"grit.checker.sources", "grit.checker.check", "grit.checker.tables"}
"""What fetches logs and rows for the analysis, calls one after the other, and runs an application's rules as SQL."""

IMPURE = frozenset(
    [
        "aiohttp",
        "asyncio",
        "click",
        "concurrent",
        "confluent_kafka",
        "contextvars",
        "grpc",
        "http",
        "kafka",
        "logging",
        "multiprocessing",
        "mysql",
        "neo4j",
        "opentelemetry",
        "os",
        "prometheus_client",
        "pymongo",
        "pymysql",
        "queue",
        "random",
        "requests",
        "rich",
        "secrets",
        "select",
        "selectors",
        "signal",
        "socket",
        "sqlalchemy",
        "sqlite3",
        "ssl",
        "structlog",
        "subprocess",
        "tempfile",
        "threading",
        "time",
        "urllib",
        "uuid",
        "uvloop",
    ]
)
CLOCKS = {("datetime", "now"), ("datetime", "utcnow"), ("datetime", "today"), ("date", "today")}
DOORS = {"open", "print", "input"}


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def modules() -> dict[str, Path]:
    """Return every module of ours by name."""
    return {name_of(path): path for package in OURS for path in sorted((ROOT / package).rglob("*.py"))}


def executed(node: ast.AST) -> Iterator[ast.AST]:
    """Walk a tree without the bodies of `if TYPE_CHECKING`, which never run."""
    for child in ast.iter_child_nodes(node):
        yield child
        if isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING":
            for other in child.orelse:
                yield from executed(other)
        else:
            yield from executed(child)


@cache
def imports_of(path: Path) -> frozenset[str]:
    """Return what a file imports by whole name; `from a import b` is a.b where that is a module of ours, else a."""
    names: set[str] = set()
    for node in executed(tree_of(path)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            names.update({name if name in modules() else node.module for name in whole})
    return frozenset(names)


def pure_roots() -> list[str]:
    found = {name_of(path) for pattern in PURE for path in ROOT.glob(pattern)}
    return sorted(name for name in found & modules().keys() if name not in CHECKER_SHELL)


def parents(name: str) -> list[str]:
    """Return the packages whose `__init__` runs when the module is imported."""
    parts = name.split(".")
    return [".".join(parts[:size]) for size in range(1, len(parts))]


def closure(name: str) -> set[str]:
    """Return every module of ours that importing `name` runs, itself included."""
    seen: set[str] = set()
    todo = [name]
    while todo:
        here = todo.pop()
        if here in modules() and here not in seen:
            seen.add(here)
            todo += [*imports_of(modules()[here]), *parents(here)]
    return seen


def within(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def importers(*packages: str) -> set[str]:
    """Return the modules outside of the packages that import something in them."""
    return {
        name
        for name, path in modules().items()
        if not within(name, *packages) and any(within(target, *packages) for target in imports_of(path))
    }


def impurities(name: str) -> list[str]:
    """Return what a module does that a pure one may not, as lines for people."""
    path = modules()[name]
    found = [f"imports {target}" for target in imports_of(path) if target.split(".")[0] in IMPURE]
    for node in executed(tree_of(path)):
        match node:
            case ast.Attribute(ast.Name(owner), attribute) if (owner, attribute) in CLOCKS:
                found.append(f"line {node.lineno}: {owner}.{attribute}")
            case ast.Call(ast.Name(called)) if called in DOORS:
                found.append(f"line {node.lineno}: {called}()")
    return sorted(f"{name} {line}" for line in found)


@pytest.mark.parametrize("name", pure_roots())
def test_a_pure_module_runs_nothing_impure(name: str) -> None:
    assert [line for module in sorted(closure(name)) for line in impurities(module)] == []


def test_the_core_imports_nothing_of_ours_but_the_core() -> None:
    outside = {
        (name, target)
        for name, path in modules().items()
        if within(name, "grit.core")
        for target in imports_of(path)
        if within(target, *OURS) and not within(target, "grit.core")
    }
    assert outside == set()


CHECKER_MAY_IMPORT = (
    "grit.checker",
    "grit.log",
    "grit.store",
    "grit.config",
    *(
        f"grit.core.{name}"
        for name in ("ids", "keys", "values", "records", "states", "parts", "catalog", "queries", "errors")
    ),
)
PREDICATE_NAMES = {"EVERYTHING", "Where"}
"""What a query for all rows needs; the rest of `grit.core.predicate` is the evaluator."""


def names_from(path: Path, module: str) -> set[str]:
    """Return which names a file takes out of a module."""
    taken = (node for node in executed(tree_of(path)) if isinstance(node, ast.ImportFrom) and node.module == module)
    return {alias.name for node in taken for alias in node.names}


def test_the_checker_shares_only_names_codecs_and_formats() -> None:
    """It could not find a bug that it shares: not the fold, nor the predicate evaluator, nor any machine."""
    shared = set()
    for name in (name for name in modules() if within(name, "grit.checker")):
        path = modules()[name]
        evaluator = names_from(path, "grit.core.predicate") - PREDICATE_NAMES
        harmless = CHECKER_MAY_IMPORT if evaluator else (*CHECKER_MAY_IMPORT, "grit.core.predicate")
        foreign = {target for target in imports_of(path) if within(target, *OURS) and not within(target, *harmless)}
        shared |= {f"{name} imports {target}" for target in foreign}
    assert shared == set()


def test_sample_services_use_the_client_only() -> None:
    foreign = {
        (name, target)
        for name, path in modules().items()
        if within(name, "sample_services")
        for target in imports_of(path)
        if within(target, "grit", "gtm", "dbtm", "log_players")
        and target != "grit"
        and not within(target, "grit.client")
    }
    assert foreign == set()


def test_generated_code_is_imported_by_wire_and_the_ends_of_the_surface_only() -> None:
    # The two ends of the surface speak it: the client, and of the sidecar what stands at the server.
    ends = {"grit.sidecar.admin", "grit.sidecar.app", "grit.sidecar.requests"}
    at_wire = {name for name in modules() if within(name, "grit.wire") or within(name, "grit.client")}
    allowed = at_wire | ends | {name for name in modules() if name.endswith(".service")}
    assert importers("grit.pb") - allowed == set()


def test_only_composition_roots_choose_an_adapter() -> None:
    roots = {name for name in modules() if name.endswith((".app", ".__main__")) or within(name, "grit.cli")}
    for port in ("grit.log", "grit.store"):
        adapters = [name for name in modules() if within(name, port) and name not in {port, f"{port}.port"}]
        chosen = {name for name in importers(*adapters) if not within(name, port)}
        assert chosen - roots == set(), f"adapters of {port} are chosen outside of app.py and grit.cli"


def test_the_rules_see_an_impure_module(tmp_path: Path) -> None:
    """The parser of this file finds what it forbids."""
    path = tmp_path / "machine.py"
    path.write_text("from datetime import datetime\nimport os.path\nNOW = datetime.now()\nprint(open('x'))\n")
    modules()["machine"] = path
    try:
        assert impurities("machine") == [
            "machine imports os.path",
            "machine line 3: datetime.now",
            "machine line 4: open()",
            "machine line 4: print()",
        ]
    finally:
        del modules()["machine"]
