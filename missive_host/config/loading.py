"""Find, read and check the configuration."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, NoReturn

import msgspec

from missive_host.config.discovery import Source, find
from missive_host.config.model import AuthHeader, AuthRef, Config, Sessions
from missive_host.config.paths import Paths, log_file, profile_paths
from missive_host.errors import ConfigError, nearest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

MAX_FILE_BYTES = 1024 * 1024


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The configuration that a command runs with."""

    profile: str
    config: Config
    """As the profile sees it: its blocks are in the place of the top-level ones."""
    source: Source
    path: Path | None
    paths: Paths
    environ: Mapping[str, str]
    """Where auth refs find their variables."""

    @property
    def log_file(self) -> Path:
        """The file of the gateway's log. Raises `ConfigError`."""
        return log_file(self.paths, self.environ, self.config.logging.file)

    def __repr__(self) -> str:
        # Without the environment, which holds secrets.
        return f"Settings(profile={self.profile!r}, source={self.source!r}, path={self.path!r}, paths={self.paths!r})"


def load(
    *, config_path: str | None = None, profile: str | None = None, env: Mapping[str, str] = os.environ
) -> Settings:
    """Return the settings for `config_path` (``--config``) and `profile` (``--profile``).

    Raises `ConfigError`; for a file with faults `InvalidConfigError`, which has all of them.
    """
    source, path = find(config_path, env)
    config = Config() if path is None else read_config(path, env)
    name = choose_profile(profile, env, config)
    config = config.for_profile(name)
    paths = profile_paths(name, env, database_path=config.storage.database_path)
    return Settings(profile=name, config=config, source=source, path=path, paths=paths, environ=env)


def choose_profile(flag: str | None, env: Mapping[str, str], config: Config) -> str:
    """Return the profile's name: ``--profile``, else ``MISSIVE_PROFILE``, else ``default_profile``.

    Where the config has profiles, the name must be one of them or ``default``, so that a misspelt name does not
    silently begin with an empty state. Raises `ConfigError`.
    """
    if flag is None and "MISSIVE_PROFILE" in env:
        flag = env["MISSIVE_PROFILE"]
        if not flag:
            raise ConfigError("MISSIVE_PROFILE is set but empty", help="set it to the name of a profile, or unset it")
    if flag is None:
        return config.default_profile
    if config.profiles and flag not in (*config.profiles, config.default_profile, "default"):
        raise ConfigError(
            f"there is no profile '{flag[:64]}'{nearest(flag[:64], list(config.profiles))}",
            help="add [profiles.NAME] to the config, or use one of: "
            + ", ".join(sorted({*config.profiles, "default"})),
        )
    return flag


