"""The host's side of the doors: takes deliveries in, keeps order, bounds, runs, settles exactly once."""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING

import anyio
from anyio.abc import TaskGroup

from missive_host.commands import Command, tag_of
from missive_host.errors import MissiveError, OrchestrationError, ValidationError
from missive_host.ids import new_id, now
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
from missive_host.telemetry import about, current_trace, given_trace
from missive_host.telemetry.spans import CONSUMER, NoSpan, entering, messaging

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType
    from typing import Any

    from missive_host.core.core import Core
    from missive_host.envelopes import Envelope
    from missive_host.filters import Chain
    from missive_host.outputs import Output

log = logging.getLogger("missive.intake")

SETTLE_SECONDS = 10.0
"""How long a delivery may take to be settled; then its slot is freed all the same."""


class Intake:
    """Runs the commands of deliveries, and keeps nothing of them: who sends them waits for the answer.

    Deliveries of one session (`Envelope.session`) run one after another in the order in which they came;
    different sessions run side by side. At most ``limit`` are accepted and not yet settled.

    Use it as an async context manager: leaving it waits for all that was accepted.
    """

    def __init__(self, core: Core, *, limit: int, filters: Chain | None = None) -> None:
        self._core = core
        self._filters = filters
        self._slots = anyio.Semaphore(limit, fast_acquire=True)
        self._waiting: dict[tuple[str, str], deque[Delivery]] = {}
        self._group: TaskGroup | None = None
        self.unfinished = 0
        """How many deliveries were cut off and settled as Retry."""

    async def __aenter__(self) -> Intake:
        self._group = anyio.create_task_group()
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> bool | None:
        assert self._group is not None
        return await self._group.__aexit__(exc_type, exc, tb)

    def cancel(self) -> None:
        """Cut off what runs; it is settled as Retry."""
        if self._group is not None:
            self._group.cancel_scope.cancel()

    async def submit(
        self,
        delivery: Delivery,
        *,
        reply_to: Mapping[str, Any] | None = None,  # noqa: ARG002 - nobody answers after a restart
        wait: bool = True,
    ) -> Receipt:
        if wait:
            await self._slots.acquire()
        else:
            try:
                self._slots.acquire_nowait()
            except anyio.WouldBlock:
                raise IntakeFullError("the host is busy", help="try again in a moment") from None
        self._accept(delivery)
        return Receipt(new_id(), adapter="", state="running", accepted_at=now())

    async def follow(self, receipt_id: str, viewer: Viewer, *, after: int = 0) -> None:  # noqa: ARG002 - as the protocol
        raise _not_kept(receipt_id)

    async def receipt(self, receipt_id: str) -> Receipt:
        raise _not_kept(receipt_id)

    def _accept(self, delivery: Delivery) -> None:
        assert self._group is not None
        session = delivery.envelope.session
        if session is None:
            self._group.start_soon(self._run, delivery)
            return
        queue = self._waiting.get(session)
        if queue is not None:
            queue.append(delivery)
            return
        self._waiting[session] = deque([delivery])
        self._group.start_soon(self._run_session, session)

    async def _run_session(self, session: tuple[str, str]) -> None:
        queue = self._waiting[session]
        try:
            while queue:
                await self._run(queue[0])
                queue.popleft()
        finally:
            # Reached with deliveries left only when this task was cancelled: they were never begun.
            del self._waiting[session]
            await self._settle_all(list(queue)[1:])

    async def _run(self, delivery: Delivery) -> None:
        envelope = delivery.envelope
        given = given_trace(envelope.traceparent, envelope.tracestate) or current_trace()
        attributes = messaging("process", envelope.contract)
        with (
            about(frame_id=envelope.id, agent=getattr(envelope.command, "agent", None)),
            entering(f"process {envelope.contract}", CONSUMER, given, attributes) as processing,
        ):
            await self._process(delivery, processing)

    async def _process(self, delivery: Delivery, processing: NoSpan) -> None:
        outcome: Outcome | None = None
        door_failed = False

        async def emit(output: Output) -> None:
            nonlocal door_failed
            if self._filters is not None:
                output = await self._filters.output(output)
            try:
                await delivery.send(output)
            except Exception:
                door_failed = True
                raise

        try:
            self._check(delivery.envelope)
            log.debug("%s begins", _name(delivery))
            envelope = delivery.envelope
            if self._filters is not None:
                envelope = await self._filters.inbound(envelope)
            processing.note("missive.command", tag_of(envelope.command))
            await self._core.run(envelope.command, emit)
            outcome = Done()
        except Exception as error:  # whatever a handler or a door raises must not end the others
            if door_failed:
                log.debug("the door cannot take answers any more: %s", type(error).__name__)
            else:
                if not isinstance(error, MissiveError):
                    log.warning("unexpected %s", type(error).__name__, exc_info=log.isEnabledFor(logging.DEBUG))
                processing.fail(error)
                report = self._core.report(error)
                outcome = Reject(report if self._filters is None else await self._filters.report(report))
        finally:
            await self._settle(delivery, outcome)

    async def _settle_all(self, left: list[Delivery]) -> None:
        """Settle what was never begun, side by side: a door that hangs costs `SETTLE_SECONDS` once, not for each."""
        if not left:
            return
        with anyio.CancelScope(shield=True):
            async with anyio.create_task_group() as group:
                for delivery in left:
                    group.start_soon(self._settle, delivery, None)

    def _check(self, envelope: Envelope) -> None:
        if envelope.idempotency_key is not None:
            raise ValidationError(
                "field `idempotency_key`: this process keeps no answers, so it cannot tell what was asked before",
                help="the gateway can: see `missive gateway run --help`",
            )
        profile = envelope.source.profile
        if profile is not None and profile != self._core.profile:
            raise ValidationError(
                f"field `source.profile`: this process works in the profile '{self._core.profile}', not '{profile}'",
                help="leave it out, or start the adapter with --profile",
            )

    async def _settle(self, delivery: Delivery, outcome: Outcome | None) -> None:
        """Tell the door what became of a delivery, also while we are being cancelled. None: it was cut off."""
        if outcome is None:
            self.unfinished += 1
            outcome = Retry(self._core.report(_stopped()))
        try:
            with anyio.fail_after(SETTLE_SECONDS, shield=True):
                await delivery.settle(outcome)
        except Exception as error:  # noqa: BLE001 - a door that cannot settle must not hold its slot for ever
            log.warning("frame %s could not be settled: %s", delivery.envelope.id, type(error).__name__)
        else:
            log.info("%s: %s", _name(delivery), type(outcome).__name__.lower())
        finally:
            self._slots.release()


def _name(delivery: Delivery) -> str:
    """Return what the log calls the command; an adapter may have put anything there."""
    command = delivery.envelope.command
    return tag_of(command) if isinstance(command, Command) else type(command).__name__


def _not_kept(receipt_id: str) -> UnknownReceiptError:
    return UnknownReceiptError(f"there is no receipt '{receipt_id[:64]}'", help="answers are kept by the gateway only")


def _stopped() -> OrchestrationError:
    return OrchestrationError(
        "stopped before it was done",
        help="send it again; a message that was under way keeps its messageId in the journal",
    )
