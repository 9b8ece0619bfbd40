"""Read a configuration: the file, the environment it names, the parts of it."""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from grit.config.addresses import parse_address, parse_addresses
from grit.config.catalogue import parse_realms
from grit.config.document import Section, parse_document
from grit.config.kafka import parse_kafka, parse_path
from grit.config.model import (
    ELECTOR_KINDS,
    LOG_FORMATS,
    LOG_KINDS,
    LOG_LEVELS,
    Config,
    ElectorConfig,
    LogConfig,
    SidecarConfig,
    TelemetryConfig,
)
from grit.config.text_file import read_text_file
from grit.core.limits import LIMIT_BOUNDS, Limits

_FILE_BYTES_MAX = 4 * 1024 * 1024


def load_config(path: Path, environ: Mapping[str, str]) -> Config:
    """Return the configuration in a file; ${NAME} in it is taken from `environ`.

    Raises:
        ConfigError: It cannot be read, or cannot work: "file:line:column: what; remedy".
    """
    return parse_config(_read(path), str(path), path.absolute().parent, environ)


def parse_config(text: str, file: str, base: Path, environ: Mapping[str, str]) -> Config:
    """Return the configuration that a text spells; `file` names it, its paths are relative to `base`.

    Raises:
        ConfigError: It cannot work.
    """
    document = parse_document(text, file, environ)
    optional = ("gtm", "elector", "sidecar", "telemetry", "limits")
    document.expect("log", "realms", *optional)
    gtm, elector, sidecar, telemetry, limits = (document.get(name) for name in optional)
    return Config(
        source=file,
        log=_log(document.need("log", "log: {kind: embedded, path: var/log}").section(), base),
        realms=parse_realms(document.need("realms", "realms: {orders: {engine: sqlite, ...}}"), base),
        gtm=parse_addresses(gtm) if gtm else (),
        elector=_elector(elector.section(), base) if elector else ElectorConfig(),
        sidecar=_sidecar(sidecar.section()) if sidecar else SidecarConfig(),
        telemetry=_telemetry(telemetry.section(), base) if telemetry else TelemetryConfig(),
        limits=_limits(limits.section()) if limits else Limits(),
    )


def _read(path: Path) -> str:
    absent = "no such file; `grit init DIR` writes one"
    return read_text_file(path, bytes_max=_FILE_BYTES_MAX, too_large="this is no configuration", absent=absent)


def _log(section: Section, base: Path) -> LogConfig:
    kind = section.need("kind", "kind: embedded").choice(LOG_KINDS)
    if kind == "kafka":
        return LogConfig(kind, kafka=parse_kafka(section, base))
    section.expect("kind", "path")
    path = section.get("path")
    if kind == "memory":
        if path is not None:
            path.refuse(f"{path.path}: a log in memory has no path; leave it out, or write kind: embedded")
        return LogConfig(kind)
    return LogConfig(kind, parse_path(section.need("path", "path: var/log"), base))


def _elector(section: Section, base: Path) -> ElectorConfig:
    section.expect("kind", "path")
    kind = section.need("kind", "kind: file").choice(ELECTOR_KINDS)
    path = section.get("path")
    if kind == "none":
        if path is not None:
            path.refuse(f"{path.path}: without an elector there is no path; leave it out, or write kind: file")
        return ElectorConfig(kind)
    return ElectorConfig(kind, parse_path(section.need("path", "path: var/elector"), base))


def _sidecar(section: Section) -> SidecarConfig:
    section.expect("listen", "advertise")
    advertise = section.get("advertise")
    config = SidecarConfig(**{name: parse_address(value) for name, _, value in section})
    if advertise is not None and (config.advertise.endswith(":0") or config.advertise.startswith("unix:")):
        advertise.refuse(
            f"{advertise.path} is {config.advertise}, where no other host comes: give host:port, or leave it out"
        )
    return config


def _telemetry(section: Section, base: Path) -> TelemetryConfig:
    section.expect("log_level", "log_format", "metrics_port", "trace_file")
    level, form, port, trace = (section.get(name) for name in ("log_level", "log_format", "metrics_port", "trace_file"))
    default = TelemetryConfig()
    try:
        return TelemetryConfig(
            log_level=level.choice(LOG_LEVELS) if level else default.log_level,
            log_format=form.choice(LOG_FORMATS) if form else default.log_format,
            metrics_port=port.integer() if port else default.metrics_port,
            trace_file=parse_path(trace, base) if trace else default.trace_file,
        )
    except ValueError as error:
        (port or section).refuse(f"telemetry: {error}")


def _limits(section: Section) -> Limits:
    section.expect(*LIMIT_BOUNDS)
    limits = Limits()
    given: dict[str, int] = {}
    for name, _, value in section:
        given[name] = value.integer()
        least, most = LIMIT_BOUNDS[name]
        if not least <= given[name] <= most:
            value.refuse(f"{value.path} is {given[name]:,}; it may be {least:,} to {most:,}")
    try:
        return msgspec.structs.replace(limits, **given)
    except ValueError as error:
        section.refuse(f"limits: {error}")
