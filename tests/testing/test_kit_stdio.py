"""The door ``stdio`` holds what every adapter must, over real pipes."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import anyio
from missive_stdio.adapter import StdioAdapter
from stdio_kit import Pipe, frames

from missive_host.testing import AdapterContract, AdapterRig, Answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from missive_host.protocols import Adapter, AdapterContext


class StdioRig(AdapterRig):
    samples = tuple(
        json.dumps({"id": f"frame-{number}", "command": "task_list", "idempotency_key": f"key-{number}"}).encode()
        for number in range(4)
    )
    bad_samples = (
        b"no JSON",
        b"\xff\xfe",
        b"[]",
        b'{"id": "x"}',
        b'{"id": "x", "command": "sent"}',
        b'{"id": "x", "command": "task_list", "schema_version": "missive.stdio.v9"}',
        b'{"id": "x", "command": "task_list", "colour": 1}',
    )

    async def open(self) -> None:
        self.stdin, self.stdout = Pipe(), Pipe()
        os.set_blocking(self.stdout.r, False)
        self.written = b""

    async def close(self) -> None:
        for pipe in (self.stdin, self.stdout):
            pipe.close_r()
            pipe.close_w()

    def options(self) -> dict[str, Any]:
        return {"mode": "long-running"}

    def make(self, factory: Callable[[AdapterContext], Adapter], context: AdapterContext) -> Adapter:
        assert factory is StdioAdapter
        return StdioAdapter(context, stdin_fd=self.stdin.r, stdout_fd=self.stdout.w)

    async def send(self, sample: bytes) -> None:
        await anyio.wait_writable(self.stdin.w)
        self.stdin.put(sample + b"\n")

    async def end(self) -> None:
        self.stdin.close_w()

    async def answers(self) -> Sequence[Answer]:
        try:
            while chunk := os.read(self.stdout.r, 65536):
                self.written += chunk
        except BlockingIOError:
            pass
        whole = self.written[: self.written.rfind(b"\n") + 1]
        return [Answer(json.dumps(frame), error=not frame["ok"]) for frame in frames(whole)]


class TestStdio(AdapterContract):
    plugin = "stdio"
    rig = StdioRig
