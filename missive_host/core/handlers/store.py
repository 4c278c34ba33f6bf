"""The store itself. Its file is opened here as it is: what has to be mended must not be opened as if it were whole."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import UNSET

from missive_host import commands as c, outputs_store as s
from missive_host.core.views import given
from missive_host.errors import ValidationError
from missive_host.ids import after, now
from missive_host.outputs import Output

if TYPE_CHECKING:
    from missive_host.core.core import Core
    from missive_host.store import Tables


def store_check(core: Core, command: c.StoreCheck) -> Output:  # noqa: ARG001 - it has no fields
    from missive_host.store.inspect import inspect
    from missive_host.store.migrate import SCHEMA_VERSION

    path = core.settings.paths.database
    found = inspect(path)
    return Output(
        s.StoreCheckResult(
            profile=core.profile,
            path=str(path),
            schema_version=found.schema_version,
            newest_schema_version=SCHEMA_VERSION,
            bytes=found.bytes,
            free_bytes=found.free_bytes,
            log_bytes=found.log_bytes,
            tables=tuple(s.TableView(name=t.name, rows=t.rows, bytes=given(t.bytes)) for t in found.tables),
            message=f"the store {path} is whole",
        )
    )


def store_backup(core: Core, command: c.StoreBackup) -> Output:
    from missive_host.store.backup import backup

    path, file = core.settings.paths.database, Path(command.file).expanduser().absolute()
    size = backup(path, file, progress=core.on_bytes)
    _note(path, "backup", file=str(file), bytes=size)
    message = f"the store is saved, and the copy is whole: {file}"
    return Output(
        s.StoreBackupResult(profile=core.profile, path=str(path), file=str(file), bytes=size, message=message)
    )


def store_restore(core: Core, command: c.StoreRestore) -> Output:
    from missive_host.store.restore import restore

    path, file = core.settings.paths.database, Path(command.file).expanduser().absolute()
    stamp = now().translate(str.maketrans("", "", "-:."))
    kept = path.with_name(f"{path.name}.before-{stamp}")
    had_one = restore(file, path, kept, progress=core.on_bytes)
    _note(path, "restore", file=str(file), **({"kept": str(kept)} if had_one else {}))
    return Output(
        s.StoreRestoreResult(
            profile=core.profile,
            path=str(path),
            file=str(file),
            kept=str(kept) if had_one else UNSET,
            message=f"the store is what {file} holds" + (f"; what it was is kept in {kept}" if had_one else ""),
        )
    )


def store_vacuum(core: Core, command: c.StoreVacuum) -> Output:  # noqa: ARG001 - it has no fields
    from missive_host.store.vacuum import vacuum

    path = core.settings.paths.database
    before, size = vacuum(path)
    _note(path, "vacuum", bytes_before=before, bytes=size)
    message = "the store is as small as it can be"
    return Output(
        s.StoreVacuumResult(profile=core.profile, path=str(path), bytes_before=before, bytes=size, message=message)
    )


def _note(path: Path, what: str, **payload: Any) -> None:
    from missive_host.core.recorder import journal_event
    from missive_host.store.noting import note

    note(path, journal_event(f"missive.store.{what}", source="core", payload=payload))


def store_prune(core: Core, command: c.StorePrune) -> Output:
    from missive_host.core.recorder import journal_event

    at, config = now(), core.settings.config
    answers = after(-c.duration_seconds(config.gateway.keep_answers))
    try:
        before = after(-c.age_seconds(command.older_than))
    except OverflowError:
        raise ValidationError(f"field `older_than`: nothing is as old as {command.older_than}") from None

    def write(tables: Tables) -> dict[str, int]:
        removed = tables.pruning.prune(before, answers=answers, adapters=tuple(config.adapters), at=at)
        if command.dry_run:
            raise _UndoneError(removed)
        if any(removed.values()):
            payload = {"before": before, "removed": removed}
            tables.events.append(journal_event("missive.store.prune", source="core", payload=payload, at=at))
        return removed

    try:
        removed = core.store.write(write)
    except _UndoneError as undone:
        removed = undone.removed
    count = sum(removed.values())
    message = f"{count} {'row' if count == 1 else 'rows'} {'would go' if command.dry_run else 'forgotten'}"
    return Output(
        s.StorePruneResult(
            profile=core.profile, before=before, dry_run=command.dry_run, count=count, removed=removed, message=message
        )
    )


class _UndoneError(Exception):
    """Takes back all of a dry run."""

    def __init__(self, removed: dict[str, int]) -> None:
        super().__init__("undone")
        self.removed = removed
