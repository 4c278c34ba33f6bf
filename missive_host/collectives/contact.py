"""One message to one member, up to its answer."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import anyio
import msgspec
from msgspec import UNSET

from missive_host.a2a.parts import Request
from missive_host.a2a.shapes import SETTLED, Json, message_text, payload, state
from missive_host.core.durable import recall
from missive_host.core.following import Following
from missive_host.core.recorder import Exchange
from missive_host.core.views import given
from missive_host.errors import MissiveError
from missive_host.outputs_collectives import BcastMember

if TYPE_CHECKING:
    from missive_host.a2a.client import AgentClient
    from missive_host.collectives.members import Member
    from missive_host.collectives.operations import Operation
    from missive_host.core.core import Core, Emit
    from missive_host.outputs import SelectedInterface
    from missive_host.store import Tables
    from missive_host.store.rows import OperationMemberRow


class Contact:
    """A member, the message to it, and what came of that."""

    def __init__(self, core: Core, operation: Operation, member: Member, request: Request, remote: str | None) -> None:
        self._core = core
        self._operation = operation
        self.member = member
        self.exchange = Exchange(
            agent=member.agent,
            message_id=core.message_id(member.agent),
            context_id=operation.context_id,
            remote_context_id=remote,
            work_id=None if core.work is None else core.work.work_id,
            is_all=False,
        )
        core.agents.learn_secrets(member.agent)  # before anything is written down
        self.request = addressed(request, self.exchange.message_id, remote)
        self.kind = "send"
        """``send`` or ``stream``: how it is journaled."""
        self.written = False
        """True once the request is in the store."""
        self.begun = False
        self.status: str | None = None
        """``succeeded``, ``failed``, ``timeout``, ``interrupted``, ``left``; None while it is under way."""
        self.error: MissiveError | None = None
        self._began = 0.0
        self._duration = 0.0
        self._interface: SelectedInterface | None = None
        self._shape: str | None = None
        self._message_id: str | None = None
        self._state: str | None = None
        self._said: str | None = None
        self._made: list[str] = []

    @property
    def completed(self) -> bool:
        """It has answered, with a Message or a task that has completed."""
        return self.status == "succeeded" and (self._shape == "message" or self._state == "completed")

    @property
    def undecided(self) -> bool:
        """It may complete yet."""
        return self.status is None or (self.status == "succeeded" and self._state not in SETTLED | {None})

    # --- the store

    def store_request(self, tables: Tables) -> None:
        """Write the request down: before the first attempt."""
        self._core.recorder.store_request(tables, self.exchange, self.request, self.kind)
        tables.operations.put_member(self.row("pending"))
        self.written = True

    def row(self, status: str | None = None) -> OperationMemberRow:
        """Return how it stands with the member, as the store keeps it."""
        error = None if self.error is None else msgspec.to_builtins(self._core.report(self.error))
        return self._operation.member_row(
            self.member.agent,
            self.member.rank,
            status or self.status or "pending",
            request_message_id=self.exchange.message_id,
            response_message_id=self._message_id,
            task_id=self.exchange.task_id,
            remote_context_id=self.exchange.remote_context_id,
            state=self._state,
            shape=self._shape,
            error=error,
        )

    def cut_off(self, status: str, error: MissiveError | None) -> None:
        """There was no answer in time."""
        self.status, self.error = status, error
        self._stop_clock()

    def store_cut_off(self, tables: Tables) -> None:
        """Write that down."""
        if self.written and self._shape is None:
            self._core.recorder.store_failed(tables, self.exchange, self.kind, self.error)
        self._operation.store_member(tables, self.row())

    # --- the call

    async def run(self, *, stream: Emit | None = None) -> None:
        """Send, and keep the answer; with `stream` as updates. What goes wrong is kept in ``error``.

        Only cancellation is raised; then ``status`` is still None.
        """
        self.begun = True
        self._began = time.monotonic()
        try:
            with self.exchange.about():
                if await self._recalled():
                    return
                if stream is not None:
                    await self._stream(stream)
                else:
                    await self._send()
        except MissiveError as error:
            self.status, self.error = "failed", error
            self._stop_clock()
            with anyio.CancelScope(shield=True):
                await self._core.commit(self._store_failure)

    async def _recalled(self) -> bool:
        """Take the answer that an earlier attempt at the same work has got from the member, if it has."""
        if self._core.work is None or self._core.work.attempt == 1:
            return False
        answer = recall(self._core, self.exchange)
        if answer is None:
            return False
        self.written = True
        self._take(answer)
        self._succeed(await self._core.agents.client(self.member.agent))
        await self._core.commit(lambda tables: self._operation.store_member(tables, self.row()))
        return True

    async def _send(self) -> None:
        if not self.written:
            await self._core.commit(self.store_request)

        async def call(client: AgentClient) -> Json:
            self.exchange.attempted = True
            return await client.send(self.request.body)

        answer, client = await self._core.agents.calling(self.member.agent, call)
        self._take(answer)
        self._succeed(client)
        with anyio.CancelScope(shield=True):  # the answer is here: it is not to be lost
            await self._core.recorder.answered(
                self.exchange, answer, client.interface, lambda tables: self._operation.store_member(tables, self.row())
            )

    async def _stream(self, emit: Emit) -> None:
        failure: MissiveError | None = None
        try:
            client = await self._core.agents.client(self.member.agent)
        except MissiveError as error:
            failure = error  # raised below, when the request has left its trace
        else:
            if client.streaming:
                self.kind = "stream"
        if failure is not None or self.kind == "send":
            await self._core.commit(self.store_request)
            if failure is not None:
                raise failure
            await self._send()
            return
        await self._core.commit(self.store_request)
        following = Following(self._core, self.exchange, emit, requested=True)

        async def take(event: Json) -> None:
            self._take(event)
            await following.take(event)

        async def call(client: AgentClient) -> None:
            following.client = client
            if following.answered and self.exchange.task_id is not None:
                # The agent has moved in the middle of the stream: it has the message, only its task is taken up.
                await client.subscribe(self.exchange.task_id, take)
                return
            self.exchange.attempted = True
            await client.stream(self.request.body, take)

        _, client = await self._core.agents.calling(self.member.agent, call)
        self._succeed(client)
        with anyio.CancelScope(shield=True):
            await self._core.commit(lambda tables: self._operation.store_member(tables, self.row()))

    def _store_failure(self, tables: Tables) -> None:
        if self._shape is None:  # else it has answered, and the stream broke off later
            if not self.written:
                self.store_request(tables)
            self._core.recorder.store_failed(tables, self.exchange, self.kind, self.error)
        self._operation.store_member(tables, self.row())

    def _succeed(self, client: AgentClient) -> None:
        self.status = "succeeded"
        self._interface = client.interface
        self._stop_clock()

    def _stop_clock(self) -> None:
        if self.begun:
            self._duration = time.monotonic() - self._began

    def _take(self, event: Json) -> None:
        """Note what an answer or an update says."""
        name, value = payload(event)
        if name == "message":
            self._shape, self._message_id, self._said = "message", value["messageId"], message_text(value)
            return
        self._shape = "task"
        self.exchange.task_id = value.get("taskId") or value.get("id")
        if "status" in value:
            self._state = state(value["status"])
            self._said = message_text(value["status"].get("message"))
        for artifact in value.get("artifacts") or ([value["artifact"]] if "artifact" in value else ()):
            self._made += [part["text"] for part in artifact.get("parts") or () if "text" in part]

    @property
    def _text(self) -> str | None:
        """What it answered: of a task that has completed what it made, else what it says."""
        made = "".join(self._made) or None
        return (made or self._said) if self._state == "completed" else (self._said or made)

    # --- the document

    def view(self) -> BcastMember:
        return BcastMember(
            agent=self.member.agent,
            rank=self.member.rank,
            status=self.status or "pending",
            duration_ms=int(self._duration * 1000),
            request_message_id=self.exchange.message_id if self.written else UNSET,
            selected_interface=given(self._interface),
            response_shape=given(self._shape),
            response_message_id=given(self._message_id),
            task_id=given(self.exchange.task_id),
            context_id=given(self.exchange.remote_context_id),
            state=given(self._state),
            text=given(self._text),
            error=UNSET if self.error is None else self._core.report(self.error),
        )


def addressed(request: Request, message_id: str, remote_context_id: str | None) -> Request:
    """Return a request as it goes to one member: with a messageId and the agent's own contextId."""
    message: dict[str, Any] = {**request.message, "messageId": message_id}
    message.pop("contextId", None)
    if remote_context_id:
        message["contextId"] = remote_context_id
    view = msgspec.structs.replace(request.view, message_id=message_id, context_id=remote_context_id or UNSET)
    return Request(body={**request.body, "message": message}, view=view)
