"""Runs jobs: one after another in the test, or as the gateway does in a process of its own."""

from __future__ import annotations

import os
import random
import subprocess
import sys
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
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType
    from typing import Self

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


GATEWAY = '''
"""The part of the gateway that runs jobs: the real dispatcher and the real schedules, in a process of their own."""
import signal, sys
import anyio
from missive_host.config import load
from missive_host.core import Core
from missive_host.gateway.dispatcher import Dispatcher
from missive_host.gateway.retrying import retryable
from missive_host.gateway.schedules import Schedules
from missive_host.security.options import CallOptions


async def main():
    core = Core(load(config_path=sys.argv[1] or None), CallOptions())
    dispatcher = Dispatcher(
        core, files=lambda name: None, adapter_limit=lambda name: None, retryable=retryable
    )
    schedules = Schedules(core)
    core.on_new_work = dispatcher.wake
    async with anyio.create_task_group() as group:
        await group.start(dispatcher.run)
        await dispatcher.reclaim(dead=lambda owner: owner != dispatcher.owner)
        group.start_soon(schedules.run)
        print("ready", flush=True)
        with anyio.open_signal_receiver(signal.SIGTERM) as signals:
            async for _ in signals:
                await dispatcher.drain(0.0)
                group.cancel_scope.cancel()
    await core.aclose()


anyio.run(main)
'''


class Gateway:
    """Runs jobs in a process of its own, until it is stopped or killed."""

    def __init__(self, environ: Mapping[str, str], config: Path | None = None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", GATEWAY, str(config or "")],
            env={**os.environ, **environ},
            stdout=subprocess.PIPE,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"ready\n"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(30)
        assert self.process.stdout is not None
        self.process.stdout.close()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(30)
