"""The schemas of documents that say in ``kind`` what they are, one for each kind.

They say what the whole schema says, without conditions: whoever makes classes out of a schema, or looks for one
document only, need not read the others.
"""

from __future__ import annotations

from collections.abc import Iterator

from missive_host.contracts.library import KINDS, SUFFIX, cases_of
from missive_host.contracts.rules import ABSENT
from missive_host.contracts.shaping import REF, Schema, needed


def kind_files(name: str, schema: Schema) -> Iterator[tuple[str, Schema]]:
    """Yield the schema of each kind by its file, from the whole schema and its file; none if there are no kinds."""
    version = name.partition("/")[0]
    for kind, more in cases_of(schema).items():
        yield f"{version}/{KINDS}/{kind}{SUFFIX}", _of_kind(schema, version, kind, more)


def _of_kind(whole: Schema, version: str, kind: str, more: Schema) -> Schema:
    fields: Schema = {}
    for name, field in whole["properties"].items():
        special = more.get("properties", {}).get(name, {})
        if special != ABSENT:
            fields[name] = _narrowed(field, special)
    fields["kind"] = {"const": kind}
    required = {*whole["required"], *more.get("required", ())}
    about = whole["$defs"].get(fields.get("data", {}).get("$ref", "").removeprefix(REF), {})
    root: Schema = {
        "$schema": whole["$schema"],
        "$id": f"urn:missive:contract:{version}:{kind}",
        "title": f"{version}/{kind}",
        "description": about.get("description", whole["description"]),
        "type": "object",
        "required": [name for name in fields if name in required],
        "properties": fields,
        "additionalProperties": False,
    }
    return {**root, "$defs": needed(root, whole["$defs"])}


def _narrowed(field: Schema, special: Schema) -> Schema:
    """Return what a field is in one kind; a reference or a fixed value says more than the type beside it."""
    if "$ref" in special or "const" in special:
        field = {word: child for word, child in field.items() if word in ("description", "title")}
    return {**field, **special}
