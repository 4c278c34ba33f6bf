"""Real chat and mail servers as processes of their own: free ports of 127.0.0.1, a temporary folder, no root needed."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

HOST = "127.0.0.1"
SYSTEM_FOLDERS = "/usr/sbin:/usr/local/sbin:/sbin:/opt/homebrew/sbin:/opt/homebrew/bin"
"""Where servers are that a user's PATH does not have."""


def free_port() -> int:
    """Return a port that nobody listens on; another process may take it before we do: see `Server.attempts`."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def program(name: str) -> str | None:
    """Return where a program is, if it is installed."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:{SYSTEM_FOLDERS}")


def greets(port: int, greeting: bytes = b"") -> bool:
    """Tell whether a server listens there, and begins with these bytes."""
    try:
        with socket.create_connection((HOST, port), 1) as connection:
            return not greeting or connection.recv(256).startswith(greeting)
    except OSError:
        return False


class Server(ABC):
    """A context manager: inside it the server runs. A subclass says the command and when it is ready.

    `folder` is there before `command` is called and goes away at the end. As root, a server with `unprivileged` runs
    as ``nobody``, who owns the folder.
    """

    attempts = 3
    """A start that fails is tried again, with other ports: they may have been taken in between."""
    start_seconds = 30.0
    unprivileged = False
    folder: Path
    process: subprocess.Popen[bytes]

    @abstractmethod
    def command(self) -> list[str]:
        """Take ports, write the configuration below `folder`, and return the command that stays in the foreground."""

    @abstractmethod
    def ready(self) -> bool:
        """Tell whether it answers."""

    def prepare(self) -> None:  # noqa: B027 - most need nothing
        """Do what takes longer, once, before the first `command`."""

    @property
    def environ(self) -> dict[str, str]:
        return dict(os.environ)

    def __enter__(self) -> Self:
        self.folder = Path(tempfile.mkdtemp(prefix=f"missive-{type(self).__name__.lower()}-")).resolve()
        try:
            self.prepare()
            self.start()
        except BaseException:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self) -> None:
        """Start it and wait until it is ready."""
        for left in reversed(range(self.attempts)):
            self.argv = self.command()
            if self._run():
                return
            self.stop()
            if not left:
                raise AssertionError(f"{type(self).__name__} did not start:\n{self.said()[-3000:]}")

    def restart(self, *, crash: bool = False) -> None:
        """Stop it and start it again on the same ports and with what it has kept."""
        self.stop(crash=crash)
        assert self._run(), f"{type(self).__name__} did not start again:\n{self.said()[-3000:]}"

    def stop(self, *, crash: bool = False) -> None:
        """End it and all that it has started."""
        if self.process.poll() is None:
            self._signal(signal.SIGKILL if crash else signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(10)
        self._signal(signal.SIGKILL)
        self.process.wait(10)

    def said(self) -> str:
        """Return what it wrote on its standard output and error."""
        return (self.folder / "server.log").read_text(encoding="utf-8", errors="replace")

    def _run(self) -> bool:
        drop = self.unprivileged and os.geteuid() == 0
        if drop:
            for path in (self.folder, *self.folder.rglob("*")):
                shutil.chown(path, "nobody", "nogroup")
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                self.argv, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, cwd=self.folder,
                env=self.environ, start_new_session=True,
                user="nobody" if drop else None, group="nogroup" if drop else None, extra_groups=[] if drop else None,
            )  # fmt: skip
        deadline = time.monotonic() + self.start_seconds
        while self.process.poll() is None and time.monotonic() < deadline:
            if self.ready():
                return True
            time.sleep(0.01)
        return False

    def _signal(self, number: int) -> None:
        # macOS says "permission" where the group's processes have ended and were not waited for
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)
