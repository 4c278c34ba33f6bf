"""What is known of a call on an agent from outside: its span, the trace that it carries on, and how long it took."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from missive_host.a2a.codec import METHODS
from missive_host.errors import MissiveError
from missive_host.telemetry import trace_fields
from missive_host.telemetry.spans import CLIENT, NoSpan, span

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from missive_host.a2a.binding import Headers
    from missive_host.outputs import SelectedInterface

_SYSTEMS = {"json-rpc": "jsonrpc", "grpc": "grpc"}
_MESSAGES = ("send", "stream")

if TYPE_CHECKING:
    Tell = Callable[[str, str, str, str, float], None]
    """Told of a call that has ended: agent, system, method, ``error.type`` or nothing, seconds."""


def with_trace(headers: Headers) -> Headers:
    """Return the headers with the trace that is carried on. One that is configured by hand stays."""
    fields = trace_fields()
    if not fields or any(name.lower() == "traceparent" for name, _ in headers):
        return headers
    return [*(item for item in headers if item[0].lower() != "tracestate"), *fields.items()]


class Observed:
    """Watches the calls on one agent over one interface."""

    def __init__(self, alias: str, interface: SelectedInterface, tell: Tell | None) -> None:
        self.alias = alias
        self.system = _SYSTEMS.get(interface.binding, interface.binding)
        self.tell = tell
        url = interface.url
        self.host: str | None = None
        self.port: int | None = None
        with suppress(ValueError):  # what is wrong with it the binding says
            address = urlsplit(url if "://" in url else f"//{url}")
            self.host, self.port = address.hostname, address.port

    def call(self, operation: str) -> Call:
        """Return one call, to be entered with ``with``."""
        return Call(self, operation)


class Call:
    """One call: as often as it is tried, so many there are."""

    __slots__ = ("_began", "_method", "_observed", "_span")

    def __init__(self, observed: Observed, operation: str) -> None:
        self._observed = observed
        self._method = method = METHODS[operation]
        message = operation in _MESSAGES
        self._span: NoSpan = span(
            f"invoke_agent {observed.alias}" if message else method,
            CLIENT,
            {
                "gen_ai.operation.name": "invoke_agent" if message else None,
                "gen_ai.agent.name": observed.alias,
                "rpc.system.name": observed.system,
                "rpc.method": method,
                "server.address": observed.host,
                "server.port": observed.port,
            },
        )

    def note_task(self, task_id: str | None) -> None:
        self._span.note("missive.task.id", task_id)

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        self._span.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        failure = ""
        if isinstance(error, MissiveError):
            failure = error.category
            if error.a2a is not None:
                self._span.note("rpc.response.status_code", _text(error.a2a.name or error.a2a.code))
                self._span.note("http.response.status_code", error.a2a.http_status)
        elif error is not None:
            failure = type(error).__name__ if isinstance(error, Exception) else "cut_off"
        self._span.__exit__(kind, error, trace)
        observed = self._observed
        if observed.tell is not None:
            observed.tell(observed.alias, observed.system, self._method, failure, time.monotonic() - self._began)


def _text(value: object) -> str | None:
    return None if value is None else str(value)
