"""The command of the service file, run as a service manager runs it: its environment and a socket to report to."""

from __future__ import annotations

import json
import queue
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

CONFIG = '[gateway]\nbind_address = "127.0.0.1:0"\n'


class Manager:
    """Installs and starts the service, and hears what it reports."""

    def __init__(self, folder: Path) -> None:
        self.config = folder / "missive.toml"
        self.config.write_text(CONFIG)
        self.env = {"HOME": str(folder), "MISSIVE_HOME": str(folder / "missive"), "PATH": "/usr/bin:/bin"}
        self.inbox = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.inbox.bind(str(folder / "notify"))
        self.reports: queue.SimpleQueue[list[str]] = queue.SimpleQueue()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        plan = json.loads(self.missive("install", "--dry-run", "--json", "--config", str(self.config)).stdout)["data"]
        self.command = [plan["executable"], *plan["arguments"]]
        self.environment = {**plan["environment"], "NOTIFY_SOCKET": str(folder / "notify"), "WATCHDOG_USEC": "200000"}

    def missive(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-P", "-m", "missive_host", "gateway", *words],
            env=self.env,
            cwd=self.config.parent,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self.command, env=self.environment, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )

    def _read(self) -> None:
        """Read all the time, as systemd does: such a socket holds only a few reports."""
        while report := self.inbox.recv(4096):
            self.reports.put(report.decode().split("\n"))

    def hears(self, word: str) -> list[str]:
        """Wait for a report that has this line."""
        while word not in (lines := self.reports.get(timeout=30)):
            pass
        return lines

    def close(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"", self.environment["NOTIFY_SOCKET"])
        self.reader.join()
        self.inbox.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    found = Manager(tmp_path)
    yield found
    found.close()


def test_the_life_of_the_service(manager: Manager) -> None:
    with manager.start() as daemon:
        try:
            assert any(line.startswith("STATUS=listening on http://127.0.0.1:") for line in manager.hears("READY=1"))
            manager.hears("WATCHDOG=1")
            status = json.loads(manager.missive("status", "--json").stdout)["data"]
            assert (status["running"], status["daemon"]["pid"]) == (True, daemon.pid)

            manager.config.write_text(CONFIG + 'drain = "7s"\n')
            # what ExecReload runs
            reload = [*manager.command[:-1], "reload", "--json"]
            done = subprocess.run(reload, env=manager.environment, capture_output=True, text=True, timeout=60)
            assert json.loads(done.stdout)["data"]["changed"] == ["gateway"], done.stderr
            assert manager.hears("RELOADING=1")[1].startswith("MONOTONIC_USEC=")
            manager.hears("READY=1")

            manager.config.write_text("[gateway]\nno_such_key = 1\n")
            assert subprocess.run(reload, env=manager.environment, capture_output=True).returncode == 78
            manager.config.write_text(CONFIG)

            second = subprocess.run(
                manager.command, env=manager.environment, capture_output=True, text=True, timeout=60
            )
            assert second.returncode == 75
            assert f"process {daemon.pid}" in second.stderr

            stopped = json.loads(manager.missive("stop", "--json").stdout)["data"]
            assert (stopped["pid"], stopped["stopped"]) == (daemon.pid, True)
            manager.hears("STOPPING=1")
            assert daemon.wait(30) == 0
        finally:
            daemon.kill()
    assert manager.missive("status").returncode == 3


def test_a_service_that_was_killed_starts_again_at_once(manager: Manager) -> None:
    for _ in range(2):
        with manager.start() as daemon:
            manager.hears("READY=1")
            daemon.kill()
