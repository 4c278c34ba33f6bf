"""The store: whether it can be opened, whether it is whole, whether it can be written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from missive_host.doctor.findings import failed, mib, passed, quoted, skipped, warned

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from missive_host.outputs_doctor import DoctorCheck
    from missive_host.store.examining import Examined

EXIT_STORAGE = 75
_LARGE = 3
"""How many tables are named, the largest first; the data have them all."""
_SCHEMA, _WHOLE, _WRITING = "store.sqlite_migrations", "store.integrity", "store.writable"


def store(path: Path, found: Examined) -> Iterator[DoctorCheck]:
    """Yield what an examination of the store says."""
    file = quoted(path)
    if not found.exists:
        yield skipped(_SCHEMA, f"there is no store at {path} yet; the first command that writes makes it")
        return
    if found.cause == "cut off":
        message = f"the last write to the store {path} was cut off; who opens it next takes it back"
        yield warned(_WHOLE, message, "missive store check")
        return
    if found.error is not None:
        yield failed(
            _SCHEMA,
            EXIT_STORAGE,
            found.error.message,
            *_mending(path, found.cause),
            *((found.error.help,) if found.error.help else ()),
            sources=list(found.error.sources),
        )
        return
    if found.version is not None:
        yield _schema(path, found.version, found.known_version)
    if found.damage:
        yield failed(
            _WHOLE,
            EXIT_STORAGE,
            f"the store {path} is damaged: {found.damage[0]}",
            *_mending(path, "damage"),
            findings=list(found.damage),
        )
    elif found.whole:
        yield passed(_WHOLE, "SQLite finds the store in order")
    elif not found.locked and (found.version or 0) <= found.known_version:
        yield warned(_WHOLE, "the store is too large to be looked through in this time", "missive doctor --timeout 10m")
    if found.bytes:
        yield _size(found)
    if found.locked:
        yield failed(
            _WRITING,
            EXIT_STORAGE,
            f"the store {path} is locked: another process is in the middle of a write and does not end it",
            f"fuser -v {file}",
            "kill PID  # PID: of what fuser shows, the process that has stopped in the middle of its work",
        )
    elif (found.version or 0) <= found.known_version:
        yield passed(_WRITING, "the store can be written")


def _size(found: Examined) -> DoctorCheck:
    parts = [mib(found.bytes)]
    parts += [f"{mib(found.free_bytes)} of it free"] if found.free_bytes else []
    parts += [f"{mib(found.log_bytes)} of log"] if found.log_bytes else []
    told = ((rows, table) for table, rows in found.rows.items() if rows and table != "schema_migrations")
    parts += [f"{rows} in {table}" for rows, table in sorted(told, reverse=True)[:_LARGE]]
    if found.oldest_event is not None:
        parts.append(f"the journal since {found.oldest_event[:10]}")
    return passed(
        "store.size",
        ", ".join(parts),
        bytes=found.bytes,
        free_bytes=found.free_bytes,
        log_bytes=found.log_bytes,
        rows=found.rows,
        oldest_event=found.oldest_event,
        newest_event=found.newest_event,
    )


def _mending(path: Path, cause: str) -> tuple[str, ...]:
    file = quoted(path)
    if cause == "access":
        return (f"chmod 600 {file}", f"sudo chown $(id -u) {file}")
    if cause == "disk":
        return (f"df -h {quoted(path.parent)}",)
    saved = quoted(f"{path}.recovered")
    restore = "missive store restore BACKUP  # BACKUP: a file that missive store backup has made"
    if cause == "stranger":
        return (restore, f"missive gateway stop; mv {file} {quoted(f'{path}.away')}")
    recover = f"(umask 077; sqlite3 {file} .recover | sqlite3 {saved})"
    return (restore, f"{recover} && missive store restore {saved}  # what is left; not every sqlite3 can do it")


def _schema(path: Path, version: int, known: int) -> DoctorCheck:
    if version > known:
        return failed(
            _SCHEMA,
            EXIT_STORAGE,
            f"the store {path} has schema version {version}, this missive knows versions up to {known}",
            "pip install --upgrade missive-host",
            'export MISSIVE_HOME="$HOME/another"',
            version=version,
            known_version=known,
        )
    said = "up to date" if version == known else f"older than {known}; the next command brings it up to date"
    return passed(_SCHEMA, f"schema version {version}, {said}", version=version, known_version=known)
