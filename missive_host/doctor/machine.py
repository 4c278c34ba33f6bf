"""What is here: the program, the configuration file, the folders, the disk."""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from missive_host import __version__
from missive_host.doctor.findings import failed, passed, quoted, raised, warned

if TYPE_CHECKING:
    from collections.abc import Iterator

    from missive_host.config import Paths, Settings
    from missive_host.errors import ConfigError
    from missive_host.outputs_doctor import DoctorCheck

EXIT_STORAGE = 75
EXIT_CONFIG = 78
LEAST_BYTES = 32 * 1024 * 1024
"""With less room than this the store may fail in the middle of a write."""
LITTLE_BYTES = 512 * 1024 * 1024
SHOWN_PROBLEMS = 5
"""How many faults of a configuration are told at once; the data have them all."""
PROBE_BYTES = 64 * 1024
_HOME = "export MISSIVE_HOME=/FOLDER  # /FOLDER: an absolute path that this user can write"
_ELSEWHERE = "${EDITOR:-vi} CONFIG  # CONFIG: see missive config path; name another `database_path` in it"


def binary() -> DoctorCheck:
    """Say which missive and which Python this is."""
    python = ".".join(map(str, sys.version_info[:3]))
    message = f"missive {__version__} on Python {python}, {sys.platform}"
    return passed("binary.version", message, version=__version__, python=python, executable=sys.executable)


def configuration(settings: Settings, error: ConfigError | None) -> DoctorCheck:
    """Say which configuration is in force, or why it cannot be."""
    from missive_host.config.problems import InvalidConfigError

    name = "config.discovery_validation"
    if isinstance(error, InvalidConfigError):
        line = error.problems[0].line
        where = f"+{line} " if line else ""
        return failed(
            name,
            error.exit_code,
            "; ".join(problem.sentence(error.file) for problem in error.problems[:SHOWN_PROBLEMS]),
            f"${{EDITOR:-vi}} {where}{quoted(error.file)}",
            "missive config validate",
            problems=[problem.sentence(error.file) for problem in error.problems],
        )
    if error is not None:
        return raised(name, error, *_mending(error.message))
    where = str(settings.path) if settings.path else "no configuration file; the built-in defaults are in force"
    if settings.path is not None and _mode(settings.path) & 0o022:
        message = f"{where} can be changed by other users, who could send your messages elsewhere"
        return failed(name, EXIT_CONFIG, message, f"chmod go-w {quoted(settings.path)}")
    return passed(name, where, source=settings.source)


def _mending(message: str) -> tuple[str, ...]:
    """Return the command that mends what keeps the configuration from being found."""
    if "MISSIVE_HOME" in message or message.startswith("HOME "):
        return ('export MISSIVE_HOME="$HOME/missive"' if os.environ.get("HOME") else _HOME,)
    for variable in ("MISSIVE_CONFIG", "MISSIVE_PROFILE"):
        if variable in message:
            return (f"unset {variable}",)
    return ("missive config path",)


def folders(paths: Paths, log: Path | None = None) -> Iterator[DoctorCheck]:
    """Check that the folders, the store and the log belong to this user alone and can be written."""
    logs = () if log is None else (log,)
    # A folder of the system's, such as /var/log, is not ours to be closed to others.
    own = {**_own(paths), **dict.fromkeys(file.parent for file in logs if paths.state in file.parents)}
    broken = [found for folder in own if (found := _folder(folder)) is not None]
    if paths.database.parent not in own and (found := _folder(paths.database.parent, own=False)) is not None:
        broken.append(found)
    broken += [found for file in (*_files(paths), *logs) if (found := _file(file)) is not None]
    if broken:
        yield from broken
    else:
        yield passed("state.paths", f"{paths.state} can be written by this user alone", state=str(paths.state))


def _own(paths: Paths) -> dict[Path, None]:
    """Return the folders that are missive's alone. That of the store need not be one."""
    return dict.fromkeys((paths.state, paths.data, paths.cache))


def _files(paths: Paths) -> tuple[Path, ...]:
    return tuple(Path(f"{paths.database}{end}") for end in ("", "-wal", "-shm"))


