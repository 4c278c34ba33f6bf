"""The journal, for people."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET

from missive_host.cli.screen import one_line, shorten

if TYPE_CHECKING:
    from missive_host import outputs_events as e
    from missive_host.cli.screen import Screen
    from missive_host.outputs import EventView

SHOWN = 80
"""Columns of what an event says, where the terminal does not say how many there are."""


def clock(timestamp: str) -> str:
    """Return a time of the store without what nobody reads: ``2026-01-31 09:30:00.125``."""
    return f"{timestamp[:10]} {timestamp[11:23]}"


def said(payload: Any) -> str:
    """Return what an event says, short."""
    from missive_host.core.journal import words

    return shorten(one_line(words(payload)), SHOWN)


def _row(event: EventView) -> tuple[object, ...]:
    thing = event.task_id if isinstance(event.task_id, str) else event.context_id
    return event.sequence, clock(event.timestamp), event.event_type, event.agent, thing, said(event.payload)


def _list(data: e.EventsListResult, screen: Screen) -> None:
    if not data.events:
        screen.line("no events")
        return
    screen.table(("EVENT", "TIME", "TYPE", "AGENT", "ABOUT", "SAYS"), [_row(event) for event in data.events])


def _record(data: e.EventRecord, screen: Screen) -> None:
    number, time, kind, agent, thing, text = _row(data)
    rest = "  ".join(str(cell) for cell in (kind, agent, thing, text) if isinstance(cell, str) and cell)
    screen.line(f"{number}  {time}  {rest}")


def _show(data: e.EventsShowResult, screen: Screen) -> None:
    event = data.event
    screen.fields(
        (
            ("event", event.sequence),
            ("id", event.event_id),
            ("type", event.event_type),
            ("time", event.timestamp),
            ("source", event.source),
            ("agent", event.agent),
            ("context", event.context_id),
            ("task", event.task_id),
            ("message", event.message_id),
            ("delivery or job", event.work_id),
            ("metadata", event.metadata),
        )
    )
    screen.line()
    screen.text(json.dumps(event.payload, indent=2, ensure_ascii=False))


def _tail(data: e.EventsTailResult, screen: Screen) -> None:
    if data.timed_out:
        screen.note(f"{data.message}; go on: missive events tail --follow --from-sequence {data.last_seen_sequence}")
    elif not data.emitted:
        screen.note("no events")


def _replay(data: e.EventsReplayResult, screen: Screen) -> None:
    if data.differences is not UNSET:
        if data.differences:
            screen.table(
                ("TABLE", "ID", "AGENT", "FIELD", "JOURNAL", "STORED"),
                [(d.table, d.id, d.agent, d.field, d.journal, d.stored) for d in data.differences],
            )
        screen.note(data.message)
        return
    if data.tasks:
        screen.table(
            ("TASK", "AGENT", "STATE", "CONTEXT", "EVENTS", "LAST"),
            [(t.task_id, t.agent, t.state, t.context_id, t.event_count, t.last_event_type) for t in data.tasks],
        )
    if data.contexts:
        screen.table(
            ("CONTEXT", "STATE", "TASKS", "EVENTS", "LAST"),
            [(x.context_id, x.state, len(x.task_ids) or None, x.event_count, x.last_event_type) for x in data.contexts],
        )
    screen.note(data.message)


def _export(data: e.EventsExportResult, screen: Screen) -> None:
    if data.events is not UNSET:
        for event in data.events:
            screen.text(msgspec.json.encode(event).decode())
    elif data.content is not UNSET:
        screen.text(data.content, end="")
    else:
        screen.line(data.message)


def _trace(data: e.TraceResult, screen: Screen) -> None:
    begun = _seconds(data.began_at)
    last = len(data.steps)
    for number, step in enumerate(data.steps):
        lead = "".join(
            ("├─ " if depth == step.depth else "│  ") if _goes_on(data.steps[number + 1 : last], depth)
            else ("└─ " if depth == step.depth else "   ")
            for depth in range(1, step.depth + 1)
        )  # fmt: skip
        thing = "" if step.id in (UNSET, data.id) else f" {step.id}"
        text = shorten(one_line(step.says), SHOWN)
        passed = f"{clock(step.at)}  +{_seconds(step.at) - begun:.3f} s"
        screen.text(f"{passed}  {lead}{one_line(step.what)}{thing}{f': {text}' if text else ''}")
    for trace_id in data.trace_ids:
        screen.note(f"trace_id {trace_id}")


def _goes_on(later: tuple[e.TraceStep, ...], depth: int) -> bool:
    """Whether more of the same parent comes at this depth."""
    return next((step.depth for step in later if step.depth <= depth), 0) == depth


def _seconds(timestamp: str) -> float:
    return datetime.fromisoformat(timestamp).timestamp()


RENDERERS: Mapping[str, Callable[[Any, Screen], None]] = {
    "events_list": _list,
    "event_record": _record,
    "events_show": _show,
    "events_tail": _tail,
    "events_export": _export,
    "events_replay": _replay,
    "trace": _trace,
}
