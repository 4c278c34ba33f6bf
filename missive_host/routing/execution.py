"""Carrying a plan out.

====================  =================================================================================
``single``, ``filter``  the first target gets the message
``ordered_attempts``    the next target gets it if the one before was not there, refused it, or was too slow
                        to accept it; never after one has accepted it
``first_success``       all get it; the first success is the answer, and the others are cancelled
``all``, ``quorum``     all get it; a quorum is decided when enough have completed, or when too few are left
                        that could, and the rest goes on by itself
====================  =================================================================================

Of a stream the first success is the first agent that begins to work. A stream comes from one agent, so the last two
are for messages that are answered once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any

import anyio
import msgspec
from msgspec import UNSET
from msgspec.structs import replace

from missive_host.commands import Send, Stream, duration_seconds
from missive_host.core.recorder import journal_event
from missive_host.errors import ErrorReport, OrchestrationError, ValidationError
from missive_host.ids import now
from missive_host.outputs import AttemptView, Output, RouteView
from missive_host.outputs_routes import MemberAnswer, RouteResult
from missive_host.routing.attempts import Attempt, SendAttempt, StreamAttempt, Won
from missive_host.routing.planner import Planned, free, plan_for
from missive_host.telemetry.spans import span

if TYPE_CHECKING:
    from missive_host.core.core import Core, Emit
    from missive_host.store import Tables


Job = Callable[[], Coroutine[Any, Any, None]]


async def route(core: Core, command: Send | Stream, emit: Emit) -> None:
    """Send or stream a message to a group as its policy says. Raises `MissiveError`."""
    with span(f"route {command.group}", attributes={"missive.group": command.group}) as routing:
        with span("plan"):
            planned = await plan_for(core, command, part_modes=part_modes(command))
        try:
            routing.note("missive.route.policy", planned.policy)
            routing.note("missive.route.mode", planned.plan.mode)
            _refuse_what_cannot_be(command, planned)
            await _MODES[planned.plan.mode](_Route(core, command, planned, emit))
        finally:
            free(core, planned.reserved)


def part_modes(command: Send | Stream) -> tuple[str, ...]:
    """Return the media types of a message's parts, as far as its inputs tell."""
    modes = list(command.mime)
    if command.message is not None or command.stdin_text is not None or command.text_parts:
        modes.append("text/plain")
    if command.json_parts:
        modes.append("application/json")
    return tuple(dict.fromkeys(modes))


def _refuse_what_cannot_be(command: Send | Stream, planned: Planned) -> None:
    mode = planned.plan.mode
    if isinstance(command, Stream):
        if mode in ("all", "quorum"):
            raise ValidationError(
                f"the policy '{planned.policy}' sends to several agents, and a stream comes from one",
                help=f"`missive bcast {planned.group} … --stream` shows them all",
            )
    elif command.return_immediately and mode in ("first_success", "quorum"):
        raise ValidationError(
            f"the policy '{planned.policy}' waits for answers, and `return_immediately` for none",
            help="choose another policy, or wait",
        )


class _Route:
    """A plan, and what it is for."""

    def __init__(self, core: Core, command: Send | Stream, planned: Planned, emit: Emit) -> None:
        self.core = core
        self.command = command
        self.planned = planned
        self.emit = emit
        self.attempts: list[Attempt] = []

    def attempt(self, agent: str, *, alone: bool = False, won: Won | None = None) -> Attempt:
        """Make the attempt with an agent; `alone` if there is no other to turn to."""
        made: Attempt
        if isinstance(self.command, Send):
            made = SendAttempt(self.core, self.command, agent, self.planned.reserved, follow=not alone, won=won)
        else:
            made = StreamAttempt(
                self.core, self.command, agent, self.planned.reserved, self.emit, at_once=alone, won=won
            )
        self.attempts.append(made)
        return made

    def attempt_all(self, won: Won | None = None) -> list[Attempt]:
        """Make the attempts with all targets. Raises `MissiveError` if the message cannot be made; nothing is sent."""
        attempts = [self.attempt(agent, won=won) for agent in self.planned.plan.targets]
        attempts[0].prepare()
        return attempts

    async def answer(self, attempt: Attempt) -> None:
        """Give the answer of one agent to the caller."""
        planned = self.planned
        view = RouteView(
            group=planned.group or "",
            policy=planned.policy,
            policy_source=planned.policy_source,
            mode=planned.plan.mode,
            targets=planned.plan.targets,
            attempts=tuple(each.view() for each in self.attempts),
        )
        sequence = attempt.result.event_count if isinstance(self.command, Stream) else 0
        await self.emit(Output(replace(attempt.result, route=view), sequence=sequence))

    async def journal(self, *attempts: Attempt) -> None:
        """Write down what became of agents that were tried, even if we are cut off."""
        at, planned = now(), self.planned
        events = [
            journal_event(
                "missive.route.attempt",
                source="core",
                agent_alias=attempt.agent,
                context_id=attempt.context_id or planned.context_id,
                task_id=attempt.task_id,
                message_id=attempt.message_id,
                work_id=self.core.work.work_id if self.core.work is not None else None,
                payload={
                    "group": planned.group,
                    "plan": planned.sequence,
                    "policy": planned.policy,
                    "mode": planned.plan.mode,
                    "reason": planned.reason(attempt.agent),
                    **msgspec.to_builtins(attempt.view()),
                },
                at=at,
            )
            for attempt in attempts
        ]

        def write(tables: Tables) -> None:
            for event in events:
                tables.events.append(event)

        with anyio.CancelScope(shield=True):
            await self.core.commit(write)

    def nobody(self, what: str) -> OrchestrationError:
        """Return the error of a message that no agent took, with what became of it at each."""
        return OrchestrationError(
            f"no member of group '{self.planned.group}' {what} ({len(self.attempts)} tried)",
            help="`missive agent list` shows which ones rest; "
            f"`missive route explain --group {self.planned.group}` what would be done now",
            sources=tuple(map(_line, (attempt.view() for attempt in self.attempts))),
        )


