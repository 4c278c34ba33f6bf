"""The store, for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from msgspec import UNSET

from missive_host.cli.wording import size

if TYPE_CHECKING:
    from missive_host import outputs_store as s
    from missive_host.cli.screen import Screen


def _check(data: s.StoreCheckResult, screen: Screen) -> None:
    screen.line(data.message)
    screen.fields(
        (
            ("schema", data.schema_version),
            ("size", size(data.bytes)),
            ("free in it", size(data.free_bytes) if data.free_bytes else UNSET),
            ("log", size(data.log_bytes) if data.log_bytes else UNSET),
        )
    )
    screen.line()
    screen.table(
        ("TABLE", "ROWS", "SIZE"),
        [(each.name, each.rows, UNSET if each.bytes is UNSET else size(each.bytes)) for each in data.tables],
    )


def _backup(data: s.StoreBackupResult, screen: Screen) -> None:
    screen.line(f"{data.message} ({size(data.bytes)})")


def _message(data: s.StoreRestoreResult, screen: Screen) -> None:
    screen.line(data.message)


def _vacuum(data: s.StoreVacuumResult, screen: Screen) -> None:
    screen.line(f"{data.message}: {size(data.bytes_before)} → {size(data.bytes)}")


def _prune(data: s.StorePruneResult, screen: Screen) -> None:
    screen.line(data.message)
    if data.count:
        screen.table(("TABLE", "ROWS"), [(table, count) for table, count in data.removed.items() if count])
    if data.count and not data.dry_run:
        screen.note("give the room back to the disk: missive store vacuum")


RENDERERS: Mapping[str, Callable[[Any, Screen], None]] = {
    "store_check": _check,
    "store_backup": _backup,
    "store_restore": _message,
    "store_vacuum": _vacuum,
    "store_prune": _prune,
}
