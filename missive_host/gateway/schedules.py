"""Starts the jobs of schedules when their time has come.

A job is put into the store, and its schedule moved on to the next time, in one transaction: a process that is killed
neither loses a job nor starts one twice, and of several processes one is first. Times that were missed, since no
gateway ran or the machine slept, are made up for by one job. A schedule whose last job has not ended starts no other.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

import anyio
import msgspec

from missive_host.core.jobs import enqueue, request_of
from missive_host.core.timing import moment, next_time, stored
from missive_host.errors import MissiveError, StorageError
from missive_host.ids import new_id, now
from missive_host.telemetry import about

if TYPE_CHECKING:
    from collections.abc import Callable

    from missive_host.core.core import Core
    from missive_host.store import ScheduleRow, Tables

log = logging.getLogger("missive.schedules")

LONGEST_SLEEP = 30.0
"""Seconds: how soon at the latest a clock that was set is noticed."""
SET_BACK = 60.0
"""Seconds by which a time may lie in the future without meaning that the clock was set back."""


class Started(NamedTuple):
    """What `start_due` has done."""

    jobs: tuple[str, ...]
    """Ids of the jobs that were started."""
    next_due: str | None


class Schedules:
    """The schedules of one gateway. ``run`` it for as long as the gateway runs."""

    def __init__(self, core: Core, *, clock: Callable[[], str] = now) -> None:
        self._core = core
        self._clock = clock
        self._changed = anyio.Event()

    def wake(self) -> None:
        """Say that schedules were made or changed. On the event loop only."""
        self._changed.set()

    async def run(self) -> None:
        """Start jobs until it is cancelled. A store that cannot be written is tried again."""
        while True:
            self._changed = anyio.Event()
            with anyio.move_on_after(await self._turn()):
                await self._changed.wait()

    async def _turn(self) -> float:
        """Start what is due; return for how many seconds there is nothing to do."""
        at = self._clock()
        try:
            started = await self._core.commit(lambda tables: start_due(tables, at))
        except StorageError as error:
            log.warning("schedules are not looked at: %s", error.message)
            return LONGEST_SLEEP / 10
        for job_id in started.jobs:
            with about(work_id=job_id):
                log.info("job %s was started by its schedule", job_id)
        if started.jobs:
            self._core.new_work()
        if started.next_due is None:
            return LONGEST_SLEEP
        wait = (moment(started.next_due) - moment(self._clock())).total_seconds()
        return min(max(wait, 0.0), LONGEST_SLEEP)


def start_due(tables: Tables, at: str) -> Started:
    """Start a job for each schedule whose time has come, and move the schedules on."""
    _mend(tables, at)
    jobs = []
    for row in tables.schedules.due(at):
        job_id = None if _is_busy(tables, row) else _start(tables, row, at)
        if job_id is not None:
            jobs.append(job_id)
        tables.schedules.ran(row.schedule_id, job_id, at=at)
        _move(tables, row, at, anchor=row.next_run_at or at)
    return Started(tuple(jobs), tables.schedules.next_due())


def _start(tables: Tables, row: ScheduleRow, at: str) -> str:
    request = msgspec.structs.replace(request_of(row.request), schedule_id=row.schedule_id)
    return enqueue(tables, request, own_id=new_id(), at=at).work_id


def _is_busy(tables: Tables, row: ScheduleRow) -> bool:
    """Tell whether its last job goes on; if so, write down that this time is left out."""
    from missive_host.core.recorder import journal_event

    last = None if row.last_work_id is None else tables.work.get(row.last_work_id)
    if last is None or last.ended:
        return False
    payload = {"schedule_id": row.schedule_id, "job_id": last.work_id, "due": row.next_run_at}
    tables.events.append(journal_event("missive.job.schedule.skipped", source="core", payload=payload))
    return True


def _move(tables: Tables, row: ScheduleRow, at: str, *, anchor: str) -> None:
    """Move a schedule on to its first time after `at`. One that has none, or cannot be read any more, is paused."""
    try:
        due = next_time(row.kind, row.expression, row.time_zone, after=moment(at), anchor=moment(anchor))
    except MissiveError as error:  # a time zone that this machine does not know any more
        log.warning("%s is paused: %s", row.schedule_id, error.message)
        due = None
    tables.schedules.move(row.schedule_id, due, at=at, enabled=due is not None)
    if due is None:
        from missive_host.core.handlers.job import schedule_event

        tables.events.append(schedule_event("pause", row, at))


def _mend(tables: Tables, at: str) -> None:
    """Where the clock was set back, begin anew from now: else nothing would happen until it has caught up."""
    from datetime import timedelta

    for row in tables.schedules.from_the_future(stored(moment(at) + timedelta(seconds=SET_BACK))):
        log.warning("%s: the clock was set back; it goes on from now", row.schedule_id)
        tables.schedules.begin_anew(row.schedule_id, at=at)
        _move(tables, row, at, anchor=at)