async def _to_one(route: _Route) -> None:
    attempt = route.attempt(route.planned.plan.targets[0], alone=True)
    try:
        await attempt.run()
    finally:
        await route.journal(attempt)
    if attempt.error is not None:
        raise attempt.error
    await route.answer(attempt)


async def _in_order(route: _Route) -> None:
    seconds = duration_seconds(route.core.settings.config.qos.timeout)
    for agent in route.planned.plan.targets:
        attempt = route.attempt(agent)
        try:
            await attempt.run(seconds)
        finally:
            await route.journal(attempt)
        if attempt.answered:
            await route.answer(attempt)
            return
        if attempt.error is not None and (attempt.accepted or attempt.ours):
            raise attempt.error  # it has the message, whatever became of it; or nobody can get it
    raise route.nobody("took the message")


async def _first(route: _Route) -> None:
    winner: Attempt | None = None

    async def won(attempt: Attempt) -> bool:
        nonlocal winner
        if winner is None:
            winner = attempt
            for other in attempts:
                if other is not attempt:
                    other.give_up()
            if isinstance(attempt, SendAttempt):
                answering.shield = True  # the deadline is kept: the others take their time to be cancelled
                await route.answer(attempt)
        return winner is attempt

    attempts = route.attempt_all(won)
    answering = anyio.CancelScope()
    try:
        with answering:
            await _side_by_side(route.core, [attempt.run for attempt in attempts])
    except BaseException:
        for attempt in attempts:
            if attempt is not winner:
                attempt.unwanted = True  # nobody waits for an answer any more
        await _side_by_side(route.core, [attempt.tell for attempt in attempts if attempt.unwanted])
        raise
    finally:
        await route.journal(*attempts)
    if winner is None:
        if all(attempt.ours for attempt in attempts) and attempts[0].error is not None:
            raise attempts[0].error
        raise route.nobody("succeeded")
    if winner.error is not None:
        raise winner.error
    if isinstance(winner, StreamAttempt):
        await route.answer(winner)


async def _to_all(route: _Route) -> None:
    planned, attempts = route.planned, route.attempt_all()
    quorum = planned.plan.mode == "quorum"
    required = (planned.plan.required if quorum else None) or len(attempts)
    limit = anyio.Semaphore(route.core.settings.config.qos.concurrency)
    decided = anyio.CancelScope()

    def job(attempt: Attempt) -> Job:
        async def run() -> None:
            await attempt.run(limit=limit)
            reached = sum(each.succeeded for each in attempts) >= required
            if quorum and (reached or sum(not each.lost for each in attempts) < required):
                decided.cancel()  # what the others answer does not matter any more; their tasks go on

        return run

    cut_off = True
    try:
        with decided:
            await _side_by_side(route.core, [job(attempt) for attempt in attempts])
        cut_off = False
    finally:
        # Also when we are cut off, and if the journal cannot be written: what has come is not lost.
        successes = sum(attempt.succeeded for attempt in attempts)
        missed = "interrupted" if cut_off else "partial" if successes else "failed"
        status = "reached" if successes >= required else missed
        try:
            with anyio.CancelScope(shield=True):
                await route.emit(Output(_group_result(route, status, successes, required if quorum else None)))
        finally:
            await route.journal(*attempts)
    if status != "reached":
        raise OrchestrationError(
            f"{successes} of {len(attempts)} members of group '{planned.group}' succeeded, {required} are needed",
            help="the result says what became of each",
            sources=tuple(_line(attempt.view()) for attempt in attempts if not attempt.succeeded),
        )


_MODES: dict[str, Callable[[_Route], Awaitable[None]]] = {
    "single": _to_one,
    "filter": _to_one,
    "ordered_attempts": _in_order,
    "first_success": _first,
    "all": _to_all,
    "quorum": _to_all,
}


async def _side_by_side(core: Core, jobs: Sequence[Job]) -> None:
    """Run all at once. If several fail, the first error is raised, by itself."""
    try:
        with core.sharing():
            async with anyio.create_task_group() as group:
                for job in jobs:
                    group.start_soon(job)
    except BaseExceptionGroup as several:
        error: BaseException = several
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        raise error from None


def _line(view: AttemptView) -> str:
    """Return what became of the message at one agent, for the sources of an error."""
    state = f" ({view.state})" if isinstance(view.state, str) else ""
    why = f": {view.error.message}" if isinstance(view.error, ErrorReport) else ""
    return f"{view.agent}: {view.status}{state}{why}"


def _group_result(route: _Route, status: str, successes: int, required: int | None) -> RouteResult:
    planned, attempts = route.planned, route.attempts
    return RouteResult(
        profile=route.core.profile,
        group=planned.group or "",
        policy=planned.policy,
        mode=planned.plan.mode,
        status=status,
        member_count=len(attempts),
        success_count=successes,
        required=UNSET if required is None else required,
        results=tuple(
            MemberAnswer(
                agent=attempt.agent,
                response=attempt.result.response,
                local_context_id=attempt.result.persistence.context_id,
            )
            for attempt in attempts
            if attempt.result is not None
        ),
        attempts=tuple(attempt.view() for attempt in attempts),
        message=f"{successes} of {len(attempts)} members of group '{planned.group}' succeeded: {status}",
    )
