"""Log lines."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from grit.telemetry.logging import configure_logging, role_logger


class Terminal(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def test_a_line_is_one_json_object_with_role_and_realm_where_nobody_looks() -> None:
    out = io.StringIO()
    configure_logging(stream=out)
    role_logger("dbtm", "orders").info("leading", epoch=3)
    line = json.loads(out.getvalue())
    stamp = line.pop("timestamp")
    assert line == {"event": "leading", "level": "info", "role": "dbtm", "realm": "orders", "epoch": 3}
    assert stamp.endswith("Z")


def test_a_line_is_for_people_on_a_terminal() -> None:
    out = Terminal()
    configure_logging(stream=out)
    role_logger("gtm").warning("slow", delay_ms=7)
    assert "slow" in out.getvalue()
    assert not out.getvalue().startswith("{")


def test_text_has_colours_on_a_terminal_only() -> None:
    for out, is_coloured in ((Terminal(), True), (io.StringIO(), False)):
        configure_logging(stream=out, as_json=False)
        role_logger("gtm").warning("slow", delay_ms=7)
        assert ("\x1b[" in out.getvalue()) is is_coloured


def test_a_role_without_realm_names_none() -> None:
    out = io.StringIO()
    configure_logging(stream=out)
    role_logger("gtm").info("leading")
    assert "realm" not in json.loads(out.getvalue())


def test_lines_below_the_level_are_not_written() -> None:
    out = io.StringIO()
    configure_logging("warning", stream=out)
    role_logger("gtm").info("quiet")
    role_logger("gtm").warning("loud")
    assert [json.loads(line)["event"] for line in out.getvalue().splitlines()] == ["loud"]


def test_what_libraries_log_looks_the_same() -> None:
    out = io.StringIO()
    configure_logging(stream=out)
    logging.getLogger("kafka").info("chatter")
    logging.getLogger("kafka").error("broker %s is gone", 3)
    line = json.loads(out.getvalue())
    assert (line["event"], line["level"], line["logger"]) == ("broker 3 is gone", "error", "kafka")


def test_a_traceback_stays_within_its_line() -> None:
    out = io.StringIO()
    configure_logging(stream=out)
    try:
        raise AssertionError("a bug")
    except AssertionError as error:
        role_logger("gtm").critical("bug", exc_info=error)
    (line,) = out.getvalue().splitlines()
    assert "Traceback" in json.loads(line)["exception"]


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(KeyError):
        configure_logging("loud", stream=io.StringIO())