def _folder(folder: Path, *, own: bool = True) -> DoctorCheck | None:
    name = "state.paths"
    there = folder
    while not os.path.lexists(there):
        there = there.parent
    if not there.is_dir():
        return failed(name, EXIT_STORAGE, f"{there} is in the way: it is not a folder", _away(there))
    if not os.access(there, os.W_OK | os.X_OK):
        return failed(name, EXIT_STORAGE, f"this user cannot write in {there}", *_opening(folder, there, own=own))
    if not own:  # who may use it is not missive's to say, as long as nobody can put another store in the place of ours
        return (
            None
            if there != folder or _is_kept(folder)
            else failed(
                name, EXIT_STORAGE, f"other users can change what is in {folder}, where the store is", _ELSEWHERE
            )
        )
    return _exposed(folder, there_is=there == folder, private="700")


def _opening(folder: Path, there: Path, *, own: bool) -> tuple[str, ...]:
    """Return what lets this user write in a folder, of which `there` is as much as exists."""
    if not own:
        return (_ELSEWHERE,)
    if _owner(there) == os.geteuid():
        return (f"chmod u+rwx {quoted(there)}",)
    elsewhere = 'export MISSIVE_HOME="$HOME/missive"'
    if there == folder:
        return (f"sudo chown $(id -u) {quoted(there)}", elsewhere)
    return (f"sudo install -d -m 700 -o $(id -u) {quoted(folder)}", elsewhere)


def _is_kept(folder: Path) -> bool:
    """Whether others can neither make nor rename files in a folder; with the sticky bit they cannot rename ours."""
    mode = _mode(folder)
    return not mode & 0o022 or bool(mode & stat.S_ISVTX)


def _file(file: Path) -> DoctorCheck | None:
    if not file.exists():
        return None
    if not file.is_file():
        return failed("state.paths", EXIT_STORAGE, f"{file} is in the way: it is not a file", _away(file))
    if not os.access(file, os.R_OK | os.W_OK):
        command = f"chmod 600 {quoted(file)}" if _owner(file) == os.geteuid() else f"sudo chown $(id -u) {quoted(file)}"
        return failed("state.paths", EXIT_STORAGE, f"this user cannot read and write {file}", command)
    return _exposed(file, there_is=True, private="600")


def _exposed(path: Path, *, there_is: bool, private: str) -> DoctorCheck | None:
    """Say who else could read or change what is kept there."""
    if not there_is or not (mode := _mode(path)) & 0o077:
        return None
    command = f"chmod {private} {quoted(path)}"
    if mode & 0o022:
        return failed("state.paths", EXIT_STORAGE, f"other users can change {path} (mode {mode:04o})", command)
    return warned("state.paths", f"other users can read {path} (mode {mode:04o})", command)


def _away(path: Path) -> str:
    return f"mv {quoted(path)} {quoted(f'{path}.away')}"


def _mode(path: Path) -> int:
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return 0


def _owner(path: Path) -> int | None:
    try:
        return path.stat().st_uid
    except OSError:
        return None


def disk(paths: Paths) -> DoctorCheck:
    """Check that there is room for the store, and that a file can really be written beside it."""
    import shutil

    name, there = "disk.space", paths.database.parent
    while not there.exists():
        there = there.parent
    free = shutil.disk_usage(there).free
    hints = (
        f"df -h {quoted(there)}",
        f"du -sh {quoted(paths.state)} {quoted(paths.cache)}",
        "missive store prune --older-than 30d --dry-run",
    )
    room = f"{free // (1024 * 1024)} MiB free on the disk of {there}"
    if free < LEAST_BYTES:
        return failed(name, EXIT_STORAGE, f"the disk is full: {room}", *hints, free_bytes=free)
    if there == paths.database.parent and there.is_dir() and os.access(there, os.W_OK | os.X_OK):
        try:
            with tempfile.TemporaryFile(dir=there) as file:
                file.write(bytes(PROBE_BYTES))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            message = f"nothing can be written to the disk of {there}: {(error.strerror or str(error)).lower()}"
            return failed(name, EXIT_STORAGE, message, "ulimit -f unlimited", *hints, free_bytes=free)
    if free < LITTLE_BYTES:
        return warned(name, f"little room: {room}", *hints, free_bytes=free)
    size = sum(file.stat().st_size for file in _files(paths) if file.is_file())
    return passed(name, room, free_bytes=free, store_bytes=size)
