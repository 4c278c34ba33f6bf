"""The result documents of the journal."""

from __future__ import annotations

from missive_host.outputs import Data, EventView, Json


class EventRecord(EventView, Data, frozen=True, kw_only=True):
    """One event of the journal. Where results are lines, ``sequence`` of the line is its number in the journal, too."""

    kind = "event_record"


class EventsListResult(Data, frozen=True, kw_only=True):
    kind = "events_list"
    profile: str
    filters: Json
    count: int
    events: tuple[EventView, ...]
    """The oldest first. Where results are lines, each is an ``event_record`` of its own."""
    message: str


class EventsShowResult(Data, frozen=True, kw_only=True):
    kind = "events_show"
    profile: str
    event: EventView
    message: str


class EventsTailResult(Data, frozen=True, kw_only=True):
    """The end of ``missive events tail``."""

    kind = "events_tail"
    profile: str
    from_sequence: int
    """It has begun behind the event of this number."""
    emitted: int
    """How many events were shown."""
    last_seen_sequence: int
    """The number of the last event that was looked at, shown or not: from here one goes on with ``--from-sequence``."""
    timed_out: bool
    ended: bool
    """True: the last one was the end that ``--until-terminal`` waits for."""
    events: tuple[EventView, ...]
    """The events that were shown; filled only where they were not results of their own."""
    message: str
