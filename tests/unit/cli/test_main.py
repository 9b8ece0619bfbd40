"""How every command ends: its status, and one line where a user is at fault."""

import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

from grit.cli.lazy_group import Lazy
from grit.cli.main import COMMANDS, ENVIRONMENT, FINDING, GOOD, UNKNOWN, run
from grit.core.errors import Code, ConfigError, GritError, LogError, StoreRefused

FAILURES: list[tuple[BaseException, int, str]] = [
    (ConfigError("grit.yaml:3:1: no such key"), ENVIRONMENT, "grit: grit.yaml:3:1: no such key\n"),
    (LogError("log gtl, offset 7: damaged"), ENVIRONMENT, "grit: log gtl, offset 7: damaged\n"),
    (StoreRefused("orders: no"), ENVIRONMENT, "grit: orders: no\n"),
    (GritError(Code.NO_LEADER, "nobody leads orders"), ENVIRONMENT, "grit: NO_LEADER: nobody leads orders\n"),
    (GritError(Code.EXPIRED, "forgotten"), UNKNOWN, "grit: EXPIRED: forgotten\n"),
    (OSError(13, "Permission denied", "/x"), ENVIRONMENT, "grit: /x: Permission denied\n"),
    (KeyboardInterrupt(), ENVIRONMENT, "grit: interrupted\n"),
    (ConfigError("two\nlines"), ENVIRONMENT, "grit: two lines\n"),
]


@click.command()
@click.argument("number", type=int)
def fail(number: int) -> None:
    raise FAILURES[number][0]


@click.command()
@click.argument("status", type=int)
def end(status: int) -> int:
    return status


TABLE = {"fail": Lazy(f"{__name__}:fail", "Fails."), "end": Lazy(f"{__name__}:end", "Ends.")}


@pytest.fixture(autouse=True)
def importable() -> Iterator[None]:
    """Commands are imported by name; a test module need not be."""
    known = sys.modules.get(__name__)
    module = type(sys)(__name__)
    module.__dict__.update(fail=fail, end=end)
    sys.modules[__name__] = module
    yield
    if known is None:
        del sys.modules[__name__]
    else:
        sys.modules[__name__] = known


@pytest.mark.parametrize("number", range(len(FAILURES)), ids=[type(error).__name__ for error, _, _ in FAILURES])
def test_what_a_user_can_cause_ends_in_one_line_and_the_right_status(
    number: int, capsys: pytest.CaptureFixture[str]
) -> None:
    _, status, line = FAILURES[number]
    assert run(["fail", str(number)], TABLE) == status
    assert capsys.readouterr().err.lstrip("\n") == line


@pytest.mark.parametrize("status", [GOOD, FINDING, UNKNOWN])
def test_a_command_returns_its_status(status: int) -> None:
    assert run(["end", str(status)], TABLE) == status


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["confg"], 'did you mean "config"'),
        (["config", "chek"], 'did you mean "check"'),
        (["config"], "Missing command; see `grit config --help`"),
        (["init"], "Missing argument"),
        (["config", "check", "--nope"], "see `grit config check --help`"),
        (["--nope"], "No such option"),
        (["config", "check", "-c", "/nowhere/grit.yaml"], "/nowhere/grit.yaml: no such file"),
    ],
)
def test_wrong_usage_is_one_line_with_the_way_out_and_status_3(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == ENVIRONMENT
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("arguments", [[], ["--help"], ["config", "--help"], ["config", "check", "--help"]])
def test_help_is_good(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == GOOD
    assert "Usage: grit" in capsys.readouterr().out


def test_every_command_of_the_table_can_be_loaded() -> None:
    for name, entry in COMMANDS.items():
        assert entry.load(name).name == name
        assert entry.summary.endswith(".")


def test_help_imports_no_driver_no_grpc_and_no_yaml() -> None:
    program = (
        "import sys; from grit.cli.main import run; run(['--help'])\n"
        "print(sorted({'grpc', 'yaml', 'sqlalchemy', 'sqlite3', 'rich', 'asyncio', 'opentelemetry'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_reader_that_leaves_is_no_error() -> None:
    program = "import sys; from grit.cli.main import run; sys.exit(run(['--help']))"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(30) == GOOD
