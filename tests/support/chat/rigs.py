"""A platform by itself: with the options of its declaration, without a gateway."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import missive_chat
from missive_chat.platform import Inbound, Outgoing, Place, Platform, PlatformContext

from missive_host.security.secrets import Secret

PATIENCE = 20.0


@dataclass
class Positions:
    """`Cursor` for as long as the test runs."""

    values: dict[str, str] = field(default_factory=dict)

    def get(self, name: str) -> str | None:
        return self.values.get(name)

    async def set(self, name: str, value: str) -> None:
        await anyio.sleep(0)
        self.values[name] = value


def options(kind: str, **given: Any) -> dict[str, Any]:
    """Return options as an adapter gets them: complete, secrets wrapped."""
    (spec,) = (spec for spec in missive_chat.missive_adapters() if spec.name == kind)
    unknown = given.keys() - {option.name for option in spec.options}
    assert not unknown, unknown
    values = {option.name: () if option.repeated else option.default for option in spec.options}
    for option in spec.options:
        if option.name in given:
            value = given[option.name]
            values[option.name] = Secret(value) if option.secret and isinstance(value, str) else value
    return values


def context(
    kind: str, folder: Path, *, cursor: Positions | None = None, alive: Callable[[], None] = lambda: None, **given: Any
) -> PlatformContext:
    return PlatformContext(
        account="test",
        options=options(kind, **given),
        log=logging.getLogger(f"missive.adapter.{kind}"),
        data_dir=folder,
        cursor=cursor or Positions(),
        alive=alive,
    )


@dataclass
class Rig:
    """A platform that listens, and what it has heard."""

    platform: Platform
    heard: list[Inbound] = field(default_factory=list)
    hold: anyio.Event | None = None
    """While it is there and not set, nothing is taken in."""
    _changed: anyio.Event = field(default_factory=anyio.Event)

    async def receive(self, inbound: Inbound) -> bool:
        if self.hold is not None:
            await self.hold.wait()
        self.heard.append(inbound)
        self._changed.set()
        self._changed = anyio.Event()
        return True

    async def until(self, found: Callable[[Inbound], bool], seconds: float = PATIENCE) -> Inbound:
        """Wait for an event, and return it."""
        with anyio.fail_after(seconds):
            while True:
                changed = self._changed
                for inbound in self.heard:
                    if found(inbound):
                        return inbound
                await changed.wait()

    async def says(self, text: str, seconds: float = PATIENCE) -> Inbound:
        """Wait until somebody has said exactly this."""
        return await self.until(lambda inbound: inbound.text == text, seconds)


@asynccontextmanager
async def listening(platform: Platform) -> AsyncIterator[Rig]:
    """Open a platform, and listen until the end."""
    rig = Rig(platform)
    try:
        await platform.open()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(platform.listen, rig.receive)
            yield rig
            tasks.cancel_scope.cancel()
    finally:
        await platform.close()


def keys() -> Iterator[str]:
    number = 0
    while True:
        number += 1
        yield f"{number:024x}"


_KEYS = keys()


def outgoing(place: Place, text: str, **more: Any) -> Outgoing:
    return Outgoing(key=next(_KEYS), place=place, text=text, **more)


async def settle(condition: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Wait until something is true."""
    with anyio.fail_after(seconds):
        while not condition():
            await anyio.sleep(0.01)
