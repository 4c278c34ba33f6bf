"""What a person sees before there is an answer: a reaction, and that somebody types. Best effort, never in the way."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from logging import Logger
from typing import TYPE_CHECKING

import anyio

from missive_chat.connection import Connection
from missive_chat.platform import Place, Reaction

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

    from missive_chat.delivery import ChatDelivery

LONGEST_TYPING = 120.0
"""Seconds after which nobody believes any more that somebody is typing."""
CALL_SECONDS = 15.0
MOST_LATER = 1000
"""Reactions that wait for the connection."""


class Presence:
    """What runs, by conversation, and the signs of it."""

    def __init__(self, connection: Connection, clock: Callable[[], float], log: Logger, *, reactions: bool) -> None:
        self._connection = connection
        self._clock = clock
        self._log = log
        self._reactions = reactions
        self._running: dict[str, ChatDelivery] = {}
        self._group: TaskGroup | None = None
        self._later: deque[Callable[[], Awaitable[None]]] = deque(maxlen=MOST_LATER)
        self._more = anyio.Event()
        self._fewer = anyio.Event()

    async def quiet(self) -> None:
        """Wait until nothing runs."""
        while self._running:
            await self._fewer.wait()

    def running(self, conversation: str) -> tuple[ChatDelivery, ...]:
        """Return what runs, or waits for its turn, in a conversation."""
        return tuple(each for each in self._running.values() if each.reply_to.conversation == conversation)

    def seen(self, place: Place, message_id: str) -> None:
        self._react(place, message_id, "seen", None)

    async def in_turn(self, delivery: ChatDelivery, seconds: float) -> None:
        """Wait until what came before in the conversation has its answer; not longer, for it may go on (steered)."""
        with anyio.move_on_after(seconds):
            while any(
                each.reply_to.entry < delivery.reply_to.entry for each in self.running(delivery.reply_to.conversation)
            ):
                await self._fewer.wait()

    def begun(self, delivery: ChatDelivery) -> None:
        self._running[delivery.reply_to.owner] = delivery
        self._more.set()

    def ended(self, delivery: ChatDelivery, *, failed: bool | None = None) -> None:
        """The answer is there, or (with None) it goes on elsewhere."""
        to = delivery.reply_to
        self._running.pop(to.owner, None)
        fewer, self._fewer = self._fewer, anyio.Event()
        fewer.set()
        if failed is not None and to.message_id is not None:
            self._react(to.place, to.message_id, "failed" if failed else "done", "seen")

    def open(self, group: TaskGroup) -> None:
        """Begin to show it, in a task group that ends when the connection does."""
        self._group = group
        group.start_soon(self._type)
        while self._later:
            self._start("reaction", self._later.popleft())

    async def _type(self) -> None:
        """Show that somebody types, for as long as it is true."""
        ttl = self._connection.capabilities.typing_ttl
        try:
            while ttl is None:
                await anyio.sleep_forever()
            while True:
                now = self._clock()
                young = [each for each in self._running.values() if now - each.since < LONGEST_TYPING]
                here = young if self._connection.is_open else []
                for delivery in {each.reply_to.conversation: each for each in here}.values():
                    self._start("typing", partial(self._connection.platform.typing, delivery.reply_to.place))
                if young:
                    await anyio.sleep(ttl * 0.8)
                else:
                    self._more = anyio.Event()
                    await self._more.wait()
        finally:
            self._group = None

    def _react(self, place: Place, message_id: str, reaction: Reaction, instead_of: Reaction | None) -> None:
        if self._reactions and self._connection.capabilities.reactions:
            call = partial(self._put, place, message_id, reaction, instead_of)
            if self._group is None:  # an answer that was ready before the connection
                self._later.append(call)
            else:
                self._start("reaction", call)

    async def _put(self, place: Place, message_id: str, reaction: Reaction, instead_of: Reaction | None) -> None:
        platform = await self._connection.ready()
        await platform.react(place, message_id, reaction, instead_of=instead_of)

    def _start(self, what: str, call: Callable[[], Awaitable[None]]) -> None:
        if self._group is not None:
            self._group.start_soon(self._try, what, call)

    async def _try(self, what: str, call: Callable[[], Awaitable[None]]) -> None:
        with anyio.move_on_after(CALL_SECONDS):
            try:
                await call()
            except Exception as error:  # noqa: BLE001 - a sign of life is not worth a failure
                self._log.debug("%s: %s", what, getattr(error, "message", repr(error)))
