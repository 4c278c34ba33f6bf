"""The gateway's intake: a delivery is on the disk before its adapter may acknowledge it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import anyio

from missive_host.commands import tag_of
from missive_host.envelopes import Envelope, stored
from missive_host.errors import StorageError, ValidationError
from missive_host.gateway.answers import receipt_of, unknown_receipt
from missive_host.ids import new_id, now
from missive_host.protocols import Delivery, IntakeFullError, Receipt, Viewer
from missive_host.store.rows import WorkRow
from missive_host.store.work import request_digest

if TYPE_CHECKING:
    from missive_host.gateway.dispatcher import Dispatcher


class Room:
    """How much has been taken in and not ended, in all and of each adapter, and who waits for room."""

    def __init__(self, capacity: Callable[[], int], adapter_capacity: Callable[[str], int | None]) -> None:
        self._capacity = capacity
        self._adapter_capacity = adapter_capacity
        self._open: Counter[str] = Counter()
        self._freed = anyio.Event()

    @property
    def total(self) -> int:
        return self._open.total()

    def count(self, adapter: str, by: int) -> None:
        """Count what is there already, at the start."""
        self._open[adapter] += by

    def leave(self, adapter: str) -> None:
        self._open[adapter] -= 1
        freed, self._freed = self._freed, anyio.Event()
        freed.set()

    async def enter(self, adapter: str, *, wait: bool) -> None:
        """Take a place. Raises `IntakeFullError` if there is none and the caller does not want to wait."""
        while not self._has_room(adapter):
            if not wait:
                raise IntakeFullError("the gateway has as much as it may take in", help="try again in a moment")
            await self._freed.wait()
        self._open[adapter] += 1

    def _has_room(self, adapter: str) -> bool:
        own = self._adapter_capacity(adapter)
        return self._open.total() < self._capacity() and (own is None or self._open[adapter] < own)


class GatewayIntake:
    """The intake of one adapter of the gateway; a `missive_host.protocols.Intake`."""

    def __init__(self, adapter: str, dispatcher: Dispatcher, room: Room) -> None:
        self._adapter = adapter
        self._dispatcher = dispatcher
        self._room = room

    async def submit(
        self, delivery: Delivery, *, reply_to: Mapping[str, Any] | None = None, wait: bool = True
    ) -> Receipt:
        envelope = delivery.envelope
        self._check(envelope)
        answers = self._dispatcher.answers
        await self._room.enter(self._adapter, wait=wait)
        work = self._work(envelope, reply_to)
        answers.attach(work.work_id, delivery)
        taken = False
        try:
            known = await self._dispatcher.core.store.commit(lambda tables: tables.work.put(work))
            taken = known.work_id == work.work_id
        except StorageError as error:
            self._dispatcher.storage_error = error
            raise
        finally:
            if not taken:
                answers.detach(work.work_id)
                self._room.leave(self._adapter)
        if taken:
            self._dispatcher.wake()
            return receipt_of(known)
        if known.request_sha256 != work.request_sha256:
            raise ValidationError(
                "field `idempotency_key`: another command was given under this key",
                help="a key stands for one request; use a new one",
            )
        if known.ended or known.outputs:
            answers.attach_ended(known.work_id, delivery)
        else:
            answers.attach(known.work_id, delivery)
            current = await self._row(known.work_id)
            if current.ended:
                answers.notice(known.work_id)
        return receipt_of(known, duplicate=True)

    async def follow(self, receipt_id: str, viewer: Viewer, *, after: int = 0) -> None:
        await self._row(receipt_id)
        await self._dispatcher.answers.follow(receipt_id, viewer, after)

    async def receipt(self, receipt_id: str) -> Receipt:
        return receipt_of(await self._row(receipt_id))

    async def _row(self, work_id: str) -> WorkRow:
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
