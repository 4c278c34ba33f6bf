"""Files, moved and read so that nothing is lost, overwritten, or reached through a link."""

from __future__ import annotations

import errno
import os
import secrets
import stat
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from missive_filedrop.names import first_free, numbered

_NOT_KNOWN_HERE = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EPERM, errno.EMLINK, errno.EACCES}


class NotRegularError(OSError):
    """A link, a folder, a pipe or a device, where a file should be."""


def make_folder(path: Path) -> None:
    """Make a folder, and those above it that are missing, for us alone. Raises `OSError`."""
    if path.is_dir():
        return
    if path.parent != path:
        make_folder(path.parent)
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)
    if not path.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))


def fsync_folder(path: Path) -> None:
    """Put the names in a folder on the disk."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some file systems have no such thing
            raise
    finally:
        os.close(fd)


def read_file(path: Path, limit: int) -> bytes | None:
    """Return what is in a regular file, None if it is longer. Raises `NotRegularError` and other `OSError`."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as file:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise NotRegularError(errno.EINVAL, "not a regular file")
        if found.st_size > limit:
            return None
        data = file.read(limit + 1)
    return data if len(data) <= limit else None


def write_whole(fd: int, data: bytes) -> None:
    """Make `data` all that is in a file, and put it on the disk. Raises `OSError`, and then leaves it empty."""
    try:
        os.ftruncate(fd, 0)
        os.lseek(fd, 0, os.SEEK_SET)
        left = memoryview(data)
        while left:
            left = left[os.write(fd, left) :]
        os.fsync(fd)
    except OSError:
        os.ftruncate(fd, 0)
        raise


def free_name(folder: Path, name: str) -> str:
    """Return a name that nothing has in this folder: the name itself, or the name with a number."""
    return numbered(name, first_free(lambda number: os.path.lexists(folder / numbered(name, number))))


def move(source: Path, target: Path) -> None:
    """Give a file a new name, which nothing must have. Raises `FileExistsError` and other `OSError`.

    Also from one file system to another: then it is copied, and whoever looks sees it only as a whole.
    """
    try:
        _rename(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _copy(source, target)


def store(source: Path, folder: Path, name: str) -> str:
    """Move a file into a folder, under its name or that with a number; return which. Raises `OSError`."""
    while True:
        found = free_name(folder, name)
        with suppress(FileExistsError):
            move(source, folder / found)
            return found


def _rename(source: Path, target: Path) -> None:
    """Rename without overwriting, by the best means that system and file system have."""
    try:
        _exclusive_rename()(os.fsencode(source), os.fsencode(target))
    except OSError as error:
        if error.errno not in _NOT_KNOWN_HERE:
            raise
    else:
        return
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NOT_KNOWN_HERE:
            raise
    else:
        source.unlink()
        return
    # No hard links either, or not to a file of somebody else: hold the name with an empty file, and replace that.
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    try:
        source.rename(target)
    except OSError:
        target.unlink()
        raise


@cache
def _exclusive_rename() -> Callable[[bytes, bytes], None]:
    """Return the system's own rename that does not overwrite; it raises ENOSYS where there is none."""
    import ctypes

    library = ctypes.CDLL(None, use_errno=True)
    name = "renamex_np" if sys.platform == "darwin" else "renameat2"
    function: Any = getattr(library, name, None)

    def rename(source: bytes, target: bytes) -> None:
        if function is None:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
        if sys.platform == "darwin":
            failed = function(source, target, 4)  # RENAME_EXCL
        else:
            failed = function(-100, source, -100, target, 1)  # AT_FDCWD, twice; RENAME_NOREPLACE
        if failed:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), os.fsdecode(source), None, os.fsdecode(target))

    return rename


def _copy(source: Path, target: Path) -> None:
    import shutil

    part = target.with_name(f".{secrets.token_hex(8)}.part")
    before = source.lstat()
    if stat.S_ISLNK(before.st_mode):
        raise NotRegularError(errno.EINVAL, "not a regular file")
    try:
        with source.open("rb") as reader, part.open("xb") as writer:
            part.chmod(stat.S_IMODE(before.st_mode))
            shutil.copyfileobj(reader, writer)
            writer.flush()
            os.fsync(writer.fileno())
        os.utime(part, ns=(before.st_atime_ns, before.st_mtime_ns))
        _rename(part, target)
    finally:
        part.unlink(missing_ok=True)
    source.unlink()
