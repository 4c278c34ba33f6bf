"""Who holds a claim, and whether it still lives.

A process that keeps nothing owns its claims for as long as it lives: it holds a lock on a file in the inbox, which the
system lets go of when it dies, however it dies. Then anybody may take its claims up. Locks work between containers,
and between machines where the file system has them (NFS does).

With a durable intake the home owns them: what was taken in is on its disk and will be run from there, so no other home
may take it up, even if this one is down for long.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
from pathlib import Path

from missive_filedrop.names import lock_name, new_owner


class Owner:
    """This side's own. ``name`` is in the names of its claims."""

    def __init__(self, inbox: Path, data_dir: Path, *, durable: bool) -> None:
        self._inbox = inbox
        self._fd: int | None = None
        self.durable = durable
        self.name = _home_owner(data_dir / "owner") if durable else new_owner("p")

    def open(self) -> bool:
        """Begin to own. Returns False if the file system has no locks: others then think that we live for ever."""
        if self.durable or self._fd is not None:
            return True
        final = self._inbox / lock_name(self.name)
        # Locked before it has its name, so that nobody finds it free.
        hidden = final.with_name(final.name + ".new")
        self._fd = os.open(hidden, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        locked = _try_lock(self._fd)
        hidden.rename(final)
        return locked is not None

    def close(self) -> None:
        """Own nothing any more. Claims that are left are others' to take up."""
        if self._fd is not None:
            (self._inbox / lock_name(self.name)).unlink(missing_ok=True)
            os.close(self._fd)
            self._fd = None


def is_dead(inbox: Path, owner: str) -> bool:
    """True if the process that owned this does not live any more. In doubt it does."""
    try:
        fd = os.open(inbox / lock_name(owner), os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    try:
        return _try_lock(fd) is True
    finally:
        os.close(fd)


def bury(inbox: Path, owner: str) -> None:
    """Remove the lock of a dead process, when nothing of it is left."""
    (inbox / lock_name(owner)).unlink(missing_ok=True)


def _try_lock(fd: int) -> bool | None:
    """Return True if we have the lock, False if somebody else has it, None if there are no locks here."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return False if error.errno in (errno.EWOULDBLOCK, errno.EACCES) else None
    return True


def _home_owner(file: Path) -> str:
    """Return the name by which this home owns, the same for ever."""
    while True:
        try:
            name = file.read_text("ascii")
        except FileNotFoundError:
            part = file.with_name(f"{file.name}.{os.getpid()}")
            part.write_text(new_owner("h"), "ascii")
            try:
                os.link(part, file)
            except FileExistsError:
                pass
            except OSError:
                part.replace(file)
            part.unlink(missing_ok=True)
            continue
        if re.fullmatch(r"h[0-9a-f]{12}", name):
            return name
        raise OSError(errno.EINVAL, "is damaged; if no request is under way, remove it", str(file))
