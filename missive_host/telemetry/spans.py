"""Spans: what is done on the road, with its beginning, its end and what it belongs to.

A `Recorder` takes them. Without one nothing is made: `span` gives the same empty thing each time, and a trace is
passed on as it came.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import contextmanager
from contextvars import ContextVar, Token
from datetime import datetime
from typing import TYPE_CHECKING, Protocol, Self

import msgspec

from missive_host.telemetry import TraceContext, _trace, new_trace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

INTERNAL, SERVER, CLIENT, PRODUCER, CONSUMER = "internal", "server", "client", "producer", "consumer"

Attribute = str | int | float | bool
Attributes = Mapping[str, Attribute | None]


class Span(msgspec.Struct):
    """One thing that was done. Times are nanoseconds since 1970."""

    name: str
    kind: str
    trace: TraceContext
    parent: str | None
    """The id of the span that it belongs to; None: it is the first of its trace."""
    begun: int
    ended: int = 0
    attributes: dict[str, Attribute] = {}
    links: tuple[TraceContext, ...] = ()
    error: str | None = None
    """What kind of error it ended with, as ``error.type`` has it; never a text, which may quote anybody."""


class Recorder(Protocol):
    """Takes spans that have ended."""

    def samples(self, trace: TraceContext, *, new: bool) -> bool:
        """Tell whether a trace is recorded that has come in, or is `new` here."""
        ...

    def take(self, span: Span) -> None:
        """Keep a span. Never waits, never raises."""
        ...


_recorder: ContextVar[Recorder | None] = ContextVar("missive_recorder", default=None)


@contextmanager
def recording(recorder: Recorder | None) -> Iterator[None]:
    """Have the spans of what is done within kept, here and in the tasks that are started."""
    token = _recorder.set(recorder)
    try:
        yield
    finally:
        _recorder.reset(token)


class NoSpan:
    """Where nobody records."""

    __slots__ = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return

    def note(self, name: str, value: Attribute | None) -> None:
        """Do nothing."""

    def fail(self, error: BaseException | str) -> None:
        """Do nothing."""


_NO_SPAN = NoSpan()


class _Carried(NoSpan):
    """A trace that is passed on, while nobody records."""

    __slots__ = ("_token", "_trace")

    def __init__(self, trace: TraceContext) -> None:
        self._trace = trace

    def __enter__(self) -> Self:
        self._token: Token[TraceContext | None] = _trace.set(self._trace)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _trace.reset(self._token)


class _Recorded(NoSpan):
    """A span that is recorded: what is done within belongs to it."""

    __slots__ = ("_recorder", "_span", "_token")

    def __init__(self, recorder: Recorder, made: Span) -> None:
        self._recorder = recorder
        self._span = made

    def __enter__(self) -> Self:
        self._span.begun = time.time_ns()
        self._token: Token[TraceContext | None] = _trace.set(self._span.trace)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _trace.reset(self._token)
        if isinstance(error, Exception):
            self.fail(error)
        elif error is not None:
            self.note("missive.cut_off", value=True)  # cancelled, which is not a fault of what was cancelled
        self._span.ended = time.time_ns()
        self._recorder.take(self._span)

    def note(self, name: str, value: Attribute | None) -> None:
        """Say something of it."""
        if value is not None:
            self._span.attributes[name] = value

    def fail(self, error: BaseException | str) -> None:
        """Say that it has failed; an error by its category or the name of its class."""
        kind = error if isinstance(error, str) else getattr(error, "category", type(error).__name__)
        self._span.error = self._span.attributes["error.type"] = str(kind)


def span(name: str, kind: str = INTERNAL, attributes: Attributes | None = None) -> NoSpan:
    """Return a span below the present one, to be entered with ``with``.

    ::

        with span("route", attributes={"missive.group": group}) as route:
            ...
            route.note("missive.mode", mode)
    """
    recorder = _recorder.get()
    if recorder is None or (parent := _trace.get()) is None or not parent.sampled:
        return _NO_SPAN
    return _Recorded(recorder, _made(name, kind, parent, attributes, parent.child()))


def entering(
    name: str,
    kind: str,
    given: TraceContext | None,
    attributes: Attributes | None = None,
    *,
    link: TraceContext | None = None,
) -> NoSpan:
    """Return the span of something that comes in, or goes on after it has waited: it belongs to the trace that came
    with it, or begins one. `link` is what it has to do with besides.
    """
    recorder = _recorder.get()
    if recorder is None:
        return _Carried(given or new_trace())
    trace = given or new_trace()
    sampled = recorder.samples(trace, new=given is None)
    if sampled != trace.sampled:
        trace = msgspec.structs.replace(trace, sampled=sampled)
    if not sampled:
        return _Carried(trace)
    made = _made(name, kind, given, attributes, trace if given is None else trace.child())
    if link is not None and link.trace_id != made.trace.trace_id:
        made.links = (link,)
    return _Recorded(recorder, made)


def waited(name: str, trace: TraceContext | None, since: str, attributes: Attributes | None = None) -> None:
    """Record, below the span `trace`, that something has waited since then (RFC 3339) until now."""
    recorder = _recorder.get()
    if recorder is not None and trace is not None and trace.sampled:
        made = _made(name, INTERNAL, trace, attributes, trace.child())
        made.ended = time.time_ns()
        made.begun = min(int(datetime.fromisoformat(since).timestamp() * 1_000_000) * 1000, made.ended)
        recorder.take(made)


def _made(
    name: str, kind: str, parent: TraceContext | None, attributes: Attributes | None, trace: TraceContext
) -> Span:
    known = {key: value for key, value in (attributes or {}).items() if value is not None}
    return Span(name, kind, trace, None if parent is None else parent.span_id, 0, attributes=known)


def messaging(
    operation: str, adapter: str | None, work_id: str | None = None, command: str | None = None
) -> Attributes:
    """Return what a span of the queue says, as OpenTelemetry's conventions for messaging have it."""
    return {
        "messaging.system": "missive",
        "messaging.destination.name": adapter,
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
        "messaging.message.id": work_id,
        "missive.command": command,
    }
