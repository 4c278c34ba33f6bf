"""The inbox: what is ready in it, taking it, and taking up what the dead have left."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from heapq import nsmallest

from missive_filedrop import owner as owners
from missive_filedrop.files import NotRegularError, move, store
from missive_filedrop.folders import Folders
from missive_filedrop.names import SESSION, Claim, is_ready, is_text, new_uid, owner_of_lock, shortened, shown
from missive_filedrop.owner import Owner

BATCH = 16_384
"""How many names are kept at once; the others are found again when these are done."""


@dataclass(slots=True)
class Scan:
    """What was found in the inbox."""

    ready: list[tuple[str, str]] = field(default_factory=list)
    """Name and folder of each request, in the order of the names."""
    more: bool = False
    """True: there are more than `BATCH`."""
    left: list[Claim] = field(default_factory=list)
    """Claims that nobody works on and that are ours now."""
    deaths: bool = False
    """True: a process has died that had this inbox."""
    ignored: list[str] = field(default_factory=list)
    """What looks like a request and is none, and why, for people."""


class Inbox:
    """The folder of requests; with `sessions` also the folders in it."""

    def __init__(self, folders: Folders, owner: Owner, *, sessions: bool) -> None:
        self._folders = folders
        self.path = folders.inbox
        self._owner = owner
        self._sessions = sessions

    @property
    def tag(self) -> str:
        """6 characters that stand for this inbox, so that an outbox may serve several."""
        return hashlib.sha256(os.fsencode(self.path.resolve())).hexdigest()[:6]

    # --- looking

    def scan(self, working: set[str], passed: frozenset[str] = frozenset()) -> Scan:
        """Look at all that is there but the folders of `passed` sessions. Raises `OSError`.

        `working` are the ids of the claims that are in our hands.
        """
        scan = Scan()
        claims: list[Claim] = []
        dead: dict[str, bool] = {}
        found = nsmallest(BATCH + 1, self._requests(scan, claims, dead, passed))
        scan.more = len(found) > BATCH
        scan.ready = found[:BATCH]
        for claim in claims:
            if claim.owner == self._owner.name:
                if claim.uid not in working:
                    scan.left.append(claim)
            elif claim.owner[0] == "p" and self._is_dead(claim.owner, dead):
                with suppress(FileNotFoundError):  # somebody else was faster
                    scan.left.append(self._take_up(claim))
        scan.left.sort(key=lambda claim: claim.name)
        for name, is_dead in dead.items():
            if is_dead:
                scan.deaths = True
                owners.bury(self.path, name)
        return scan

    def claims(self) -> set[str]:
        """Return the ids of all claims of all owners. Raises `OSError`."""
        claims: list[Claim] = []
        for _ in self._requests(Scan(), claims, {}):
            pass
        return {claim.uid for claim in claims}

    def _requests(
        self, scan: Scan, claims: list[Claim], dead: dict[str, bool], passed: frozenset[str] = frozenset()
    ) -> Iterator[tuple[str, str]]:
        folders = [""]
        while folders:
            folder = folders.pop()
            for entry in self._entries(folder):
                name = entry.name
                if name[0] == ".":
                    if (claim := Claim.parse(folder, name)) is not None:
                        claims.append(claim)
                    elif not folder and (owner := owner_of_lock(name)) is not None:
                        self._is_dead(owner, dead)
                elif self._sessions and not folder and entry.is_dir(follow_symlinks=False):
                    if name not in passed and self._is_session(entry, scan):
                        folders.append(name)
                elif is_ready(name):
                    if entry.is_file(follow_symlinks=False):
                        yield name, folder
                    elif not entry.is_dir(follow_symlinks=False):
                        scan.ignored.append(f"{shown(name)} is a link or no file")
                elif not is_text(name):
                    scan.ignored.append(f"{ascii(os.fsencode(name))[1:]} is no name in UTF-8")

    def _entries(self, folder: str) -> Iterator[os.DirEntry[str]]:
        try:
            fd = self._open(folder)
        except OSError as error:
            if folder and error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                return  # gone, or replaced
            raise
        try:
            with os.scandir(fd) as entries:
                yield from entries
        finally:
            os.close(fd)

    def _open(self, folder: str) -> int:
        """Open the inbox, or a folder in it that is no link. Raises `OSError`."""
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        return os.open(self.path / folder, flags | os.O_NOFOLLOW if folder else flags)

    def _is_session(self, entry: os.DirEntry[str], scan: Scan) -> bool:
        if self._folders.is_own(entry.stat(follow_symlinks=False)):
            return False
        if SESSION.fullmatch(entry.name) is None:
            name = shown(entry.name) if is_text(entry.name) else ascii(entry.name)
            scan.ignored.append(
                f"the folder {name} is no session: a name has lower-case letters, digits, '.', '-', '_'"
            )
            return False
        return True

    def _is_dead(self, owner: str, known: dict[str, bool]) -> bool:
        if owner not in known:
            known[owner] = owner != self._owner.name and owners.is_dead(self.path, owner)
        return known[owner]

    # --- taking

    def take(self, name: str, folder: str) -> Claim:
        """Take a request. Raises `FileNotFoundError` if another was faster, and other `OSError`."""
        claim = Claim(folder, shortened(name), self._owner.name, new_uid(self.tag))
        hidden = claim.file.rpartition("/")[2]
        fd = self._open(folder)
        try:
            os.rename(name, hidden, src_dir_fd=fd, dst_dir_fd=fd)  # a new name, so nothing is overwritten
            if not stat.S_ISREG(os.lstat(hidden, dir_fd=fd).st_mode):
                os.rename(hidden, name, src_dir_fd=fd, dst_dir_fd=fd)  # it was replaced since we looked
                raise NotRegularError(errno.EINVAL, "not a regular file")
            if self._owner.durable:
                os.fsync(fd)  # before it is taken in under this id
        finally:
            os.close(fd)
        return claim

    def _take_up(self, claim: Claim) -> Claim:
        taken = Claim(claim.folder, claim.name, self._owner.name, claim.uid)
        (self.path / claim.file).rename(self.path / taken.file)
        return taken

    def put_back(self, claim: Claim) -> None:
        """Let a request be found again, under its own name if that is free. Raises `OSError`."""
        source = self.path / claim.file
        try:
            move(source, source.with_name(claim.name))
        except FileExistsError:
            store(source, source.parent, claim.name)
