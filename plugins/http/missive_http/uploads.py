"""Files that come as parts of multipart/form-data: onto the disk before the delivery is taken in, and off it after.

::

    data_dir/uploads/<name>/<file>…     <name>: of the idempotency key and the contents, else random

A request that comes again under its idempotency key so names the same files, and is known as the same.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from time import time
from typing import BinaryIO
from uuid import uuid4

FOLDER = "uploads"
ORPHAN_SECONDS = 7 * 86400
"""Long: what waits for an agent that is down must not be taken for an orphan, and dead letters may be tried again."""

_UNSAFE = re.compile(r"[\x00-\x1f\x7f/\\:]")
_LONGEST_NAME = 120
_CHUNK = 256 * 1024


@dataclass(frozen=True, slots=True)
class File:
    """A file as it came in."""

    name: str
    media_type: str
    content: BinaryIO


class Uploads:
    """The folder of uploads. Its methods block: they are for threads."""

    def __init__(self, data_dir: Path) -> None:
        self._root = data_dir / FOLDER
        self._held: Counter[str] = Counter()
        self._lock = Lock()

    def keep(self, files: Sequence[File], key: str | None) -> tuple[str, tuple[str, ...]]:
        """Write files down and hold them; return the name of their folder, and their paths below the data folder.

        When it returns they are on the disk. Raises `OSError`.
        """
        temporary = self._root / f".{uuid4().hex}"
        temporary.mkdir(parents=True, mode=0o700)
        try:
            digest = hashlib.sha256((key or "").encode())
            names: list[str] = []
            for file in files:
                name = _free(safe_name(file.name), names)
                names.append(name)
                digest.update(f"\0{name}\0{file.media_type}\0".encode())
                _write(temporary / name, file.content, digest)
            _sync(temporary)
            folder = uuid4().hex if key is None else digest.hexdigest()[:40]
            with self._lock:
                self._settle_in(temporary, self._root / folder)
                self._held[folder] += 1
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        return folder, tuple(f"{FOLDER}/{folder}/{name}" for name in names)

    def _settle_in(self, temporary: Path, place: Path) -> None:
        try:
            temporary.rename(place)
        except OSError:
            if not place.is_dir():
                raise
            shutil.rmtree(temporary)  # the same files are there already
        _sync(self._root)

    def hold(self, folder: str) -> None:
        """Keep the files of a delivery that another process, or another run, has taken in."""
        with self._lock:
            self._held[folder] += 1
            with suppress(OSError):
                os.utime(self._root / folder)

    def release(self, folder: str, *, keep: bool = False) -> None:
        """A delivery has ended: remove its files, if no other one has the same. It is no error if they are gone.

        With `keep` they stay until they are as old as orphans.
        """
        with self._lock:
            self._held[folder] -= 1
            if self._held[folder] <= 0:
                del self._held[folder]
                if keep:
                    with suppress(OSError):
                        os.utime(self._root / folder)
                else:
                    shutil.rmtree(self._root / folder, ignore_errors=True)

    def sweep(self) -> None:
        """Remove old files that nobody holds: a process ended between writing them and taking the delivery in."""
        before = time() - ORPHAN_SECONDS
        with self._lock, suppress(FileNotFoundError):
            for entry in self._root.iterdir():
                if entry.name not in self._held and entry.stat().st_mtime < before:
                    shutil.rmtree(entry, ignore_errors=True)


def safe_name(name: str) -> str:
    """Return the name of a file without folders and without what could be misread."""
    name = _UNSAFE.sub("_", name.replace("\\", "/").rpartition("/")[2]).strip(" .")
    stem, dot, suffix = name.rpartition(".")
    if len(name.encode()) > _LONGEST_NAME:
        suffix = suffix[:16] if dot else ""
        name = (stem or name).encode()[: _LONGEST_NAME - 80].decode(errors="ignore") + (f".{suffix}" if suffix else "")
    return name or "file"


def _free(name: str, taken: Sequence[str]) -> str:
    stem, dot, suffix = name.rpartition(".")
    if not dot:
        stem, suffix = name, ""
    number, found = 0, name
    while found in taken:
        number += 1
        found = f"{stem}-{number}{dot}{suffix}"
    return found


def _write(path: Path, content: BinaryIO, digest: hashlib._Hash) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "wb", closefd=True) as target:  # noqa: PTH123 - a descriptor with its mode
        while chunk := content.read(_CHUNK):
            digest.update(chunk)
            target.write(chunk)
        target.flush()
        os.fsync(target.fileno())


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
