"""Doors for tests: deliveries that record, and ``missive adapter stdio`` as a process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import anyio

from missive_host.envelopes import Envelope, Source

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from support.cores import Home

    from missive_host.commands import Command
    from missive_host.outputs import Output
    from missive_host.protocols import Outcome


class Delivery:
    """One inbound envelope, and everything that was done with it."""

    def __init__(
        self,
        command: Command,
        *,
        session: str = "s",
        frame_id: str = "f",
        on_send: Callable[[Output], Any] | None = None,
        on_settle: Callable[[], Any] | None = None,
    ) -> None:
        source = Source(source_id=session)
        self.envelope = Envelope(contract="test", id=frame_id, source=source, command=command, metadata={})
        self.sent: list[Output] = []
        self.outcomes: list[Outcome] = []
        self.settled = anyio.Event()
        self._on_send = on_send
        self._on_settle = on_settle

    async def send(self, output: Output) -> None:
        if self._on_send is not None and (waiting := self._on_send(output)) is not None:
            await waiting
        self.sent.append(output)

    async def settle(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        if self._on_settle is not None and (waiting := self._on_settle()) is not None:
            await waiting
        self.settled.set()

    @property
    def outcome(self) -> Outcome:
        """What it was settled as: exactly once."""
        (outcome,) = self.outcomes
        return outcome


class StdioProcess:
    """``missive adapter stdio`` on a home, its answers read as they come."""

    def __init__(self, home: Home, *options: str) -> None:
        environ = {**os.environ, **home.environ, "MISSIVE_CONFIG": str(home.config)}
        command = [sys.executable, "-P", "-m", "missive_host", "--config", str(home.config), "adapter", "stdio"]
        self.process = subprocess.Popen(
            [*command, "--mode", "long-running", *options],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environ, cwd=home.folder,
        )  # fmt: skip
        self.frames: list[dict[str, Any]] = []
        self.rest = b""
        """What was on standard output after the last whole line."""
        self.errors = b""
        self._changed = threading.Condition()
        self._readers = [threading.Thread(target=run, daemon=True) for run in (self._read_out, self._read_err)]
        for reader in self._readers:
            reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.finished()

    def put(self, *frames: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(b"".join(json.dumps(frame).encode() + b"\n" for frame in frames))
        self.process.stdin.flush()

    def end(self) -> None:
        """Close its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.close()

    def until(self, enough: Callable[[list[dict[str, Any]]], bool], seconds: float = 30) -> None:
        """Wait until its answers are enough."""
        with self._changed:
            assert self._changed.wait_for(lambda: enough(self.frames), seconds), (self.frames, self.errors)

    def finished(self, seconds: float = 30) -> int:
        """Wait for its end, and return its exit status."""
        status = self.process.wait(seconds)
        for reader in self._readers:
            reader.join(seconds)
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    continue  # what was not read by a process that was killed
        return status

    def _read_out(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if not line.endswith(b"\n"):
                self.rest = line
                return
            with self._changed:
                self.frames.append(json.loads(line))
                self._changed.notify_all()

    def _read_err(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.errors += line


def frame(frame_id: str, command: str, *, session: str | None = None, **fields: Any) -> dict[str, Any]:
    """Return a request frame; by default each is a session of its own."""
    source = {"source_id": session or frame_id}
    return {"schema_version": "missive.stdio.v1", "id": frame_id, "source": source, "command": command, **fields}
