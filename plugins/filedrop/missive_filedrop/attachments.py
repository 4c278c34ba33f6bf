"""Files that a request names: they lie beside it, or below."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from typing import TYPE_CHECKING, Any

import msgspec

from missive_filedrop.files import store
from missive_filedrop.folders import Folders
from missive_filedrop.names import is_ready
from missive_host.errors import IoError, ValidationError

if TYPE_CHECKING:
    from missive_host.commands import Command


def confine(command: Command, folders: Folders, folder: str) -> Command:
    """Return the command with its files as the host reads them: relative to the inbox.

    In the request they are relative to its own folder, which they cannot leave: not by ``..``, not through a link.
    Raises `ValidationError` and `IoError`.
    """
    changed: dict[str, Any] = {}
    for field in ("files", "file_bytes"):
        names: tuple[str, ...] = getattr(command, field, None) or ()
        if names:
            changed[field] = tuple(_confined(name, field, folders, folder) for name in names)
    return msgspec.structs.replace(command, **changed) if changed else command


def carried(command: Command) -> tuple[str, ...]:
    """Return the files whose bytes were sent. Those sent by reference stay: the agent may still want to read them."""
    kept: tuple[str, ...] = getattr(command, "files", None) or ()
    return tuple(name for name in dict.fromkeys(getattr(command, "file_bytes", None) or ()) if name not in kept)


def put_away(name: str, folders: Folders) -> None:
    """Move a file that a request carried to the requests that are done. Raises `OSError`.

    Folder by folder, none of them a link, however they have changed since the request was read.
    """
    *above, last = name.split("/")
    hidden = folders.inbox / f".{secrets.token_hex(8)}.part"
    fd = os.open(folders.inbox, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in above:
            inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
            os.close(fd)
            fd = inner
        os.rename(last, hidden, src_dir_fd=fd)
    except OSError as error:
        # Gone, or changed: it is not what was sent any more. On another file system: it stays where it is.
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EXDEV):
            return
        raise
    finally:
        os.close(fd)
    store(hidden, folders.processed, last)


def _confined(name: str, field: str, folders: Folders, folder: str) -> str:
    parts = name.split("/")
    if "\0" in name or any(part in ("", ".", "..") or part[0] == "." for part in parts):
        raise ValidationError(
            f"field `{field}`: {name} is not a file beside the request",
            help="name files relative to the request, without `..`, and none that are hidden",
        )
    if len(parts) == 1 and is_ready(name):
        raise ValidationError(
            f"field `{field}`: {name} would itself be a request", help="put JSON that is to be sent into a folder"
        )
    path = folders.inbox / folder
    try:
        for part in parts:
            path = path / part
            found = path.lstat()
            if stat.S_ISLNK(found.st_mode):
                raise ValidationError(f"field `{field}`: {name} leads through a link")
            if stat.S_ISDIR(found.st_mode) and folders.is_own(found):
                raise ValidationError(f"field `{field}`: {name} lies in a folder of missive's own")
    except (OSError, ValueError) as error:
        raise IoError(
            f"while looking for {name}: {getattr(error, 'strerror', error)}", help="put it there first"
        ) from None
    if not stat.S_ISREG(found.st_mode):
        raise ValidationError(f"field `{field}`: {name} is not a regular file")
    return os.path.join(folder, name)  # noqa: PTH118 - as the host reads it
