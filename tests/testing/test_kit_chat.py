"""A chat holds what every adapter must: the one at the terminal, over real pipes."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
from missive_chat.adapter import ChatAdapter
from missive_chat.options import SHARED
from missive_chat.platforms import terminal
from stdio_kit import Pipe

from missive_host.testing import AdapterContract, AdapterRig, Answer

if TYPE_CHECKING:
    from missive_host.protocols import Adapter, AdapterContext


class TerminalRig(AdapterRig):
    samples = ("good morning", "how are you?", "and now?")

    async def open(self) -> None:
        self.keyboard, self.screen = Pipe(), Pipe()
        os.set_blocking(self.screen.r, False)
        self.shown = b""

    async def close(self) -> None:
        for pipe in (self.keyboard, self.screen):
            pipe.close_r()
            pipe.close_w()

    def options(self) -> dict[str, Any]:
        return {"agent": "echo"}

    def make(self, factory: Callable[[AdapterContext], Adapter], context: AdapterContext) -> Adapter:
        assert factory is terminal.adapter
        shared = {option.name: () if option.repeated else option.default for option in SHARED}
        context = replace(context, options={**shared, **terminal._FIXED, **context.options})
        return ChatAdapter(context, partial(terminal.Terminal, source=self.keyboard.r, target=self.screen.w))

    async def send(self, sample: str) -> None:
        await anyio.wait_writable(self.keyboard.w)
        self.keyboard.put(sample.encode() + b"\n")

    async def end(self) -> None:
        self.keyboard.close_w()

    async def answers(self) -> Sequence[Answer]:
        try:
            while chunk := os.read(self.screen.r, 65536):
                self.shown += chunk
        except BlockingIOError:
            pass
        return [Answer(line, error=line.startswith("⚠️")) for line in self.shown.decode().splitlines()]


class TestTerminal(AdapterContract):
    plugin = "chat"
    name = "terminal"
    rig = TerminalRig
    lacks = frozenset({"errors", "late", "progress"})
