"""``barrier``: wait until enough members have come to an end.

``input_required`` and ``auth_required`` settle a member, but are no success: the task waits for us. What cannot be
asked is asked again until the deadline.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import anyio
import msgspec
from msgspec import UNSET

from missive_host import commands as c
from missive_host.a2a.shapes import TERMINAL
from missive_host.collectives.answers import Answer, answer_of
from missive_host.collectives.asking import ask
from missive_host.collectives.members import Crew, Member, crew_of, restamped
from missive_host.collectives.operations import Operation, conclude, raise_if
from missive_host.commands import duration_seconds
from missive_host.core.views import given
from missive_host.errors import (
    AuthRequiredError,
    DeadlineError,
    ErrorReport,
    InputRequiredError,
    MissiveError,
    OrchestrationError,
    TaskCancelledError,
    TaskFailedError,
    TransportError,
    ValidationError,
)
from missive_host.outputs_collectives import BarrierMember, BarrierResult

if TYPE_CHECKING:
    from missive_host.core.core import Core, Emit
    from missive_host.outputs import SelectedInterface
    from missive_host.store import Tables
    from missive_host.store.rows import OperationMemberRow, OperationRow

WAIT_SECONDS = 30.0
INTERVAL = 1.0
MAX_INTERVAL = 5.0
ASK_SECONDS = 5.0
"""How long one question may take: an agent that hangs must not keep others from being asked."""

DEFAULT_TARGETS = ("completed", "failed", "cancelled", "rejected", "input_required", "auth_required")
FAILURES = frozenset({"failed", "error", "terminal_unmatched"})
WAITING = ("input_required", "auth_required")
UNDECIDED = frozenset({"pending", "missing"})
_SETTLING = {"failed": "failed", "rejected": "failed", "cancelled": "cancelled"}


# --- judging: no clock, no agent, no store


def judge(state: str | None, wanted: frozenset[str], *, explicit: bool) -> str:
    """Return a member's status from the state of its task. `wanted` are the states that are a success."""
    if state is None:
        return "missing"
    if state in wanted:
        return "satisfied"
    if state in WAITING:
        return state
    if state not in TERMINAL:
        return "pending"
    return "terminal_unmatched" if explicit else _SETTLING.get(state, "terminal_unmatched")


def decide(statuses: Iterable[str], required: int, policy: str) -> str | None:
    """Return how a barrier ends whose members stand so; None: it goes on.

    Under ``stop`` the first member that cannot succeed decides, else when too few are left. What weighs most wins:
    a failure, then a task that waits for us, then a cancellation.
    """
    known = list(statuses)
    if known.count("satisfied") >= required:
        return "succeeded"
    possible = sum(status == "satisfied" or status in UNDECIDED for status in known)
    lost = [status for status in known if status != "satisfied" and status not in UNDECIDED]
    if not lost or (policy == "continue" and possible >= required):
        return None
    if any(status in FAILURES for status in lost):
        return "failed"
    return next((status for status in WAITING if status in lost), "cancelled")


# --- waiting


class _Watched:
    """How it stands with one member."""

    def __init__(self, member: Member) -> None:
        self.member = member
        self.status = "missing"
        self.answer = Answer()
        self.attempts = 0
        self.interface: SelectedInterface | None = None
        self.error: ErrorReport | None = None


async def wait(core: Core, command: c.Barrier, emit: Emit) -> None:
    """Run `barrier`. Raises the error that its outcome asks for, after the result has been emitted."""
    crew = core.store.read(lambda tables: crew_of(tables, command.group, command.context, command.operation))
    waiting = Barrier(core, crew, command, seconds=core.timeout_of(command) or WAIT_SECONDS)
    await conclude(emit, waiting.operation, waiting.run, waiting.end, first=waiting.operation)
    raise_if(waiting.failure())


