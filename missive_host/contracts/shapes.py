"""The shape of a document: every field with its place and its type, a line each, read from a schema.

    > chat_doctor.data.checks[].fix? string

``>`` is what missive writes, ``<`` what it reads. Then comes the document (a kind or a command) with the place in it:
``[]`` is each item of an array, ``{}`` each value of an object that is a map, ``?`` a field that may be left out. What
is not one plain type is JSON: a type with its limits, or a list of those that may be. Of rules that no limit can say
there is a digest.

Titles, descriptions, defaults, the names of definitions and the order of fields are no part of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any

import msgspec

from missive_host.contracts.library import SUFFIX, cases_of
from missive_host.contracts.shaping import REF, Schema

READ = "<"
WRITTEN = ">"

Type = dict[str, Any]
"""``{"type": …}`` with its limits."""


class Field(msgspec.Struct, frozen=True):
    """What is at one place."""

    required: bool
    types: tuple[Type, ...]


Shape = dict[str, Field]
"""Place -> what is there; the document itself is the place with its name."""

_LIMITS = (
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "minItems",
    "maxItems",
    "minProperties",
    "uniqueItems",
)
_RULES = ("if", "then", "else", "not", "propertyNames", "dependentRequired")
_FOR_PEOPLE = ("title", "description", "default", "examples")
_KNOWN = {
    *(*_LIMITS, *_RULES, *_FOR_PEOPLE, "$ref", "$schema", "$id", "$defs", "type", "enum", "const", "anyOf", "allOf"),
    *("properties", "required", "additionalProperties", "patternProperties", "items"),
}


def shapes(made: Mapping[str, Schema]) -> dict[str, dict[str, Shape]]:
    """Return the shapes of all documents: version -> ``< command`` or ``> kind`` -> shape. `made` is by file."""
    found: dict[str, dict[str, Shape]] = {}
    for file, schema in made.items():
        version, *_, name = file.split("/")
        found.setdefault(version, {}).update(_documents(name.removesuffix(SUFFIX), schema, kind="/kinds/" in file))
    return {version: dict(sorted(documents.items())) for version, documents in sorted(found.items())}


def _documents(part: str, schema: Schema, *, kind: bool) -> Iterator[tuple[str, Shape]]:
    """Yield the documents of one schema. One with kinds has none itself: they have schemas of their own."""
    defs: dict[str, Schema] = schema["$defs"]
    if kind:
        yield f"{WRITTEN} {part}", _shape(part, schema, defs)
    elif part == "request":
        for case in schema["allOf"]:
            command = case["if"]["properties"]["command"]["const"]
            yield f"{READ} {command}", _shape(command, case["then"], defs)
    elif not cases_of(schema):
        yield f"{READ} {part}", _shape(part, schema, defs)


def _shape(name: str, schema: Schema, defs: dict[str, Schema]) -> Shape:
    found: Shape = {}
    _collect(found, name, True, schema, defs)
    return dict(sorted(found.items()))


def _collect(found: Shape, place: str, required: bool, schema: Schema, defs: dict[str, Schema]) -> None:
    """Add what is at this place, and below it."""
    ways = list(_ways(schema, defs))
    types = [type_ for way in ways for type_ in _types(way, defs)]
    there = found.get(place)
    if there is not None:  # in another of several objects that may be
        required, types = required and there.required, [*there.types, *types]
    alike = {json.dumps(type_, sort_keys=True): type_ for type_ in types}
    found[place] = Field(required, tuple(alike[key] for key in sorted(alike)))
    inner: list[set[str]] = []
    for way in ways:
        if "document" in way:
            continue
        needed = way.get("required", ())
        if "properties" in way:
            inner.append(set(way["properties"]))
        for key, child in {**way.get("properties", {}), **way.get("patternProperties", {})}.items():
            _collect(found, f"{place}.{key}", key in needed, child, defs)
        if isinstance(way.get("additionalProperties"), dict):
            _collect(found, f"{place}{{}}", True, way["additionalProperties"], defs)
        if "items" in way:
            _collect(found, f"{place}[]", True, way["items"], defs)
    for key in set().union(*inner) if inner else ():
        if any(key not in names for names in inner):  # some of the objects have it
            found[f"{place}.{key}"] = Field(False, found[f"{place}.{key}"].types)


def _ways(schema: Schema, defs: dict[str, Schema]) -> Iterator[Schema]:
    """Yield a schema without references, one for each of the alternatives that it leaves."""
    unknown = set(schema) - _KNOWN
    if unknown:
        raise NotImplementedError(f"the shape of a schema with {', '.join(sorted(unknown))}")
    if "$ref" in schema:
        target = defs[schema["$ref"].removeprefix(REF)]
        if cases_of(target):  # a document of its own, with a shape of its own
            version = target["properties"]["schema_version"]["const"]
            yield {"type": "object", "document": version}
            return
        yield from _ways({**target, **{word: child for word, child in schema.items() if word != "$ref"}}, defs)
    elif "anyOf" in schema:
        rest = {word: child for word, child in schema.items() if word != "anyOf"}
        for option in schema["anyOf"]:
            yield from _ways({**rest, **option}, defs)
    else:
        yield schema


def _types(way: Schema, defs: dict[str, Schema]) -> Iterator[Type]:
    words = way.get("enum", [way["const"]] if "const" in way else None)
    names = way.get("type", "any")
    if words is not None and "type" not in way:
        names = sorted({_type_of(word) for word in words})
    for name in [names] if isinstance(names, str) else names:
        made: Type = {"type": name}
        if words is not None:
            made["words"] = sorted((word for word in words if _type_of(word) == name), key=str)
        made |= {word: way[word] for word in _LIMITS if word in way}
        rules = [{word: way[word]} for word in _RULES if word in way and word not in ("then", "else")]
        rules = [{**rule, **_consequences(way)} if "if" in rule else rule for rule in rules] + way.get("allOf", [])
        if rules:
            made["rules"] = sorted(_digest(rule, defs) for rule in rules)
        if "document" in way:
            made["document"] = way["document"]
        elif name == "object" and way.get("additionalProperties", True) is True:
            made["open"] = True
        yield made


def _type_of(word: Any) -> str:
    return {bool: "boolean", int: "integer", str: "string", float: "number"}[type(word)]


def _consequences(way: Schema) -> Schema:
    return {word: way[word] for word in ("then", "else") if word in way}


def _digest(rule: Schema, defs: dict[str, Schema]) -> str:
    """Return what stands for a rule: all that can be said of two is whether they are the same."""
    return sha256(json.dumps(_plain(rule, defs), sort_keys=True).encode()).hexdigest()[:12]


def _plain(rule: Any, defs: dict[str, Schema]) -> Any:
    """Return a rule without references, and without what is for people."""
    if isinstance(rule, list):
        return [_plain(child, defs) for child in rule]
    if not isinstance(rule, dict):
        return rule
    if isinstance(rule.get("$ref"), str):
        rule = {**defs[rule["$ref"].removeprefix(REF)], **rule}
    return {word: _plain(child, defs) for word, child in rule.items() if word not in (*_FOR_PEOPLE, "$ref")}


# --- lines


def lines(documents: Mapping[str, Shape]) -> Iterator[str]:
    """Yield the lines of the shapes of a version."""
    for name, shape in documents.items():
        mark = name[0]
        for place, field in shape.items():
            yield f"{mark} {place}{'' if field.required else '?'} {_text(field.types)}"


def _text(types: tuple[Type, ...]) -> str:
    short = [type_["type"] if len(type_) == 1 else type_ for type_ in types]
    if len(short) > 1:
        return json.dumps(short, sort_keys=True)
    return short[0] if isinstance(short[0], str) else json.dumps(short[0], sort_keys=True)


def read(text: str) -> dict[str, dict[str, Field]]:
    """Return the shapes that these lines say."""
    found: dict[str, Shape] = {}
    for line in text.splitlines():
        mark, place, types = line.split(" ", 2)
        name = f"{mark} {_document_of(place)}"
        value = json.loads(types) if types[0] in "[{" else types
        short = value if isinstance(value, list) else [value]
        field = Field(
            not place.endswith("?"), tuple({"type": each} if isinstance(each, str) else each for each in short)
        )
        found.setdefault(name, {})[place.removesuffix("?")] = field
    return found


def _document_of(place: str) -> str:
    return place.removesuffix("?").partition(".")[0]
