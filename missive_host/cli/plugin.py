"""``missive plugin``: what is installed, whether it loads, what it provides; one of one's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from msgspec import UNSET, UnsetType

from missive_host.cli.kit import App, Group, Known, pass_app
from missive_host.cli.plugin_new import new

if TYPE_CHECKING:
    from collections.abc import Sequence

    from missive_host.cli.screen import Screen
    from missive_host.outputs_host import (
        AdapterView,
        BroughtContractView,
        CommandView,
        DeclarationView,
        FilterView,
        OptionView,
        PluginCheckResult,
        PluginListResult,
        PluginShowResult,
        PluginView,
        ReducerView,
        SecretProviderView,
        SinkView,
    )
    from missive_host.plugins import PluginRecord, Plugins
    from missive_host.specs import (
        AdapterSpec,
        CommandSpec,
        ContractSpec,
        FilterSpec,
        Option,
        PolicySpec,
        ReducerSpec,
        SecretProviderSpec,
        SinkSpec,
        TransportSpec,
    )

EXIT_FAULTY = 1

plugin = Group(
    "plugin",
    help="Plugins: what is installed, whether it loads, what it provides.",
    examples=[
        "missive plugin list",
        "missive plugin check",
        "missive plugin show stdio",
        "missive plugin new pigeon --kind adapter",
    ],
)
plugin.add_command(new)


def find_plugins(app: App) -> tuple[tuple[PluginRecord, ...], tuple[str, ...]]:
    """Return the catalogue as config, environment and flags gate it, and notices about names that are no plugin's.

    No plugin is imported. Raises `ConfigError`.
    """
    from missive_host.plugins import Gates, catalog, notices

    table = app.settings().config.plugins
    gates = Gates.of(table, no_plugin=tuple(app.flags.no_plugin))
    records = catalog(gates, files=(*table.files, *app.flags.plugin))
    return records, notices(records, gates)


def open_plugins(app: App) -> tuple[Plugins, tuple[str, ...]]:
    """As `find_plugins`, ready to load: what every command that needs a plugin starts from."""
    from missive_host.plugins import load

    records, found = find_plugins(app)
    return load(records, strict=app.flags.strict_plugins), found


# --- list


@plugin.command("list", examples=["missive plugin list", "missive plugin list --json"])
@pass_app
def list_(app: App) -> None:
    """List the plugins that are installed, without importing them."""
    from missive_host.outputs import Output
    from missive_host.outputs_host import PluginListResult

    records, found = find_plugins(app)
    off = sum(record.state == "disabled" for record in records)
    message = f"{_count(len(records), 'plugin')}" + (f", {off} disabled" if off else "")
    views = tuple(view(record) for record in records)
    app.emit(Output(PluginListResult(plugins=views, notices=found, message=message)), show_list)


def show_list(data: PluginListResult, screen: Screen) -> None:
    rows = [
        (item.name, item.version, item.distribution or item.path, item.target, item.state, item.gate or item.reason)
        for item in data.plugins
    ]
    screen.table(("NAME", "VERSION", "DISTRIBUTION", "TARGET", "STATE", "WHY"), rows)
    _note_notices(data.notices, screen)


# --- check


@plugin.command(examples=["missive plugin check", "missive plugin check --strict-plugins --trace"])
@pass_app
def check(app: App) -> int:
    """Load every plugin that is not disabled, and say how long each takes and what is wrong with it.

    Leaves with 1 if one has a fault. With --strict-plugins the first fault ends it.
    """
    from missive_host.outputs import Output
    from missive_host.outputs_host import PluginCheckResult

    plugins, found = open_plugins(app)
    records = plugins.check()
    loaded, disabled = (sum(record.state == state for record in records) for state in ("loaded", "disabled"))
    faulty = sum(record.reason is not None for record in records)
    message = f"{loaded} loaded, {disabled} disabled, {faulty} with a fault"
    result = PluginCheckResult(
        plugins=tuple(view(record) for record in records),
        notices=found,
        loaded=loaded,
        disabled=disabled,
        faulty=faulty,
        message=message,
    )
    app.emit(Output(result), show_check)
    return EXIT_FAULTY if faulty else 0


def show_check(data: PluginCheckResult, screen: Screen) -> None:
    rows = [
        (item.name, item.state, _milliseconds(item.seconds), item.provides, item.distribution or item.path)
        for item in data.plugins
    ]
    screen.table(("NAME", "STATE", "TIME", "PROVIDES", "FROM"), rows)
    for item in data.plugins:
        if item.reason:
            screen.line(f"{item.name}: {item.reason}", "red")
        for warning in item.warnings or ():
            screen.line(f"{item.name}: {warning}", "yellow")
        if item.gate:
            screen.line(f"{item.name}: disabled by {item.gate}", "dim")
    screen.line(data.message)
    _note_notices(data.notices, screen)


# --- show


@plugin.command(examples=["missive plugin show stdio"])
@click.argument("name", type=Known("plugin"))
@pass_app
def show(app: App, name: str) -> int:
    """Show what a plugin provides: options, defaults, secrets, contracts.

    Leaves with 1 if it has a fault.
    """
    from missive_host.outputs import Output

    plugins, found = open_plugins(app)
    record, specs = plugins.plugin(name)
    app.emit(Output(_shown(record, specs, found)), show_plugin)
    return 0 if record.reason is None else EXIT_FAULTY


def show_plugin(data: PluginShowResult, screen: Screen) -> None:
    item = data.plugin
    screen.fields(
        [
            ("plugin", item.name),
            ("state", item.state),
            ("disabled by", item.gate),
            ("fault", item.reason),
            ("warnings", item.warnings),
            ("distribution", item.distribution),
            ("version", item.version),
            ("file", item.path),
            ("target", item.target),
        ]
    )
    for adapter in data.adapters:
        _show_adapter(adapter, screen)
    for policy in data.routing_policies:
        _show_declaration("routing policy", policy, screen)
    for reducer in data.reducers:
        _show_declaration("reducer", reducer, screen, ("in rank order", reducer.ordered))
    for provider in data.secret_providers:
        used = f'{{ secret = "{provider.name}:{provider.form}" }}'
        _show_declaration("secret provider", provider, screen, ("use", used))
    for sink in data.event_sinks:
        _show_declaration("event sink", sink, screen)
        _show_options(f'Options, in [sinks.NAME.settings] with kind = "{sink.name}":', sink.options, screen)
    for transport in data.agent_transports:
        _show_declaration("agent transport", transport, screen)
    for each in data.filters:
        _show_declaration(f"{each.direction} filter", each, screen)
        _show_options(f'Options, in its `settings` in [[filters]] with kind = "{each.name}":', each.options, screen)
    for command in data.commands:
        _show_command(command, screen)
    for contract in data.contracts:
        _show_contract(contract, screen)
    _note_notices(data.notices, screen)


def _show_command(item: CommandView, screen: Screen) -> None:
    screen.line()
    screen.line(f"command {item.name}", "bold")
    screen.line(item.summary)
    screen.fields([("status", item.status), ("extra", item.extra)])
    rows = [(f"missive {item.name} {' '.join(verb.path)}", verb.summary) for verb in item.verbs]
    screen.table(("COMMAND", "WHAT"), rows)


def _show_contract(item: BroughtContractView, screen: Screen) -> None:
    screen.line()
    screen.line(f"contract {item.name}", "bold")
    screen.line(item.summary)
    screen.fields([("package", item.package), ("folder", item.folder), ("facts", item.facts)])
    screen.line(f"Print it: missive contract show {item.name}")


def _show_declaration(kind: str, item: DeclarationView, screen: Screen, *more: tuple[str, object]) -> None:
    screen.line()
    screen.line(f"{kind} {item.name}", "bold")
    screen.line(item.summary)
    screen.fields(
        [("status", item.status), ("factory", item.factory), ("extra", item.extra), ("needs", item.needs), *more]
    )


def _show_adapter(item: AdapterView, screen: Screen) -> None:
    _show_declaration(
        "adapter", item, screen, ("reads", item.accepts), ("writes", item.emits), ("secrets", item.secrets)
    )
    if item.foreground:
        screen.line(f"Run it by itself: missive adapter {item.name} --help")
    _show_options(f'Options, in [adapters.NAME.settings] with kind = "{item.name}":', item.options, screen)


def _show_options(title: str, options: Sequence[OptionView], screen: Screen) -> None:
    if options:
        screen.line(title)
        rows = [(option.name, _type(option), _default(option), option.help) for option in options]
        screen.table(("OPTION", "TYPE", "DEFAULT", "MEANING"), rows)


def _type(option: OptionView) -> str:
    """Return an option's type for people: ``integer 1..9``, ``json | ndjson``, ``string (secret)``."""
    text = " | ".join(option.choices) if option.choices else option.type
    if option.minimum is not UNSET or option.maximum is not UNSET:
        ends = ("" if limit is UNSET else str(limit) for limit in (option.minimum, option.maximum))
        text += " " + "..".join(ends)
    marks = [word for word, on in (("secret", option.secret), ("repeatable", option.repeated)) if on]
    return text + (f" ({', '.join(marks)})" if marks else "")


