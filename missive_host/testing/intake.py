"""The host's side of an adapter, for tests: takes deliveries, settles each once, and remembers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import anyio

from missive_host.errors import ErrorReport, MissiveError, OrchestrationError, ValidationError
from missive_host.ids import new_id
from missive_host.outputs import Output, Persistence, RequestView, ResponseView, SelectedInterface, SendResult
from missive_host.protocols import (
    Delivery,
    Done,
    IntakeFullError,
    Outcome,
    Receipt,
    Reject,
    Retry,
    UnknownReceiptError,
    Viewer,
)

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from anyio.abc import TaskGroup

    from missive_host.envelopes import Envelope


@dataclass(eq=False)
class Taken:
    """One delivery that the intake has taken, and what became of it. A handler gets this."""

    number: int
    delivery: Delivery
    reply_to: Mapping[str, Any] | None
    outputs: list[Output] = field(default_factory=list)
    """What was sent so far."""
    outcome: Outcome | None = None
    """How it was settled; None while it is under way."""
    failure: Exception | None = None
    """What the adapter's own `send` or `settle` raised."""
    _changed: anyio.Event = field(default_factory=anyio.Event)

    @property
    def envelope(self) -> Envelope:
        return self.delivery.envelope

    async def send(self, output: Output) -> None:
        """Carry one result back."""
        self.outputs.append(output)
        self._wake()
        await self.delivery.send(output)

    def _wake(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    async def _settle(self, outcome: Outcome) -> None:
        self.outcome = outcome
        self._wake()
        await self.delivery.settle(outcome)

    async def _show(self, viewer: Viewer, after: int) -> None:
        """Do for a viewer what was done for the delivery, and will be."""
        while True:
            for output in self.outputs[after:]:
                await viewer.send(output)
                after += 1
            if after < len(self.outputs):
                continue
            if self.outcome is not None:
                await viewer.settle(self.outcome)
                return
            await self._changed.wait()


Handler = Callable[[Taken], Awaitable[Outcome | None]]
"""Does the work of one delivery. None is `Done`; a `MissiveError` that it raises is `Reject`."""


def answered(text: str) -> Output:
    """Return the result of a message that an agent has answered with a text."""
    ids = {"message_id": new_id()}
    interface = SelectedInterface(
        binding="json-rpc",
        protocol_binding="JSONRPC",
        url="http://127.0.0.1:1/",
        protocol_version="1.0",
        source="agent_card",
    )
    request = RequestView(
        **ids, part_count=1, parts=(), local_input_bytes=0, request_bytes=0, accepted_output_modes=(), metadata={}
    )
    raw = {"messageId": ids["message_id"], "role": "ROLE_AGENT", "parts": [{"text": text}]}
    return Output(
        SendResult(
            profile="default",
            agent="agent",
            selected_interface=interface,
            request=request,
            response=ResponseView(shape="message", raw=raw, text=text, **ids),
            persistence=Persistence(),
            message="the agent has answered",
        )
    )


async def _answer(taken: Taken) -> None:
    await taken.send(answered(f"answer to {taken.envelope.id}"))


class RecordingIntake:
    """A `missive_host.protocols.Intake` that is as strict as the host, and does what `handler` says.

    ::

        async with RecordingIntake() as intake:
            await adapter.run(intake)
        assert [taken.envelope.id for taken in intake.taken] == ["a", "b"]

    Without a handler every delivery gets one result, ``answer to ID``. At most `room` are under way at once;
    `refuse` may raise a `MissiveError` for an envelope, as the host does for a key that was used before. Leaving the
    context cuts off what is still under way, and settles it as `Retry`.
    """

    def __init__(
        self,
        handler: Handler = _answer,
        *,
        room: int = 1024,
        refuse: Callable[[Envelope], None] | None = None,
        settle_seconds: float = 10.0,
    ) -> None:
        self.taken: list[Taken] = []
        """Every delivery, in the order in which they were accepted."""
        self.refused = 0
        """How many were not accepted, because there was no room and the adapter did not wait, or by `refuse`."""
        self.waiting = 0
        """How many calls of `submit` are waiting for room."""
        self._handler = handler
        self._refuse = refuse
        self._settle_seconds = settle_seconds
        self._slots = anyio.Semaphore(room, fast_acquire=True)
        self._group: TaskGroup | None = None
        self._changed = anyio.Event()

    async def __aenter__(self) -> Self:
        self._group = anyio.create_task_group()
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._group is not None
        self._group.cancel_scope.cancel()
        await self._group.__aexit__(None, None, None)  # the test's own error is raised as it is, not in a group

    # --- for the test

    async def until(self, enough: Callable[[RecordingIntake], Any]) -> None:
        """Wait until this is so: it is asked whenever a delivery was accepted, refused or settled."""
        while not enough(self):
            await self._changed.wait()

    @property
    def settled(self) -> list[Taken]:
        return [taken for taken in self.taken if taken.outcome is not None]

    @property
    def failures(self) -> list[Exception]:
        """What the adapter's `send` and `settle` raised."""
        return [taken.failure for taken in self.taken if taken.failure is not None]

    # --- for the adapter

    async def submit(
        self, delivery: Delivery, *, reply_to: Mapping[str, Any] | None = None, wait: bool = True
    ) -> Receipt:
        assert self._group is not None, "use it as an async context manager"
        envelope = delivery.envelope
        try:
            if self._refuse is not None:
                self._refuse(envelope)
            first = self._earlier(envelope)
        except MissiveError:
            self.refused += 1
            self._wake()
            raise
        if first is not None:
            self._group.start_soon(first._show, delivery, 0)
            return self._receipt(first, duplicate=True)
        await self._place(wait=wait)
        taken = Taken(len(self.taken), delivery, reply_to)
        self.taken.append(taken)
        self._group.start_soon(self._run, taken)
        self._wake()
        return self._receipt(taken)

    async def follow(self, receipt_id: str, viewer: Viewer, *, after: int = 0) -> None:
        await self._find(receipt_id)._show(viewer, after)

    async def receipt(self, receipt_id: str) -> Receipt:
        return self._receipt(self._find(receipt_id))

    # ---

    def _earlier(self, envelope: Envelope) -> Taken | None:
        key = envelope.idempotency_key
        for taken in self.taken if key is not None else ():
            if taken.envelope.idempotency_key == key:
                if taken.envelope.command != envelope.command:
                    raise ValidationError(f"the idempotency key '{key}' was used for another command")
                return taken
        return None

    async def _place(self, *, wait: bool) -> None:
        try:
            self._slots.acquire_nowait()
        except anyio.WouldBlock:
            if not wait:
                self.refused += 1
                self._wake()
                raise IntakeFullError("the host is busy", help="try again in a moment") from None
            self.waiting += 1
            self._wake()
            try:
                await self._slots.acquire()
            finally:
                self.waiting -= 1

    async def _run(self, taken: Taken) -> None:
        outcome: Outcome = Retry(_report("stopped before it was done"))
        try:
            outcome = await self._handler(taken) or Done()
        except MissiveError as error:
            outcome = Reject(error.report())
        except Exception as error:  # noqa: BLE001 - an adapter that cannot take an answer must not end the others
            taken.failure = error
        finally:
            with anyio.CancelScope(shield=True):
                try:
                    with anyio.fail_after(self._settle_seconds):
                        await taken._settle(outcome)
                except Exception as error:  # noqa: BLE001 - the same
                    taken.failure = error
            self._slots.release()
            self._wake()

    def _find(self, receipt_id: str) -> Taken:
        for taken in self.taken:
            if _id(taken) == receipt_id:
                return taken
        raise UnknownReceiptError(f"there is no receipt '{receipt_id[:64]}'")

    def _receipt(self, taken: Taken, *, duplicate: bool = False) -> Receipt:
        state = "running"
        if taken.outcome is not None:
            state = {Done: "done", Reject: "failed", Retry: "queued"}[type(taken.outcome)]
        return Receipt(
            _id(taken),
            adapter="test",
            state=state,
            accepted_at="2026-01-01T00:00:00.000000Z",
            duplicate=duplicate,
            outputs=len(taken.outputs),
            reply_to=taken.reply_to,
        )

    def _wake(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()


def _id(taken: Taken) -> str:
    return f"receipt-{taken.number}"


def _report(text: str) -> ErrorReport:
    return OrchestrationError(text).report()
