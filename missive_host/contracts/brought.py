"""Contracts that plugins bring: where they lie, whether they are sound, requests checked against them.

Their schemas are a stranger's data, so that each is looked at before it is used: nothing in it leads to another
document, which a validator would go and fetch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from missive_host.contracts.library import Contract, load_schema, of_version
from missive_host.contracts.validation import Fault, validator
from missive_host.errors import MissiveError, PluginError

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

    from missive_host.specs import ContractSpec

REQUEST = "request"
"""The part that `parse_envelope` reads."""
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def place_of(spec: ContractSpec) -> Traversable:
    """Return the folder of a contract. Raises `PluginError` if it is not there."""
    from importlib import import_module
    from importlib.resources import files

    try:
        module = import_module(spec.package)
    except Exception as error:
        raise PluginError(
            f"contract `{spec.name}`: its package {spec.package} cannot be imported: {type(error).__name__}"
        ) from error
    if hasattr(module, "__path__"):
        place: Traversable = files(spec.package)
    elif module.__file__ is not None:
        place = Path(module.__file__).parent
    else:
        raise PluginError(f"contract `{spec.name}`: {spec.package} is neither a package nor a file")
    for step in (*spec.folder.split("/"), spec.name):
        place = place / step
    if not place.is_dir():
        raise PluginError(
            f"contract `{spec.name}`: there is no folder {spec.folder}/{spec.name} in {spec.package}",
            help="put PART.schema.json into it, and into the wheel",
        )
    return place


def contracts_of(spec: ContractSpec, *, plugin: str | None = None) -> tuple[Contract, ...]:
    """Return the parts of a contract that a plugin brings, sorted by name. Raises `PluginError` if there are none."""
    found = of_version(place_of(spec), plugin=plugin, spec=spec)
    if not found:
        raise PluginError(f"contract `{spec.name}`: there is no PART.schema.json in {spec.folder}/{spec.name}")
    return tuple(sorted(found, key=lambda contract: contract.name))


def sound_schema(contract: Contract) -> dict[str, Any]:
    """Return the schema of a contract that a plugin brings. Raises `PluginError` with the first thing wrong with it."""
    try:
        schema: Any = load_schema(contract)
    except MissiveError as error:
        raise PluginError(f"contract `{contract.name}`: {error.message}") from None
    fault = next(_schema_faults(schema), None)
    if fault is not None:
        raise PluginError(f"contract `{contract.name}`: {contract.part}.schema.json {fault}")
    title = contract.spec.summary if contract.spec is not None else contract.name
    made: dict[str, Any] = schema
    return {"title": title, "$id": f"urn:missive:contract:{contract.name.replace('/', ':')}", **made}


def _schema_faults(schema: Any) -> Iterator[str]:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError

    if not isinstance(schema, dict):
        yield "is not a JSON object"
        return
    if schema.get("$schema", DIALECT) != DIALECT:
        yield f"is in another dialect than {DIALECT}"
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        yield f"is no JSON Schema, at {error.json_path}"
        return
    for where, key, value in _keywords(schema, "$"):
        if key in ("$ref", "$dynamicRef") and not (isinstance(value, str) and value.startswith("#")):
            yield f"refers to another document, at {where}: a schema is complete in itself"


def _keywords(value: Any, where: str) -> Iterator[tuple[str, str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield where, key, inner
            yield from _keywords(inner, f"{where}.{key}")
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _keywords(inner, f"{where}[{number}]")


@cache  # what lies in an installed package does not change while the process runs
def request_faults(spec: ContractSpec) -> Callable[[Any], tuple[Fault, ...]]:
    """Return what checks requests against a contract. Raises `PluginError` if it is not sound, or has no request."""
    parts = contracts_of(spec)
    request = next((contract for contract in parts if contract.part == REQUEST), None)
    if request is None:
        raise PluginError(
            f"contract `{spec.name}`: there is no {REQUEST}.schema.json in {spec.folder}/{spec.name}",
            help="it is what requests are checked against",
        )
    return validator(sound_schema(request))


def faults_of(spec: ContractSpec) -> Iterator[str]:
    """Yield what is wrong with a contract: with its schemas, and with its examples."""
    try:
        parts = contracts_of(spec)
        for contract in parts:
            sound_schema(contract)
    except PluginError as error:
        yield error.message
        return
    yield from _facts_faults(spec)
    examples = place_of(spec) / "examples"
    for folder, accepted in (("valid", True), ("refused", False)):
        for file in _files(examples / folder):
            yield from _example_faults(spec, parts, file, f"examples/{folder}/{file.name}", accepted=accepted)


def _facts_faults(spec: ContractSpec) -> Iterator[str]:
    from missive_host.commands import DOOR_COMMANDS
    from missive_host.envelopes import ENVELOPE_FIELDS, door_fields

    taken = {*ENVELOPE_FIELDS, *(name for command in DOOR_COMMANDS for name in door_fields(command))}
    if spec.facts in taken:
        yield f"contract `{spec.name}`: its facts `{spec.facts}` are a field that every request, or a command, has"


def _files(folder: Traversable) -> list[Traversable]:
    if not folder.is_dir():
        return []
    return sorted((file for file in folder.iterdir() if file.name.endswith(".json")), key=lambda file: file.name)


def _example_faults(
    spec: ContractSpec, parts: tuple[Contract, ...], file: Traversable, shown: str, *, accepted: bool
) -> Iterator[str]:
    from missive_host.contracts.checking import check

    named = [contract for contract in parts if file.name.startswith(f"{contract.part}-")]
    asked = (named or parts)[0].name
    found = check(file.read_bytes(), parts, contract=asked, format="json").violations
    if accepted and found:
        yield f"contract `{spec.name}`: {shown} should be valid: {found[0].sentence('line').removeprefix('line:')}"
    elif not accepted and not found:
        yield f"contract `{spec.name}`: {shown} should be refused, but is valid"
