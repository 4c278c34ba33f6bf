"""The gateway's truth about itself: what ``/status``, ``/readyz`` and ``missive gateway status`` tell."""

from __future__ import annotations

import os
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import UNSET

from missive_host import __version__
from missive_host.core.jobs import ADAPTER as JOB_ADAPTER
from missive_host.errors import StorageError
from missive_host.ids import now
from missive_host.outputs_gateway import (
    AdapterQueue,
    AgentStatus,
    ComponentStatus,
    JobsStatus,
    QueueStatus,
    Status,
    StoreStatus,
    SubscriptionsStatus,
)

if TYPE_CHECKING:
    from missive_host.core.core import Core
    from missive_host.gateway.dispatcher import Dispatcher
    from missive_host.gateway.following import TaskFollowers
    from missive_host.gateway.listener import HttpListener
    from missive_host.gateway.services import Services
    from missive_host.gateway.sinks import Sinks
    from missive_host.gateway.supervisor import Supervisor
    from missive_host.store import Tables


class Truth:
    """Knows whom to ask."""

    def __init__(
        self,
        core: Core,
        dispatcher: Dispatcher,
        supervisor: Supervisor,
        followers: TaskFollowers,
        services: Services,
        sinks: Sinks,
    ) -> None:
        self._core = core
        self._dispatcher = dispatcher
        self._supervisor = supervisor
        self._followers = followers
        self._services = services
        self._sinks = sinks
        self._started_at = now()
        self._began = time.monotonic()

    def status(self, state: str, listener: HttpListener | None) -> Status:
        """Return how things stand."""

        def read(tables: Tables) -> tuple[Any, ...]:
            return (
                tables.work.open_counts(),
                Counter(tables.work.open_counts("job").get(JOB_ADAPTER, {})),
                len(tables.schedules.list()),
                tables.sessions.count(),
                tables.work.count_dead(),
                tables.work.oldest_waiting(at=now()),
                tables.breakers.list(),
                tables.events.last_sequence(),
            )

        reasons = [] if state == "running" else [f"the gateway is {state}"]
        if self._dispatcher.storage_error is not None:
            reasons.append(f"the store takes nothing: {self._dispatcher.storage_error.message}")
        try:
            counts, jobs, schedules, sessions, dead, oldest, breakers, events = self._core.store.read(read)
        except StorageError as error:
            reasons.append(f"the store cannot be read: {error.message}")
            counts, jobs, schedules, sessions, dead, oldest, breakers, events = {}, Counter(), 0, 0, 0, None, (), 0
        reasons += self._supervisor.reasons()
        empty = dict.fromkeys(AdapterQueue.__struct_fields__, 0)
        by_adapter = {adapter: AdapterQueue(**{**empty, **states}) for adapter, states in counts.items()}
        in_flight = Counter(run.work.adapter for run in self._dispatcher.runs.values())
        agents = Counter(run.work.agent_alias for run in self._dispatcher.runs.values())
        names = {*(row.alias for row in breakers if row.failures), *(name for name in agents if name)}
        known = {row.alias: row for row in breakers}
        moment = now()
        return Status(
            profile=self._core.profile,
            pid=os.getpid(),
            version=__version__,
            started_at=self._started_at,
            uptime_seconds=round(time.monotonic() - self._began, 3),
            state=state,
            ready=not reasons,
            reasons=tuple(reasons),
            bind_address=UNSET if listener is None else listener.url.removeprefix("http://"),
            components=self.components(listener),
            adapters=self._supervisor.views(in_flight),
            sinks=self._sinks.views(events),
            queue=QueueStatus(
                queued=sum(each.queued for each in by_adapter.values()),
                ready=sum(each.ready for each in by_adapter.values()),
                running=sum(each.running for each in by_adapter.values()),
                dead=dead,
                by_adapter=by_adapter,
                oldest_waiting_seconds=UNSET if oldest is None else _seconds_since(oldest),
            ),
            store=StoreStatus(
                writable=self._dispatcher.storage_error is None,
                events=events,
                bytes=_size(self._core.settings.paths.database),
            ),
            agents=tuple(_agent(name, known.get(name), agents[name], moment) for name in sorted(names)),
            sessions=sessions,
            jobs=JobsStatus(waiting=jobs["queued"] + jobs["ready"], running=jobs["running"], schedules=schedules),
            subscriptions=SubscriptionsStatus(followed=self._followers.count),
        )

    def components(self, listener: HttpListener | None) -> tuple[ComponentStatus, ...]:
        store = self._dispatcher.storage_error
        return (
            ComponentStatus(name="listener", state="running", detail=listener.url if listener else UNSET),
            ComponentStatus(name="store", state="retrying", detail=store.message)
            if store is not None
            else ComponentStatus(name="store", state="running"),
            ComponentStatus(name="dispatcher", state="running", detail=f"{len(self._dispatcher.runs)} running"),
            ComponentStatus(name="adapters", state="running", detail=f"{len(self._supervisor.adapters)} enabled"),
            *self._services.views(),
        )


def _agent(name: str, breaker: Any, in_flight: int, at: str) -> AgentStatus:
    if breaker is None:
        return AgentStatus(agent=name, breaker="closed", failures=0, in_flight=in_flight)
    state = "closed" if breaker.until is None else "open" if breaker.until > at else "half_open"
    return AgentStatus(
        agent=name,
        breaker=state,
        failures=breaker.failures,
        in_flight=in_flight,
        until=breaker.until or UNSET,
        last_error=breaker.last_error or UNSET,
    )


def _seconds_since(text: str) -> float:
    from datetime import UTC, datetime

    return max(0.0, round((datetime.now(UTC) - datetime.fromisoformat(text)).total_seconds(), 3))


def _size(path: Path) -> int:
    try:
        return int(path.stat().st_size)
    except OSError:
        return 0
