"""A maildir: notes arrive in ``new/`` by renaming, so that none is ever seen half-written.

::

    new/NAME          arrived
    cur/NAME:2,       taken: somebody works on it
    cur/NAME:2,S      answered
    cur/NAME:2,F      answered with an error

Whoever dies leaves what it had taken as ``cur/NAME:2,``; the next one takes it up. A lock says that there is only one.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from missive_host.errors import IoError, TransportError, ValidationError

LIMIT = 64 * 1024
"""Bytes of a note. No pigeon carries more."""
_TAKEN, _DONE, _FAILED = ":2,", ":2,S", ":2,F"


def make_maildir(folder: Path) -> None:
    try:
        for name in ("tmp", "new", "cur"):
            (folder / name).mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise _unusable(error, folder) from error


def deliver(folder: Path, name: str, data: bytes) -> None:
    """Put a file into a maildir, whole or not at all; one of that name is replaced. Raises `OSError`."""
    draft = folder / "tmp" / uuid4().hex
    try:
        with draft.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(folder / "new" / name)
    finally:
        draft.unlink(missing_ok=True)


class Loft:
    """The maildir that is read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock: int | None = None
        self._users = 0

    def enter(self) -> None:
        """Lock it, for as long as somebody is in it. Raises `IoError`; `TransportError` while another has it."""
        if self._lock is None:
            make_maildir(self.folder)
            self._lock = _locked(self.folder / ".lock")
        self._users += 1

    def leave(self) -> None:
        self._users -= 1
        if not self._users and self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def recover(self, but: set[str]) -> None:
        """Give back what another one had taken when it died, but not these: for them there is an answer to come."""
        for path in (self.folder / "cur").glob(f"*{_TAKEN}"):
            if (name := path.name.removesuffix(_TAKEN)) not in but:
                self.give_back(name)

    def take(self, but: set[str]) -> str | None:
        """Take the note that came first, except these; return its name, or None. Raises `IoError`."""
        try:
            with os.scandir(self.folder / "new") as found:
                names = [(each.stat(follow_symlinks=False).st_mtime_ns, each.name) for each in found]
            for _, name in sorted(names):
                if name not in but and not name.startswith(".") and ":" not in name:
                    (self.folder / "new" / name).rename(self._taken(name))
                    return name
        except OSError as error:
            raise _unusable(error, self.folder) from error
        return None

    def read(self, name: str) -> bytes:
        """Return the text of a note that was taken. Raises `ValidationError` if it is none."""
        try:
            # A link could name any file, and a pipe would keep us waiting.
            fd = os.open(self._taken(name), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            with os.fdopen(fd, "rb") as file:
                data = file.read(LIMIT + 1)
        except OSError as error:
            raise ValidationError(f"the note cannot be read: {error.strerror}") from error
        if len(data) > LIMIT:
            raise ValidationError(f"the note is longer than {LIMIT} bytes", help="no pigeon carries that")
        return data

    def give_back(self, name: str) -> None:
        self._rename(name, self.folder / "new" / name)

    def put_away(self, name: str, *, ok: bool) -> None:
        self._rename(name, self.folder / "cur" / (name + (_DONE if ok else _FAILED)))

    def _rename(self, name: str, target: Path) -> None:
        with suppress(FileNotFoundError):  # it was put away before: an answer may be given twice
            self._taken(name).rename(target)

    def _taken(self, name: str) -> Path:
        return self.folder / "cur" / (name + _TAKEN)


def _locked(path: Path) -> int:
    try:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _unusable(error, path) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise TransportError(f"somebody else looks after the loft {path.parent}", help="one adapter a loft") from None
    return lock


def _unusable(error: OSError, folder: Path) -> IoError:
    return IoError(
        f"while using the loft {folder}: {error.strerror}", help="it must be a folder that missive may write"
    )
