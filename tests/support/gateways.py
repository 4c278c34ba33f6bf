"""``missive gateway run`` as a process of its own, on a home of a test."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

from missive_host.gateway.control import ask

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType
    from typing import Self

    from support.cores import Home


class GatewayProcess:
    """A gateway; what it writes on standard output is read as it comes, one JSON document a line."""

    def __init__(
        self,
        home: Home,
        *options: str,
        stdin: bool = False,
        env: dict[str, str] | None = None,
        program: Sequence[str] | None = None,
        deaf: bool = False,
    ) -> None:
        """With `deaf` nothing is read of what it writes until `listen` is called."""
        self.home = home
        environ = {**os.environ, **home.environ, "MISSIVE_CONFIG": str(home.config), **(env or {})}
        python = [sys.executable, *(program or ("-P", "-m", "missive_host"))]
        command = [*python, "--config", str(home.config), "gateway", "run"]
        self.process = subprocess.Popen(
            [*command, "--port", "0", "--ndjson", "-v", *options],
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environ, cwd=home.folder,
        )  # fmt: skip
        self.documents: list[dict[str, Any]] = []
        self.errors = ""
        self._changed = threading.Condition()
        self._readers = [threading.Thread(target=run, daemon=True) for run in (self._read_out, self._read_err)]
        self._readers[1].start()
        if not deaf:
            self.listen()

    def listen(self) -> None:
        """Read what it writes on standard output."""
        self._readers[0].start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    # --- what it says

    def until(self, enough: Callable[[list[dict[str, Any]]], Any], seconds: float = 30) -> Any:
        """Wait until what it has written is enough, and return what `enough` returned."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while not (found := enough(self.documents)):
                left = deadline - time.monotonic()
                assert left > 0, (self.documents, self.errors)
                self._changed.wait(min(left, 0.5))
        return found

    def ready(self, seconds: float = 30) -> Self:
        """Wait until it is ready."""
        deadline = time.monotonic() + seconds
        while True:
            assert self.process.poll() is None, (self.process.returncode, self.errors)
            try:
                status = self.status()
            except Exception:  # noqa: BLE001 - it is starting
                status = {}
            if status.get("ready"):
                return self
            assert time.monotonic() < deadline, (status, self.errors)
            time.sleep(0.02)

    def status(self) -> dict[str, Any]:
        return ask(self.home.settings().paths, {"command": "status"})

    @property
    def url(self) -> str:
        return "http://" + str(self.status()["bind_address"])

    def get(self, path: str) -> tuple[int, Any]:
        """Return status and body of a GET on its listener."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=10) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    # --- what it is told

    def put(self, *frames: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(b"".join(json.dumps(frame).encode() + b"\n" for frame in frames))
        self.process.stdin.flush()

    def end_input(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()

    def stop(self, seconds: float = 30) -> int:
        """Let it end as an operator would, and return its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait(seconds)

    def wait(self, seconds: float = 30) -> int:
        status = self.process.wait(seconds)
        self._close()
        return status

    def kill(self) -> None:
        """SIGKILL: nothing is said any more."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(30)
        self._close()

    def _close(self) -> None:
        for reader in self._readers:
            if reader.ident is not None:
                reader.join(10)
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    continue

    def _read_out(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.endswith(b"\n"):
                with self._changed:
                    self.documents.append(json.loads(line))
                    self._changed.notify_all()

    def _read_err(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.errors += line.decode(errors="replace")