class Barrier:
    """Waits for the members of a crew."""

    def __init__(self, core: Core, crew: Crew, command: c.Barrier, *, seconds: float) -> None:
        count = len(crew.members)
        if command.required is not None and command.required > count:
            raise ValidationError(f"field `required`: {command.required} of {count} members cannot be reached")
        self.operation = Operation(core, "barrier", crew.group, crew.context_id)
        self._core = core
        self._crew = crew
        self._command = command
        self._seconds = seconds
        self._interval = min(duration_seconds(command.interval) if command.interval else INTERVAL, MAX_INTERVAL)
        self._required = command.required or count
        self._explicit = bool(command.states)
        self._targets = tuple(command.states) or DEFAULT_TARGETS
        self._wanted = frozenset(command.states or ("completed",))
        self._watched = [_Watched(member) for member in crew.members]
        self._status: str | None = None
        self._limit = anyio.CapacityLimiter(core.settings.config.qos.concurrency)

    async def run(self) -> None:
        """Wait until it is decided, or the time is up."""
        with self._core.sharing():
            await self.operation.begin(self._store_begin)
            self._core.store.read(self._look_at_all)
            self._status = self._decision()
            if self._status is None:
                with anyio.move_on_after(self._seconds) as scope:
                    await self._watch_all()
                if scope.cancelled_caught:
                    self._core.store.read(self._look_at_all)
                    self._status = self._decision() or "timeout"

    async def end(self, interrupted: bool = False) -> BarrierResult:
        """Write down what came of it, and return the result."""
        if interrupted:
            self._core.store.read(self._look_at_all)
            self._status = "interrupted"
        if self._status == "timeout":
            for watched in self._watched:
                if watched.error is not None and watched.status in UNDECIDED:
                    watched.status = "error"  # to the end it could not be asked
        result = self.result()

        def write(tables: Tables) -> None:
            for watched in self._watched:
                self.operation.store_member(tables, self._row(watched))

        await self.operation.end(result, also=write)
        return result

    def _store_begin(self, tables: Tables) -> None:
        broadcast = self._crew.broadcast
        self.operation.store_begin(
            tables,
            [self._row(watched) for watched in self._watched],
            broadcast=None if broadcast is None else broadcast.operation_id,
            required=self._required,
        )

    def _row(self, watched: _Watched) -> OperationMemberRow:
        answer = watched.answer
        return self.operation.member_row(
            watched.member.agent,
            watched.member.rank,
            watched.status,
            request_message_id=watched.member.request_message_id,
            response_message_id=answer.message.message_id if answer.message is not None else None,
            task_id=answer.task.task_id if answer.task is not None else None,
            remote_context_id=answer.remote_context_id,
            state=answer.task.state if answer.task is not None else None,
            shape=answer.shape,
            error=None if watched.error is None else msgspec.to_builtins(watched.error),
        )

    async def _watch_all(self) -> None:
        async with anyio.create_task_group() as group:
            for watched in self._watched:
                if watched.status in UNDECIDED:
                    group.start_soon(self._watch, watched, group.cancel_scope)

    async def _watch(self, watched: _Watched, scope: anyio.CancelScope) -> None:
        while watched.status in UNDECIDED:
            if not self._command.watch_local:
                async with self._limit:
                    await self._ask(watched)
            self._core.store.read(lambda tables: self._look_at(tables, watched))
            if self._status is None:
                self._status = self._decision()
            if self._status is not None:
                scope.cancel()
                return
            if watched.status in UNDECIDED:
                await anyio.sleep(self._interval)

    async def _ask(self, watched: _Watched) -> None:
        """Ask once. What goes wrong is kept, and is forgotten when the next question is answered."""
        watched.attempts += 1
        error: MissiveError | None = None
        try:
            with anyio.move_on_after(ASK_SECONDS) as scope:
                interface = await ask(
                    self._core,
                    self._crew.context_id,
                    watched.member,
                    watched.answer,
                    by="barrier",
                    history_length=self._command.history_length,
                )
                watched.interface = interface or watched.interface
        except MissiveError as failure:
            error = failure
        if scope.cancelled_caught:
            error = TransportError(f"agent '{watched.member.agent}' gave no answer within {ASK_SECONDS:g} s")
        watched.error = None if error is None else self._core.report(error)

    # --- what is known

    def _look_at_all(self, tables: Tables) -> None:
        for watched in self._watched:
            if watched.status in UNDECIDED:
                self._look_at(tables, watched)

    def _look_at(self, tables: Tables, watched: _Watched) -> None:
        answer = watched.answer = answer_of(tables, self._crew, watched.member)
        watched.status = judge(answer.state, self._wanted, explicit=self._explicit)
        if watched.status == "missing" and self._crew.broadcast is not None:
            self._look_at_broadcast(tables, watched, self._crew.broadcast)

    def _look_at_broadcast(self, tables: Tables, watched: _Watched, broadcast: OperationRow) -> None:
        """See whether the broadcast has failed to reach a member: then there is nothing to wait for."""
        request = watched.answer.request
        if request is None:
            if tables.operations.get(broadcast.operation_id).status != "running":
                watched.status, watched.error = "error", self._core.report(_never_sent(watched.member.agent))
            else:  # another process is at it still
                watched.member = restamped(tables, broadcast.operation_id, watched.member)
        elif request.status == "failed":
            watched.status = "error"
            if request.error is not None:
                watched.error = msgspec.convert(request.error, ErrorReport)
            else:
                watched.error = self._core.report(_never_sent(watched.member.agent))

    def _decision(self) -> str | None:
        return decide((watched.status for watched in self._watched), self._required, self._command.failure_policy)

    def result(self) -> BarrierResult:
        """Return the document as it stands."""
        statuses = [watched.status for watched in self._watched]
        reached = statuses.count("satisfied")
        status = self._status or "pending"
        broadcast = self._crew.broadcast
        return BarrierResult(
            profile=self._core.profile,
            operation_id=self.operation.operation_id,
            group=self._crew.group,
            context_id=self._crew.context_id,
            status=status,
            failure_policy=self._command.failure_policy,
            local=self._command.watch_local,
            from_bcast=broadcast is not None,
            broadcast=UNSET if broadcast is None else broadcast.operation_id,
            attempts=max((watched.attempts for watched in self._watched), default=0),
            member_count=len(statuses),
            required=self._required,
            reached_count=reached,
            failure_count=sum(status in FAILURES for status in statuses),
            cancellation_count=statuses.count("cancelled"),
            waiting_count=sum(status in WAITING for status in statuses),
            pending_count=sum(status in UNDECIDED for status in statuses),
            target_states=self._targets,
            success_states=tuple(sorted(self._wanted)),
            timeout_ms=int(self._seconds * 1000),
            interval_ms=int(self._interval * 1000),
            elapsed_ms=self.operation.elapsed_ms,
            members=tuple(_view(watched) for watched in self._watched),
            message=f"{status}: {reached} of {len(statuses)} members of '{self._crew.group}' have got there, "
            f"{self._required} had to",
        )

    def failure(self) -> MissiveError | None:
        """Return the error whose exit code tells how it ended; None if it succeeded."""
        return failure_of(self.result())


