"""Busy input: what becomes of a message that comes while its session is at work.

================  ===========================================================================================
``queue``         it waits for its turn
``interrupt``     what runs is given up, here and at the agent; then it is the new message's turn
``steer``         it is sent at once, to the task that runs; if that cannot be, the fallback is used
================  ===========================================================================================

`decide` says what is to be done and touches nothing; `apply` does it to what runs. The mode is the operator's alone:
no frame can choose it. Only messages interrupt and steer: a question such as ``task_get`` waits for its turn in any
mode. What waits keeps its order: an interrupt makes room, it does not jump the queue.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

import anyio
from msgspec.structs import replace

from missive_host.commands import Command, Requirements, Send, Stream
from missive_host.core.recorder import journal_event
from missive_host.core.sessions import Talking
from missive_host.errors import MissiveError, ProtocolError, TransportError
from missive_host.protocols import IntakeFullError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from missive_host.config import Config
    from missive_host.config.model import BusyInput
    from missive_host.core.core import Emit
    from missive_host.outputs import Output
    from missive_host.store import EventRow

log = logging.getLogger("missive.gateway")

Mode = Literal["queue", "interrupt", "steer"]
Kind = Literal["start_now", "queued", "interrupt_queued", "steered", "refused"]
Action = Literal["start", "steer", "interrupt", "cancel_remote", "queue"]

INTERRUPTED = "interrupted by a newer message"
CANCEL_SECONDS = 10.0
"""How long an agent may take to cancel a task; the newer message does not wait longer."""

_REFUSALS = frozenset(
    (
        "UnsupportedOperationError",
        "TaskNotFoundError",
        "TaskNotCancelableError",
        "InvalidParamsError",
        "InvalidRequestError",  # what @a2a-js/sdk says of a task that has ended
        "MethodNotFoundError",
    )
)
_REFUSING_STATUS = frozenset((400, 404, 405, 409, 422, 501))
"""An HTTP status without A2A's name for it: the message was certainly not taken."""


@dataclass(frozen=True, slots=True)
class RunningView:
    """What runs in a session."""

    work_id: str
    command: str
    """Its tag."""
    since: str
    agent: str | None = None
    """The agent that has it, as soon as that is known."""
    group: str | None = None
    """The group that it was sent to."""
    task_id: str | None = None
    """The agent's task, as soon as it is known."""
    interrupting: bool = False
    """It is being given up already."""


@dataclass(frozen=True, slots=True)
class Disposition:
    """What becomes of a message."""

    requested: Mode
    used: Mode
    kind: Kind
    actions: tuple[Action, ...] = ()
    """What is to be done, in this order. ``interrupt`` cancels the run as a whole: the wait for the answer and the
    subscription to the task end together."""
    position: int | None = None
    """Its place among those that wait, from 1."""
    fallback: str | None = None
    """Why it could not be steered."""


def rules_for(config: Config, adapter: str) -> BusyInput:
    """Return what an adapter's busy sessions do: its own rules, else those of the gateway."""
    block = config.adapters.get(adapter)
    return block.busy_input if block is not None and block.busy_input is not None else config.gateway.busy_input


# --- deciding


def decide(
    rules: BusyInput, command: Command, running: RunningView | None, depth: int, *, refused: str | None = None
) -> Disposition:
    """Say what becomes of a message; `depth` others of its session wait already.

    `refused` is why the agent did not let itself be steered by it: then it is not tried again.
    """
    used: Mode = rules.mode if isinstance(command, Talking) else "queue"
    fallback: str | None = None
    if used == "steer" and (running is not None or refused is not None):
        fallback = refused or (_obstacle(command, running) if running is not None else None)
        if fallback is None:
            return Disposition(rules.mode, "steer", "steered", ("steer",))
        used = rules.unsupported_steer_fallback
    if running is None and depth == 0:
        return Disposition(rules.mode, used, "start_now", ("start",), fallback=fallback)
    if depth >= rules.max_queue_depth:
        return Disposition(rules.mode, used, "refused", fallback=fallback)
    kind: Kind = "queued"
    actions: tuple[Action, ...] = ("queue",)
    if used == "interrupt" and running is not None:
        kind = "interrupt_queued"
        if not running.interrupting:
            actions = ("interrupt", "queue")
            if rules.interrupt_remote_cancel and running.agent is not None and running.task_id is not None:
                actions = ("interrupt", "cancel_remote", "queue")
    return Disposition(rules.mode, used, kind, actions, position=depth + 1, fallback=fallback)


