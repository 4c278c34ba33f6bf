"""``missive contract``: the JSON Schemas of what missive reads and writes, and files checked against them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from missive_host.cli.kit import App, Group, pass_app

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
        "missive contract show missive.stdio.v1",
        "missive contract validate frames.ndjson",
    ],
)


def _view(found: Contract) -> ContractView:
    from missive_host.contracts import load_schema
    from missive_host.contracts.outputs import ContractView

    schema = load_schema(found)
    return ContractView(
        name=found.name,
        schema_version=found.version,
        title=schema["title"],
        id=schema["$id"],
        file=str(found.file),
    )


# --- list


@contract.command("list", examples=["missive contract list", "missive contract list --json"])
@pass_app
def list_contracts(app: App) -> None:
    """List the contracts that this missive knows."""
    from missive_host.contracts import contracts
    from missive_host.contracts.outputs import ContractListResult
    from missive_host.outputs import Output

    app.print_without_config()
    found = tuple(_view(entry) for entry in contracts())
    message = f"{len(found)} contract{'' if len(found) == 1 else 's'}"
    app.emit(Output(ContractListResult(count=len(found), contracts=found, message=message)), show_list)


def show_list(data: ContractListResult, screen: Screen) -> None:
    screen.table(("NAME", "WHAT", "FILE"), [(entry.name, entry.title, entry.file) for entry in data.contracts])


# --- show


@contract.command(
    examples=["missive contract show missive.stdio.v1", "missive contract show missive.stdio.v1/response"]
)
@click.argument("name")
@pass_app
def show(app: App, name: str) -> None:
    """Print the JSON Schema of a contract.

    NAME is a name of `missive contract list`; missive.stdio.v1 alone is the request.
    """
    from missive_host.contracts import contracts, find, load_schema
    from missive_host.contracts.outputs import ContractShowResult
    from missive_host.outputs import Output

    app.print_without_config()
    found = find(name, contracts())
    view = _view(found)
    app.emit(Output(ContractShowResult(contract=view, schema=load_schema(found), message=view.title)), show_schema)


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
@click.argument("file")
@click.option("--contract", "name", metavar="NAME", help="The contract to use, whatever schema_version says.")
@pass_app
def validate(app: App, file: str, name: str | None) -> None:
    """Check a file (- for standard input): a JSON document, NDJSON, or a configuration in TOML.

    Each document names its contract with its schema_version. Lists all faults; leaves with 64 if there is one.
    """
    from missive_host.contracts import contracts
    from missive_host.contracts.checking import check, format_of
    from missive_host.contracts.outputs import ContractValidateResult
    from missive_host.errors import ValidationError
    from missive_host.outputs import Output

    app.print_without_config()
    shown = "standard input" if file == "-" else file
    checked = check(_read(file), contracts(), contract=name, format=format_of(file, name))
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
