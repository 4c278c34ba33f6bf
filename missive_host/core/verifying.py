"""Whether the tables say the same as the journal: they are made anew from it, and compared row by row."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from missive_host.core.rebuilding import Rebuilder
from missive_host.core.recorder import journaled
from missive_host.errors import MissiveError
from missive_host.outputs_events import Difference
from missive_host.security.redact import MARK
from missive_host.store.comparing import COMPARED, DIGESTED, Compared, Row
from missive_host.store.work import request_digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from missive_host.store import EventRow, Tables

MISSING = "missing"
_NEVER = "9999"
_SHOWN = 80
"""Characters of a value that are shown."""
_PLAIN = frozenset(
    ("state", "status", "context_id", "task_id", "source", "routing_policy", "rank", "enabled", "revoked")
)
"""Columns whose values are shown; of others, which may be long or secret, the digest is."""


class Verification:
    """Reads the journal into a store of its own, and then compares that with the real one."""

    def __init__(self, rebuilt: Tables, stored: Tables) -> None:
        self._rebuilt = rebuilt
        self._stored = stored
        self._rebuilder = Rebuilder(rebuilt)
        self._begun = _begun(stored)
        """What was made before is not compared: the journal does not tell all of it."""
        self._forgotten = ""
        """What was not used since may have been forgotten (``store prune``)."""
        self._unfitting: list[Difference] = []

    def take(self, events: Iterable[EventRow]) -> None:
        for event in events:
            if event.event_type == "missive.store.prune":
                self._forgotten = max(self._forgotten, str(event.payload.get("before", "")))
            self._apply(event)

    def _apply(self, event: EventRow) -> None:
        try:
            self._rebuilt.comparing.attempt(lambda: self._rebuilder.apply(event))
        except (MissiveError, msgspec.ValidationError, KeyError, TypeError, AttributeError) as error:
            if not self._begun and not self._forgotten:  # else it may be about what is not known here
                message = error.message if isinstance(error, MissiveError) else type(error).__name__
                self._unfitting.append(
                    Difference(
                        table="events",
                        id=str(event.sequence),
                        field="event_type",
                        journal=event.event_type,
                        stored=message[:_SHOWN],
                    )
                )

    def differences(self) -> Iterator[Difference]:
        """Yield where the tables say something else."""
        yield from self._unfitting
        for table in COMPARED:
            yield from self._of_table(table)

    def _of_table(self, table: Compared) -> Iterator[Difference]:
        rebuilt, stored = self._rebuilt.comparing.rows(table), self._stored.comparing.rows(table)
        ours, theirs = next(rebuilt, None), next(stored, None)
        while ours is not None or theirs is not None:
            if theirs is None or (ours is not None and ours.key < theirs.key):
                assert ours is not None
                if ours.used >= self._forgotten:
                    yield _difference(table, ours, table.key[-1], _key(ours), MISSING)
                ours = next(rebuilt, None)
            elif ours is None or theirs.key < ours.key:
                if theirs.made >= self._begun:
                    yield _difference(table, theirs, table.key[-1], MISSING, _key(theirs))
                theirs = next(stored, None)
            else:
                if theirs.made >= self._begun:
                    yield from _unlike(table, ours, theirs)
                ours, theirs = next(rebuilt, None), next(stored, None)


def _begun(stored: Tables) -> str:
    """Return from when on the journal tells everything: the beginning is before all times."""
    first = stored.events.tail(stored.comparing.complete_from() - 1, limit=1)
    if first:
        return "" if first[0].sequence == 1 else first[0].timestamp
    return "" if stored.events.last_sequence() == 0 else _NEVER


def _unlike(table: Compared, ours: Row, theirs: Row) -> Iterator[Difference]:
    for name, told in ours.values.items():
        value = theirs.values[name]
        if not agrees(told, value if name in DIGESTED else journaled(value)):
            yield _difference(table, ours, name, _shown(name, told), _shown(name, value))


def _difference(table: Compared, row: Row, field: str, journal: str, stored: str) -> Difference:
    agent = msgspec.UNSET if table.agent is None else row.key[table.key.index(table.agent)]
    ids = [part for name, part in zip(table.key, row.key, strict=True) if name != table.agent]
    return Difference(
        table=table.name,
        id=" ".join(ids) or row.key[0],
        field=field.rpartition(".")[2].removesuffix("_json"),
        journal=journal,
        stored=stored,
        agent=agent,
    )


def _key(row: Row) -> str:
    state = row.values.get("state") or row.values.get("status")
    return str(state) if state else "there"


def _shown(name: str, value: Any) -> str:
    if value is None:
        return ""
    if name in _PLAIN:
        return str(value)[:_SHOWN]
    return f"sha256:{(value if name in DIGESTED else request_digest({name: value}))[:12]}"


def agrees(told: Any, stored: Any) -> bool:
    """Whether a value of a table may be what the journal tells of it, from which secrets were taken out."""
    if isinstance(told, str) and MARK in told and isinstance(stored, str):
        pieces = (re.escape(piece) for piece in told.split(MARK))
        return re.fullmatch(".*".join(pieces), stored, re.DOTALL) is not None
    if isinstance(told, dict) and isinstance(stored, dict):
        if told.keys() == stored.keys():
            return all(agrees(value, stored[key]) for key, value in told.items())
        return any(MARK in key for key in told) and len(told) == len(stored)
    if isinstance(told, list) and isinstance(stored, list):
        return len(told) == len(stored) and all(map(agrees, told, stored))
    return bool(told == stored)
