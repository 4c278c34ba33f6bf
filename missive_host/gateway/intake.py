"""The gateway's intake: a delivery is on the disk before its adapter may acknowledge it."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import anyio
import msgspec

from missive_host.commands import tag_of
from missive_host.envelopes import Envelope, stored
from missive_host.errors import StorageError, ValidationError
from missive_host.gateway import busy
from missive_host.gateway.answers import receipt_of, unknown_receipt
from missive_host.gateway.running import LANE, STEERED
from missive_host.ids import new_id, now
from missive_host.protocols import Delivery, IntakeFullError, Receipt, Viewer
from missive_host.store.rows import WorkRow
from missive_host.store.work import request_digest
from missive_host.telemetry import about, current_trace, given_trace, trace_fields
from missive_host.telemetry.spans import CONSUMER, NoSpan, entering, messaging

if TYPE_CHECKING:
    from missive_host.gateway.dispatcher import Dispatcher
    from missive_host.store import Tables

log = logging.getLogger("missive.gateway")


class Room:
    """What has been taken in and has not ended: in all, of each adapter and of each session; and who waits for room.

    Each delivery has a place under its id, so that leaving twice, or leaving what never came in, does no harm.
    """

    def __init__(self, capacity: Callable[[], int], adapter_capacity: Callable[[str], int | None]) -> None:
        self._capacity = capacity
        self._adapter_capacity = adapter_capacity
        self._places: dict[str, tuple[str, str | None]] = {}
        self._adapters: Counter[str] = Counter()
        self._lanes: Counter[str] = Counter()
        self._freed = anyio.Event()

    def take(self, work_id: str, adapter: str, lane: str | None) -> None:
        """Give a delivery its place, whether there is room or not."""
        self._places[work_id] = (adapter, lane)
        self._adapters[adapter] += 1
        if lane is not None:
            self._lanes[lane] += 1

    def waiting(self, lane: str, *, running: bool) -> int:
        """Return how many of a session wait for their turn."""
        return max(0, self._lanes[lane] - running)

    def leave(self, work_id: str) -> None:
        """Free the place of a delivery, if it has one."""
        place = self._places.pop(work_id, None)
        if place is None:
            return
        adapter, lane = place
        self._adapters[adapter] -= 1
        if lane is not None:
            self._lanes[lane] -= 1
            if not self._lanes[lane]:
                del self._lanes[lane]
        freed, self._freed = self._freed, anyio.Event()
        freed.set()

    async def enter(self, work_id: str, adapter: str, lane: str | None, *, depth: int, wait: bool) -> None:
        """Take a place; of one session `depth` may wait. Raises `IntakeFullError` if there is none and no `wait`."""
        while (full := self._why_full(adapter, lane, depth)) is not None:
            if not wait:
                raise IntakeFullError(full, help="try again in a moment")
            await self._freed.wait()
        self.take(work_id, adapter, lane)

    def _why_full(self, adapter: str, lane: str | None, depth: int) -> str | None:
        own = self._adapter_capacity(adapter)
        if len(self._places) >= self._capacity() or (own is not None and self._adapters[adapter] >= own):
            return "the gateway has as much as it may take in"
        if lane is not None and self._lanes[lane] > depth:
            return f"{depth} messages of this session wait already"
        return None


class GatewayIntake:
    """The intake of one adapter of the gateway; a `missive_host.protocols.Intake`."""

    def __init__(self, adapter: str, dispatcher: Dispatcher, room: Room) -> None:
        self._adapter = adapter
        self._dispatcher = dispatcher
        self._room = room

    async def submit(
        self, delivery: Delivery, *, reply_to: Mapping[str, Any] | None = None, wait: bool = True
    ) -> Receipt:
        envelope, present = delivery.envelope, current_trace()
        given = given_trace(envelope.traceparent, envelope.tracestate) or present
        attributes = messaging("receive", self._adapter, command=tag_of(envelope.command))
        with (
            about(adapter=self._adapter, frame_id=envelope.id),
            entering(f"receive {self._adapter}", CONSUMER, given, attributes, link=present) as receiving,
        ):
            self._check(envelope)
            envelope = await self._dispatcher.filters(self._adapter).inbound(envelope)
            work = self._work(msgspec.structs.replace(envelope, **trace_fields()), reply_to)
            receiving.note("messaging.message.id", work.work_id)
            with about(work_id=work.work_id, agent=work.agent_alias):
                return await self._take_in(delivery, envelope, work, wait, receiving)

    async def _take_in(
        self, delivery: Delivery, envelope: Envelope, work: WorkRow, wait: bool, receiving: NoSpan
    ) -> Receipt:
        dispatcher = self._dispatcher
        rules = busy.rules_for(dispatcher.core.settings.config, self._adapter)
        await self._room.enter(work.work_id, self._adapter, work.lane, depth=rules.max_queue_depth, wait=wait)
        disposition, running = None, None
        try:
            if work.lane is not None and rules.mode != "queue":
                running = dispatcher.running_in(work.lane)
                depth = self._room.waiting(work.lane, running=running is not None) - 1
                disposition = busy.decide(rules, envelope.command, running, max(0, depth))
            with anyio.CancelScope(shield=True):  # a commit that has begun is not taken back
                known = await self._put(delivery, work, disposition, running)
        except BaseException:
            self._room.leave(work.work_id)
            raise
        if known.work_id == work.work_id:
            log.info("%s is taken in", work.command)
            if disposition is not None:
                await busy.apply(disposition, running, dispatcher)
            dispatcher.wake()
            return receipt_of(known)
        self._room.leave(work.work_id)
        receiving.note("missive.duplicate_of", known.work_id)
        with about(work_id=known.work_id):
            log.info("%s is known by its idempotency key: it gets the answer of the first", work.command)
            return self._again(delivery, work, known)

    async def _put(
        self, delivery: Delivery, work: WorkRow, disposition: busy.Disposition | None, running: busy.RunningView | None
    ) -> WorkRow:
        """Commit the delivery; return its row, or that of an earlier one with the same idempotency key."""
        event = None
        if disposition is not None and work.lane is not None:
            event = busy.journal(disposition, running, work_id=work.work_id, adapter=self._adapter, lane=work.lane)
            if disposition.kind == "steered":
                request = {**work.request, STEERED: msgspec.to_builtins(running), LANE: work.lane}
                work = msgspec.structs.replace(work, lane=None, request=request)

        def write(tables: Tables) -> WorkRow:
            row = tables.work.put(work)
            if event is not None and row.work_id == work.work_id:
                tables.events.append(event)
            return row

        answers = self._dispatcher.answers
        answers.attach(work.work_id, delivery)
        known = None
        try:
            known = await self._dispatcher.core.store.commit(write)
        except StorageError as error:
            self._dispatcher.storage_error = error
            raise
        finally:
            if known is None or known.work_id != work.work_id:
                answers.detach(work.work_id)
        return known

    def _again(self, delivery: Delivery, work: WorkRow, known: WorkRow) -> Receipt:
        """Give a delivery the answer of the first one with its key. Raises `ValidationError` if it asks for another."""
        if known.request_sha256 != work.request_sha256:
            raise ValidationError(
                "field `idempotency_key`: another command was given under this key",
                help="a key stands for one request; use a new one",
            )
        answers = self._dispatcher.answers
        if known.ended:
            answers.attach_ended(known.work_id, delivery)
        else:
            answers.attach(known.work_id, delivery)
            current = self._row(known.work_id)  # it may have ended while its row was on the way
            if current.ended:
                answers.notice(known.work_id)
        return receipt_of(known, duplicate=True)

    async def follow(self, receipt_id: str, viewer: Viewer, *, after: int = 0) -> None:
        self._row(receipt_id)
        await self._dispatcher.answers.follow(receipt_id, viewer, after)

    async def receipt(self, receipt_id: str) -> Receipt:
        return receipt_of(self._row(receipt_id))

    def _row(self, work_id: str) -> WorkRow:
        work = self._dispatcher.core.store.read(lambda tables: tables.work.get(work_id))
        if work is None or work.adapter != self._adapter:
            raise unknown_receipt(work_id)
        return work

    def _work(self, envelope: Envelope, reply_to: Mapping[str, Any] | None) -> WorkRow:
        command, request = envelope.command, stored(envelope)
        asked = {"command": request["command"], "source": request["source"]}
        session = envelope.session
        return WorkRow(
            work_id=new_id(),
            kind="delivery",
            adapter=self._adapter,
            idempotency_key=envelope.idempotency_key,
            command=tag_of(command),
            agent_alias=getattr(command, "agent", None),
            group=getattr(command, "group", None),
            lane=None if session is None else "\n".join((self._adapter, *session)),
            request=request,
            request_sha256=request_digest(asked),
            reply_to=None if reply_to is None else dict(reply_to),
            max_attempts=self._dispatcher.core.settings.config.gateway.max_attempts,
            run_at=(at := now()),
            accepted_at=at,
        )

    def _check(self, envelope: Envelope) -> None:
        profile = envelope.source.profile
        if profile is not None and profile != self._dispatcher.core.profile:
            raise ValidationError(
                f"field `source.profile`: this gateway works in the profile '{self._dispatcher.core.profile}', "
                f"not '{profile}'",
                help="leave it out, or send it to the gateway of that profile",
            )
