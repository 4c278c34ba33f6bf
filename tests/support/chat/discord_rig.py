"""A bot on the fake Discord: the platform under the real library, and what it received."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
from missive_chat import missive_adapters
from missive_chat.platform import Inbound, Outgoing, Place, PlatformContext
from missive_chat.platforms.discord.platform import Discord
from support.chat.fake_discord import TOKEN, FakeDiscord

from missive_host.security.secrets import Secret


class Notes:
    """A cursor that lasts as long as the test."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}

    def get(self, name: str) -> str | None:
        return self.values.get(name)

    async def set(self, name: str, value: str) -> None:
        self.values[name] = value


class Rig:
    """One bot. `heard` is what it received, without what was known already."""

    def __init__(self, fake: FakeDiscord, folder: Path, notes: Notes | None = None, **options: Any) -> None:
        token = options.pop("token", TOKEN)
        timing = {name: options.pop(name) for name in ("heartbeat_timeout",) if name in options}
        spec = next(spec for spec in missive_adapters() if spec.name == "discord")
        defaults = {
            option.name: list(option.default or ()) if option.repeated else option.default for option in spec.options
        }
        self.fake = fake
        self.notes = notes or Notes()
        self.heard: list[Inbound] = []
        self.deliveries: list[str] = []
        self.alive = 0
        self.hold: anyio.Event | None = None
        """While it is there the bridge has no room."""
        urls = {"api_url": fake.api_url, "gateway_url": fake.gateway_url}
        secret = Secret(token)
        context = PlatformContext(
            account="team",
            options={**defaults, "group_policy": "open", "commands": False, **urls, **options, "token": secret},
            log=logging.getLogger("missive.test"),
            data_dir=folder,
            cursor=self.notes,
            alive=self._alive,
        )
        self.platform = Discord(context, **timing)

    def _alive(self) -> None:
        self.alive += 1

    async def receive(self, inbound: Inbound) -> bool:
        if self.hold is not None:
            await self.hold.wait()
        self.deliveries.append(inbound.event_id)
        if any(known.event_id == inbound.event_id for known in self.heard):
            return False
        self.heard.append(inbound)
        return True

    async def until(self, condition: Callable[[], object]) -> None:
        with anyio.fail_after(20):
            while not condition():
                await anyio.sleep(0.01)

    async def next(self, count: int = 1) -> Inbound:
        """Wait until so many events were received; return the last one of them."""
        await self.until(lambda: len(self.heard) >= count)
        return self.heard[count - 1]

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Rig]:
        """Log in and listen, until the context is left."""
        await self.platform.open()
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self.platform.listen, self.receive)
                await self.until(lambda: self.fake.gateway.online and "position" in self.notes.values)
                yield self
                group.cancel_scope.cancel()
        finally:
            await self.platform.close()


def outgoing(text: str, channel: int, key: str = "0123456789abcdef01234567", **more: Any) -> Outgoing:
    """Return a message to a channel of the server."""
    return Outgoing(key=key, place=more.pop("place", Place(chat=str(channel))), text=text, **more)
