"""What the tests of the contract are written with."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import anyio
import pytest

from missive_chat.platform import (
    Button,
    ChatError,
    Outgoing,
    Place,
    Unit,
)
from missive_chat.testing.rig import Rig, Shown
from missive_chat.testing.running import Running, assert_silent, told
from missive_host.errors import MissiveError

Test = TypeVar("Test", bound=Callable[..., Any])
Failure = TypeVar("Failure", bound=MissiveError)

KEYS = tuple(f"{number:024x}" for number in range(0xC0FFEE, 0xC0FFEE + 8))
BUTTONS = (Button(label="Yes", value="a:7Q2K:yes", style="primary"), Button(label="No", value="a:7Q2K:no"))


def needs(*features: str) -> Callable[[Test], Test]:
    """Mark a test that is only for platforms with these features."""

    def mark(test: Test) -> Test:
        test.__dict__["needs"] = frozenset(features)
        return test

    return mark


def length(text: str, unit: Unit) -> int:
    """Return how long a text is, as the platform counts."""
    if unit == "characters":
        return len(text)
    return len(text.encode("utf-16-le")) // 2 if unit == "utf-16" else len(text.encode())


def stored(place: Place) -> Place:
    """Return a place as the bridge has it after a restart."""
    return Place(**json.loads(json.dumps(asdict(place))))


class Kit:
    """What is common to all tests of a platform."""

    pytestmark = pytest.mark.anyio
    lacks: ClassVar[frozenset[str]] = frozenset()
    patience: ClassVar[float] = 20
    """Seconds after which something that was waited for counts as never."""

    @pytest.fixture
    def anyio_backend(self) -> str:
        """The host always runs on asyncio."""
        return "asyncio"

    @pytest.fixture
    def rig(self) -> Rig:
        """Return the other side; a subclass has a fixture of this name, mostly an async one that yields."""
        raise NotImplementedError(f"{type(self).__name__} needs a fixture `rig`")

    def at_work(self, rig: Rig, folder: Path, **settings: Any) -> Running:
        return Running(rig, folder, patience=self.patience, **settings)

    async def fails(self, rig: Rig, what: str, call: Awaitable[Any], kind: type[Failure]) -> Failure:
        """Let a call fail; return its error, in which there is no secret. `what` is said if it does not fail."""
        with anyio.move_on_after(self.patience) as waiting:
            try:
                await call
            except kind as error:
                assert_silent(rig, f"the error: {what}", told(error))
                return error
        raise AssertionError("it comes to no end" if waiting.cancelled_caught else what)

    async def place(self, bridge: Running, *, thread: bool = False) -> Place:
        """Return where somebody has written: all that an answer needs, also after a restart."""
        channel = "channels" not in self.lacks
        await bridge.rig.say("is there anybody?", direct=not channel, mention=channel, thread=thread)
        return stored((await bridge.message("is there anybody?")).place)

    async def seen(self, rig: Rig, text: str, *, count: int = 1) -> list[Shown]:
        """Wait until people see that many messages of the bot with a text in them."""
        found: list[Shown] = []
        with anyio.move_on_after(self.patience):
            while True:
                found = [message for message in await rig.shown() if text in message.text]
                if len(found) == count:
                    return found
                await anyio.sleep(0.02)
        raise AssertionError(f"{text!r} should be seen {count} times, and is {len(found)} times")

    async def refused(self, rig: Rig, bridge: Running, message: Outgoing) -> ChatError:
        """Send what will not succeed."""
        return await self.fails(rig, "what was not sent counts as sent", bridge.platform.send(message), ChatError)
