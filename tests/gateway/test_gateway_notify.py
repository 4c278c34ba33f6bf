"""What the service manager is told, over a real datagram socket."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from missive_host.gateway.notify import Notifier


class Manager:
    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.settimeout(10)
        self.socket.bind(address)

    def heard(self) -> list[str]:
        return self.socket.recv(4096).decode().split("\n")


@pytest.fixture(params=["file", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Manager, str]]:
    name = str(tmp_path / "notify") if request.param == "file" or sys.platform != "linux" else f"@missive/{os.getpid()}"
    found = Manager("\0" + name[1:] if name.startswith("@") else name)
    yield found, name
    found.socket.close()


def test_states_are_told(manager: tuple[Manager, str]) -> None:
    systemd, address = manager
    notifier = Notifier({"NOTIFY_SOCKET": address})
    notifier.ready("3 adapters\nREADY=0")
    assert systemd.heard() == ["READY=1", "STATUS=3 adapters READY=0"]
    notifier.status("busy")
    assert systemd.heard() == ["STATUS=busy"]
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    notifier.reloading()
    first, stamp = systemd.heard()
    assert first == "RELOADING=1"
    assert before <= int(stamp.removeprefix("MONOTONIC_USEC=")) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    notifier.ready()
    assert systemd.heard() == ["READY=1"]
    notifier.stopping()
    assert systemd.heard() == ["STOPPING=1"]
    assert notifier.watchdog_seconds is None


def test_the_watchdog_wants_a_sign_of_life_twice_an_interval(manager: tuple[Manager, str]) -> None:
    systemd, address = manager
    notifier = Notifier({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "20000", "WATCHDOG_PID": str(os.getpid())})
    assert notifier.watchdog_seconds == 0.01
    notifier.alive()
    assert systemd.heard() == ["WATCHDOG=1"]


def test_without_systemd_nothing_happens() -> None:
    notifier = Notifier({"WATCHDOG_USEC": "20000"})
    assert notifier.watchdog_seconds is None
    notifier.ready("x")
    notifier.stopping()


@pytest.mark.parametrize(
    "env", [{"WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "soon"}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "-5"}]
)
def test_a_watchdog_that_is_not_ours_is_left_alone(env: dict[str, str]) -> None:
    given = {"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "20000", **env}
    assert Notifier(given).watchdog_seconds is None


def test_a_manager_that_is_gone_does_not_stop_the_daemon(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}).ready()
    assert "service manager" in caplog.text
    Notifier({"NOTIFY_SOCKET": "vsock:2:1234"}).ready()