def _obstacle(command: Command, running: RunningView) -> str | None:
    """Return why a message cannot be sent to the task that runs, if it cannot."""
    if not isinstance(command, Send | Stream):
        return "only a message to one agent can be"
    if running.interrupting:
        return "what runs is being interrupted"
    if running.command not in ("send", "stream"):
        return f"`{running.command}` runs, which is no task of one agent"
    if running.agent is None or running.task_id is None:
        return "the agent has not named its task yet"
    if command.task is not None and command.task != running.task_id:
        return "the message is for another task"
    if command.context is not None:
        return "the message names its own context"
    if command.agent != running.agent and (command.group is None or command.group != running.group):
        return "the message is for somebody else"
    return None


def steered(command: Command, running: RunningView) -> Command:
    """Return a message as it goes to the task that runs. It was decided that it can."""
    assert isinstance(command, Send | Stream)
    return replace(
        command,
        agent=running.agent,
        task=running.task_id,
        group=None,
        policy=None,
        preferred_agent=None,
        quorum=None,
        requirements=Requirements(),
    )


def refused_steering(error: BaseException) -> bool:
    """Tell whether an agent did not take a message to a task of its, so that it may be sent in another way."""
    if isinstance(error, ProtocolError):
        return error.a2a is not None and error.a2a.name in _REFUSALS
    if isinstance(error, TransportError):
        return error.a2a is not None and error.a2a.http_status in _REFUSING_STATUS
    return False


async def steer(
    run: Callable[[Command, Emit], Awaitable[None]], command: Command, running: RunningView, emit: Emit
) -> str | None:
    """Send a message to the task that runs, by `run` (which is `Core.run`). Return why the agent refused it, if it did.

    An agent that has answered anything has not refused. Raises what else goes wrong.
    """
    answered = False

    async def emitting(output: Output) -> None:
        nonlocal answered
        answered = True
        await emit(output)

    try:
        await run(steered(command, running), emitting)
    except MissiveError as error:
        if answered or not refused_steering(error):
            raise
        return error.message
    return None


def queue_full(rules: BusyInput) -> IntakeFullError:
    """Return the error of a message that was refused: nothing of it is kept, and it may come again."""
    return IntakeFullError(
        f"{rules.max_queue_depth} messages of this session wait already",
        help="send it again when some of them are done; `busy_input.max_queue_depth` allows for more",
    )


# --- doing


class Runs(Protocol):
    """What the dispatcher can do to what it runs."""

    async def interrupt(self, work_id: str, reason: str) -> None:
        """Cancel a run and settle it as rejected for this reason. Nothing happens if it has ended."""
        ...

    async def cancel_remote(self, agent: str, task_id: str) -> None:
        """Ask an agent to cancel a task. Raises `MissiveError`."""
        ...


async def apply(disposition: Disposition, running: RunningView | None, runs: Runs) -> None:
    """Do to what runs what was decided. To start, queue or steer the message is for the caller, after this.

    An agent that does not cancel its task holds nobody up: the message comes all the same.
    """
    if running is None:
        return
    if "interrupt" in disposition.actions:
        await runs.interrupt(running.work_id, INTERRUPTED)
    if "cancel_remote" in disposition.actions:
        assert running.agent is not None
        assert running.task_id is not None
        try:
            with anyio.fail_after(CANCEL_SECONDS):
                await runs.cancel_remote(running.agent, running.task_id)
        except (MissiveError, TimeoutError) as error:
            log.info("task %s of agent %s was not cancelled: %s", running.task_id, running.agent, type(error).__name__)


def journal(
    disposition: Disposition, running: RunningView | None, *, work_id: str, adapter: str, lane: str
) -> EventRow | None:
    """Return the event of a message that did not simply start or wait; None if it did."""
    plain = disposition.kind in ("start_now", "queued") and disposition.fallback is None
    if plain:
        return None
    payload = {
        "work_id": work_id,
        "adapter": adapter,
        "lane": lane,
        "requested_mode": disposition.requested,
        "mode_used": disposition.used,
        "disposition": disposition.kind,
        "actions": list(disposition.actions),
        "position": disposition.position,
        "fallback": disposition.fallback,
        "running": running.work_id if running is not None else None,
    }
    return journal_event(
        "missive.session.busy",
        source="gateway",
        agent_alias=running.agent if running is not None else None,
        task_id=running.task_id if running is not None else None,
        work_id=work_id,
        payload={key: value for key, value in payload.items() if value is not None},
    )
