"""The adapter of every platform: connects, takes events in, and has the answers sent.

::

    def adapter(context: AdapterContext) -> ChatAdapter:
        return ChatAdapter(context, Pigeon)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import time
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread

from missive_chat import approvals
from missive_chat.bridge import Bridge
from missive_chat.connection import Connection
from missive_chat.delivery import ReplyTo
from missive_chat.files import Files
from missive_chat.gates import Rules
from missive_chat.inbox import Inbox
from missive_chat.outbox import Outbox
from missive_chat.owner import AccountLock
from missive_chat.platform import Inbound, Platform, PlatformContext
from missive_chat.presence import Presence
from missive_chat.requests import Target
from missive_chat.settling import Manner, Settling
from missive_chat.state import State
from missive_host.errors import ConfigError, MissiveError

if TYPE_CHECKING:
    from missive_host.envelopes import Envelope
    from missive_host.protocols import AdapterContext, Delivery, Intake

TICK = 5.0
"""Seconds between two looks at what has expired."""
DRAIN = 3.0
"""Seconds in which what is in the outbox may still be sent when the adapter is stopped."""
SWEEP_TICKS = 720


class StateCursor:
    """A `Cursor` in the bridge's state."""

    def __init__(self, state: State) -> None:
        self._state = state

    def get(self, name: str) -> str | None:
        return self._state.note(f"cursor.{name}")

    async def set(self, name: str, value: str) -> None:
        await self._state.set_note(f"cursor.{name}", value)


def platform_context(context: AdapterContext, state: State, alive: Callable[[], None]) -> PlatformContext:
    """Return what a platform gets, from what the host gives its adapter."""
    return PlatformContext(
        account=context.name,
        options=context.options,
        log=context.log,
        data_dir=context.data_dir,
        cursor=StateCursor(state),
        alive=alive,
        listener=context.listener,
    )


class ChatAdapter:
    """A `missive_host.protocols.Restoring` adapter around a platform."""

    def __init__(
        self,
        context: AdapterContext,
        factory: Callable[[PlatformContext], Platform],
        *,
        clock: Callable[[], float] = time,
    ) -> None:
        options: dict[str, Any] = dict(context.options)
        check_options(context.name, options)
        self._context = context
        self._kind = kind = context.kind
        self._clock = clock
        self._log = context.log
        self._state = State(context.data_dir)
        self._alive_at = 0.0
        self._alive_noted = 0.0
        rules = Rules.of(options)
        made = platform_context(context, self._state, self._is_alive)
        self._connection = Connection(factory, made, self._log)
        files = self._files = Files(context.data_dir)
        self._outbox = Outbox(self._state, clock, self._log)
        self._presence = Presence(self._connection, clock, self._log, reactions=options["reactions"])
        manner = Manner(
            stream=options["stream"],
            max_messages=options["max_messages"],
            approval_expiry=options["approval_expiry"],
            may_approve=bool(rules.approvers),
        )
        settling = Settling(
            self._state, self._outbox, files, self._presence, manner, self._connection, clock, self._log
        )
        self._bridge = Bridge(
            account=context.name,
            kind=kind,
            connection=self._connection,
            state=self._state,
            outbox=self._outbox,
            files=files,
            presence=self._presence,
            settling=settling,
            rules=rules,
            target=Target.of(options),
            options=options,
            clock=clock,
            log=self._log,
            keyed=context.durable,
        )
        self._inbox = inbox = Inbox(
            self._state, self._bridge.handle, self._connection.capabilities, clock, self._log, self._bridge.hurries
        )
        settling.on_again = inbox.wake

    @property
    def platform(self) -> Platform:
        """Its platform, for commands that only send or look."""
        return self._connection.platform

    def restore(self, envelope: Envelope, reply_to: Mapping[str, Any]) -> Delivery:
        """Return what takes the answer to a message that another process took in."""
        return self._bridge.delivery(envelope, ReplyTo.restored(reply_to))

    async def run(self, intake: Intake) -> int | None:
        """Be connected until cancelled, or until a platform that `ends` has ended and all is answered.

        Raises `ChatLoginError` and `ConfigError`; a lost connection is made anew.
        """
        self._bridge.intake = intake
        connection, lock = self._connection, None
        try:
            await connection.open()
            if connection.capabilities.single_owner:
                lock = AccountLock(self._kind, connection.platform.identity)
                lock.take()
            async with anyio.create_task_group() as group:
                self._presence.open(group)
                group.start_soon(self._outbox.run, connection)
                group.start_soon(self._tick)
                self._inbox.open(group)
                try:
                    await connection.listen(self._receive)
                    await self._inbox.handled()
                    await self._presence.quiet()
                    await self._outbox.drained()
                finally:
                    self._inbox.close()
                    with anyio.move_on_after(DRAIN, shield=True):
                        await self._outbox.drained()
                    group.cancel_scope.cancel()
        finally:
            await connection.close()
            if lock is not None:
                lock.release()
            self._state.close()  # an answer that comes later opens it again
        return None

    async def _receive(self, inbound: Inbound) -> bool:
        self._is_alive()
        return await self._inbox.receive(inbound)

    def _is_alive(self) -> None:
        self._alive_at = self._clock()

    async def _tick(self) -> None:
        """Note the signs of life, look for what waits, and close what has expired."""
        ticks = 0
        while True:
            try:
                if self._alive_at > self._alive_noted:
                    self._alive_noted = self._alive_at
                    await self._state.set_note("alive", repr(self._alive_at))
                self._inbox.look()
                edits, now = self._connection.capabilities.edits, self._clock()
                if self._state.value("SELECT 1 FROM approvals WHERE state = 'open' AND expires_at <= ?", now):
                    for conversation in await self._state.change(lambda db: approvals.expire(db, now, edits=edits)):  # noqa: B023
                        self._outbox.wake(conversation)
                if ticks % SWEEP_TICKS == 0:
                    await self._state.forget(now)
                    await anyio.to_thread.run_sync(self._files.sweep)
            except (MissiveError, OSError) as error:
                self._log.warning("%s", getattr(error, "message", error))
            ticks += 1
            await anyio.sleep(TICK)


def check_options(name: str, options: Mapping[str, Any]) -> None:
    """Check what the options say together. Raises `ConfigError`."""
    where = f"adapters.{name}.settings"
    if options["agent"] is None and options["group"] is None:
        raise ConfigError(f"{where}: who answers? neither `agent` nor `group` is set", help='agent = "NAME"')
    if options["agent"] is not None and options["group"] is not None:
        raise ConfigError(f"{where}: `agent` and `group` exclude each other", help="keep one of them")
    if options["policy"] is not None and options["group"] is None:
        raise ConfigError(f"{where}.policy: needs a `group`", help="to one agent there is nothing to choose")