def _default(option: OptionView) -> str:
    if option.required:
        return "required"
    if option.default is UNSET:
        return ""
    if isinstance(option.default, bool):
        return str(option.default).lower()
    if isinstance(option.default, tuple):
        return ", ".join(str(value) for value in option.default)
    return str(option.default)


def _milliseconds(seconds: float | UnsetType) -> str:
    return "" if isinstance(seconds, UnsetType) else f"{seconds * 1000:.1f} ms"


# --- notices


def _note_notices(found: tuple[str, ...], screen: Screen) -> None:
    for notice in found:
        screen.note(notice, "yellow")


# --- views


def view(record: PluginRecord) -> PluginView:
    """Return a record as programs read it."""
    from missive_host.outputs_host import PluginView

    return PluginView(
        name=record.name,
        state=record.state,
        target=record.target,
        distribution=record.distribution or UNSET,
        version=record.version or UNSET,
        path=record.path or UNSET,
        gate=record.gate or UNSET,
        reason=record.reason or UNSET,
        seconds=UNSET if record.seconds is None else round(record.seconds, 6),
        provides=record.provides if record.state == "loaded" else UNSET,
        warnings=record.warnings or UNSET,
    )


def _shown(record: PluginRecord, specs: Sequence[Any], found: tuple[str, ...]) -> PluginShowResult:
    from missive_host.outputs_host import PluginShowResult
    from missive_host.specs import (
        AdapterSpec,
        CommandSpec,
        ContractSpec,
        FilterSpec,
        PolicySpec,
        ReducerSpec,
        SecretProviderSpec,
        SinkSpec,
        TransportSpec,
    )

    return PluginShowResult(
        plugin=view(record),
        adapters=tuple(_adapter(spec, record) for spec in specs if isinstance(spec, AdapterSpec)),
        routing_policies=tuple(_policy(spec) for spec in specs if isinstance(spec, PolicySpec)),
        reducers=tuple(_reducer(spec) for spec in specs if isinstance(spec, ReducerSpec)),
        commands=tuple(_command(spec) for spec in specs if isinstance(spec, CommandSpec)),
        contracts=tuple(_contract(spec) for spec in specs if isinstance(spec, ContractSpec)),
        secret_providers=tuple(_secret_provider(spec) for spec in specs if isinstance(spec, SecretProviderSpec)),
        event_sinks=tuple(_sink(spec, record) for spec in specs if isinstance(spec, SinkSpec)),
        agent_transports=tuple(_transport(spec, record) for spec in specs if isinstance(spec, TransportSpec)),
        filters=tuple(_filter(spec) for spec in specs if isinstance(spec, FilterSpec)),
        notices=found,
        message=f"{record.label} is {record.state}",
    )


