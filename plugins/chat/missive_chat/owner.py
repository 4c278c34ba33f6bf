"""One owner an account: a lock that ends with the process, however it ends."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from missive_host.errors import ConfigError


class AccountLock:
    """Held by the process that is connected as an account of a platform; all homes of one user share it."""

    def __init__(self, kind: str, identity: str) -> None:
        name = hashlib.sha256(f"{kind}\n{identity}".encode()).hexdigest()[:32]
        self._path = _folder() / f"{name}.lock"
        self._what = f"{kind} account {identity}"
        self._fd: int | None = None

    def take(self) -> None:
        """Take the lock. Raises `ConfigError` if another process has it."""
        owner = self._try()
        if owner is not None:
            raise ConfigError(
                f"the {self._what} is in use by another process ({owner})",
                help="two would answer everything twice; stop the other gateway, or use another account",
            )
        if self._fd is not None:
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, str(os.getpid()).encode(), 0)

    def holder(self) -> str | None:
        """Return the process that has it, None if it is free."""
        owner = self._try()
        self.release()
        return owner

    def _try(self) -> str | None:
        """Lock the file, or return who has it."""
        try:
            import fcntl
        except ImportError:  # Windows: the platforms that mind say so themselves
            return None
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0), 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = os.read(fd, 32).decode("ascii", "replace").strip() or "unknown"
            os.close(fd)
            return owner
        self._fd = fd
        return None

    def release(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def _folder() -> Path:
    """Return a folder of this user alone: other users must not be able to hold our locks."""
    base = os.environ.get("XDG_RUNTIME_DIR")
    folder = Path(base) / "missive-chat" if base else Path(tempfile.gettempdir()) / f"missive-chat-{_user()}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.stat()
    if hasattr(os, "getuid") and (status.st_uid != os.getuid() or folder.is_symlink()):
        raise ConfigError(f"{folder} belongs to somebody else", help="set XDG_RUNTIME_DIR to a folder of your own")
    return folder


def _user() -> str:
    return str(os.getuid()) if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
