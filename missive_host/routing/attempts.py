"""One message to one agent of a group, up to its end, in a way that can be given up at any time.

What matters is the moment in which the agent *accepts* the message. Before it another agent may be tried, after it
none may. A message that is sent is therefore sent so that the agent answers at once (``returnImmediately``, A2A spec
3.2.2): a task in the answer means that it has accepted. Then the task's updates are followed until it has ended or
waits for us. A stream has accepted with its first event.

An agent that takes a message only to reject it has not taken it: of a stream nothing is shown before more is known
than that the task was submitted.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import anyio
from msgspec.structs import replace

from missive_host.a2a.shapes import SETTLED, TERMINAL, Json, payload, state
from missive_host.commands import Send, Stream
from missive_host.core.durable import stored_task
from missive_host.core.following import Following
from missive_host.core.handlers.send import begin, prepare, record_failure, send_result, to_one
from missive_host.core.handlers.stream import stream_on
from missive_host.core.views import given
from missive_host.errors import DeadlineError, MissiveError
from missive_host.outputs import AttemptView, Output, SendResult, StreamResult
from missive_host.telemetry import about
from missive_host.telemetry.spans import span

if TYPE_CHECKING:
    from missive_host.a2a.client import AgentClient
    from missive_host.a2a.parts import Request
    from missive_host.core.core import Core, Emit
    from missive_host.core.recorder import Exchange

CANCEL_SECONDS = 5.0
"""How long an agent may take to be told that its answer is not needed any more."""
LEARN_SECONDS = 1.0
"""How long an agent that is given up while it gets the message may take to say under which id it can be cancelled."""
NO_SUCCESS = frozenset({"rejected", "failed", "cancelled"})

Won = Callable[["Attempt"], Awaitable[bool]]
"""Called when an attempt succeeds; False: another was first."""


class Attempt(ABC):
    """A message to one agent. It is made when it is known that the agent may get it, and run once."""

    def __init__(self, core: Core, command: Send | Stream, agent: str, reserved: list[str]) -> None:
        self.agent = agent
        self.accepted = False
        """True once the agent has taken the message: no other agent gets it then."""
        self.unwanted = False
        """True once it was given up."""
        self.state: str | None = None
        """The task's state; None for a message."""
        self.task_id: str | None = None
        self.error: MissiveError | None = None
        self.ours = False
        """The error is one of this side: the message cannot be made or written down, whoever is to get it."""
        self.result: Any = None
        self._core = core
        self._command = command
        self._reserved = reserved
        self._prepared: tuple[Exchange, Request] | None = None
        self._client: AgentClient | None = None
        self._scope = anyio.CancelScope()

    # --- what became of it

    @property
    def refused(self) -> bool:
        """The agent rejected the message."""
        return self.state == "rejected"

    @property
    def answered(self) -> bool:
        """The agent gave an answer that stands: anything but a rejection."""
        return self.result is not None and not self.refused

    @property
    def succeeded(self) -> bool:
        """A message, or a task that has completed."""
        return self.result is not None and self.state in (None, "completed")

    @property
    def lost(self) -> bool:
        """It has come to an end that is no success."""
        return self.error is not None or (self.result is not None and not self.succeeded)

    @property
    def status(self) -> str:
        """As in `AttemptView.status`."""
        if self.error is not None:
            return "timeout" if isinstance(self.error, DeadlineError) else "failed"
        if self.result is not None or (self.state in SETTLED and not self.unwanted):
            return "refused" if self.refused else "answered"  # without a result: it was cut off right after that
        if self._prepared is None or not self._prepared[0].attempted:
            return "not_asked"
        if self.unwanted:
            return "cancelled"
        return "running" if self.accepted else "unknown"

    @property
    def message_id(self) -> str | None:
        """The message to the agent; None if none was written down."""
        return self._prepared[0].message_id if self._prepared is not None and not self.ours else None

    @property
    def context_id(self) -> str | None:
        """The local context, as soon as it is known."""
        return self._prepared[0].context_id if self._prepared is not None else None

    def view(self) -> AttemptView:
        return AttemptView(
            agent=self.agent,
            status=self.status,
            state=given(self.state),
            task_id=given(self.task_id),
            error=given(self._core.report(self.error) if self.error is not None else None),
        )

    # --- doing it

    def prepare(self) -> tuple[Exchange, Request]:
        """Build the request. Raises `ValidationError` or `IoError` if that cannot be; nothing is sent."""
        if self._prepared is None:
            self._prepared = prepare(self._core, self._command)
        return self._prepared

    async def run(self, accept_seconds: float | None = None, limit: anyio.Semaphore | None = None) -> None:
        """Send, and follow to the end. `accept_seconds` bounds the time until the agent has accepted the message.

        `limit` is held until then. What goes wrong is kept in ``error``; only cancellation is raised.
        """
        agents = self._core.agents
        if self.agent in self._reserved:
            self._reserved.remove(self.agent)
        else:
            agents.engage(self.agent)
        with span(f"attempt {self.agent}", attributes={"missive.agent": self.agent}) as trying:
            try:
                with about(agent=self.agent), self._scope:
                    await self._run(accept_seconds, limit)
            except MissiveError as error:
                self.error = error
                trying.fail(error)
            finally:
                agents.release(self.agent)
                trying.note("missive.attempt.status", self.status)
                if self.unwanted:
                    await self.tell()

    @abstractmethod
    async def _run(self, accept_seconds: float | None, limit: anyio.Semaphore | None) -> None:
        """Call the agent, and keep what comes of it. Raises `MissiveError`."""

    async def _begin(self, kind: str) -> tuple[Exchange, Request]:
        try:
            exchange, request = self.prepare()
            await begin(self._core, exchange, request, kind)
        except MissiveError:
            self.ours = True
            raise
        return exchange, request

    async def _too_slow(self, seconds: float | None) -> DeadlineError:
        error = DeadlineError(f"agent '{self.agent}' did not accept the message within {seconds or 0:g} s")
        await self._core.agents.note_failure(self.agent, error)
        return error

    # --- giving it up

    def give_up(self) -> None:
        """End it: another agent has answered. The agent is told when ``run`` ends."""
        self.unwanted = True
        exchange = self._prepared[0] if self._prepared is not None else None
        if self.accepted or exchange is None or not exchange.attempted:
            self._scope.cancel()
        else:
            # It may be making a task of the message this very moment. Without its id nobody can cancel it.
            self._scope.deadline = anyio.current_time() + LEARN_SECONDS

    async def tell(self) -> None:
        """Tell the agent to cancel the task. What goes wrong with that is of no interest."""
        if self.task_id is None or self._client is None or self.state in TERMINAL:
            return
        with anyio.CancelScope(shield=True), anyio.move_on_after(CANCEL_SECONDS):
            try:
                task = await self._client.cancel_task(self.task_id)
                self.state = state(task.get("status"))
                await self._core.recorder.observed(self.agent, task, self._client.interface, observed_by="route")
            except MissiveError:
                return