def _adapter(spec: AdapterSpec, record: PluginRecord) -> AdapterView:
    from missive_host.outputs_host import AdapterView
    from missive_host.plugins.reasons import needs

    return AdapterView(
        name=spec.name,
        summary=spec.summary,
        status=spec.status,
        factory=spec.factory,
        extra=spec.extra or UNSET,
        needs=needs(record, spec) or UNSET,
        accepts=spec.accepts,
        emits=spec.emits,
        foreground=spec.foreground,
        options=tuple(_option(option) for option in spec.options),
        secrets=spec.secrets,
        examples=spec.examples,
    )


def _sink(spec: SinkSpec, record: PluginRecord) -> SinkView:
    from missive_host.outputs_host import SinkView
    from missive_host.plugins.reasons import needs

    return SinkView(
        name=spec.name,
        summary=spec.summary,
        status=spec.status,
        factory=spec.factory,
        extra=spec.extra or UNSET,
        needs=needs(record, spec) or UNSET,
        options=tuple(_option(option) for option in spec.options),
    )


def _transport(spec: TransportSpec, record: PluginRecord) -> DeclarationView:
    from missive_host.outputs_host import DeclarationView
    from missive_host.plugins.reasons import needs

    return DeclarationView(
        name=spec.name,
        summary=spec.summary,
        status=spec.status,
        factory=spec.factory,
        extra=spec.extra or UNSET,
        needs=needs(record, spec) or UNSET,
    )


