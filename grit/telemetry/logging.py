"""Log lines to standard error: JSON for machines, plain lines on a terminal.

Every part of GRIT logs through `structlog.get_logger(...)`, with facts as fields, never formatted into the text. What
libraries log by the standard library comes out the same way. Secrets, keys and values of users are never logged.
"""

import logging
import sys
from typing import TextIO

import structlog

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def configure_logging(level: str = "info", *, stream: TextIO | None = None, as_json: bool | None = None) -> None:
    """Set up the log lines of this process; called once, by the command line, before anything logs.

    Args:
        level: One of `LEVELS`; libraries are heard from warning up, or from `level` if that is higher.
        stream: Standard error when None.
        as_json: None: JSON unless the stream is a terminal.

    Raises:
        KeyError: There is no such level.
    """
    number, stream = LEVELS[level], stream or sys.stderr
    is_json = not stream.isatty() if as_json is None else as_json
    shared = _shared_processors(is_json=is_json)
    renderer = _renderer(is_json=is_json, colours=stream.isatty())
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(handlers=[handler], level=max(number, logging.WARNING), force=True)


def role_logger(role: str, realm: str = "") -> structlog.typing.FilteringBoundLogger:
    """Return a logger whose lines say which role speaks, and of which realm if it has one."""
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger(role=role)
    return logger.bind(realm=realm) if realm else logger


def _shared_processors(*, is_json: bool) -> list[structlog.typing.Processor]:
    stamp = structlog.processors.TimeStamper(fmt="iso" if is_json else "%H:%M:%S.%f", utc=is_json)
    chain: list[structlog.typing.Processor] = [structlog.contextvars.merge_contextvars, structlog.stdlib.add_log_level]
    chain += [stamp, structlog.processors.StackInfoRenderer()]
    if is_json:
        chain.append(structlog.processors.format_exc_info)
    return chain


def _renderer(*, is_json: bool, colours: bool) -> structlog.typing.Processor:
    if is_json:
        return structlog.processors.JSONRenderer(sort_keys=True, default=str)
    return structlog.dev.ConsoleRenderer(colors=colours, exception_formatter=structlog.dev.plain_traceback)
