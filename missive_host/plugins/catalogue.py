"""What is installed, by metadata alone, and which of it is gated off.

A plugin has one name: that of its entry point in the group ``missive.plugins``, or the stem of its file. The
catalogue has one record for each that was found. No plugin code runs here.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from importlib.metadata import Distribution

GROUP = "missive.plugins"
"""The entry-point group."""
NOUN_GROUP = "missive.commands"
"""The group that names a plugin's nouns, so that they can be listed without importing it."""
PROVIDER_GROUP = "missive.secret_providers"
"""The group that names a plugin's secret providers, so that a reference imports no other plugin."""

ENVIRONMENT = "MISSIVE_PLUGINS_DISABLED"
"""Names of plugins to leave out, with commas between."""

State = Literal["found", "disabled", "failed", "loaded"]

_NAME = re.compile(r"[a-z][a-z0-9]*([._-][a-z0-9]+)*")
_MODULE = re.compile(r"(?P<module>[A-Za-z_]\w*(\.[A-Za-z_]\w*)*)\s*(\[[^\]]*\])?", re.ASCII)


@dataclass(frozen=True, slots=True)
class PluginRecord:
    """One plugin, and what became of it."""

    name: str
    target: str
    """The declaration module, e.g. ``carrier_pigeon``; of a one-file plugin the name it is imported under."""
    distribution: str | None = None
    """The installed distribution that brings it; None for a one-file plugin."""
    version: str | None = None
    path: str | None = None
    """The file of a one-file plugin."""
    state: State = "found"
    reason: str | None = None
    """One line: why it, or a part of it, cannot be used."""
    gate: str | None = None
    """What disabled it: ``[plugins] disabled``, ``[plugins] enabled``, ``--no-plugin`` or the variable's name."""
    seconds: float | None = None
    """How long importing and asking it took."""
    commands: tuple[str, ...] = ()
    """The nouns that its metadata names."""
    secret_providers: tuple[str, ...] = ()
    """The secret providers that its metadata names."""
    provides: tuple[str, ...] = ()
    """What can be used of it, e.g. ``("adapter stdio",)``."""
    warnings: tuple[str, ...] = ()
    """What its author should mend although it works."""

    @property
    def owner(self) -> str:
        """Who brings it, for people: ``missive-foo 1.2`` or the file."""
        if self.path is not None:
            return self.path
        return " ".join(filter(None, (self.distribution, self.version)))

    @property
    def label(self) -> str:
        """The name and the owner, for people: ``plugin `foo` (missive-foo 1.2)``."""
        return f"plugin `{self.name}` ({self.owner})"


class PluginTable(Protocol):
    """The ``[plugins]`` table of the config, as far as it matters here."""

    @property
    def disabled(self) -> tuple[str, ...]: ...
    @property
    def enabled(self) -> tuple[str, ...] | None: ...


