"""One daemon a home and profile: a lock that a dead process does not hold."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import msgspec

from missive_host.errors import ConfigError, StorageError
from missive_host.folders import make_private
from missive_host.ids import now

if TYPE_CHECKING:
    from missive_host.config.paths import Paths

_LOOKS = 25
_LOOK_SECONDS = 0.01


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """What the lock's file says of the daemon that holds it, or that was the last to hold it."""

    pid: int
    started_at: str


def lock_path(paths: Paths) -> Path:
    """Return where the lock of a profile lies."""
    return paths.state / "locks" / "gateway.lock"


def last_holder(paths: Paths) -> Holder | None:
    """Return what the lock's file says. The process may be dead: only the lock itself knows."""
    try:
        return msgspec.json.decode(lock_path(paths).read_bytes(), type=Holder)
    except (OSError, msgspec.MsgspecError):
        return None


class DaemonLock:
    """Held from `acquire` to `release`, or as a context manager.

    It is the kernel's lock on an open file (``flock``), so it ends with the process, however that ends. The file
    stays: to remove it would let two processes lock two files of one name.
    """

    def __init__(self, paths: Paths) -> None:
        self.paths = paths
        self._descriptor: int | None = None

    @property
    def held(self) -> bool:
        return self._descriptor is not None

    def acquire(self) -> None:
        """Take the lock. Raises `StorageError` if another daemon has it."""
        try:
            import fcntl
        except ImportError:
            raise ConfigError(
                "the gateway does not run on this system: it needs file locks and sockets of Unix",
                help="run it on Linux or macOS, or in a container",
            ) from None
        path = lock_path(self.paths)
        make_private(path.parent)
        descriptor = None
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, msgspec.json.encode(Holder(pid=os.getpid(), started_at=now())) + b"\n", 0)
        except OSError as error:
            if descriptor is not None:
                os.close(descriptor)
            if isinstance(error, BlockingIOError):
                raise self._taken() from None
            raise _unusable(path, error) from error
        self._descriptor = descriptor

    def release(self) -> None:
        """Let the lock go. May be called twice."""
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            try:
                os.ftruncate(descriptor, 0)
            finally:
                os.close(descriptor)

    def __enter__(self) -> DaemonLock:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _taken(self) -> StorageError:
        holder = last_holder(self.paths)
        for _ in range(_LOOKS):  # the other one may be between taking the lock and writing who it is
            if holder is not None:
                break
            time.sleep(_LOOK_SECONDS)
            holder = last_holder(self.paths)
        who = "" if holder is None else f": process {holder.pid}, since {holder.started_at}"
        return StorageError(
            f"a gateway of this home and profile is running already{who}",
            help="look at it with `missive gateway status`, end it with `missive gateway stop`,"
            " or give this one another profile (--profile)",
        )


def _unusable(path: Path, error: OSError) -> StorageError:
    help_text = "this user must be able to write the file and its folder; MISSIVE_HOME puts it somewhere else"
    if error.errno == errno.ENOLCK:
        help_text = "put MISSIVE_HOME on a local disk: this file system has no locks"
    return StorageError(
        f"the lock {path} cannot be taken: {(error.strerror or str(error)).lower()}",
        help=help_text,
        sources=(str(error),),
    )
