"""Where the contracts lie, and which there are.

A folder of contracts holds one folder a version, and in it one schema a part::

    missive.stdio.v1/request.schema.json       the contract missive.stdio.v1/request
    missive.stdio.v1/response.schema.json      the contract missive.stdio.v1/response
    missive.output.v1/output.schema.json       the contract missive.output.v1, since it has one part only

Where documents say in ``kind`` what they are, there is also one schema a kind, of missive's own contracts::

    missive.output.v1/kinds/doctor.schema.json  the contract missive.output.v1/doctor
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from missive_host.errors import IoError, ValidationError, nearest

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

    from missive_host.specs import ContractSpec

SUFFIX = ".schema.json"
KINDS = "kinds"
"""The folder, within that of a version, of the schemas of its kinds."""


class Contract(msgspec.Struct, frozen=True):
    """One schema. ``name`` is ``version``, with ``/part`` behind it where a version has several parts."""

    name: str
    version: str
    part: str
    file: Traversable
    plugin: str | None = None
    """Who brings it, if not missive itself."""
    spec: ContractSpec | None = None


def folder() -> Traversable:
    """Return the folder of missive's own contracts. Raises `IoError` when this install has none."""
    from importlib.resources import files

    packaged = files("missive_host") / "_contracts"
    if packaged.is_dir():
        return packaged
    # The source tree, also as an editable install: what a build copies into the package is not there.
    tree = Path(__file__).resolve().parents[2] / "contracts"
    if tree.is_dir():
        return tree
    raise IoError("while looking for the contracts: this install has none", help="install missive-host again")


def contracts(*folders: Traversable) -> tuple[Contract, ...]:
    """Return the contracts of these folders, sorted by name; without any those of missive itself.

    Raises `IoError` when a folder cannot be read, `ValidationError` when two contracts have the same name.
    """
    found: dict[str, Contract] = {}
    for place in folders or (folder(),):
        for contract in _contracts_in(place):
            if contract.name in found:
                raise ValidationError(
                    f"the contract {contract.name} is there twice: {found[contract.name].file} and {contract.file}"
                )
            found[contract.name] = contract
    return tuple(found[name] for name in sorted(found))


def _contracts_in(place: Traversable) -> list[Contract]:
    found: list[Contract] = []
    try:
        for version in place.iterdir():
            if version.is_dir():
                found += of_version(version)
    except OSError as error:
        raise IoError(f"while reading {place}: {error.strerror}") from None
    return found


def of_version(folder: Traversable, *, plugin: str | None = None, spec: ContractSpec | None = None) -> list[Contract]:
    """Return the contracts of the folder of one version."""
    schemas = [file for file in folder.iterdir() if file.name.endswith(SUFFIX)]
    found: list[Contract] = []
    for file in schemas:
        part = file.name.removesuffix(SUFFIX)
        name = folder.name if len(schemas) == 1 else f"{folder.name}/{part}"
        found.append(Contract(name, folder.name, part, file, plugin, spec))
    return found


def kinds_of(version: str) -> tuple[Contract, ...]:
    """Return the contracts of the kinds of one of missive's own versions, sorted by name; none if it has no kinds."""
    if "/" in version or not version.startswith("missive."):
        return ()  # a stranger's
    place = folder() / version / KINDS
    if not place.is_dir():
        return ()
    files = {file.name.removesuffix(SUFFIX): file for file in place.iterdir() if file.name.endswith(SUFFIX)}
    return tuple(Contract(f"{version}/{kind}", version, kind, files[kind]) for kind in sorted(files))


def cases_of(schema: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return what a whole schema says of each kind of its documents; nothing if they have no kinds."""
    found = {}
    for case in schema.get("allOf", ()):
        kind = case["if"].get("properties", {}).get("kind", {}).get("const")
        if kind is not None:
            found[kind] = case["then"]
    return found


def find(name: str, known: tuple[Contract, ...]) -> Contract:
    """Return the contract of this name, which may also be ``version/kind``.

    The name of a version alone means its first part, which is what missive reads. Raises `ValidationError` with the
    nearest name.
    """
    for contract in known:  # sorted: request comes before response
        if name in (contract.name, contract.version):
            return contract
    names = [contract.name for contract in known]
    version = name.partition("/")[0]
    if any(contract.version == version and contract.plugin is None for contract in known):
        for contract in kinds_of(version):
            if contract.name == name:
                return contract
            names.append(contract.name)
    raise ValidationError(
        f"there is no contract '{name[:64]}'{nearest(name[:64], names)}",
        help="one of: " + ", ".join(contract.name for contract in known),
    )


def load_schema(contract: Contract) -> dict[str, Any]:
    """Return a contract's JSON Schema. Raises `IoError` when its file cannot be read or is not JSON."""
    try:
        schema: dict[str, Any] = json.loads(contract.file.read_text("utf-8"))
    except OSError as error:
        raise IoError(f"while reading {contract.file}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise IoError(f"while reading {contract.file}: {error}") from None
    return schema
