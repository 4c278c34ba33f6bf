"""The state of contexts and tasks, as the journal alone tells of it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from missive_host.a2a.shapes import EVENT_TYPES
from missive_host.core.journal import status_of
from missive_host.core.views import given
from missive_host.outputs_events import ReplayedContext, ReplayedTask
from missive_host.store.tasks import is_stale

if TYPE_CHECKING:
    from collections.abc import Iterable

    from missive_host.store import EventRow

_OBSERVATIONS = frozenset(EVENT_TYPES) - {"message"}


class _Seen:
    """What all events of one thing tell."""

    def __init__(self, event: EventRow) -> None:
        self.first = self.last = event
        self.count = 0
        self.state = "open"
        self.agent: str | None = None
        self.context_id: str | None = None
        self.status_timestamp: str | None = None
        self.tasks: dict[str, None] = {}

    def take(self, event: EventRow) -> None:
        self.last = event
        self.count += 1

    def view(self) -> dict[str, Any]:
        return {
            "state": self.state,
            "event_count": self.count,
            "first_sequence": self.first.sequence,
            "last_sequence": self.last.sequence,
            "first_timestamp": self.first.timestamp,
            "last_timestamp": self.last.timestamp,
            "last_event_type": self.last.event_type,
        }


class Replay:
    """What the journal tells. Each event counts once for its context, and once for its task."""

    def __init__(self) -> None:
        self.types: Counter[str] = Counter()
        self._contexts: dict[str, _Seen] = {}
        self._tasks: dict[tuple[str, str], _Seen] = {}

    def take(self, events: Iterable[EventRow]) -> None:
        for event in events:
            self.types[event.event_type] += 1
            if event.event_type == "missive.agent.rename":
                self._rename(str(event.payload.get("previous")), str(event.payload.get("alias")))
            elif event.event_type == "missive.agent.remove" and event.payload.get("purged"):
                self._tasks = {key: seen for key, seen in self._tasks.items() if key[0] != event.agent_alias}
            self._take_context(event)
            self._take_task(event)

    def _rename(self, old: str, new: str) -> None:
        self._tasks = {(new if key[0] == old else key[0], key[1]): seen for key, seen in self._tasks.items()}

    def _take_context(self, event: EventRow) -> None:
        key = event.context_id
        if key is None or (key not in self._contexts and not _makes_context(event)):
            return
        seen = self._contexts.setdefault(key, _Seen(event))
        seen.take(event)
        seen.agent = seen.agent or event.agent_alias
        if event.task_id is not None:
            seen.tasks[event.task_id] = None
        if event.event_type == "missive.context.closed":
            seen.state = "closed"

    def _take_task(self, event: EventRow) -> None:
        if event.agent_alias is None or event.task_id is None:
            return
        key = event.agent_alias, event.task_id
        observed = event.event_type.startswith("a2a.") and not _OBSERVATIONS.isdisjoint(event.payload)
        seen = self._tasks.get(key)
        if seen is None:
            if not observed:
                return  # named by a message, but nobody has seen it
            seen = self._tasks[key] = _Seen(event)
            seen.state, seen.context_id = "unknown", event.context_id
        seen.take(event)
        told = status_of(event.payload) if observed else None
        if told is None or is_stale(*told, state=seen.state, status_timestamp=seen.status_timestamp):
            return
        seen.state, seen.status_timestamp = told
        seen.context_id = event.context_id or seen.context_id

    def contexts(self) -> tuple[ReplayedContext, ...]:
        return tuple(
            ReplayedContext(context_id=key, agent=given(seen.agent), task_ids=tuple(seen.tasks), **seen.view())
            for key, seen in self._contexts.items()
        )

    def tasks(self) -> tuple[ReplayedTask, ...]:
        return tuple(
            ReplayedTask(agent=agent, task_id=task_id, context_id=given(seen.context_id), **seen.view())
            for (agent, task_id), seen in self._tasks.items()
        )


def _makes_context(event: EventRow) -> bool:
    return event.event_type.startswith(("a2a.", "missive.context.", "missive.session.started"))
