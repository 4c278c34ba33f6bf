"""The folders of a profile (``MISSIVE_HOME``, XDG base directories, macOS ``~/Library``)."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from missive_host.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?")
_XDG = {"data": ".local/share", "state": ".local/state", "cache": ".cache"}
_LIBRARY = {
    "data": "Library/Application Support/missive",
    "state": "Library/Application Support/missive/state",
    "cache": "Library/Caches/missive",
}


class Paths(msgspec.Struct, frozen=True):
    """Where one profile keeps its things. None of it is made here."""

    data: Path
    state: Path
    cache: Path
    database: Path


def home(env: Mapping[str, str]) -> Path:
    """Return the user's home folder, or raise a `ConfigError`."""
    folder = Path(env.get("HOME", ""))
    if not folder.is_absolute():
        raise ConfigError(
            "HOME is not set to an absolute path", help="set HOME, or MISSIVE_HOME to a folder for missive"
        )
    return folder


def profile_paths(
    profile: str, env: Mapping[str, str], *, database_path: str | None = None, platform: str = sys.platform
) -> Paths:
    """Return the folders of `profile`. Raises `ConfigError`."""
    if not _NAME.fullmatch(profile):
        raise ConfigError(
            "the profile's name is not a name",
            help="use 1 to 63 lower-case letters, digits, '.', '_' or '-', a letter or digit at both ends",
        )
    data, state, cache = (_folder(kind, env, platform) / "profiles" / profile for kind in ("data", "state", "cache"))
    if database_path is None:
        database = state / "missive.sqlite3"
    elif database_path.startswith("~/"):
        database = home(env) / database_path[2:]
    else:
        database = state / database_path
    return Paths(data, state, cache, database)


def log_file(paths: Paths, env: Mapping[str, str], file: str | None) -> Path:
    """Return the file of the gateway's log, `file` as ``[logging]`` names it. Raises `ConfigError`."""
    if file is None:
        return paths.state / "logs" / "gateway.log"
    return home(env) / file[2:] if file.startswith("~/") else paths.state / file


def _folder(kind: str, env: Mapping[str, str], platform: str) -> Path:
    if "MISSIVE_HOME" in env:
        base = Path(env["MISSIVE_HOME"])
        if not base.is_absolute():
            raise ConfigError("MISSIVE_HOME is not an absolute path", help="set it to an absolute path, or unset it")
        return base / kind
    # The XDG specification: a relative path is ignored.
    xdg = Path(env.get(f"XDG_{kind.upper()}_HOME", ""))
    if xdg.is_absolute():
        return xdg / "missive"
    return home(env) / (_LIBRARY[kind] if platform == "darwin" else f"{_XDG[kind]}/missive")
