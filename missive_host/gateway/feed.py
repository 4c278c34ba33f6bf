"""The journal as adapters read it: pulled from the store, so that nobody waits for whoever reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from missive_host.protocols import JournalEvent

if TYPE_CHECKING:
    from missive_host.store import Store
    from missive_host.store.rows import EventRow

LOOK_SECONDS = 1.0
"""Between two looks, while there is nothing new."""
AT_ONCE = 100
PASSED_OVER = 1000
"""After so many other events it is told how far it has come."""


class JournalFeed:
    """A `missive_host.protocols.EventFeed`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def position(self) -> int:
        return self._store.read(lambda tables: tables.events.last_sequence())

    async def after(self, position: int, types: tuple[str, ...]) -> tuple[tuple[JournalEvent, ...], int]:
        reached = position
        while True:
            begin = reached
            rows, reached = self._store.read(lambda tables: tables.events.follow(begin, types, limit=AT_ONCE))  # noqa: B023
            if rows or reached - position >= PASSED_OVER:
                return tuple(map(_event, rows)), reached
            await anyio.sleep(LOOK_SECONDS)


def _event(row: EventRow) -> JournalEvent:
    return JournalEvent(
        position=row.sequence,
        type=row.event_type,
        at=row.timestamp,
        payload=row.payload,
        agent=row.agent_alias,
        context=row.context_id,
        task=row.task_id,
    )
