"""For the tests of the file-drop door: a folder to drop into, and the adapter as a process and as an object."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from missive_filedrop import missive_adapters
from missive_filedrop.adapter import FileDropAdapter

from missive_host.adapter_options import convert_options
from missive_host.protocols import AdapterContext

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

LOGGING_AGENT = Path(__file__).parent / "support" / "logging_agent.py"
(SPEC,) = missive_adapters()


class Drop:
    """The folders of one door, and a home for the processes that work on them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.inbox, self.outbox, self.home = folder / "in", folder / "out", folder / "home"
        self.inbox.mkdir(exist_ok=True)
        self.agents: dict[str, str] = {}
        """The URLs of the agents that were added."""

    @property
    def flags(self) -> list[str]:
        return ["--inbox", str(self.inbox), "--outbox", str(self.outbox)]

    def put(self, name: str, frame: Any = None, *, folder: str = "", **fields: Any) -> Path:
        """Drop a request, or bytes, as one should: written under another name, then renamed."""
        if frame is None:
            frame = {"id": Path(name).stem[:100], "command": "task_list", **fields}
        data = frame if isinstance(frame, bytes) else json.dumps(frame).encode()
        place = self.inbox / folder
        place.mkdir(exist_ok=True)
        hidden = place / f".{os.getpid()}-{threading.get_ident()}.part"
        hidden.write_bytes(data)
        return hidden.rename(place / name)

    def send(self, name: str, text: str, agent: str = "echo", **fields: Any) -> Path:
        return self.put(name, {"id": Path(name).stem, "command": "send", "agent": agent, "message": text, **fields})

    def names(self, where: str = "out") -> list[str]:
        """The names in a folder, hidden ones too, without folders."""
        place = self.folder / where
        if not place.is_dir():
            return []
        return sorted(entry.name for entry in os.scandir(place) if not entry.is_dir(follow_symlinks=False))

    def answers(self) -> list[str]:
        """The names of the answers that are there as a whole."""
        return [name for name in self.names() if not name.startswith(".")]

    def has_more_than(self, count: int) -> bool:
        return len(self.answers()) > count

    def has(self, name: str) -> bool:
        return (self.outbox / name).exists()

    def answer(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.outbox / name).read_text())
        return found

    def clean(self) -> bool:
        """True: nothing hidden is left, and nothing waits."""
        return self.names("in") == [] and not [name for name in self.names() if name.startswith(".")]

    # --- processes

    def missive(self, *words: str, home: Path | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command(*words), env=self.environ(home), cwd=self.folder, capture_output=True, text=True, timeout=100
        )

    def once(self, *flags: str, home: Path | None = None) -> subprocess.CompletedProcess[str]:
        return self.missive("adapter", "file-drop", *self.flags, *flags, home=home)

    def summary(self, *flags: str) -> dict[str, Any]:
        """Run it once, and return what it says at its end."""
        done = self.once("--json", *flags)
        assert done.returncode == 0, done.stderr
        document = json.loads(done.stdout)
        assert document["kind"] == "adapter_file_drop"
        data: dict[str, Any] = document["data"]
        return data

    def watch(self, *flags: str, home: Path | None = None) -> Watching:
        argv = command("adapter", "file-drop", *self.flags, "--mode", "watch", "--json", *flags)
        return Watching(argv, self.environ(home), self.folder)

    def environ(self, home: Path | None = None) -> dict[str, str]:
        return {**os.environ, "MISSIVE_HOME": str(home or self.home), "HOME": str(self.folder)}

    def add(self, url: str, alias: str = "echo", home: Path | None = None) -> None:
        done = self.missive("agent", "add", alias, url, home=home)
        assert done.returncode == 0, done.stderr
        self.agents[alias] = url

    # --- in this process

    def adapter(self, *, durable: bool = False, **options: Any) -> FileDropAdapter:
        given = {"inbox": str(self.inbox), "outbox": str(self.outbox), **options}
        data_dir = self.home / "adapters"
        data_dir.mkdir(parents=True, exist_ok=True)
        log = logging.getLogger("missive.file-drop")
        return FileDropAdapter(
            AdapterContext("file-drop", convert_options(SPEC, given), log, data_dir, durable=durable)
        )


def command(*words: str) -> list[str]:
    return [sys.executable, "-P", "-m", "missive_host", *words]


class Watching:
    """``missive adapter file-drop --mode watch`` as a process; its lines on stderr as they come."""

    def __init__(self, argv: list[str], environ: dict[str, str], folder: Path) -> None:
        self.process = subprocess.Popen(
            argv, env=environ, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line.rstrip("\n"))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.communicate()
        self._reader.join()

    def stop(self, sig: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(sig)
        return self.process.wait(60)

    def ended(self) -> dict[str, Any]:
        """Wait for its end, and return the document that it ended with."""
        assert self.process.stdout is not None
        text = self.process.stdout.read()
        self.process.wait(60)
        document = json.loads(text)
        assert document["kind"] == "adapter_file_drop"
        found: dict[str, Any] = document["data"]
        return found


def let_die(adapter: FileDropAdapter) -> None:
    """Let go of what the system lets go of when a process dies."""
    if adapter._owner._fd is not None:
        os.close(adapter._owner._fd)


def until(condition: Callable[[], Any], seconds: float = 60) -> None:
    """Wait until it is so."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to be"
        time.sleep(0.01)
