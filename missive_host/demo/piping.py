"""An adapter as a child process: frames in on its stdin, frames out of its stdout, as any other program would do it."""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any

from missive_host.errors import DeadlineError, TransportError

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from types import TracebackType
    from typing import Self

_DRAIN_SECONDS = 0.3
_STOP_SECONDS = 5.0
_REASON_BYTES = 4000


class PipedAdapter:
    """``missive adapter …`` between two pipes, for as long as the ``with`` block lasts.

    ``deadline`` is a time of the monotonic clock. Its standard error is kept for the error's ``sources``.
    """

    def __init__(self, words: Sequence[str], *, env: Mapping[str, str], cwd: Path, deadline: float) -> None:
        # -P: a file of the working folder must not be taken for a module.
        self._argv = [sys.executable, "-P", "-m", "missive_host", "adapter", *words]
        self._env = dict(env)
        self._cwd = cwd
        self._deadline = deadline
        self._process: subprocess.Popen[bytes] | None = None
        self._reason: IO[bytes] | None = None
        self._buffer = b""

    def __enter__(self) -> Self:
        import subprocess
        import tempfile

        self._reason = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            self._argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._reason,
            bufsize=0,
            env=self._env,
            cwd=self._cwd,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        import subprocess

        process = self._running
        # The first signal lets what is in flight go on for a while, the second one cuts it off.
        for seconds in (_DRAIN_SECONDS, _STOP_SECONDS):
            if process.poll() is None:
                process.terminate()
                with suppress(subprocess.TimeoutExpired):
                    process.wait(seconds)
        if process.poll() is None:
            process.kill()
            process.wait()
        for stream in (process.stdin, process.stdout, self._reason):
            if stream is not None:
                stream.close()

    @property
    def pid(self) -> int:
        return self._running.pid

    @property
    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "it is used inside of its with block"
        return self._process

    def send(self, frame: Mapping[str, Any]) -> None:
        """Write one frame. Raises `TransportError` if the adapter has ended."""
        assert self._running.stdin is not None
        line = json.dumps(frame, ensure_ascii=False, separators=(",", ":")) + "\n"
        try:
            self._running.stdin.write(line.encode())
        except BrokenPipeError:
            raise self._ended() from None

    def receive(self) -> dict[str, Any]:
        """Return the next frame. Raises `TransportError` if the adapter ends first, `DeadlineError` when it is late."""
        while b"\n" not in self._buffer:
            piece = self._read()
            if not piece:
                raise self._ended()
            self._buffer += piece
        line, self._buffer = self._buffer.split(b"\n", 1)
        try:
            frame = json.loads(line)
        except ValueError:
            frame = None
        if not isinstance(frame, dict):
            raise TransportError(f"the adapter wrote a line that is no frame: {line[:200].decode(errors='replace')}")
        return frame

    def finish(self) -> int:
        """End its input, wait for it to end, and return its exit status. Raises `DeadlineError` when it is late."""
        import subprocess

        assert self._running.stdin is not None
        self._running.stdin.close()
        try:
            return self._running.wait(max(0.0, self._deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise self._late() from None

    def said(self) -> tuple[str, ...]:
        """Return the end of what it wrote on standard error: one text, or none."""
        assert self._reason is not None
        size = self._reason.seek(0, os.SEEK_END)
        self._reason.seek(max(0, size - _REASON_BYTES))
        text = self._reason.read().decode(errors="replace").strip()
        return (text,) if text else ()

    def _read(self) -> bytes:
        import selectors

        assert self._running.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._running.stdout, selectors.EVENT_READ)
            if not selector.select(max(0.0, self._deadline - time.monotonic())):
                raise self._late()
        return os.read(self._running.stdout.fileno(), 65536)

    def _late(self) -> DeadlineError:
        return DeadlineError(
            "the adapter did not answer in time", help="allow more time with --timeout", sources=self.said()
        )

    def _ended(self) -> TransportError:
        status = self._running.wait()
        return TransportError(f"the adapter ended with status {status} before it had answered", sources=self.said())
