"""What a check has found."""

from __future__ import annotations

import shlex
from os import fspath
from typing import TYPE_CHECKING, Any

from msgspec import UNSET

from missive_host.outputs_doctor import DoctorCheck

if TYPE_CHECKING:
    from pathlib import Path

    from missive_host.errors import MissiveError


def passed(name: str, message: str, **data: Any) -> DoctorCheck:
    return _check(name, "pass", message, (), data)


def skipped(name: str, message: str, *hints: str) -> DoctorCheck:
    return _check(name, "skipped", message, hints, {})


def warned(name: str, message: str, *hints: str, **data: Any) -> DoctorCheck:
    return _check(name, "warning", message, hints, data)


def failed(name: str, exit_code: int, message: str, *hints: str, **data: Any) -> DoctorCheck:
    return _check(name, "fail", message, hints, data, exit_code)


def raised(name: str, error: MissiveError, *hints: str) -> DoctorCheck:
    """Return the failed check for an error. The commands in `hints` go before the error's own advice."""
    own = (error.help,) if error.help else ()
    return failed(name, error.exit_code, error.message, *hints, *own, sources=list(error.sources))


def quoted(path: Path | str) -> str:
    """Return a path as it is typed in a shell."""
    return shlex.quote(fspath(path))


def mib(count: int) -> str:
    """Return a number of bytes as it is told of stores and disks."""
    return f"{count / (1024 * 1024):.1f} MiB"


def _check(
    name: str, status: Any, message: str, hints: tuple[str, ...], data: dict[str, Any], exit_code: int | None = None
) -> DoctorCheck:
    kept = {key: value for key, value in data.items() if value not in (None, [], ())}
    return DoctorCheck(
        id=name,
        category=name.partition(".")[0],
        status=status,
        severity={"fail": "error", "warning": "warning"}.get(status, "info"),  # type: ignore[arg-type]
        message=message,
        hints=hints,
        exit_code=UNSET if exit_code is None else exit_code,
        data=kept or UNSET,
    )