class SendAttempt(Attempt):
    """A message that is answered once. ``follow`` waits for a task to end, unless the caller does not want to wait."""

    def __init__(
        self,
        core: Core,
        command: Send,
        agent: str,
        reserved: list[str],
        *,
        follow: bool = True,
        won: Won | None = None,
    ) -> None:
        self._follows = follow and not command.return_immediately
        immediately = follow or command.return_immediately
        super().__init__(core, replace(to_one(command, agent), return_immediately=immediately), agent, reserved)
        self._binding = command.binding
        self._won = won

    result: SendResult | None

    @property
    def succeeded(self) -> bool:
        if not self._follows and self.state not in SETTLED:
            return self.result is not None  # the caller wants no more than that it was taken
        return super().succeeded

    async def _run(self, accept_seconds: float | None, limit: anyio.Semaphore | None) -> None:
        async with limit or anyio.Semaphore(1):
            exchange, request = await self._begin("send")
            answer, client = await self._send(exchange, request, accept_seconds)
            name, value = payload(answer)
            self.accepted = True
            if name == "task":
                self.task_id, self.state = value["id"], state(value.get("status"))
            persistence = await self._core.recorder.answered(exchange, answer, client.interface)
        if self.unwanted:
            return
        if self._follows and name == "task" and self.state not in SETTLED:
            answer = await self._follow(client, exchange, answer)
        self.result = send_result(self._core, self.agent, request, answer, client, persistence)
        if self._won is not None and self.succeeded:
            await self._won(self)

    async def _send(
        self, exchange: Exchange, request: Request, accept_seconds: float | None
    ) -> tuple[Json, AgentClient]:
        async def call(client: AgentClient) -> Json:
            exchange.attempted = True
            self._client = client
            return await client.send(request.body)

        try:
            with anyio.move_on_after(accept_seconds) as scope, exchange.about():
                answered = await self._core.agents.calling(self.agent, call, binding=self._binding, counted=True)
            if scope.cancelled_caught:
                raise await self._too_slow(accept_seconds)
        except BaseException as error:
            await record_failure(self._core, exchange, "send", error)
            raise
        self._client = answered[1]
        return answered

    async def _follow(self, client: AgentClient, exchange: Exchange, answer: Json) -> Json:
        async def take(event: Json) -> None:
            kind, value = payload(event)
            if kind in ("task", "statusUpdate"):
                self.state = state(value.get("status"))
            await self._core.recorder.streamed(exchange, event, client.interface, first=False)

        task_id = self.task_id
        assert task_id is not None
        await client.subscribe(task_id, take)
        task = self._core.store.read(lambda tables: stored_task(tables, self.agent, task_id))
        return {"task": task} if task else answer