def _view(watched: _Watched) -> BarrierMember:
    answer = watched.answer
    row = answer.task or answer.message
    return BarrierMember(
        agent=watched.member.agent,
        rank=watched.member.rank,
        status=watched.status,
        attempts=watched.attempts,
        shape=given(answer.shape),
        task_id=UNSET if answer.task is None else answer.task.task_id,
        response_message_id=UNSET if answer.message is None else answer.message.message_id,
        context_id=given(answer.remote_context_id),
        state=UNSET if answer.task is None else answer.task.state,
        source=UNSET if answer.task is None else answer.task.source,
        updated_at=UNSET if row is None else row.updated_at,
        selected_interface=given(watched.interface),
        error=given(watched.error),
    )


def _never_sent(agent: str) -> OrchestrationError:
    return OrchestrationError(f"the broadcast did not reach agent '{agent}'", help="see the result of the broadcast")


_GATHER = "`missive gather {group} --context {context}` shows what there is"
_AUTHORISE = "give it, then `missive send {agent} MESSAGE --task {task}`"
_ERRORS: dict[str, tuple[type[OrchestrationError], str, str]] = {
    "failed": (TaskFailedError, "failed", _GATHER),
    "cancelled": (TaskCancelledError, "cancelled", _GATHER),
    "input_required": (InputRequiredError, "waiting for an answer", "`missive send {agent} ANSWER --task {task}`"),
    "auth_required": (AuthRequiredError, "waiting for an authorisation", _AUTHORISE),
    "timeout": (DeadlineError, "not ended in time", "wait longer with --timeout, or for fewer with --required"),
}
_DECISIVE = {"failed": FAILURES, "timeout": UNDECIDED | {"error"}}


def failure_of(result: BarrierResult) -> MissiveError | None:
    """Return the error whose exit code tells how a barrier ended; None if it succeeded."""
    if result.status not in _ERRORS:
        return None
    error, sentence, help_ = _ERRORS[result.status]
    who = [member for member in result.members if member.status in _DECISIVE.get(result.status, {result.status})]
    one = who[0] if len(who) == 1 else None
    return error(
        f"barrier of group '{result.group}': {result.reached_count} of the {result.required} members that were "
        f"required have got there; {sentence}: {', '.join(member.agent for member in who)}",
        help=help_.format(
            group=result.group,
            context=result.context_id,
            agent=one.agent if one else "AGENT",
            task=one.task_id if one and isinstance(one.task_id, str) else "TASK",
        ),
        sources=tuple(
            f"{member.agent}: {member.error.message}" for member in who if isinstance(member.error, ErrorReport)
        ),
    )
