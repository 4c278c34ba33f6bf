"""The journal as adapters read it: pulled from the store, so that nobody waits for whoever reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from missive_host.protocols import JournalEvent

if TYPE_CHECKING:
    from missive_host.security.redact import Redactor
    from missive_host.store import Store
    from missive_host.store.rows import EventRow

LOOK_SECONDS = 1.0
"""Between two looks, while there is nothing new."""
AT_ONCE = 100
PASSED_OVER = 1000
"""After so many other events it is told how far it has come."""


class JournalFeed:
    """A `missive_host.protocols.EventFeed`."""

    def __init__(self, store: Store, redactor: Redactor) -> None:
        self._store = store
        self._redactor = redactor

    def position(self) -> int:
        return self._store.read(lambda tables: tables.events.last_sequence())

    async def after(self, position: int, types: tuple[str, ...]) -> tuple[tuple[JournalEvent, ...], int]:
        reached = position
        while True:
            events, reached = self.look(reached, types)
            if events or reached - position >= PASSED_OVER:
                return events, reached
            await anyio.sleep(LOOK_SECONDS)

    def look(self, position: int, types: tuple[str, ...]) -> tuple[tuple[JournalEvent, ...], int]:
        """As `after`, but without waiting: there may be nothing new, and the position be the same."""
        rows, reached = self._store.read(lambda tables: tables.events.follow(position, types, limit=AT_ONCE))
        return tuple(map(self._event, rows)), reached

    def count(self, position: int, until: int, types: tuple[str, ...]) -> int:
        """Return how many events of these types there are after a position, up to and with another."""
        if not types:
            return 0
        return self._store.read(lambda tables: tables.events.count(types=types, after=position, upto=until))

    def _event(self, row: EventRow) -> JournalEvent:
        return JournalEvent(
            position=row.sequence,
            type=row.event_type,
            at=row.timestamp,
            # It was redacted when it was written; since then more secrets may have become known.
            payload=self._redactor.json(row.payload),
            agent=row.agent_alias,
            context=row.context_id,
            task=row.task_id,
            message=row.message_id,
            id=row.event_id,
            source=row.source,
        )
