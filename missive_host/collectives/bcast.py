"""``bcast``: one message to all members of a group. ``scatter`` uses it with different messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import anyio
from msgspec import UNSET

from missive_host import commands as c
from missive_host.a2a.parts import Request, build_request
from missive_host.collectives.contact import Contact
from missive_host.collectives.members import Member, SharedContext, find_context, members_now, open_context
from missive_host.collectives.operations import Operation, conclude, raise_if
from missive_host.errors import DeadlineError, MissiveError, OrchestrationError
from missive_host.outputs_collectives import BcastRequest, BcastResult, ScatterResult

if TYPE_CHECKING:
    from missive_host.core.core import Core, Emit
    from missive_host.outputs import Output
    from missive_host.store import Tables

CONTENT = (
    "message", "stdin_text", "text_parts", "json_parts", "files", "file_bytes", "mime", "metadata",
    "accepted_output_modes",
)  # fmt: skip
"""The fields of a command that make its message."""


async def broadcast(core: Core, command: c.Bcast, emit: Emit) -> None:
    """Run `bcast`. Raises the error that its failure policy asks for, after the result has been emitted."""
    members, context = look_up(core, command.group, command.context)
    request = request_of(core, as_send(command, return_immediately=command.return_immediately))
    sending = Broadcast(
        core,
        Operation(core, "bcast", command.group, context.context_id),
        context,
        [(member, request) for member in members],
        execution=command.execution,
        failure_policy=command.failure_policy,
        seconds=core.timeout_of(command),
        stream=one_at_a_time(emit) if command.stream else None,
    )
    await conclude(emit, sending.operation, sending.run, sending.end, first=sending.operation)
    raise_if(sending.failure())


def look_up(core: Core, group: str, context: str | None) -> tuple[tuple[Member, ...], SharedContext]:
    """Return the members of a group and the context of a broadcast to them. Raises `ValidationError`."""
    return core.store.read(lambda tables: (members_now(tables, group), find_context(core, tables, context)))


def as_send(command: c.Bcast | c.Scatter | c.Allreduce, *, return_immediately: bool = False) -> c.Send:
    """Return the message of a collective as that of a `send`."""
    content = {name: getattr(command, name) for name in CONTENT}
    return c.Send(**content, return_immediately=return_immediately)


def request_of(core: Core, command: c.Send) -> Request:
    """Build a request that is not addressed yet. Raises `ValidationError` and `IoError`."""
    return build_request(
        command,
        message_id="0" * 36,  # as long as a real one, so that the size is right
        context_id=None,
        task_id=None,
        max_bytes=core.settings.config.qos.request_bytes,
        files=core.files,
    )


def one_at_a_time(emit: Emit) -> Emit:
    """Return `emit` for several tasks: no result is written in the middle of another."""
    lock = anyio.Lock()

    async def emit_alone(output: Output) -> None:
        async with lock:
            await emit(output)

    return emit_alone


class Broadcast:
    """A request to each member, all at once (bounded by ``qos.concurrency``) or one after another."""

    def __init__(
        self,
        core: Core,
        operation: Operation,
        context: SharedContext,
        requests: Sequence[tuple[Member, Request]],
        *,
        execution: str,
        failure_policy: str,
        seconds: float | None,
        stream: Emit | None = None,
        required: int | None = None,
    ) -> None:
        """`required`: it is over when so many have completed, or cannot any more; the others are not waited for."""
        self._core = core
        self.operation = operation
        self._context = context
        self._execution = execution
        self._failure_policy = failure_policy
        self._seconds = seconds
        self._stream = stream
        self._required = required
        self._contacts = [
            Contact(core, operation, member, request, context.remote.get(member.agent)) for member, request in requests
        ]
        self._timed_out = False
        self._decided = False
        self._interrupted = False

    async def run(self) -> None:
        """Contact the members. Members that fail are no error here, nor is the deadline."""
        with self._core.sharing():
            await self.operation.begin(self._store_begin)
            with anyio.move_on_after(self._seconds) as scope:
                if self._execution == "sequential":
                    await self._one_by_one()
                else:
                    await self._all_at_once()
            self._timed_out = scope.cancelled_caught

    async def end(self, interrupted: bool = False) -> BcastResult:
        """Write down what came of it, and return the result."""
        self._interrupted = interrupted
        late: list[Contact] = []
        if interrupted or self._timed_out or self._decided:  # else a sequential broadcast may have stopped before some
            late = [contact for contact in self._contacts if contact.status is None]
        for contact in late:
            if interrupted:
                contact.cut_off("interrupted", None)
            elif self._timed_out:
                contact.cut_off("timeout", self._too_late(contact))
            else:
                contact.cut_off("left", None)
        result = self.result()

        def write(tables: Tables) -> None:
            for contact in late:
                contact.store_cut_off(tables)

        await self.operation.end(result, also=write)
        return result

    def _store_begin(self, tables: Tables) -> None:
        at_once = self._execution == "concurrent" and self._stream is None
        open_context(
            tables, self._context, kind=self.operation.kind, group=self.operation.group, at=self.operation.created_at
        )
        waiting = [
            self.operation.member_row(contact.member.agent, contact.member.rank, "pending")
            for contact in self._contacts
        ]
        self.operation.store_begin(tables, waiting, execution=self._execution, failure_policy=self._failure_policy)
        if at_once:
            for contact in self._contacts:
                contact.store_request(tables)

    async def _one_by_one(self) -> None:
        for contact in self._contacts:
            await contact.run(stream=self._stream)
            if contact.status == "failed" and self._failure_policy == "stop":
                return

    async def _all_at_once(self) -> None:
        limit = anyio.CapacityLimiter(self._core.settings.config.qos.concurrency)

        async def contact_one(contact: Contact) -> None:
            async with limit:
                await contact.run(stream=self._stream)
            if self._required is not None and self._is_decided(self._required):
                self._decided = True
                group.cancel_scope.cancel()

        async with anyio.create_task_group() as group:
            for contact in self._contacts:
                group.start_soon(contact_one, contact)

    def _is_decided(self, required: int) -> bool:
        completed = sum(contact.completed for contact in self._contacts)
        possible = sum(contact.completed or contact.undecided for contact in self._contacts)
        return completed >= required or possible < required

    # --- the result

    @property
    def status(self) -> str:
        if self._interrupted:
            return "interrupted"
        succeeded = sum(contact.status in ("succeeded", "left") for contact in self._contacts)
        if self._timed_out and succeeded < len(self._contacts):
            return "timeout"
        if succeeded == len(self._contacts):
            return "succeeded"
        return "partial_failure" if succeeded else "failed"

    def result(self) -> BcastResult:
        """Return the document as it stands."""
        views = tuple(contact.view() for contact in self._contacts if contact.status is not None)
        succeeded = sum(view.status == "succeeded" for view in views)
        request = self._contacts[0].request.view
        kind = ScatterResult if self.operation.kind == "scatter" else BcastResult
        return kind(
            profile=self._core.profile,
            operation_id=self.operation.operation_id,
            group=self.operation.group,
            execution=self._execution,
            failure_policy=self._failure_policy,
            status=self.status,
            member_count=len(self._contacts),
            success_count=succeeded,
            failure_count=sum(view.status not in ("succeeded", "left") for view in views),
            timeout_ms=UNSET if self._seconds is None else int(self._seconds * 1000),
            elapsed_ms=self.operation.elapsed_ms,
            request=BcastRequest(
                context_id=self._context.context_id,
                context_created=self._context.created,
                part_count=request.part_count,
                parts=request.parts,
                local_input_bytes=request.local_input_bytes,
                request_bytes=request.request_bytes,
                accepted_output_modes=request.accepted_output_modes,
                metadata=request.metadata,
            ),
            members=views,
            message=f"{succeeded} of {len(self._contacts)} members of '{self.operation.group}' answered",
        )

    def failure(self) -> MissiveError | None:
        """Return the error that stands for how it ended; None if it ended well enough for its failure policy."""
        status = self.status
        if status == "timeout":
            return self._deadline_error()
        if status == "failed" or (status == "partial_failure" and self._failure_policy == "stop"):
            failed = [contact for contact in self._contacts if contact.error is not None]
            return OrchestrationError(
                f"{self.operation.kind} to group '{self.operation.group}': {len(failed)} of {len(self._contacts)} "
                "members failed",
                help="with --failure-policy continue that is no error as long as one member answers",
                sources=tuple(f"{contact.member.agent}: {_sentence(contact.error)}" for contact in failed),
            )
        return None

    def _too_late(self, contact: Contact) -> DeadlineError:
        return DeadlineError(f"agent '{contact.member.agent}' had not answered after {self._seconds or 0:g} s")

    def _deadline_error(self) -> DeadlineError:
        late = sum(contact.status in (None, "timeout") for contact in self._contacts)
        return DeadlineError(
            f"{self.operation.kind} to group '{self.operation.group}': {late} of {len(self._contacts)} members had "
            f"not answered after {self._seconds or 0:g} s",
            help=f"they may go on with it: `missive barrier {self.operation.group} "
            f"--context {self._context.context_id}` waits for them; allow more time with --timeout",
        )


def _sentence(error: MissiveError | None) -> str:
    return "" if error is None else error.message
