"""What the service manager is told: ``sd_notify`` without a library. Without ``NOTIFY_SOCKET`` it does nothing."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Mapping

log = logging.getLogger("missive.gateway")
_SEND_SECONDS = 0.2
"""A manager that does not read must not stop the daemon: its socket holds a few messages and then blocks."""


class Notifier:
    """Tells systemd the state of this process: ``Type=notify`` and ``WatchdogSec`` of its unit."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        if not address.startswith(("/", "@")):
            self._address = ""
        self.watchdog_seconds = _watchdog_seconds(environ) if self._address else None
        """How often `alive` is to be called, half the time after which systemd restarts us; None: never."""

    def ready(self, status: str = "") -> None:
        """Say that the daemon has started, or that it has re-read its configuration."""
        self._send("READY=1", _status(status))

    def status(self, text: str) -> None:
        """Give the line that ``systemctl status`` shows."""
        self._send(_status(text))

    def reloading(self) -> None:
        """Say that the configuration is being re-read; `ready` ends it."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self, status: str = "") -> None:
        """Say that the daemon is on its way out."""
        self._send("STOPPING=1", _status(status))

    def alive(self) -> None:
        """Say that the daemon is not stuck."""
        self._send("WATCHDOG=1")

    def _send(self, *lines: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.settimeout(_SEND_SECONDS)
                sender.connect(self._address)
                sender.sendall("\n".join(filter(None, lines)).encode())
        except OSError as error:
            log.warning("the service manager could not be told: %s", error)


def _status(text: str) -> str:
    return f"STATUS={' '.join(text.split())}" if text else ""


def _watchdog_seconds(environ: Mapping[str, str]) -> float | None:
    microseconds, pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    if pid and pid != str(os.getpid()):
        return None
    if not (microseconds.isascii() and microseconds.isdigit() and int(microseconds)):
        return None
    return int(microseconds) / 2_000_000
