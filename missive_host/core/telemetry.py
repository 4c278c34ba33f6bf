"""Whether traces and metrics go to a collector, and to which, as the config and the variables ``OTEL_*`` say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from missive_host import __version__
from missive_host.errors import ConfigError
from missive_host.telemetry import about, given_trace
from missive_host.telemetry.sampling import Sampler, named_sampler
from missive_host.telemetry.spans import INTERNAL, entering, recording

if TYPE_CHECKING:
    from missive_host.commands import Command
    from missive_host.config.model import Telemetry as TelemetryBlock
    from missive_host.core.core import Core
    from missive_host.telemetry import TraceContext
    from missive_host.telemetry.otlp import MetricExport, SpanExport, Target

SIGNALS = ("traces", "metrics")
LAST_SECONDS = 2.0
"""How long a process may go on, when it is done, to send what is left."""
METRICS_SECONDS = 60.0
_TRUE = "true"
INSTALL = "pip install 'missive-host[otel]'"


class Telemetry:
    """What goes to a collector. Each is None if it is not to be sent."""

    def __init__(self, target: Target, sampler: Sampler, interval: float) -> None:
        from missive_host.telemetry.otlp import MetricExport, SpanExport

        self.spans: SpanExport | None = SpanExport(target, sampler) if "traces" in target.urls else None
        self.interval = interval
        """Seconds from one sending of the metrics to the next."""
        self.metrics: MetricExport | None = MetricExport(target) if "metrics" in target.urls else None


@contextmanager
def telemetry_of(core: Core, *, long: bool) -> Iterator[Telemetry | None]:
    """Record what is done within, if that is wanted, and send what is left at the end. None: it is not wanted.

    `long`: spans are sent from time to time. Raises `ConfigError` if what it takes is not installed, and what
    `Secrets.resolve` raises.
    """
    opened = open_telemetry(core, timeout=None if long else LAST_SECONDS)
    if opened is None:
        yield None
        return
    if opened.spans is not None and long:
        opened.spans.start()
    try:
        with recording(opened.spans):
            yield opened
    finally:
        if opened.spans is not None:
            opened.spans.close(LAST_SECONDS)
        if opened.metrics is not None:
            opened.metrics.close()


@contextmanager
def commanding(core: Core, command: Command) -> Iterator[None]:
    """Run one command of the command line in the trace that ``TRACEPARENT`` names, or in one of its own.

    Raises as `telemetry_of`, and what is raised within.
    """
    from missive_host.commands import tag_of

    name = tag_of(command)
    attributes = {"process.executable.name": "missive", "missive.command": name}
    with (
        telemetry_of(core, long=False),
        entering(f"missive {name}", INTERNAL, _carried(core.settings.environ), attributes),
    ):
        yield


@contextmanager
def local(core: Core) -> Iterator[None]:
    """As `commanding`, for a command that is answered from the store alone: it has a trace, and no spans."""
    with entering("", INTERNAL, _carried(core.settings.environ)):
        yield


@contextmanager
def carrying(environ: Mapping[str, str]) -> Iterator[None]:
    """Work in the trace that the environment names, if it names one."""
    with about(_carried(environ)):
        yield


def _carried(environ: Mapping[str, str]) -> TraceContext | None:
    return given_trace(environ.get("TRACEPARENT"), environ.get("TRACESTATE"))


def wanted_urls(block: TelemetryBlock, environ: Mapping[str, str]) -> dict[str, str | None]:
    """Return each signal that is to be sent, and the URL for it; None: the one that the environment names."""
    if not block.enabled or environ.get("OTEL_SDK_DISABLED", "").strip().lower() == _TRUE:
        return {}
    found: dict[str, str | None] = {}
    for signal in SIGNALS:
        named = ("OTEL_EXPORTER_OTLP_ENDPOINT", f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT")
        if environ.get(f"OTEL_{signal.upper()}_EXPORTER", "otlp").strip().lower() == "none":
            continue
        if any(environ.get(name, "").strip() for name in named):
            found[signal] = None
        elif block.endpoint is not None:
            found[signal] = f"{block.endpoint.rstrip('/')}/v1/{signal}"
    return found


def is_installed() -> bool:
    """Tell whether the extra is there."""
    from importlib.util import find_spec

    return find_spec("opentelemetry") is not None and find_spec("opentelemetry.exporter.otlp.proto.http") is not None


def open_telemetry(core: Core, *, timeout: float | None = None) -> Telemetry | None:
    """Return what sends traces and metrics; None if nothing is to be sent. `timeout`: seconds for a batch.

    Raises as `telemetry_of`.
    """
    settings = core.settings
    block, environ = settings.config.telemetry, settings.environ
    urls = wanted_urls(block, environ)
    if not urls:
        return None
    if not is_installed():
        if block.endpoint is not None:
            raise ConfigError("telemetry.endpoint: what sends traces and metrics is not installed", help=INSTALL)
        _warn("OTEL_EXPORTER_OTLP_ENDPOINT is set, but nothing is sent: " + INSTALL)
        return None
    headers: dict[str, str] = {}
    for name, value in block.headers.items():
        if isinstance(value, str):
            headers[name] = value
        else:
            secret = core.secrets.resolve(f"telemetry.headers.{name}", value.secret)
            core.redactor.add(secret)
            headers[name] = secret.reveal()
    from missive_host.telemetry.otlp import Target

    target = Target(
        urls=urls,
        headers=headers or None,
        attributes=_resource(block, environ, core.profile),
        redact=core.redactor.text,
        timeout=timeout,
    )
    return Telemetry(target, _sampler(block, environ), _interval(environ))


def _resource(block: TelemetryBlock, environ: Mapping[str, str], profile: str) -> dict[str, str]:
    """Return what is said of this process. Of the name the environment has the first say."""
    from missive_host.ids import new_id

    found = {"service.version": __version__, "service.instance.id": new_id(), "missive.profile": profile}
    listed = (pair.partition("=")[0].strip() for pair in environ.get("OTEL_RESOURCE_ATTRIBUTES", "").split(","))
    given = set(listed)
    if "service.name" not in given and not environ.get("OTEL_SERVICE_NAME", "").strip():
        found["service.name"] = block.service_name
    return {name: value for name, value in found.items() if name not in given}


def _sampler(block: TelemetryBlock, environ: Mapping[str, str]) -> Sampler:
    name = environ.get("OTEL_TRACES_SAMPLER", "").strip().lower()
    if name:
        sampler = named_sampler(name, environ.get("OTEL_TRACES_SAMPLER_ARG", "").strip())
        if sampler is not None:
            return sampler
        _warn("OTEL_TRACES_SAMPLER and OTEL_TRACES_SAMPLER_ARG name no sampler that there is; they do not count")
    return Sampler(block.sample)


def _interval(environ: Mapping[str, str]) -> float:
    text = environ.get("OTEL_METRIC_EXPORT_INTERVAL", "").strip()
    if not text:
        return METRICS_SECONDS
    if text.isascii() and text.isdigit() and int(text):
        return int(text) / 1000
    _warn("OTEL_METRIC_EXPORT_INTERVAL is no number of milliseconds; it does not count")
    return METRICS_SECONDS


def _warn(text: str) -> None:
    import logging

    logging.getLogger("missive.telemetry").warning("%s", text)
