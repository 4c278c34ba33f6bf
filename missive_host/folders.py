"""Folders that are the user's alone."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from missive_host.errors import StorageError


def make_private(folder: Path) -> None:
    """Make a folder and those above it that are missing, for the user alone. Raises `StorageError`."""
    try:
        make_folders(folder)
    except OSError as error:
        raise StorageError(
            f"the folder {folder} cannot be made: {(error.strerror or str(error)).lower()}",
            help="check that the folder above it can be written; MISSIVE_HOME puts it somewhere else",
        ) from error


def make_folders(folder: Path) -> None:
    """As `make_private`, but raises `OSError`. `Path.mkdir` would leave those above it to the umask."""
    if not folder.is_dir():
        make_folders(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


def is_private(folder: Path) -> bool:
    """Tell whether a folder is a real one, is ours, and is closed to everybody else."""
    try:
        found = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077
