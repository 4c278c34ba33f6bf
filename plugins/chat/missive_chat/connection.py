"""The connection to a platform: made, lost, made anew. There is never more than one."""

from __future__ import annotations

from collections.abc import Callable
from logging import Logger

import anyio

from missive_chat.platform import ChatCapabilities, ChatError, Platform, PlatformContext, Receive

PAUSES = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
"""Seconds before a connection that was lost is made anew."""
GOOD_SECONDS = 60.0
"""A connection that lasted this long was a good one: the pauses begin anew."""


class Connection:
    """Holds the platform as it is now: a new one for each connection."""

    def __init__(self, factory: Callable[[PlatformContext], Platform], context: PlatformContext, log: Logger) -> None:
        self._factory = factory
        self._context = context
        self._log = log
        self.platform = factory(context)
        self._opened = anyio.Event()

    @property
    def capabilities(self) -> ChatCapabilities:
        return self.platform.capabilities

    @property
    def is_open(self) -> bool:
        return self._opened.is_set()

    async def ready(self) -> Platform:
        """Return the platform, as soon as something can be asked of it."""
        while not self.is_open:
            await self._opened.wait()
        return self.platform

    async def open(self) -> None:
        """Log in. What is wrong with the credentials is told at once; what may pass is tried again."""
        failures = 0
        while True:
            try:
                await self.platform.open()
            except ChatError as error:
                if error.permanent:
                    raise
                await self._pause("not connected", error, failures)
                failures += 1
            else:
                self._opened.set()
                self._context.alive()
                return

    async def listen(self, receive: Receive) -> None:
        """Receive until cancelled, or to the end of a platform that `ends`.

        Raises `ChatLoginError`, and a `ChatError` that is permanent.
        """
        failures = 0
        while True:
            begun = anyio.current_time()
            try:
                await self.platform.listen(receive)
                if self.capabilities.ends:
                    return
                lost = ChatError("it was ended")
            except ChatError as error:
                if error.permanent:
                    raise
                lost = error
            failures = 0 if anyio.current_time() - begun > GOOD_SECONDS else failures + 1
            await self._pause("the connection was lost", lost, failures)
            await self.open()

    async def close(self) -> None:
        """Close it, whatever it is doing."""
        if self.is_open:  # else somebody waits for this very event, and would wait for ever
            self._opened = anyio.Event()
        with anyio.CancelScope(shield=True):
            await self.platform.close()

    async def _pause(self, what: str, error: ChatError, failures: int) -> None:
        await self.close()  # before there is another one: two would hear everything twice
        pause = error.retry_after or PAUSES[min(failures, len(PAUSES) - 1)]
        self._log.warning("%s, next try in %g s: %s", what, pause, error.message)
        await anyio.sleep(pause)
        self.platform = self._factory(self._context)
