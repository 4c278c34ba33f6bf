"""The journal: looking at it, following it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from missive_host import commands as c, outputs_events as e
from missive_host.a2a.shapes import TERMINAL
from missive_host.core.exporting import comma_separated, ndjson, page, write_text
from missive_host.core.journal import is_end
from missive_host.core.log_records import log_records
from missive_host.core.replaying import Replay
from missive_host.core.views import event_view
from missive_host.errors import ValidationError
from missive_host.ids import after as from_now, now
from missive_host.outputs import EventView, Json, Output

if TYPE_CHECKING:
    from collections.abc import Iterator

    from missive_host.core.core import Core, Emit
    from missive_host.core.verifying import Verification
    from missive_host.store import EventRow, Tables
    from missive_host.store.selection import Selectors

_PAGE = 500
_BATCH = 100
"""How many events are in memory while they are exported."""
_NAMES = ("agent", "context", "task", "message", "work", "source", "types", "since", "until", "after_sequence")


def selection(tables: Tables, command: Any) -> Selectors:
    """Return the filters of a command as the store has them; a context may be given by its name."""
    context = command.context
    if context is not None and tables.contexts.get(context) is None:
        context = next((row.context_id for row in tables.contexts.list(name=context)), context)
    return {
        "agent": command.agent,
        "context": context,
        "task": command.task,
        "message": command.message,
        "work": command.work,
        "source": command.source,
        "types": command.types,
        "since": moment(command.since),
        "until": moment(command.until),
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


def number(count: int, noun: str = "event") -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


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
        rows = tables.events.tail(self.seen, limit=_PAGE, **self._chosen) if newest > self.seen else ()
        self.seen = rows[-1].sequence if len(rows) == _PAGE else max(newest, self.seen)
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


def events_export(core: Core, command: c.EventsExport) -> Output:
    """Export events page by page, so that into a file a journal of any length needs little memory."""
    export = Export(core, command)
    result = e.EventsExportResult(
        profile=core.profile, filters=filters(command), format=command.format, count=0, message=""
    )
    if command.output is not None:
        path = Path(command.output).expanduser()
        written = write_text(path, export.text(), force=command.force)
        result = msgspec.structs.replace(result, path=str(path), size=written)
    elif command.format == "ndjson":
        rows = tuple(event_view(row) for page in export.pages() for row in page)
        result = msgspec.structs.replace(result, events=rows)
    else:
        result = msgspec.structs.replace(result, content="".join(export.text()))
    what = "page" if command.format == "html" else number(export.count)
    target = f" to {command.output}" if command.output is not None else ""
    return Output(msgspec.structs.replace(result, count=export.count, message=f"{what} exported{target}"))


class Export:
    """What is exported, piece by piece. ``count`` is how many events were.

    Raises `ValidationError` if a page is wanted of something that is no conversation.
    """

    def __init__(self, core: Core, command: c.EventsExport) -> None:
        self._core = core
        self._command = command
        self.count = 0
        if command.format == "html":
            if command.context is None:
                raise ValidationError(
                    "a page shows one conversation: field `context` is missing", help="add --context ID"
                )
            others = {name for name in filters(command) if name != "context"} | ({"limit"} if command.limit else set())
            if others:
                raise ValidationError(
                    f"field `{min(others)}` does not go with a page, which shows all of a conversation"
                )

    def pages(self) -> Iterator[tuple[EventRow, ...]]:
        """Yield the events in order, up to the one that is the newest now."""
        command, read = self._command, self._core.store.read
        chosen = read(lambda tables: selection(tables, command))
        if command.limit is not None:
            first = read(lambda tables: tables.events.first(command.limit, **chosen))
            chosen["after"] = self._newest() if first is None else first - 1
        seen = chosen.pop("after") or 0
        chosen["upto"] = self._newest()
        while True:
            rows = read(lambda tables: tables.events.tail(seen, limit=_BATCH, **chosen))  # noqa: B023 - at once
            self.count += len(rows)
            yield tuple(map(self._clean, rows))
            if len(rows) < _BATCH:
                return
            seen = rows[-1].sequence

    def _newest(self) -> int:
        return self._core.store.read(lambda tables: tables.events.last_sequence())

    def _clean(self, row: EventRow) -> EventRow:
        """Take out secrets that were not known yet when it was written."""
        payload = self._core.redactor.json(row.payload)
        return row if payload is row.payload else msgspec.structs.replace(row, payload=payload)

    def text(self) -> Iterator[str]:
        """Yield what a file of it holds."""
        command = self._command
        if command.format == "html":
            yield from self._core.store.read(self._page)
            return
        for number_, rows in enumerate(self.pages()):
            if command.format == "csv":
                yield from comma_separated(rows, head=number_ == 0)
            elif command.format == "otlp":
                yield from log_records(rows, self._core.profile)
            else:
                yield from ndjson(rows)

    def records(self) -> Iterator[Output]:
        """Yield each event as a result of its own."""
        for rows in self.pages():
            yield from (record(event_view(row)) for row in rows)

    def _page(self, tables: Tables) -> list[str]:
        context = tables.contexts.find(str(self._command.context))
        self.count = tables.events.count(context=context.context_id)
        return list(page(tables, context, self._core.redactor.json, exported_at=now()))


def events_replay(core: Core, command: c.EventsReplay) -> Output:
    """Read the journal page by page, all of it from one state of the store."""
    from missive_host.core.verifying import Verification
    from missive_host.store.comparing import scratch

    chosen = filters(command)
    if command.verify and chosen:
        raise ValidationError(f"fields `verify` and `{min(chosen)}` exclude each other", help="it takes all events")

    def read(tables: Tables) -> e.EventsReplayResult:
        replay, selected = Replay(), selection(tables, command)
        found: tuple[e.Difference, ...] = ()
        if command.verify:
            with scratch() as rebuilt:
                verification = Verification(rebuilt, tables)
                _read_all(tables, selected, replay, verification)
                found = tuple(verification.differences())
        else:
            _read_all(tables, selected, replay)
        contexts, tasks, count = replay.contexts(), replay.tasks(), replay.types.total()
        result = e.EventsReplayResult(
            profile=core.profile,
            filters=chosen,
            event_count=count,
            event_types=dict(sorted(replay.types.items())),
            contexts=contexts,
            tasks=tasks,
            message=f"{number(count)}: {number(len(contexts), 'context')}, {number(len(tasks), 'task')}",
        )
        if not command.verify:
            return result
        told = number(len(found), "difference") if found else "the tables say the same"
        return msgspec.structs.replace(
            result, verified=not found, differences=found, message=f"{result.message}; {told}"
        )

    return Output(core.store.read(read))


def _read_all(tables: Tables, selected: Selectors, *readers: Replay | Verification) -> None:
    seen = selected.pop("after", None) or 0
    while rows := tables.events.tail(seen, limit=_PAGE, **selected):
        for reader in readers:
            reader.take(rows)
        seen = rows[-1].sequence
