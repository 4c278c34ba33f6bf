"""The result documents of ``missive store``."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType

from missive_host.outputs import Data


class TableView(msgspec.Struct, frozen=True, kw_only=True):
    """A table of the store."""

    name: str
    rows: int
    bytes: int | UnsetType = UNSET
    """With its indexes. Not every SQLite can tell."""


class StoreCheckResult(Data, frozen=True, kw_only=True):
    kind = "store_check"
    profile: str
    path: str
    schema_version: int
    newest_schema_version: int
    """The one that this missive brings a store to when it next writes."""
    bytes: int
    free_bytes: int
    """Room within the file that `missive store vacuum` gives back."""
    log_bytes: int
    """The write-ahead log beside the file."""
    tables: tuple[TableView, ...]
    message: str


class StoreBackupResult(Data, frozen=True, kw_only=True):
    kind = "store_backup"
    profile: str
    path: str
    """The store."""
    file: str
    """The backup."""
    bytes: int
    message: str


class StoreRestoreResult(Data, frozen=True, kw_only=True):
    kind = "store_restore"
    profile: str
    path: str
    """The store."""
    file: str
    """The backup."""
    kept: str | UnsetType = UNSET
    """The store that was, if there was one."""
    message: str


class StoreVacuumResult(Data, frozen=True, kw_only=True):
    kind = "store_vacuum"
    profile: str
    path: str
    bytes_before: int
    """With the write-ahead log."""
    bytes: int
    message: str


class StorePruneResult(Data, frozen=True, kw_only=True):
    kind = "store_prune"
    profile: str
    before: str
    """What has been at rest since before this time."""
    dry_run: bool
    count: int
    removed: dict[str, int]
    """How many rows of each table."""
    message: str
