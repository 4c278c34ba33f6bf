"""The answer to a request, written so that a crash at any instant loses nothing and doubles nothing.

In this order, each step on the disk before the next:

1. the answer, under a hidden name that the claim's id gives: a claim has one answer, whoever writes it;
2. the request goes from the inbox to ``processed`` or ``error``: from now on it is not run again;
3. the answer gets its name.

Whoever comes after a crash sees how far it came: the claim is there (answer anew), only the hidden answer is there
(it is whole: give it its name), or nothing (all is done). Two that answer at once wait for each other.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from missive_filedrop.attachments import put_away
from missive_filedrop.files import free_name, fsync_folder, make_folder, move, store, write_whole
from missive_filedrop.folders import Folders
from missive_filedrop.inbox import Inbox
from missive_filedrop.names import Claim, answer_of, stem_of


@dataclass(frozen=True, slots=True)
class Answered:
    """Where things are now."""

    output: Path
    archived: str | None
    """The request's name in its last folder; None if somebody took it away in the meantime."""


class Answers:
    """Writes answers to the outbox."""

    def __init__(self, folders: Folders, inbox: Inbox) -> None:
        self._folders = folders
        self._inbox = inbox

    def give(
        self,
        claim: Claim,
        *,
        ok: bool,
        document: Callable[[str | None], bytes],
        carried: Sequence[str] = (),
        again: bool,
    ) -> Answered | None:
        """Answer a request and put it away; None if that was done before. Raises `OSError`: then try it again.

        `document` makes the answer for the name under which the request is put away. `carried` are files to put away
        beside it if all went well. With `again` a request that is not there any more has been answered; without it
        somebody took it away, and it gets its answer all the same.
        """
        self._inbox.path.stat()  # without the inbox nothing can be said about its requests
        for folder in (self._folders.outbox, self._folders.processed, self._folders.error):
            make_folder(folder)
        hidden = self._folders.outbox / claim.answer
        fd = _locked(hidden)
        try:
            if os.path.lexists(self._inbox.path / claim.file):
                try:
                    archived = self._put_away(claim, fd, ok=ok, document=document)
                except OSError:
                    if os.path.lexists(self._inbox.path / claim.file):  # else it is whole, and all that there is
                        hidden.unlink(missing_ok=True)
                    raise
                for name in carried if ok else ():
                    put_away(name, self._folders)
            elif os.fstat(fd).st_size:
                archived = None
            elif again:
                hidden.unlink(missing_ok=True)
                return None
            else:
                write_whole(fd, document(None))
                archived = None
            return Answered(self._publish(hidden, claim.name, ok=ok), archived)
        finally:
            os.close(fd)

    def _put_away(self, claim: Claim, fd: int, *, ok: bool, document: Callable[[str | None], bytes]) -> str | None:
        """Write the answer, then move the request; return its name there."""
        source = self._inbox.path / claim.file
        folder = self._folders.processed if ok else self._folders.error
        while True:
            name = free_name(folder, claim.name)
            write_whole(fd, document(name))
            fsync_folder(self._folders.outbox)
            try:
                move(source, folder / name)
            except FileExistsError:
                continue  # taken since we looked: the answer would name another
            except FileNotFoundError:
                if os.path.lexists(source):
                    raise
                write_whole(fd, document(None))
                return None
            fsync_folder(folder)
            fsync_folder(source.parent)
            return name

    def _publish(self, hidden: Path, name: str, *, ok: bool) -> Path:
        wanted = stem_of(name) + (".result.json" if ok else ".error.json")
        if hidden.stat().st_nlink > 1:  # it has its name already, and was to lose this one
            hidden.unlink()
            return self._folders.outbox / wanted
        final = store(hidden, self._folders.outbox, wanted)
        fsync_folder(self._folders.outbox)
        return self._folders.outbox / final

    def recover(self) -> list[Path]:
        """Give those answers their names whose writer died before it could; return them. Raises `OSError`."""
        tag = self._inbox.tag
        with os.scandir(self._folders.outbox) as entries:
            names = [entry.name for entry in entries if entry.name[0] == "." and answer_of(entry.name) is not None]
        found: list[Path] = []
        for file in names:
            name, uid = answer_of(file) or ("", "")
            if not uid.startswith(tag) or uid in self._inbox.claims():
                continue  # another inbox's, or its request is still there and will be answered anew
            hidden = self._folders.outbox / file
            try:
                fd = _locked(hidden, create=False)
            except FileNotFoundError:  # somebody else was faster
                continue
            try:
                if uid in self._inbox.claims():  # it was renamed just while we looked
                    continue
                ok = _is_ok(hidden.read_bytes())
                if ok is None:
                    hidden.unlink()
                else:
                    found.append(self._publish(hidden, name, ok=ok))
            finally:
                os.close(fd)
        return found


def _locked(path: Path, *, create: bool = True) -> int:
    """Open a file that nobody else has locked; make it if it is missing. Raises `OSError`."""
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | (os.O_CREAT if create else 0)
    while True:
        fd = os.open(path, flags, 0o666)
        try:
            with suppress(OSError):  # where there are no locks, there is at least only one of us
                fcntl.flock(fd, fcntl.LOCK_EX)
            here = os.fstat(fd)
            with suppress(FileNotFoundError):
                if os.path.samestat(here, path.lstat()):
                    return fd
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)  # it got its name while we waited


def _is_ok(data: bytes) -> bool | None:
    """Return what a whole answer says; None if it is none."""
    try:
        ok = msgspec.json.decode(data, type=dict[str, object]).get("ok")
    except msgspec.DecodeError:
        return None
    return ok if isinstance(ok, bool) else None
