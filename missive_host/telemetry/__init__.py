"""Which road a thing is on: the trace that a call belongs to, and what the log says with each line about it.

A trace is named as W3C Trace Context (Level 1) has it, whether anybody collects spans or not: its id is what lines of
the log, events of the journal and the agents' own logs have in common.
"""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_STATE = re.compile(r"[\t\x20-\x7e]{1,512}")
"""What a ``tracestate`` may be to be passed on; another one is dropped as a whole (section 3.3.1.5)."""
_SAMPLED = 1


class TraceContext(msgspec.Struct, frozen=True):
    """One span of a trace: ``trace_id`` has 32, ``span_id`` 16 lower-case hex digits; neither is all zeros."""

    trace_id: str
    span_id: str
    sampled: bool = True
    state: str = ""
    """The header ``tracestate``: what others have put there, passed on as it is."""

    @property
    def traceparent(self) -> str:
        """The header ``traceparent`` (W3C Trace Context, section 3.2)."""
        return f"00-{self.trace_id}-{self.span_id}-{int(self.sampled):02x}"

    def child(self) -> TraceContext:
        """Return a new span of the same trace."""
        return TraceContext(self.trace_id, os.urandom(8).hex(), self.sampled, self.state)


def new_trace() -> TraceContext:
    """Return the first span of a new trace."""
    return TraceContext(os.urandom(16).hex(), os.urandom(8).hex())


def given_trace(traceparent: str | None, tracestate: str | None = None) -> TraceContext | None:
    """Return the trace that two headers name; None if there is none, or a bad one, which counts as none."""
    trace = parse_traceparent(traceparent) if traceparent else None
    if trace is None or not tracestate or not _STATE.fullmatch(tracestate):
        return trace
    return msgspec.structs.replace(trace, state=tracestate.strip(" \t"))


def parse_traceparent(text: str) -> TraceContext | None:
    """Return what a header ``traceparent`` says; None if it is to be ignored (section 3.2.2.1 and 3.3)."""
    match = _TRACEPARENT.fullmatch(text.strip(" \t"))
    if match is None:
        return None
    version, trace_id, span_id, flags, more = match.groups()
    if version == "ff" or (version == "00" and more) or not trace_id.strip("0") or not span_id.strip("0"):
        return None
    return TraceContext(trace_id, span_id, bool(int(flags, 16) & _SAMPLED))


_NO_FIELDS: Mapping[str, str] = MappingProxyType({})
_trace: ContextVar[TraceContext | None] = ContextVar("missive_trace", default=None)
_fields: ContextVar[Mapping[str, str]] = ContextVar("missive_fields", default=_NO_FIELDS)


def current_trace() -> TraceContext | None:
    """Return the span that this task works in."""
    return _trace.get()


def trace_fields() -> dict[str, str]:
    """Return what names the present span to others: ``traceparent``, and ``tracestate`` if there is one."""
    trace = _trace.get()
    if trace is None:
        return {}
    fields = {"traceparent": trace.traceparent}
    return {**fields, "tracestate": trace.state} if trace.state else fields


def current_fields() -> Mapping[str, str]:
    """Return what each line of the log says of what this task works on: ``work_id``, ``adapter``, ``agent`` …"""
    return _fields.get()


@contextmanager
def about(trace: TraceContext | None = None, **fields: str | None) -> Iterator[None]:
    """Work in this span (None: the present one), and say these fields in the log as well; what is None is left out.

    Tasks that are started inside inherit both.
    """
    trace_token = _trace.set(trace) if trace is not None else None
    fields_token = _fields.set(
        {**_fields.get(), **{name: value for name, value in fields.items() if value is not None}}
    )
    try:
        yield
    finally:
        _fields.reset(fields_token)
        if trace_token is not None:
            _trace.reset(trace_token)