def read_config(path: Path, env: Mapping[str, str] = os.environ) -> Config:
    """Return the content of a configuration file, with paths that are relative to it made absolute.

    Raises `ConfigError`, or `InvalidConfigError` with every fault.
    """
    text = _read(path)
    import tomllib

    try:
        # Through to_builtins: TOML's dates become text, since everything here must be able to become JSON.
        raw = msgspec.to_builtins(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise _syntax(path, str(error)) from None
    except RecursionError:
        raise ConfigError(f"{path} is nested too deeply") from None
    try:
        config = msgspec.convert(raw, Config)
    except msgspec.ValidationError:
        from missive_host.config.problems import InvalidConfigError, problems_of, walk

        raise InvalidConfigError(path, problems_of(text, walk(Config, raw))) from None
    if broken := _broken_references(config):
        refuse(path, broken, text)
    return _with_absolute_paths(config, path.parent, env)


def refuse(path: Path, broken: list[tuple[tuple[str | int, ...], str]], text: str | None = None) -> NoReturn:
    """Raise `InvalidConfigError` for what is wrong at these places of a file."""
    from missive_host.config.problems import InvalidConfigError, problems_of

    raise InvalidConfigError(path, problems_of(_read(path) if text is None else text, broken))


def secret_references(config: Config) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yield each reference to a secret with its place. Of a setting only those that are tables: ``{ secret = … }``."""
    for name, ref in config.auth_refs.items():
        for index, entry in enumerate(ref.entries):
            place = ("auth_refs", name, "headers", index) if ref.headers else ("auth_refs", name)
            yield ((*place, "secret") if entry.secret is not None else place), entry.reference
    for name, block in config.adapters.items():
        yield from _references_in(block.settings, ("adapters", name, "settings"))
    for header, value in config.telemetry.headers.items():
        if not isinstance(value, str):
            yield ("telemetry", "headers", header, "secret"), value.secret
    for index, each in enumerate(config.filters):
        yield from _references_in(each.settings, ("filters", index, "settings"))


def _references_in(value: Any, place: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if isinstance(value, list):
        for index, child in enumerate(value):
            yield from _references_in(child, (*place, index))
    elif isinstance(value, dict):
        if set(value) == {"secret"} and isinstance(value["secret"], str):
            yield place, value["secret"]
        else:
            for key, child in value.items():
                yield from _references_in(child, (*place, key))


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    if len(data) > MAX_FILE_BYTES:
        raise ConfigError(f"{path} is bigger than 1 MiB", help="this is hardly a configuration file")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _syntax(path, f"not UTF-8 text (at line {line})") from None


def _syntax(path: Path, text: str) -> ConfigError:
    from missive_host.config.problems import InvalidConfigError, Problem

    match = re.search(r" \(at line (\d+), column \d+\)$| \(at line (\d+)\)$| \(at end of document\)$", text)
    line = int(match[1] or match[2]) if match and match.lastindex else msgspec.UNSET
    what = (
        text[: match.start()] + (" at the end of the file" if match and not match.lastindex else "") if match else text
    )
    return InvalidConfigError(path, (Problem(message=f"not TOML: {what[:1].lower()}{what[1:]}", line=line),))


def _broken_references(config: Config) -> list[tuple[tuple[str | int, ...], str]]:
    """Return every name that is not the name of anything, or that is there twice where it may be there once."""
    found = _unknown_time_zones(config)
    for name, agent in config.agents.items():
        if agent.auth_ref is not None and agent.auth_ref not in config.auth_refs:
            hint = nearest(agent.auth_ref, list(config.auth_refs))
            found.append((("agents", name, "auth_ref"), f"there is no such name in [auth_refs]{hint}"))
    for name, group in config.groups.items():
        agents, ranks = set[str](), set[str]()
        for index, member in enumerate(group.members):
            place = ("groups", name, "members", index)
            if member.agent not in config.agents:
                hint = nearest(member.agent, list(config.agents))
                found.append(((*place, "agent"), f"there is no such name in [agents]{hint}"))
            elif member.agent in agents:
                found.append(((*place, "agent"), f"'{member.agent}' is in the group already"))
            if member.rank in ranks:
                found.append(((*place, "rank"), f"'{member.rank}' is another member's rank"))
            agents.add(member.agent)
            ranks.add(member.rank)
    for name, profile in config.profiles.items():
        if profile.default_agent is not None and profile.default_agent not in config.agents:
            hint = nearest(profile.default_agent, list(config.agents))
            found.append((("profiles", name, "default_agent"), f"there is no such name in [agents]{hint}"))
    if config.profiles and config.default_profile not in (*config.profiles, "default"):
        hint = nearest(config.default_profile, list(config.profiles))
        found.append((("default_profile",), f"there is no such name in [profiles]{hint}"))
    return found


def _unknown_time_zones(config: Config) -> list[tuple[tuple[str | int, ...], str]]:
    places: list[tuple[tuple[str | int, ...], Sessions | None]] = [(("gateway", "sessions"), config.gateway.sessions)]
    places += [(("adapters", name, "sessions"), adapter.sessions) for name, adapter in config.adapters.items()]
    places += [
        (("profiles", name, "gateway", "sessions"), profile.gateway.sessions)
        for name, profile in config.profiles.items()
        if profile.gateway is not None
    ]
    found: list[tuple[tuple[str | int, ...], str]] = []
    for place, sessions in places:
        if sessions is None or sessions.time_zone == "UTC":
            continue
        from zoneinfo import ZoneInfo

        try:
            ZoneInfo(sessions.time_zone)
        except (KeyError, OSError, ValueError):
            found.append(((*place, "time_zone"), "this machine knows no such time zone"))
    return found


def _with_absolute_paths(config: Config, folder: Path, env: Mapping[str, str]) -> Config:
    def absolute(text: str) -> str:
        return str(folder / (f"{env['HOME']}/{text[2:]}" if text.startswith("~/") and "HOME" in env else text))

    def header(entry: AuthHeader) -> AuthHeader:
        return entry if entry.file is None else msgspec.structs.replace(entry, file=absolute(entry.file))

    def reference(ref: AuthRef) -> AuthRef:
        if ref.headers:
            return msgspec.structs.replace(ref, headers=tuple(header(entry) for entry in ref.headers))
        return ref if ref.file is None else msgspec.structs.replace(ref, file=absolute(ref.file))

    if config.auth_refs:
        refs = {name: reference(ref) for name, ref in config.auth_refs.items()}
        config = msgspec.structs.replace(config, auth_refs=refs)
    if any(adapter.file_root for adapter in config.adapters.values()):
        adapters = {
            name: msgspec.structs.replace(adapter, file_root=absolute(adapter.file_root))
            if adapter.file_root
            else adapter
            for name, adapter in config.adapters.items()
        }
        config = msgspec.structs.replace(config, adapters=adapters)
    if config.plugins.files:
        files = tuple(absolute(file) for file in config.plugins.files)
        config = msgspec.structs.replace(config, plugins=msgspec.structs.replace(config.plugins, files=files))
    return config
