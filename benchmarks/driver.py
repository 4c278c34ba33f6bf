"""Drives ``missive adapter stdio`` over its pipes at the least expense: this process has to share the cores.

Frames are put together from ready pieces, answers are not parsed: the id is searched for in their bytes.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import Self

from measure import AGENT, environment, missive

_ID = b'"id":"'
_OK = b'"ok":true'


class StdioProcess:
    """A long-running stdio adapter. Each slot is a sender of its own: it has one message in flight."""

    def __init__(self, home: Path, concurrency: int, text: str) -> None:
        self.process = subprocess.Popen(
            missive("adapter", "stdio", "--mode", "long-running", "--concurrency", str(concurrency)),
            env=environment(home),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._in, self._out = self.process.stdin.fileno(), self.process.stdout.fileno()
        self._text = json.dumps(text)
        self._pending = b""

    @property
    def pid(self) -> int:
        return self.process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End its input and wait for it. Raises `SystemExit` if it did not end well."""
        with self.process:
            if kind is not None:
                self.process.terminate()
        if kind is None and self.process.returncode:
            raise SystemExit(f"error: missive ended with status {self.process.returncode}")

    def run(self, in_flight: int, messages: int) -> tuple[float, list[float]]:
        """Send `messages` in all, `in_flight` at a time; return the seconds it took and the latency of each."""
        heads, tails = [], []
        for slot in range(in_flight):
            source = json.dumps({"source_id": f"slot-{slot}"})
            heads.append(f'{{"id":"{slot}.'.encode())
            tails.append(f'","command":"send","agent":"{AGENT}","message":{self._text},"source":{source}}}\n'.encode())
        left = [messages // in_flight] * in_flight
        began_at = [0.0] * in_flight
        latencies: list[float] = []
        began = perf_counter()

        def send(slot: int) -> None:
            began_at[slot] = perf_counter()
            self._write(b"%b%d%b" % (heads[slot], left[slot], tails[slot]))

        for slot in range(in_flight):
            send(slot)
        open_slots = in_flight
        while open_slots:
            lines = self._read()
            now = perf_counter()
            for line in lines:
                if _OK not in line:
                    raise SystemExit(f"error: {line.decode(errors='replace')}")
                start = line.index(_ID) + len(_ID)
                slot = int(line[start : line.index(b".", start)])
                latencies.append(now - began_at[slot])
                left[slot] -= 1
                if left[slot]:
                    send(slot)
                else:
                    open_slots -= 1
        return perf_counter() - began, latencies

    def _write(self, frame: bytes) -> None:
        # There are never more frames on their way than one for each slot: far less than would stop the reader.
        while frame:
            frame = frame[os.write(self._in, frame) :]

    def _read(self) -> list[bytes]:
        """Wait for output; return the lines that are whole."""
        chunk = os.read(self._out, 1 << 16)
        if not chunk:
            raise SystemExit("error: missive closed its standard output")
        *lines, self._pending = (self._pending + chunk).split(b"\n")
        return lines
