"""The journal: looking at it, following it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from missive_host import commands as c, outputs_events as e
from missive_host.a2a.shapes import TERMINAL
from missive_host.core.journal import is_end
from missive_host.core.views import event_view
from missive_host.errors import ValidationError
from missive_host.ids import after as from_now
from missive_host.outputs import EventView, Json, Output

if TYPE_CHECKING:
    from missive_host.core.core import Core, Emit
    from missive_host.store import EventRow, Tables

_SPAN = 10_000
"""How many events one look goes through at the most: whoever waits for a rare type must not read all at once."""
_PAGE = 500
_NAMES = ("agent", "context", "task", "source", "types", "since", "after_sequence")


def selection(tables: Tables, command: Any) -> dict[str, Any]:
    """Return the filters of a command as the store has them; a context may be given by its name."""
    context = command.context
    if context is not None and tables.contexts.get(context) is None:
        context = next((row.context_id for row in tables.contexts.list(name=context)), context)
    return {
        "agent": command.agent,
        "context": context,
        "task": command.task,
        "source": command.source,
        "types": command.types,
        "since": moment(command.since),
        "after": command.after_sequence,
    }


def moment(since: str | None) -> str | None:
    """Return `since` as a time: ``10m`` is ten minutes ago."""
    if since is None or not since[:-1].rstrip("ms").isdecimal():
        return since
    try:
        return from_now(-c.duration_seconds(msgspec.convert(since, c.Duration)))
    except msgspec.ValidationError:
        return since  # the store says what a time looks like


def filters(command: Any) -> Json:
    """Return what was asked for, without what was not."""
    return {name: value for name in _NAMES if (value := getattr(command, name)) not in (None, ())}


def events_list(core: Core, command: c.EventsList) -> Output:
    rows = core.store.read(lambda tables: tables.events.list(**selection(tables, command), limit=command.limit))
    return Output(
        e.EventsListResult(
            profile=core.profile,
            filters=filters(command),
            count=len(rows),
            events=tuple(event_view(row) for row in rows),
            message=number(len(rows)),
        )
    )


def events_show(core: Core, command: c.EventsShow) -> Output:
    row = core.store.read(lambda tables: tables.events.find(command.event))
    if row is None:
        raise ValidationError(f"there is no event '{command.event[:80]}'", help="see `missive events list`")
    return Output(
        e.EventsShowResult(
            profile=core.profile, event=event_view(row), message=f"event {row.sequence}: {row.event_type}"
        )
    )


def record(view: EventView) -> Output:
    """Return an event as a result of its own."""
    data = e.EventRecord(**{name: getattr(view, name) for name in view.__struct_fields__})
    return Output(data, sequence=view.sequence)


def number(count: int) -> str:
    return f"{count} event{'' if count == 1 else 's'}"


class _Tail:
    """Where a reader of the journal is."""

    def __init__(self, core: Core, command: c.EventsTail) -> None:
        self._core = core
        self._command = command
        self.begun = 0
        self.seen = 0
        self.emitted = 0
        self.ended = False

    def begin(self) -> tuple[EventRow, ...]:
        return self._core.store.read(self._begin)

    def _begin(self, tables: Tables) -> tuple[EventRow, ...]:
        command = self._command
        self._chosen = selection(tables, command)
        # What has ended already has nothing to wait for.
        self.ended = command.task is not None and any(
            tables.tasks.state(agent, command.task) in TERMINAL for agent in tables.tasks.owners(command.task)
        )
        if command.from_sequence is not None:
            self.begun = self.seen = max(command.from_sequence, self._chosen.pop("after") or 0)
            return ()
        rows = tables.events.list(**self._chosen, limit=command.lines) if command.lines else ()
        self.seen = tables.events.last_sequence()
        self.begun = rows[0].sequence - 1 if rows else self.seen
        self._chosen.pop("after")
        return rows

    def next(self) -> tuple[tuple[EventRow, ...], bool]:
        """Return the next events, and whether there may be more at once."""
        return self._core.store.read(self._next)

    def _next(self, tables: Tables) -> tuple[tuple[EventRow, ...], bool]:
        newest = tables.events.last_sequence()
        until = min(newest, self.seen + _SPAN)
        rows = tables.events.tail(self.seen, until=until, limit=_PAGE, **self._chosen) if until > self.seen else ()
        self.seen = rows[-1].sequence if len(rows) == _PAGE else max(until, self.seen)
        return rows, self.seen < newest


async def events_tail(core: Core, command: c.EventsTail, emit: Emit) -> None:
    """Show what is there, then what comes: the store says by a number whether anybody has written since."""
    import anyio

    tail = _Tail(core, command)
    seconds = core.timeout_of(command)
    follows = command.follow or command.until_terminal or seconds is not None
    pause = min(c.duration_seconds(command.poll_interval), 5.0)
    full = False

    async def show(rows: tuple[EventRow, ...]) -> bool:
        """Show events; return whether that was all that is wanted."""
        nonlocal full
        for row in rows:
            await emit(record(event_view(row)))
            tail.emitted += 1
            full = tail.emitted == command.limit
            tail.ended = command.until_terminal and is_end(row)
            if full or tail.ended:
                tail.seen = row.sequence
                return True
        return False

    async def run() -> None:
        rows = await anyio.to_thread.run_sync(tail.begin)
        over = command.until_terminal and tail.ended
        if await show(rows):
            return
        while True:
            version = core.store.version()  # first, so that nothing that comes while we read is missed
            rows, more = await anyio.to_thread.run_sync(tail.next)
            if await show(rows):
                return
            if more:
                continue
            if over:
                tail.ended = True
                return
            if not follows:
                return
            while core.store.version() == version:  # noqa: ASYNC110 - it is another process that writes
                await anyio.sleep(pause)

    timed_out = True
    with anyio.move_on_after(seconds):
        await run()
        timed_out = False
    await emit(
        Output(
            e.EventsTailResult(
                profile=core.profile,
                from_sequence=tail.begun,
                emitted=tail.emitted,
                last_seen_sequence=tail.seen,
                timed_out=timed_out,
                ended=command.until_terminal and tail.ended,
                events=(),
                message=number(tail.emitted),
            ),
            sequence=tail.seen,
        )
    )
