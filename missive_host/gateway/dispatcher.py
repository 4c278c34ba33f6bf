"""Runs the work that is in the store: claims it within the bounds, runs it, commits what comes of it.

What is claimed belongs to this process until it has ended or is given back. A process that dies without giving back
loses its lease, and the work is claimed again: by the next gateway of the same home at once, since it holds the lock.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
import msgspec

from missive_host.commands import TaskCancel
from missive_host.core.recorder import journal_event
from missive_host.errors import (
    MissiveError,
    OrchestrationError,
    StorageError,
    TaskCancelledError,
)
from missive_host.filters import Chain
from missive_host.gateway import busy
from missive_host.gateway.answers import Answers
from missive_host.gateway.running import Observer, Run, Runner
from missive_host.ids import after, new_id, now
from missive_host.protocols import Outcome
from missive_host.store.rows import WorkRow
from missive_host.telemetry import about
from missive_host.telemetry.spans import CONSUMER, NoSpan, entering, messaging, waited

if TYPE_CHECKING:
    from anyio.abc import TaskStatus

    from missive_host.a2a.parts import FileAccess
    from missive_host.core.core import Core
    from missive_host.outputs import Output
    from missive_host.store import Tables

T = TypeVar("T")
log = logging.getLogger("missive.gateway")

LEASE_SECONDS = 30.0
TICK_SECONDS = 1.0
"""How often the store is looked at without being told: for work of other processes, and for leases that ran out."""


class Dispatcher:
    """Claims work and runs it.

    `capacity` waits are not its business: it takes what the intake has put into the store.
    """

    def __init__(
        self,
        core: Core,
        *,
        files: Callable[[str], FileAccess | None],
        adapter_limit: Callable[[str], int | None],
        observer: Observer | None = None,
    ) -> None:
        self.core = core
        self.owner = f"gateway/{new_id()}"
        self.answers = Answers(core)
        self.storage_error: StorageError | None = None
        """Set while the store takes nothing."""
        self.on_ended: Callable[[WorkRow], None] = lambda _work: None
        """Called when work has ended."""
        self.on_unattended: Callable[[WorkRow], None] = lambda _work: None
        """Called when a delivery begins whose answer nobody waits for: its adapter may restore it."""
        self.runs: dict[str, Run] = {}
        self.filters: Callable[[str], Chain] = lambda _adapter: Chain()
        """What looks at the deliveries of an adapter, and at their answers."""
        self._adapter_limit = adapter_limit
        self._runner = Runner(self, files=files, observer=observer)
        self._wake = anyio.Event()
        self._patience = anyio.CancelScope()
        self._behind = False
        """Work that is due had to be left, since as much runs as may."""
        self._stopping = False
        self._giving_up = False
        """The time to drain is over: what cannot be written down is left to the next process."""
        self._idle = anyio.Event()

    # --- life

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Work until cancelled, or until `drain` is over."""
        await self.persist(self._renew)
        async with anyio.create_task_group() as group:
            group.start_soon(self._keep_lease)
            group.start_soon(self.answers.run, group)
            task_status.started()
            while not self._stopping:
                self._wake = anyio.Event()
                full = await self._claim(group)
                if not full and not self._stopping:
                    with anyio.move_on_after(TICK_SECONDS):
                        await self._wake.wait()
            await anyio.sleep_forever()

    async def drain(self, seconds: float) -> int:
        """Claim nothing more, wait for what runs and for its answers, then give back what is left.

        Return how much that was.
        """
        self._stopping = True
        self._wake.set()
        with self._patience:
            self._patience.deadline = anyio.current_time() + seconds
            while self.runs:
                self._idle = anyio.Event()
                await self._idle.wait()
            await self.answers.all_served()
        left = len(self.runs)
        self._giving_up = True
        with anyio.CancelScope(shield=True):
            for run in tuple(self.runs.values()):
                run.scope.cancel()
            while self.runs:
                self._idle = anyio.Event()
                await self._idle.wait()
            await self.answers.mark()
            try:
                await self.core.store.commit(lambda tables: tables.work.leave(self.owner))
            except StorageError as error:
                log.warning("the lease could not be given back: %s", error.message)
        return left

    def hurry(self) -> None:
        """Do not wait any longer for what runs."""
        self._patience.cancel()

    async def try_store(self) -> bool:
        """Return True if the store takes something again."""
        try:
            await self.core.store.commit(self._renew)
        except StorageError as error:
            self.storage_error = error
        else:
            self.storage_error = None
        return self.storage_error is None

    def wake(self) -> None:
        """There is new work, or room for more."""
        self._wake.set()

    def _renew(self, tables: Tables) -> None:
        until = after(LEASE_SECONDS)
        tables.work.renew(self.owner, until=until, at=now())

    async def _keep_lease(self) -> None:
        while True:
            await anyio.sleep(LEASE_SECONDS / 3)
            await self.persist(self._renew)
            await self.reclaim()

    async def reclaim(self, *, dead: Callable[[str], bool] | None = None) -> int:
        """Take up what belongs to processes that are gone; `dead` tells of an owner that it is, lease or not."""

        def write(tables: Tables) -> tuple[WorkRow, ...]:
            gone = [owner for owner in tables.work.owners() if dead is not None and dead(owner)]
            return tables.work.reclaim(at=now(), gone=gone, error=msgspec.to_builtins(_crashed().report()))

        found = await self.persist(write)
        for work in found:
            if work.state == "dead":
                with about(work.trace, adapter=work.adapter, work_id=work.work_id, agent=work.agent_alias):
                    await self.note_dead(work)
                self.answers.notice(work.work_id)
                self.on_ended(work)
        if found:
            self.wake()
        return len(found)

    # --- claiming

    async def _claim(self, group: Any) -> bool:
        """Claim what may run; return True if there may be more."""
        due, to_cancel = self._look()
        for work_id in to_cancel:
            self.cut_off(work_id, TaskCancelledError("it was cancelled", help="somebody has asked for that"))
        config = self.core.settings.config.gateway
        running = Counter(run.work.kind for run in self.runs.values())
        limits = {"delivery": config.concurrency, "job": config.job_concurrency}
        free = {kind: limit - running[kind] for kind, limit in limits.items() if limit > running[kind]}
        self._behind = due
        if not due or not free:
            return False
        taken, self._behind = await self._take(free)
        for row in taken:
            run = self.runs[row.work_id] = Run(row)
            group.start_soon(self._run, run)
        return bool(taken) and self._behind

    def _look(self) -> tuple[bool, tuple[str, ...]]:
        """Return whether there is work that is due, and which of ours is to be cancelled."""
        try:
            return self.core.store.read(
                lambda tables: (tables.work.is_due(at=now()), tables.work.to_cancel(self.owner))
            )
        except StorageError:
            return False, ()

    async def _take(self, free: Mapping[str, int]) -> tuple[list[WorkRow], bool]:
        """Claim up to so much of each kind; return it, and whether some that is due had to be left."""
        per_agent: Counter[str | None] = Counter(run.work.agent_alias for run in self.runs.values())
        per_adapter = Counter(run.work.adapter for run in self.runs.values())
        agent_limit = self.core.settings.config.gateway.agent_concurrency

        def write(tables: Tables) -> tuple[list[WorkRow], bool]:
            agents, adapters = per_agent.copy(), per_adapter.copy()

            def take(row: WorkRow) -> bool:
                limit = self._adapter_limit(row.adapter)
                if (row.agent_alias is not None and agents[row.agent_alias] >= agent_limit) or (
                    limit is not None and adapters[row.adapter] >= limit
                ):
                    return False
                agents[row.agent_alias] += 1
                adapters[row.adapter] += 1
                return True

            at = now()
            taken: list[WorkRow] = []
            for kind, limit in free.items():
                taken += tables.work.claim(
                    self.owner,
                    at=at,
                    limit=limit,
                    kind=kind,
                    without_agents=[agent for agent, n in agents.items() if agent is not None and n >= agent_limit],
                    without_adapters=[
                        name for name, n in adapters.items() if n >= (self._adapter_limit(name) or n + 1)
                    ],
                    take=take,
                )
            return taken, tables.work.is_due(at=at)

        try:
            taken, left = await self.core.store.commit(write)
        except StorageError as error:
            self.storage_error = error
            return [], True
        self.storage_error = None
        return taken, left

    # --- what busy input does to what runs

    def cut_off(self, work_id: str, reason: MissiveError) -> bool:
        """Cut off work that runs here; it ends as cancelled, for this reason. Return False if it does not run here."""
        run = self.runs.get(work_id)
        if run is None or run.reason is not None:
            return False
        run.reason = reason
        run.scope.cancel()
        return True

    async def interrupt(self, work_id: str, reason: str) -> None:
        """Cut off work that runs here, and wait until that is written down."""
        run = self.runs.get(work_id)
        if run is not None:
            self.cut_off(work_id, TaskCancelledError(reason, help="what the agent did until then is in `missive task`"))
            await run.over.wait()

    async def cancel_remote(self, agent: str, task_id: str) -> None:
        """Ask an agent to cancel a task. Raises `MissiveError`."""

        async def ignore(_output: Output) -> None:
            """The task's row has it."""

        await self.core.run(TaskCancel(task_id=task_id, agent=agent), ignore)

    def running_in(self, lane: str) -> busy.RunningView | None:
        """Return what runs in a lane."""
        run = next((run for run in self.runs.values() if run.work.lane == lane), None)
        if run is None:
            return None
        row = self.core.store.read(lambda tables: tables.work.get(run.work.work_id)) or run.work
        return busy.RunningView(
            work_id=row.work_id,
            command=row.command,
            since=row.updated_at,
            agent=row.agent_alias,
            group=row.group,
            task_id=row.task_id,
            interrupting=run.reason is not None,
        )

    # --- running

    async def _run(self, run: Run) -> None:
        work = run.work
        adapter, frame_id = (work.adapter, work.request.get("id")) if work.kind == "delivery" else (None, None)
        attributes = messaging("process", work.adapter, work.work_id, work.command)
        with about(adapter=adapter, work_id=work.work_id, frame_id=frame_id, agent=work.agent_alias):
            waited(f"queue {work.adapter}", work.trace, max(work.run_at, work.updated_at), attributes)
            with entering(f"process {work.adapter}", CONSUMER, work.trace, attributes) as processing:
                processing.note("missive.attempt", work.attempts)
                await self._process(run, processing)

    async def _process(self, run: Run, processing: NoSpan) -> None:
        work = run.work
        log.debug("%s begins, attempt %d", work.command, work.attempts)
        outcome: Outcome | None = None
        try:
            if work.kind == "delivery" and not self.answers.is_awaited(work.work_id):
                self.on_unattended(work)
            self.answers.begin(work.work_id, 0 if run.starts_over else work.outputs, work.trace)
            ended, error = False, None
            with run.scope:
                error = await self._runner.execute(run)
                ended = True
            if error is not None:
                processing.fail(error)
            processing.note("missive.cut_off", value=None if ended else True)
            with anyio.CancelScope(shield=True):
                outcome = await self._runner.end(run, error, ended=ended)
        except StorageError as failure:
            log.warning("how %s %s ended could not be written down: %s", work.kind, work.work_id, failure.message)
        finally:
            del self.runs[work.work_id]
            self.answers.end(work.work_id, outcome)
            if outcome is not None:
                self.on_ended(work)
            run.over.set()
            self._idle.set()
            if self._behind or work.lane is not None or outcome is None:
                self.wake()  # for what had to be left, what waits behind it, or itself

    async def note_dead(self, work: WorkRow) -> None:
        """Say that work has become a dead letter."""
        log.error("%s %s is a dead letter after %d attempts", work.kind, work.work_id, work.attempts)
        event = journal_event(
            "missive.gateway.dead_letter",
            source="gateway:intake",
            agent_alias=work.agent_alias,
            work_id=work.work_id,
            payload={"work_id": work.work_id, "adapter": work.adapter, "command": work.command},
        )
        await self.persist(lambda tables: tables.events.append(event))

    async def persist(self, write: Callable[[Tables], T]) -> T:
        """Commit, however long it takes: what has happened is not to be forgotten because the disk is full."""
        pause = 0.1
        while True:
            try:
                result = await self.core.store.commit(write)
            except StorageError as error:
                if self._giving_up:
                    raise
                if self.storage_error is None:
                    log.warning("the store takes nothing: %s", error.message)
                self.storage_error = error
                await anyio.sleep(pause)
                pause = min(pause * 2, 5.0)
            else:
                self.storage_error = None
                return result


def _crashed() -> OrchestrationError:
    return OrchestrationError(
        "the gateway ended while it worked on this", help="see `missive logs`; `missive intake retry` tries it again"
    )
