"""Which configuration file is used.

The first that is given or exists: ``--config``, ``MISSIVE_CONFIG``, with ``MISSIVE_REPO_CONFIG`` a file of the
repository around the working folder, the XDG folders, and at last the built-in defaults.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from missive_host.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Source = Literal["explicit_path", "environment", "repository_local", "xdg", "built_in_default"]


class Candidate(msgspec.Struct, frozen=True):
    """A place where a configuration file may lie."""

    source: Source
    path: Path

    @property
    def exists(self) -> bool:
        return self.path.is_file()


def find(config_path: str | None, env: Mapping[str, str]) -> tuple[Source, Path | None]:
    """Return the file to use and why. Raises `ConfigError` when a file was named and there is none."""
    for candidate in candidates(config_path, env):
        named = candidate.source in ("explicit_path", "environment")
        # A named file may be a pipe, as in --config <(...), so it only has to exist.
        if candidate.path.exists() if named else candidate.exists:
            return candidate.source, candidate.path
        if named:
            how = "--config" if candidate.source == "explicit_path" else "MISSIVE_CONFIG"
            raise ConfigError(
                f"the file {candidate.path} of {how} does not exist",
                help="give the path of a TOML file",
            )
    return "built_in_default", None


def candidates(config_path: str | None, env: Mapping[str, str]) -> Iterator[Candidate]:
    """Yield the places in the order in which they are tried. A file that was named is the only place."""
    if config_path is not None:
        if not config_path:
            raise ConfigError("--config is empty", help="give the path of a TOML file")
        yield Candidate("explicit_path", Path(config_path).absolute())
        return
    if "MISSIVE_CONFIG" in env:
        if not env["MISSIVE_CONFIG"]:
            raise ConfigError("MISSIVE_CONFIG is set but empty", help="set it to the path of a TOML file, or unset it")
        yield Candidate("environment", Path(env["MISSIVE_CONFIG"]).absolute())
        return
    if env.get("MISSIVE_REPO_CONFIG", "").lower() in ("1", "true", "yes", "on"):
        yield from _repository()
    for folder in _xdg(env):
        yield Candidate("xdg", folder / "missive" / "config.toml")
        yield Candidate("xdg", folder / "missive.toml")


def _repository() -> Iterator[Candidate]:
    here = Path.cwd()
    for folder in (here, *here.parents):
        yield Candidate("repository_local", folder / "missive.toml")
        yield Candidate("repository_local", folder / ".missive.toml")
        if (folder / ".git").exists():
            return


def _xdg(env: Mapping[str, str]) -> Iterator[Path]:
    own = Path(env.get("XDG_CONFIG_HOME", ""))
    if own.is_absolute():
        yield own
    elif Path(env.get("HOME", "")).is_absolute():
        yield Path(env["HOME"]) / ".config"
    for text in (env.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(":"):
        if Path(text).is_absolute():
            yield Path(text)
