"""``allreduce``: broadcast, wait, gather and reduce, under one deadline; one document with the parts of all."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from msgspec import UNSET

from missive_host import commands as c
from missive_host.collectives.barrier import WAIT_SECONDS, Barrier
from missive_host.collectives.bcast import Broadcast, as_send, look_up, request_of
from missive_host.collectives.gather import Gathering
from missive_host.collectives.members import Crew, crew_of
from missive_host.collectives.operations import Operation, conclude, raise_if, remaining
from missive_host.collectives.reduce import Options, Reducing
from missive_host.core.views import given
from missive_host.errors import DeadlineError, MissiveError
from missive_host.outputs_collectives import AllreduceResult, BarrierResult, BcastResult, GatherResult, ReduceResult

if TYPE_CHECKING:
    from missive_host.core.core import Core, Emit
    from missive_host.store import Tables


async def reduce_all(core: Core, command: c.Allreduce, emit: Emit) -> None:
    """Run `allreduce`. Raises the error of the part that failed, after the result has been emitted."""
    whole = Allreducing(core, command)
    await conclude(emit, whole.operation, whole.run, whole.end, first=whole.broadcast.operation)
    raise_if(whole.failure)


class Allreducing:
    """The four steps, one after another."""

    def __init__(self, core: Core, command: c.Allreduce) -> None:
        """Raises `ValidationError` or `PluginError` before anything is sent."""
        self._core = core
        self._command = command
        self._seconds = core.timeout_of(command)
        self._deadline = None if self._seconds is None else time.monotonic() + self._seconds
        members, context = look_up(core, command.group, command.context)
        self.operation = Operation(core, "allreduce", command.group, context.context_id)
        self._crew = Crew(command.group, context.context_id, members)
        options = Options(
            strategy=command.strategy,
            template=command.template,
            settings=command.settings,
            reducer_agent=command.reducer_agent,
        )
        self._reducing = Reducing(core, self._crew, options)
        request = request_of(core, as_send(command))
        self.broadcast = Broadcast(
            core,
            Operation(core, "bcast", command.group, context.context_id),
            context,
            [(member, request) for member in members],
            execution="concurrent",
            failure_policy=command.failure_policy,
            seconds=self._seconds,
            required=command.required,
        )
        self._waits_for(self._crew)  # refuses what cannot be waited for
        self._barrier: Barrier | None = None
        self._strategy = command.strategy
        self.failure: MissiveError | None = None
        self._sent: BcastResult | None = None
        self._waited: BarrierResult | None = None
        self._gathered: GatherResult | None = None
        self._reduced: ReduceResult | None = None

    async def run(self) -> None:
        """Take the steps until one of them fails. What has failed is kept in ``failure``."""
        await self.broadcast.run()
        self._sent = await self.broadcast.end()
        self.failure = self.broadcast.failure()
        if self.failure is None:
            await self._wait()
        await self._gather()
        if self.failure is None:
            await self._reduce()

    async def end(self, interrupted: bool = False) -> AllreduceResult:
        """Write down what came of it, and return the result."""
        if self._sent is None:
            self._sent = await self.broadcast.end(True)
        elif self._barrier is not None and self._waited is None and self._barrier.operation.begun:
            self._waited = await self._barrier.end(True)
        elif self._reducing.operation.begun and self._reduced is None:
            self._reduced = await self._reducing.end(True)
        if self._gathered is None:
            await self._gather()
        result = self._result(interrupted)
        rows = [self.operation.member_row(view.agent, view.rank, view.status) for view in result.bcast.members]

        def write(tables: Tables) -> None:
            self.operation.store_begin(tables, rows, strategy=self._strategy)

        await self.operation.end(result, also=write)
        return result

    # --- the steps after the broadcast

    async def _wait(self) -> None:
        operation_id = self.broadcast.operation.operation_id
        crew = self._core.store.read(lambda tables: crew_of(tables, self._command.group, None, operation_id))
        self._barrier = self._waits_for(crew)
        await self._barrier.run()
        self._waited = await self._barrier.end()
        self.failure = self._barrier.failure()

    def _waits_for(self, crew: Crew) -> Barrier:
        left = remaining(self._deadline)
        return Barrier(
            self._core,
            crew,
            c.Barrier(
                group=self._command.group,
                required=self._command.required,
                failure_policy=self._command.failure_policy,
            ),
            seconds=WAIT_SECONDS if left is None else left,
        )

    async def _gather(self) -> None:
        operation_id = self.broadcast.operation.operation_id
        crew = self._core.store.read(lambda tables: crew_of(tables, self._command.group, None, operation_id))
        gathering = Gathering(self._core, crew)
        gathering.collect()
        self._gathered = await gathering.end()

    async def _reduce(self) -> None:
        assert self._gathered is not None
        try:
            self._reducing.take(self._gathered)
        except MissiveError as error:
            self.failure = error
            return
        await self._reducing.run(remaining(self._deadline))
        self._reduced = await self._reducing.end()
        self.failure = self._reducing.error

    # --- the document

    def _status(self, interrupted: bool) -> str:
        if interrupted:
            return "interrupted"
        if isinstance(self.failure, DeadlineError):
            return "timeout"
        for part in (self._reduced, self._waited, self._sent):
            if part is not None and (self.failure is None or part.status not in ("succeeded", "partial")):
                return part.status
        return "failed"

    def _result(self, interrupted: bool) -> AllreduceResult:
        assert self._sent is not None
        assert self._gathered is not None
        status = self._status(interrupted)
        return AllreduceResult(
            profile=self._core.profile,
            operation_id=self.operation.operation_id,
            group=self._command.group,
            context_id=self._crew.context_id,
            strategy=self._strategy,
            status=status,
            elapsed_ms=self.operation.elapsed_ms,
            timeout_ms=UNSET if self._seconds is None else int(self._seconds * 1000),
            bcast=self._sent,
            barrier=given(self._waited),
            gather=self._gathered,
            reduce=given(self._reduced),
            reduced_text=UNSET if self._reduced is None else self._reduced.reduced_text,
            message=f"{status}: {self._sent.success_count} of {self._sent.member_count} members of "
            f"'{self._command.group}' answered, {self._gathered.gathered_count} answers gathered",
        )
