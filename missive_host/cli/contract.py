"""``missive contract``: the JSON Schemas of what missive reads and writes, and files checked against them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click
from msgspec import UNSET

from missive_host.cli.kit import App, Group, Known, pass_app

if TYPE_CHECKING:
    from missive_host.cli.screen import Screen
    from missive_host.contracts import Contract
    from missive_host.contracts.outputs import (
        ContractListResult,
        ContractShowResult,
        ContractValidateResult,
        ContractView,
    )

contract = Group(
    "contract",
    help="Contracts: the JSON Schemas of what missive reads and writes.",
    examples=[
        "missive contract list",
        "missive contract show missive.output.v1/doctor",
        "missive contract validate frames.ndjson",
    ],
)


def _known(app: App) -> tuple[tuple[Contract, ...], tuple[str, ...]]:
    """Return missive's own contracts and those that plugins bring, and notices about those that cannot be used.

    A configuration that cannot be read, which may be what is to be checked, leaves the plugins that are installed.
    """
    from missive_host.cli.plugin import open_plugins
    from missive_host.contracts import contracts
    from missive_host.contracts.brought import contracts_of, sound_schema
    from missive_host.errors import ConfigError, PluginError
    from missive_host.plugins import Gates, catalog, load

    try:
        plugins, _ = open_plugins(app)
    except ConfigError:
        gates = Gates(no_plugin=tuple(app.flags.no_plugin))
        plugins = load(catalog(gates, files=app.flags.plugin), strict=app.flags.strict_plugins)
    found = list(contracts())
    notices = []
    for spec, record in plugins.contracts():
        try:
            parts = contracts_of(spec, plugin=record.name)
            for part in parts:
                sound_schema(part)
        except PluginError as error:
            notices.append(f"{record.label}: {error.message}")
        else:
            found += parts
    notices += [f"{record.label}: {record.reason}" for record in plugins.records if record.state == "failed"]
    return tuple(sorted(found, key=lambda contract: contract.name)), tuple(notices)


def _view(found: Contract, schema: dict[str, Any]) -> ContractView:
    from missive_host.contracts.library import cases_of
    from missive_host.contracts.outputs import ContractView

    kinds = () if found.plugin else tuple(cases_of(schema))
    return ContractView(
        name=found.name,
        schema_version=found.version,
        title=schema["title"],
        id=schema["$id"],
        file=str(found.file),
        plugin=found.plugin or UNSET,
        kinds=kinds or UNSET,
    )


def _schema(found: Contract) -> dict[str, Any]:
    from missive_host.contracts import load_schema
    from missive_host.contracts.brought import sound_schema

    return load_schema(found) if found.spec is None else sound_schema(found)


# --- list


@contract.command(
    "list",
    examples=["missive contract list", "missive contract list --json", "missive contract list missive.output.v1"],
)
@click.argument("name", required=False)
@pass_app
def list_contracts(app: App, name: str | None) -> None:
    """List the contracts that this missive knows: its own, and those of plugins.

    With NAME, a schema_version, it lists those of the single kinds of its documents.
    """
    from missive_host.contracts.library import kinds_of
    from missive_host.contracts.outputs import ContractListResult
    from missive_host.errors import ValidationError
    from missive_host.outputs import Output

    app.print_without_config()
    known, notices = _known(app)
    if name is not None:
        version = _find(name, known, notices).version
        known, notices = kinds_of(version), ()
        if not known:
            raise ValidationError(
                f"the documents of {version} have no kinds", help=f"see `missive contract show {name}`"
            )
    found = tuple(_view(entry, _schema(entry)) for entry in known)
    message = f"{len(found)} contract{'' if len(found) == 1 else 's'}"
    result = ContractListResult(count=len(found), contracts=found, notices=notices, message=message)
    app.emit(Output(result), show_list)


def show_list(data: ContractListResult, screen: Screen) -> None:
    if all(entry.title == entry.name for entry in data.contracts):  # kinds
        screen.table(("NAME", "FILE"), [(entry.name, entry.file) for entry in data.contracts])
        return
    rows = [(entry.name, entry.plugin or "missive", entry.title, entry.file) for entry in data.contracts]
    screen.table(("NAME", "OF", "WHAT", "FILE"), rows)
    for notice in data.notices:
        screen.note(notice, "yellow")


# --- show


@contract.command(
    examples=[
        "missive contract show missive.stdio.v1",
        "missive contract show missive.stdio.v1/response",
        "missive contract show missive.output.v1/doctor",
    ]
)
@click.argument("name", type=Known("contract"))
@pass_app
def show(app: App, name: str) -> None:
    """Print the JSON Schema of a contract.

    NAME is a name of `missive contract list`; missive.stdio.v1 alone is the request. VERSION/KIND is the schema of
    one kind of document.
    """
    from missive_host.contracts.outputs import ContractShowResult
    from missive_host.outputs import Output

    app.print_without_config()
    found = _find(name, *_known(app))
    schema = _schema(found)
    view = _view(found, schema)
    app.emit(Output(ContractShowResult(contract=view, schema=schema, message=view.title)), show_schema)


def _find(name: str, known: tuple[Contract, ...], notices: tuple[str, ...]) -> Contract:
    """Return the contract of this name. Raises `ValidationError` that also says what cannot be used."""
    from missive_host.contracts import find
    from missive_host.errors import ValidationError

    try:
        return find(name, known)
    except ValidationError as error:
        raise ValidationError(error.message, help=error.help, sources=notices) from None


def show_schema(data: ContractShowResult, screen: Screen) -> None:
    import json

    screen.text(json.dumps(data.schema, indent=2))


# --- validate


@contract.command(
    examples=[
        "missive contract validate frame.json",
        "missive task list --json | missive contract validate -",
        "missive contract validate missive.toml",
        "missive contract validate frames.txt --contract missive.stdio.v1",
    ]
)
@click.argument("file", type=click.Path())
@click.option(
    "--contract",
    "name",
    metavar="NAME",
    type=Known("contract"),
    help="The contract to use, whatever schema_version says.",
)
@pass_app
def validate(app: App, file: str, name: str | None) -> None:
    """Check a file (- for standard input): a JSON document, NDJSON, or a configuration in TOML.

    Each document names its contract with its schema_version. Lists all faults; leaves with 64 if there is one.
    """
    from missive_host.contracts.checking import check, format_of
    from missive_host.contracts.outputs import ContractValidateResult
    from missive_host.errors import ValidationError
    from missive_host.outputs import Output

    app.print_without_config()
    shown = "standard input" if file == "-" else file
    data = _read(file)
    known, notices = _known(app)
    if name is not None:
        _find(name, known, notices)
    checked = check(data, known, contract=name, format=format_of(file, name))
    count = len(checked.violations)
    problems = f"{count} problem{'' if count == 1 else 's'}"
    documents = f"{checked.document_count} document{'' if checked.document_count == 1 else 's'}"
    result = ContractValidateResult(
        file=shown,
        valid=not count,
        document_count=checked.document_count,
        contracts=checked.contracts,
        violation_count=count,
        violations=checked.violations,
        message=f"{shown} has {problems}"
        if count
        else f"{shown} is valid: {documents}, {', '.join(checked.contracts)}",
    )
    app.emit(Output(result), show_validated)
    if count:
        raise ValidationError(result.message, help="`missive contract show NAME` prints what is expected")


def _read(file: str) -> bytes:
    from pathlib import Path

    from missive_host.errors import IoError

    try:
        return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise IoError(f"while reading {file}: {(error.strerror or str(error)).lower()}") from None


def show_validated(data: ContractValidateResult, screen: Screen) -> None:
    for violation in data.violations:
        screen.line(violation.sentence(data.file))
    if data.valid:
        screen.line(data.message)
