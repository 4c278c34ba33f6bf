"""Runs jobs from the store, one after another, as the gateway does with many at once."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec

from missive_host.core.jobs import request_of
from missive_host.core.timing import moment, stored
from missive_host.errors import MissiveError
from missive_host.gateway.retrying import pause, retryable
from missive_host.ids import now
from missive_host.store import WorkOutputRow

if TYPE_CHECKING:
    from missive_host.core import Core
    from missive_host.outputs import Output
    from missive_host.store import WorkRow

OWNER = "test-runner"


async def run_due(core: Core, *, at: str | None = None, owner: str = OWNER) -> list[WorkRow]:
    """Run every job that is due, through the real core; return each as it stands after that."""
    moment_now = at or now()
    far = stored(moment(moment_now) + timedelta(minutes=1))
    await core.store.commit(lambda tables: tables.work.renew(owner, until=far, at=moment_now))
    taken = await core.store.commit(lambda tables: tables.work.claim(owner, at=moment_now, limit=100))
    return [await _run(core, work) for work in taken]


async def _run(core: Core, work: WorkRow) -> WorkRow:
    request = request_of(work.request)
    core.files = request.access
    position = 0

    async def emit(output: Output) -> None:
        nonlocal position
        row = WorkOutputRow(
            work_id=work.work_id,
            position=position,
            kind=output.kind,
            sequence=output.sequence,
            data=msgspec.to_builtins(output.data),
            created_at=now(),
        )
        position += 1
        await core.store.commit(lambda tables: tables.work.add_output(row))

    failed: MissiveError | None = None
    try:
        await core.run(request.command, emit)
    except MissiveError as error:
        failed = error
    at = now()
    report = None if failed is None else msgspec.to_builtins(core.report(failed))

    if failed is None:
        await core.store.commit(lambda tables: tables.work.finish(work, "done", at=at))
    elif retryable(failed) and work.attempts < work.max_attempts:
        later = stored(moment(at) + timedelta(seconds=pause(work.attempts, failed, jitter=random.random)))
        await core.store.commit(lambda tables: tables.work.retry_later(work, later, at=at, error=report))
    else:
        await core.store.commit(lambda tables: tables.work.finish(work, "failed", at=at, error=report))
    found = core.store.read(lambda tables: tables.work.get(work.work_id))
    assert found is not None
    return found
