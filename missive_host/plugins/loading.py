"""Loading plugins one by one, so that a broken one is a record and not a crash."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeVar

from missive_host.plugins.catalogue import PluginRecord, unknown_plugin
from missive_host.plugins.importing import (
    ask,
    import_plugin,
    noting_deprecations,
    resolve,
    stdout_on_stderr,
    unlisted,
    warnings,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    import pluggy

    from missive_host.errors import PluginError
    from missive_host.specs import (
        AdapterSpec,
        CommandSpec,
        ContractSpec,
        FilterSpec,
        InboundFilterSpec,
        OutboundFilterSpec,
        PolicySpec,
        ReducerSpec,
        SecretProviderSpec,
        SinkSpec,
        Spec,
        TransportSpec,
        VerbSpec,
    )

    S = TypeVar(
        "S",
        AdapterSpec,
        PolicySpec,
        ReducerSpec,
        CommandSpec,
        ContractSpec,
        SecretProviderSpec,
        SinkSpec,
        TransportSpec,
        InboundFilterSpec,
        OutboundFilterSpec,
    )


def load(records: tuple[PluginRecord, ...], *, strict: bool = False) -> Plugins:
    """Return the plugins of a catalogue. Each is imported when something asks for it.

    With `strict` the first fault is raised as it is, with its traceback: for development and CI.
    """
    return Plugins(records, strict=strict)


class Plugins:
    """The plugins of one host.

    A declaration belongs to the plugin that declares it. If two plugins declare the same name, the one that is itself
    called so has it; if neither is, neither provides it, so that no order of loading decides. The methods import, so
    they belong to start-up; they are not for several threads at once.
    """

    def __init__(self, records: tuple[PluginRecord, ...], *, strict: bool = False) -> None:
        self._records = list(records)
        self._strict = strict
        self._claims: dict[tuple[str, str], list[tuple[int, Spec]]] = {}
        self._manager: pluggy.PluginManager | None = None

    @property
    def records(self) -> tuple[PluginRecord, ...]:
        """The records as they stand: ``found`` until the plugin has been loaded."""
        return tuple(self._current(index) for index in range(len(self._records)))

    def load_all(self) -> tuple[PluginRecord, ...]:
        """Load every plugin that may be loaded, and return the records."""
        for index in range(len(self._records)):
            self._load(index)
        return self.records

    def check(self) -> tuple[PluginRecord, ...]:
        """Load every plugin, import what its declarations name, and return the records.

        A factory whose extra is not installed is a warning, any other that cannot be imported is a fault. So is a
        contract that is not sound.
        """
        from missive_host.specs import ContractSpec

        self.load_all()
        for claims in list(self._claims.values()):
            for index, spec in claims:
                if isinstance(spec, ContractSpec):
                    self._check_contract(index, spec)
                else:
                    self._check_factory(index, spec)
        return self.records

    def plugin(self, name: str) -> tuple[PluginRecord, tuple[Spec, ...]]:
        """Return the plugin of this name with what it provides.

        Every plugin is loaded, as another one may declare the same. Raises `PluginError` if there is none.
        """
        from missive_host.errors import PluginError

        self.load_all()
        named = self._named(name)
        if not named:
            raise PluginError(unknown_plugin(name, self.records), help="`missive plugin list` shows all")
        specs = (spec for claims in self._claims.values() for index, spec in claims if index in named)
        return self._current(named[0]), tuple(spec for spec in specs if self._holds(named[0], spec))

    def adapter(self, name: str) -> tuple[AdapterSpec, PluginRecord]:
        """Return the adapter of this name and the plugin that provides it.

        Raises `PluginError` that says why there is none: unknown, disabled, failed, or claimed by two.
        """
        from missive_host.specs import AdapterSpec

        return self._find(AdapterSpec, name)

    def policy(self, name: str) -> tuple[PolicySpec, PluginRecord]:
        """As `adapter`, for routing policies."""
        from missive_host.specs import PolicySpec

        return self._find(PolicySpec, name)

    def reducer(self, name: str) -> tuple[ReducerSpec, PluginRecord]:
        """As `adapter`, for reducers."""
        from missive_host.specs import ReducerSpec

        return self._find(ReducerSpec, name)

    def secret_provider(self, name: str) -> tuple[SecretProviderSpec, PluginRecord]:
        """As `adapter`, for secret providers; the error says which there are."""
        from missive_host.specs import SecretProviderSpec

        return self._find(SecretProviderSpec, name)

    def sink(self, name: str) -> tuple[SinkSpec, PluginRecord]:
        """As `adapter`, for event sinks."""
        from missive_host.specs import SinkSpec

        return self._find(SinkSpec, name)

    def filters(self, name: str) -> tuple[FilterSpec, ...]:
        """Return the filters of this name: an inbound one, an outbound one, or both. Raises as `adapter` does."""
        from missive_host.specs import InboundFilterSpec, OutboundFilterSpec

        inbound = self._look(InboundFilterSpec, name)
        outbound = self._look(OutboundFilterSpec, name)
        found = tuple(held[1] for held in (inbound, outbound) if held is not None)
        if not found:
            claimed = (OutboundFilterSpec.__name__, name) in self._claims
            raise self._missing(OutboundFilterSpec if claimed else InboundFilterSpec, name)
        return found

    def adapters(self) -> tuple[tuple[AdapterSpec, PluginRecord], ...]:
        """Return all adapters, sorted by name. Every plugin is loaded."""
        from missive_host.specs import AdapterSpec

        return self._all(AdapterSpec)

    def policies(self) -> tuple[tuple[PolicySpec, PluginRecord], ...]:
        """As `adapters`, for routing policies."""
        from missive_host.specs import PolicySpec

        return self._all(PolicySpec)

    def reducers(self) -> tuple[tuple[ReducerSpec, PluginRecord], ...]:
        """As `adapters`, for reducers."""
        from missive_host.specs import ReducerSpec

        return self._all(ReducerSpec)

    def contracts(self) -> tuple[tuple[ContractSpec, PluginRecord], ...]:
        """As `adapters`, for contracts."""
        from missive_host.specs import ContractSpec

        return self._all(ContractSpec)

    def command(self, name: str) -> tuple[CommandSpec, PluginRecord] | None:
        """As `adapter`, for a noun of the command line; None if no plugin has to do with it."""
        from missive_host.specs import CommandSpec

        return self._find_if_any(CommandSpec, name)

    def transport(self, name: str) -> tuple[TransportSpec, PluginRecord]:
        """As `adapter`, for the transport of agents whose URL has this scheme."""
        from missive_host.specs import TransportSpec

        return self._find(TransportSpec, name)

    def transport_if_any(self, name: str) -> TransportSpec | None:
        """As `transport`; None if no plugin has to do with the scheme."""
        from missive_host.specs import TransportSpec

        found = self._find_if_any(TransportSpec, name)
        return found[0] if found is not None else None

    def require(self, spec: Spec) -> None:
        """Raise `PluginError` that says what to install, if modules that a declaration requires are not there."""
        from missive_host.plugins import reasons

        absent = reasons.missing(spec)
        if absent:
            from missive_host.errors import PluginError

            record = self._owner(spec)
            raise PluginError(
                f"{reasons.titled(spec)} needs {reasons.needs(record, spec)}: there is no {', '.join(absent)}",
                help=reasons.install(record, spec),
            )

    def factory(self, spec: Spec, verb: VerbSpec | None = None) -> Callable[..., Any]:
        """Import what ``spec.factory`` names, or of a command that of the verb, and return it.

        Raises `PluginError` that names the extra to install when a module is missing.
        """
        self.require(spec)
        return self._import_factory(self._owner(spec), spec, _factory_of(spec, verb))

    def _owner(self, spec: Spec) -> PluginRecord:
        index = next(i for claims in self._claims.values() for i, claimed in claims if claimed is spec)
        return self._records[index]

    # --- finding

    def _find(self, kind: type[S], name: str) -> tuple[S, PluginRecord]:
        held = self._look(kind, name)
        if held is None:
            raise self._missing(kind, name)
        index, spec = held
        return spec, self._current(index)

    def _find_if_any(self, kind: type[S], name: str) -> tuple[S, PluginRecord] | None:
        held = self._look(kind, name)
        if held is not None:
            return held[1], self._current(held[0])
        absent = any(self._records[index].state in ("disabled", "failed") for index in self._named(name))
        if absent or (kind.__name__, name) in self._claims:
            raise self._missing(kind, name)
        return None

    def _look(self, kind: type[S], name: str) -> tuple[int, S] | None:
        # The plugin of the same name has the first right to it, so nothing else need be imported.
        if self._strict:
            self.load_all()
        for index in (*self._named(name), *self._listing(kind, name)):
            self._load(index)
        held = self._held(kind, name)
        if held is None:
            self.load_all()
            held = self._held(kind, name)
        return held

    def _all(self, kind: type[S]) -> tuple[tuple[S, PluginRecord], ...]:
        self.load_all()
        names = sorted(name for claimed_kind, name in self._claims if claimed_kind == kind.__name__)
        held = (self._held(kind, name) for name in names)
        return tuple((item[1], self._current(item[0])) for item in held if item is not None)

    def _held(self, kind: type[S], name: str) -> tuple[int, S] | None:
        """Return the declaration of this name that counts, if there is one."""
        for index, spec in self._claims.get((kind.__name__, name), ()):
            if isinstance(spec, kind) and self._holds(index, spec):
                return index, spec
        return None

    def _holds(self, index: int, spec: Spec) -> bool:
        if _is_the_hosts(spec):
            return False
        return self._records[index].name == spec.name or not self._rivals(index, spec)

    def _rivals(self, index: int, spec: Spec) -> list[PluginRecord]:
        claims = self._claims[type(spec).__name__, spec.name]
        return [self._records[other] for other, _ in claims if other != index]

    def _named(self, name: str) -> list[int]:
        return [index for index, record in enumerate(self._records) if record.name == name]

    def _listing(self, kind: type[Any], name: str) -> list[int]:
        """Return the plugins whose metadata says that they have it."""
        from missive_host.specs import SecretProviderSpec

        if kind is not SecretProviderSpec:
            return []
        return [index for index, record in enumerate(self._records) if name in record.secret_providers]

    def _current(self, index: int) -> PluginRecord:
        """Return a record with what the other plugins' declarations mean for it."""
        record = self._records[index]
        if record.state != "loaded":
            return record
        from missive_host.plugins.checking import KINDS

        provides: list[str] = []
        faults = [] if record.reason is None else [record.reason]
        for claims in self._claims.values():
            for owner, spec in claims:
                if owner != index:
                    continue
                if self._holds(index, spec):
                    provides.append(f"{KINDS[type(spec)]} {spec.name}")
                else:
                    faults.append(self._clash(index, spec))
        return replace(record, provides=tuple(provides), reason="; ".join(faults) or None)

    def _clash(self, index: int, spec: Spec) -> str:
        from missive_host.plugins import reasons

        if _is_the_hosts(spec):
            return f"{reasons.titled(spec)} belongs to missive itself"
        rivals = self._rivals(index, spec)
        owner = next((rival for rival in rivals if rival.name == spec.name), None)
        if owner is not None:
            return f"{reasons.titled(spec)} belongs to the plugin of that name ({owner.owner})"
        others = " and ".join(rival.label for rival in rivals)
        return f"{reasons.titled(spec)} is also declared by {others}; neither provides it"

    def _missing(self, kind: type[Spec], name: str) -> PluginError:
        from missive_host.errors import PluginError, nearest
        from missive_host.plugins import reasons
        from missive_host.plugins.checking import KINDS

        wanted = f"no {KINDS[kind]} `{name}`"
        claims = self._claims.get((kind.__name__, name), ())
        if claims:
            owners = " and ".join(self._records[index].label for index, _ in claims)
            return PluginError(
                f"{wanted}: it is declared by {owners}, so neither provides it",
                help="disable one of them, e.g. with --no-plugin",
            )
        absent = [record for record in self.records if record.state in ("disabled", "failed")]
        listing = {self._records[index].name for index in self._listing(kind, name)}
        for record in absent:
            if record.name == name or record.name in listing:
                return PluginError(f"{wanted}: {reasons.why(record)}", help=reasons.remedy(record))
        known = [claimed for claimed_kind, claimed in self._claims if claimed_kind == kind.__name__]
        return PluginError(
            f"{wanted}{nearest(name, known)}" + ("; some plugins are not loaded" if absent else ""),
            help=self._alternatives(kind, known),
            sources=tuple(reasons.why(record) for record in absent),
        )

    def _alternatives(self, kind: type[Spec], known: list[str]) -> str:
        from missive_host.specs import SecretProviderSpec

        shown = "`missive plugin check` shows what each plugin provides, and why one does not load"
        if kind is SecretProviderSpec:
            return f"secret providers: {', '.join(sorted(set(known))) or 'none'}; {shown}"
        return shown

    # --- loading

    def _load(self, index: int) -> None:
        record = self._records[index]
        if record.state != "found":
            return
        from missive_host.plugins import reasons

        manager = self._plugin_manager()
        before = len(sys.modules)
        begun = perf_counter()
        outdated: list[str] = []
        try:
            with stdout_on_stderr(), contextlib.nullcontext() if self._strict else noting_deprecations(outdated):
                module = import_plugin(record)
                slow_or_heavy = tuple(warnings(perf_counter() - begun, len(sys.modules) - before))
                specs = ask(manager, module, record.name)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            if self._strict:
                raise reasons.raisable(error, record) from error
            record = replace(record, state="failed", reason=reasons.reason(error, record.target))
        else:
            for spec in specs:
                self._claims.setdefault((type(spec).__name__, spec.name), []).append((index, spec))
            record = replace(record, state="loaded", warnings=(*outdated, *slow_or_heavy, *unlisted(record, specs)))
        self._records[index] = replace(record, seconds=perf_counter() - begun)

    def _plugin_manager(self) -> pluggy.PluginManager:
        if self._manager is None:
            import pluggy

            from missive_host import hookspecs

            self._manager = pluggy.PluginManager(hookspecs.PROJECT)
            self._manager.add_hookspecs(hookspecs)
        return self._manager

    def _import_factory(self, record: PluginRecord, spec: Spec, factory: str) -> Callable[..., Any]:
        from missive_host.errors import PluginError
        from missive_host.plugins import reasons

        try:
            with stdout_on_stderr():
                return resolve(factory)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            if self._strict:
                raise reasons.raisable(error, record) from error
            why = reasons.reason(error, factory.partition(":")[0])
            lacking = reasons.lacks_extra(error, spec)
            raise PluginError(
                f"{reasons.titled(spec)} of {record.label} cannot be used: {why}",
                help=reasons.install(record, spec) if lacking else "`missive plugin check` shows all faults",
            ) from error

    def _check_factory(self, index: int, spec: Spec) -> None:
        from missive_host.errors import PluginError
        from missive_host.plugins import reasons

        record = self._records[index]
        warning = f"{reasons.titled(spec)} needs the extra `{reasons.extra_of(spec)}`: {reasons.install(record, spec)}"
        if reasons.missing(spec):
            self._records[index] = replace(record, warnings=(*record.warnings, warning))
            return
        try:
            for verb in getattr(spec, "verbs", (None,)):
                self._import_factory(record, spec, _factory_of(spec, verb))
        except PluginError as error:
            if error.__cause__ is not None and reasons.lacks_extra(error.__cause__, spec):
                self._records[index] = replace(record, warnings=(*record.warnings, warning))
            else:
                self._add_fault(index, error.message)

    def _check_contract(self, index: int, spec: ContractSpec) -> None:
        from missive_host.contracts.brought import faults_of

        with stdout_on_stderr():
            for fault in faults_of(spec):
                self._add_fault(index, fault)

    def _add_fault(self, index: int, fault: str) -> None:
        record = self._records[index]
        self._records[index] = replace(record, reason="; ".join(filter(None, (record.reason, fault))))


def _factory_of(spec: Spec, verb: VerbSpec | None) -> str:
    return verb.factory if verb is not None else spec.factory  # type: ignore[union-attr]  # of a command it is a verb's


def _is_the_hosts(spec: Spec) -> bool:
    """Tell whether it is a command or a contract that missive itself has."""
    from missive_host.plugins.checking import HOST_NOUNS
    from missive_host.specs import CommandSpec, ContractSpec

    if isinstance(spec, ContractSpec):
        from missive_host.contracts.library import folder

        return (folder() / spec.name).is_dir()
    return isinstance(spec, CommandSpec) and spec.name in HOST_NOUNS