@dataclass(frozen=True, slots=True)
class Gates:
    """Which plugins may load. Names are entry-point names.

    Raises `ConfigError` when both ``disabled`` and ``enabled`` are given: they are two answers to one question.
    """

    disabled: tuple[str, ...] = ()
    """``[plugins] disabled``."""
    enabled: tuple[str, ...] | None = None
    """``[plugins] enabled``: these and no others; None: all. Files that were named explicitly are not held back."""
    no_plugin: tuple[str, ...] = ()
    """``--no-plugin``."""
    environment: tuple[str, ...] = ()
    """``MISSIVE_PLUGINS_DISABLED``."""

    def __post_init__(self) -> None:
        if self.disabled and self.enabled is not None:
            from missive_host.errors import ConfigError

            raise ConfigError(
                "[plugins] has both `disabled` and `enabled`",
                help="keep one: `enabled` lists all that may load, `disabled` those that may not",
            )

    @classmethod
    def of(cls, table: PluginTable, *, no_plugin: tuple[str, ...] = (), env: Mapping[str, str] = os.environ) -> Gates:
        """Return the gates that config, flags and environment set together."""
        names = (name.strip() for name in env.get(ENVIRONMENT, "").split(","))
        return cls(table.disabled, table.enabled, no_plugin, tuple(filter(None, names)))

    def closed_by(self, record: PluginRecord) -> str | None:
        """Return the gate that keeps a plugin out, or None."""
        for gate, names in self._refusing():
            if record.name in names:
                return gate
        if self.enabled is not None and record.path is None and record.name not in self.enabled:
            return "[plugins] enabled"
        return None

    def _refusing(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        return (
            ("--no-plugin", self.no_plugin),
            (ENVIRONMENT, self.environment),
            ("[plugins] disabled", self.disabled),
        )

    def named(self) -> Iterator[tuple[str, str]]:
        """Yield each gate with each name that it was given."""
        for gate, names in (*self._refusing(), ("[plugins] enabled", self.enabled or ())):
            for name in names:
                yield gate, name


def catalog(gates: Gates | None = None, *, files: Iterable[str | Path] = ()) -> tuple[PluginRecord, ...]:
    """Return a record of every plugin that is installed, and of every file in `files`, sorted by name.

    Nothing of a plugin is imported. A record is ``found``, ``disabled`` by a gate, or ``failed`` when metadata alone
    says that it cannot work: a name claimed twice, a target that is no module, a file that is not there.
    """
    gates = gates or Gates()
    records = [*_installed(), *_from_files(files)]
    gated = [
        record if (gate := gates.closed_by(record)) is None else replace(record, state="disabled", gate=gate)
        for record in records
    ]
    return tuple(sorted(_without_clashes(gated), key=lambda record: (record.name, record.owner)))


def notices(records: tuple[PluginRecord, ...], gates: Gates) -> tuple[str, ...]:
    """Return a sentence for each name in a gate that is no plugin's, with what may have been meant."""
    known = {record.name for record in records}
    return tuple(f"{gate}: {_not_a_plugin(name, records)}" for gate, name in gates.named() if name not in known)


def _not_a_plugin(name: str, records: tuple[PluginRecord, ...]) -> str:
    from missive_host.errors import nearest

    brought = [r for r in records if r.distribution is not None and _normal(r.distribution) == _normal(name)]
    if brought:
        names = " or ".join(f"`{record.name}`" for record in brought)
        return f"no plugin `{name}`; did you mean {names}, from {brought[0].owner}?"
    return f"no plugin `{name}`{nearest(name, [record.name for record in records])}"


def unknown_plugin(name: str, records: tuple[PluginRecord, ...]) -> str:
    """Return the sentence that says there is no such plugin, with what may have been meant."""
    return _not_a_plugin(name, records)


# --- installed distributions


def _installed() -> Iterator[PluginRecord]:
    """Yield the entry points of the group.

    `importlib.metadata.entry_points` would do, but one distribution with unreadable metadata ends it for all, and it
    parses every distribution's metadata for its name. Here only those that name the group are looked at.
    """
    from importlib import metadata

    seen: set[str] = set()
    for candidate in metadata.distributions():
        if not _names_group(candidate):
            continue
        name = _field(candidate, "Name")
        if name is None:
            yield from _of_distribution(candidate, "(no name)")
            continue
        if _normal(name) in seen:
            continue
        seen.add(_normal(name))
        # An editable install beside a wheel, or an old copy further down sys.path: the first one is what
        # `import` finds, so it is the one that counts.
        yield from _of_distribution(metadata.distribution(name), name)


def _names_group(distribution: Distribution) -> bool:
    try:
        return GROUP in (distribution.read_text("entry_points.txt") or "")
    except Exception:  # noqa: BLE001 - a stranger's broken metadata is not our trouble
        return False


def _field(distribution: Distribution, field: str) -> str | None:
    try:
        metadata: Any = distribution.metadata
        value = metadata.get(field)
    except Exception:  # noqa: BLE001 - as above
        return None
    return str(value) if value else None


def _of_distribution(distribution: Distribution, name: str) -> Iterator[PluginRecord]:
    version = _field(distribution, "Version")
    try:
        entry_points = distribution.entry_points
        points = {(point.name, point.value) for point in entry_points if point.group == GROUP}
        named = sorted({(point.group, point.name, point.value) for point in entry_points})
    except Exception as error:  # noqa: BLE001 - becomes a record
        reason = f"its entry points cannot be read: {type(error).__name__}"
        yield PluginRecord(name, "", name, version, state="failed", reason=reason)
        return
    for point, value in points:
        match = _MODULE.fullmatch(value.strip())
        nouns, providers = (
            tuple(each for group, each, target in named if (group, target) == (wanted, value) and _NAME.fullmatch(each))
            for wanted in (NOUN_GROUP, PROVIDER_GROUP)
        )
        target = match["module"] if match else value
        record = PluginRecord(point, target, name, version, commands=nouns, secret_providers=providers)
        if not _NAME.fullmatch(point):
            reason = f"`{point}` is not a plugin name: use lower-case letters, digits, '-', '_' and '.'"
            record = replace(record, state="failed", reason=reason)
        elif match is None:
            reason = f"the entry point must name a module, not `{value}`"
            record = replace(record, state="failed", reason=reason)
        yield record


def _normal(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


# --- one-file plugins


def _from_files(files: Iterable[str | Path]) -> Iterator[PluginRecord]:
    seen: set[Path] = set()
    for given in files:
        path = Path(given).expanduser().absolute()
        resolved = path.resolve()
        if resolved not in seen:
            seen.add(resolved)
            yield _from_file(path, resolved)


def _from_file(path: Path, resolved: Path) -> PluginRecord:
    from zlib import crc32

    # Unique for the path, so that two files of one name in one process never are the same module.
    module = f"missive_file_{re.sub(r'[^0-9A-Za-z]', '_', path.stem)}_{crc32(os.fsencode(resolved)):08x}"
    record = PluginRecord(path.stem, module, path=str(path))
    reason = None
    if path.suffix != ".py":
        reason = "a one-file plugin is a .py file"
    elif not resolved.is_file():
        reason = "there is no such file"
    elif not _NAME.fullmatch(path.stem):
        reason = f"`{path.stem}` is not a plugin name: use lower-case letters, digits, '-', '_' and '.'"
    return record if reason is None else replace(record, state="failed", reason=reason)


# --- clashes


def _without_clashes(records: list[PluginRecord]) -> Iterator[PluginRecord]:
    """Mark all plugins whose name is claimed twice: loading one of them would leave the choice to chance."""
    claims = Counter(record.name for record in records if record.state == "found")
    for record in records:
        if record.state == "found" and claims[record.name] > 1:
            rivals = [r for r in records if r.state == "found" and r.name == record.name]
            owners = " and ".join(sorted(f"{rival.owner} ({rival.target})" for rival in rivals))
            reason = f"the name `{record.name}` is claimed by {owners}; neither is loaded"
            yield replace(record, state="failed", reason=reason)
        else:
            yield record