def _option(option: Option) -> OptionView:
    from missive_host.outputs_host import OptionView

    return OptionView(
        name=option.name,
        type=option.type,
        help=option.help,
        required=option.required,
        repeated=option.repeated,
        secret=option.secret,
        default=UNSET if option.default is None else option.default,
        choices=option.choices or UNSET,
        minimum=UNSET if option.minimum is None else option.minimum,
        maximum=UNSET if option.maximum is None else option.maximum,
    )


def _policy(spec: PolicySpec) -> DeclarationView:
    from missive_host.outputs_host import DeclarationView

    return DeclarationView(
        name=spec.name, summary=spec.summary, status=spec.status, factory=spec.factory, extra=spec.extra or UNSET
    )


def _reducer(spec: ReducerSpec) -> ReducerView:
    from missive_host.outputs_host import ReducerView

    return ReducerView(
        name=spec.name,
        summary=spec.summary,
        status=spec.status,
        factory=spec.factory,
        extra=spec.extra or UNSET,
        ordered=spec.ordered,
    )


def _filter(spec: FilterSpec) -> FilterView:
    from missive_host.outputs_host import FilterView
    from missive_host.specs import InboundFilterSpec

    return FilterView(
        name=spec.name,
        summary=spec.summary,
        status=spec.status,
        factory=spec.factory,
        extra=spec.extra or UNSET,
        direction="inbound" if isinstance(spec, InboundFilterSpec) else "outbound",
        options=tuple(_option(option) for option in spec.options),
    )


def _secret_provider(spec: SecretProviderSpec) -> SecretProviderView:
    from missive_host.outputs_host import SecretProviderView

    return SecretProviderView(
        name=spec.name,
        summary=spec.summary,
        status=spec.status,
        factory=spec.factory,
        extra=spec.extra or UNSET,
        form=spec.form,
    )


def _command(spec: CommandSpec) -> CommandView:
    from missive_host.outputs_host import CommandView, VerbView

    verbs = tuple(
        VerbView(
            path=verb.path,
            summary=verb.summary,
            factory=verb.factory,
            arguments=tuple(_option(option) for option in verb.arguments),
            options=tuple(_option(option) for option in verb.options),
            examples=verb.examples,
        )
        for verb in spec.verbs
    )
    return CommandView(name=spec.name, summary=spec.summary, status=spec.status, verbs=verbs, extra=spec.extra or UNSET)


def _contract(spec: ContractSpec) -> BroughtContractView:
    from missive_host.outputs_host import BroughtContractView

    return BroughtContractView(
        name=spec.name, summary=spec.summary, package=spec.package, folder=spec.folder, facts=spec.facts or UNSET
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
