"""A program at a terminal: its own pseudo-terminal, which it owns, so that Ctrl-C and Ctrl-D are what they are."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from support.secret_scan import heard

CTRL_C, CTRL_D = "\x03", "\x04"
_OWN = (
    "import fcntl, os, sys, termios\n"
    "fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
    "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])\n"
)
_MOVES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class AtTerminal:
    """``python WORDS`` with a terminal as standard input, output and error."""

    def __init__(
        self, words: Sequence[str], *, env: Mapping[str, str], cwd: Path, rows: int = 30, columns: int = 100
    ) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        keep = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-c", _OWN, *words],
                stdin=slave, stdout=slave, stderr=slave,
                env={**keep, "TERM": "xterm", **env}, cwd=cwd, start_new_session=True,
            )  # fmt: skip
        finally:
            os.close(slave)
        self.raw = ""
        self._read = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(30)
        os.close(self._master)

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def until(self, words: str, seconds: float = 20) -> str:
        """Wait for words that have not been waited for yet; return all that came up to them."""
        deadline = time.monotonic() + seconds
        while (found := self.raw.find(words, self._read)) < 0:
            assert time.monotonic() < deadline, self.raw
            assert self._more(0.2) or self.process.poll() is None, self.raw
        before, self._read = self.raw[self._read : found + len(words)], found + len(words)
        return _MOVES.sub("", before).replace("\r\n", "\n")

    def end(self, seconds: float = 20) -> int:
        """Wait until it has ended, and return its exit status."""
        deadline = time.monotonic() + seconds
        while self.process.poll() is None:
            assert time.monotonic() < deadline, self.raw
            self._more(0.2)
        while self._more(0):
            pass
        return self.process.returncode

    @property
    def rest(self) -> str:
        """What has come and was not waited for."""
        return _MOVES.sub("", self.raw[self._read :]).replace("\r\n", "\n")

    def _more(self, seconds: float) -> bool:
        if not select.select([self._master], [], [], seconds)[0]:
            return False
        try:
            piece = os.read(self._master, 65536)
        except OSError:  # EIO: nobody has the other end any more
            return False
        heard(piece, self)
        self.raw += piece.decode("utf-8", "replace")
        return bool(piece)
