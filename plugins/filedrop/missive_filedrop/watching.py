"""Waiting for something to happen in the inbox: the file system's events, and a look now and then.

Events are what makes it quick. Network and container mounts lose them, so they are never relied upon.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import anyio

from missive_filedrop.names import is_ready

if TYPE_CHECKING:
    from logging import Logger

    from watchdog.events import FileSystemEvent

_GROUPERS = (("inotify_move_event_grouper", "InotifyMoveEventGrouper"), ("inotify_buffer", "InotifyBuffer"))
"""Modules and classes of watchdog 7, and of those before it."""


class Watch:
    """An async context in which `wait` returns when a request may have come."""

    def __init__(self, inbox: Path, *, recursive: bool, polling: bool, interval: float, log: Logger) -> None:
        self._inbox = inbox
        self._recursive = recursive
        self._polling = polling
        self._interval = interval
        self._log = log
        self._observer: object | None = None
        # watchdog calls from a thread of its own; a byte in here wakes us.
        self._woken, self._waker = socket.socketpair()
        self._woken.setblocking(False)
        self._waker.setblocking(False)

    async def __aenter__(self) -> Watch:
        if not self._polling:
            await anyio.to_thread.run_sync(self._start)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self._stop)
        self._woken.close()
        self._waker.close()

    async def wait(self) -> None:
        """Return when a file has come, or when it is time to look."""
        with anyio.move_on_after(self._interval):
            await anyio.wait_readable(self._woken)
        with suppress(BlockingIOError):
            while self._woken.recv(4096):
                pass

    def wake(self) -> None:
        """Let `wait` return. May be called from any thread."""
        with suppress(BlockingIOError, OSError):
            self._waker.send(b"!")

    def _start(self) -> None:
        try:
            from watchdog.events import FileSystemEventHandler
            from watchdog.observers import Observer

            _do_not_hold_back()
            handler = FileSystemEventHandler()
            handler.on_any_event = self._on_event  # type: ignore[method-assign]
            observer = Observer()
            observer.schedule(handler, str(self._inbox), recursive=self._recursive)
            observer.start()
        except Exception as error:  # noqa: BLE001 - no watches left, no such thing here: whatever it is, we can do without
            self._log.warning("no events of the file system (%s): looking every %g s", error, self._interval)
        else:
            self._observer = observer

    def _stop(self) -> None:
        observer, self._observer = self._observer, None
        if observer is not None:
            observer.stop()  # type: ignore[attr-defined]
            observer.join()  # type: ignore[attr-defined]

    def _on_event(self, event: FileSystemEvent) -> None:
        """Wake up for what may be a request, and not for what we do ourselves."""
        if event.event_type not in ("created", "moved", "modified", "closed"):
            return
        name = os.fsdecode(event.dest_path or event.src_path).rpartition("/")[2]
        new_folder = event.is_directory and event.event_type != "modified" and name[:1] != "."
        if new_folder or (not event.is_directory and name and is_ready(name)):
            self.wake()


def _do_not_hold_back() -> None:
    """Let events come at once.

    On Linux watchdog holds back a file that has left the folder, and all that comes behind it, for half a second, to
    see whether it appears elsewhere. We put requests away all the time, and want to know of the next one.
    """
    if sys.platform == "linux":
        for module, name in _GROUPERS:
            with suppress(ImportError):
                getattr(import_module(f"watchdog.observers.{module}"), name).delay = 0.0
        logging.getLogger("watchdog.observers").setLevel(logging.CRITICAL)  # it complains of being stopped