class StreamAttempt(Attempt):
    """A message whose updates are shown as they come, as soon as it is clear that they are to be shown.

    That is so when more has come than that the task was submitted and, if there is a race, when `won` says that
    nobody was faster.
    """

    def __init__(
        self,
        core: Core,
        command: Stream,
        agent: str,
        reserved: list[str],
        emit: Emit,
        *,
        at_once: bool = False,
        won: Won | None = None,
    ) -> None:
        super().__init__(core, to_one(command, agent), agent, reserved)
        self._emit = emit
        self._shows = at_once
        self._held: list[Output] = []
        self._won = won

    result: StreamResult | None

    async def _run(self, accept_seconds: float | None, limit: anyio.Semaphore | None) -> None:  # noqa: ARG002
        command = self._command
        assert isinstance(command, Stream)
        exchange, request = await self._begin("stream")
        following = Following(self._core, exchange, self._show, requested=True)

        async def take(event: Json) -> None:
            name, value = payload(event)
            self.accepted, self._client = True, following.client
            accepting.deadline = math.inf
            if name != "message":
                self.task_id = value.get("taskId") or value.get("id")
            if name in ("task", "statusUpdate"):
                self.state = state(value.get("status"))
            if self.unwanted:
                self._scope.cancel()  # it was waited for only to learn this

        with anyio.move_on_after(accept_seconds) as accepting:
            try:
                result = await stream_on(self._core, command, exchange, request, following, on_event=take)
            except MissiveError:
                if self._won is None:
                    await self._flush()  # it had the message: the caller gets to know what came of it
                raise
        if accepting.cancelled_caught:
            raise await self._too_slow(accept_seconds)
        if not self.unwanted:
            self.result = result

    async def _show(self, output: Output) -> None:
        if self.unwanted:
            return
        if self._shows:
            await self._emit(output)
            return
        self._held.append(output)
        event: Any = output.data
        told = event.state
        if told == "submitted" or (told in NO_SUCCESS if self._won is not None else told == "rejected"):
            return
        if self._won is None or await self._won(self):
            await self._flush()

    async def _flush(self) -> None:
        self._shows = True
        held, self._held = self._held, []
        for output in held:
            await self._emit(output)
