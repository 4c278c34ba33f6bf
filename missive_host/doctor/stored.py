"""The store: whether it can be opened, whether it is whole, whether it can be written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from missive_host.doctor.findings import failed, passed, quoted, skipped, warned

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from missive_host.outputs_doctor import DoctorCheck
    from missive_host.store.examining import Examined

EXIT_STORAGE = 75
_SCHEMA, _WHOLE, _WRITING = "store.sqlite_migrations", "store.integrity", "store.writable"


def store(path: Path, found: Examined) -> Iterator[DoctorCheck]:
    """Yield what an examination of the store says."""
    file = quoted(path)
    if not found.exists:
        yield skipped(_SCHEMA, f"there is no store at {path} yet; the first command that writes makes it")
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
            *_mending(path, "contents"),
            findings=list(found.damage),
        )
    elif found.whole:
        yield passed(_WHOLE, "SQLite finds the store in order")
    elif not found.locked and (found.version or 0) <= found.known_version:
        yield warned(_WHOLE, "the store is too large to be looked through in this time", "missive doctor --timeout 10m")
    if found.locked:
        yield failed(
            _WRITING,
            EXIT_STORAGE,
            f"the store {path} is locked: another process is in the middle of a write and does not end it",
            f"fuser -v {file}",
            f"kill $(fuser {file} 2>/dev/null)",
        )
    elif (found.version or 0) <= found.known_version:
        yield passed(_WRITING, "the store can be written")


def _mending(path: Path, cause: str) -> tuple[str, ...]:
    file = quoted(path)
    if cause == "access":
        return (f"chmod 600 {file} && chmod 700 {quoted(path.parent)}", f"sudo chown $(id -u) {file}")
    if cause == "disk":
        return (f"df -h {quoted(path.parent)}",)
    return (
        "missive store restore BACKUP  (of missive store backup)",
        f"mv {file} {quoted(f'{path}.broken')}",
        f"sqlite3 {quoted(f'{path}.broken')} .recover | sqlite3 {file}",
    )


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
