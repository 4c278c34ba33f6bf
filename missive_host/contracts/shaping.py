"""JSON Schema as msgspec makes it from our structs, brought into the form that is published.

Named types become ``$defs`` that are referred to, fields get the text behind them in the source as description,
and what only this code base understands is left out.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

Schema = dict[str, Any]

REF = "#/$defs/"


def components(types_: Iterable[Any], named: Mapping[str, tuple[Any, str]], *, null: bool) -> dict[str, Schema]:
    """Return ``$defs`` for these structs and all that they need.

    `named` are the types of text that get a name: name -> (type, description). Without `null` optional fields are
    left out and never ``null``.
    """
    _, made = msgspec.json.schema_components(tuple(types_), ref_template=REF + "{name}")
    about = _field_texts(types_)
    patterns = {_key(clean(msgspec.json.schema(type_))): name for name, (type_, _) in named.items()}
    found: dict[str, Schema] = {}
    for name, schema in made.items():
        for field, child in schema.get("properties", {}).items():
            if "description" not in child and (name, field) in about:
                child["description"] = about[name, field]
        if not null:
            schema["properties"] = {key: _without_null(child) for key, child in schema["properties"].items()}
        # Whatever a struct does not know does not belong into its object.
        found[name] = {**_refer(clean(schema), patterns), "additionalProperties": False}
    for name, (type_, text) in named.items():
        found[name] = {"title": name, "description": text, **clean(msgspec.json.schema(type_))}
    return found


_SPACE = r"\t-\r\x1c-\x20\x85\xa0" + "\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
"""White space as Python sees it. Not every reader knows ``\\u`` in a pattern, so these are characters."""


def portable(pattern: str) -> str:
    """Return a pattern in the words that all readers of JSON Schema share (core, 6.4), with the same meaning.

    ``\\s`` is another one in ECMA-262, so white space is spelt out: here ``\\s`` has to be within brackets, ``\\S``
    outside. There, ``$`` is the end and nothing else, so ``$(?!\\n)`` becomes ``$``.
    """
    return pattern.replace(r"\s", _SPACE).replace(r"\S", f"[^{_SPACE}]").replace(r"$(?!\n)", "$")


def clean(schema: Any) -> Any:
    """Return a schema without our own keywords, with descriptions in one line, and one word as a ``const``."""
    if isinstance(schema, list):
        return [clean(child) for child in schema]
    if not isinstance(schema, dict):
        return schema
    result: Schema = {}
    for key, child in schema.items():
        if key.startswith("x-") or (key == "default" and child is None) or (key == "required" and not child):
            continue
        if key == "properties":
            result[key] = {name: clean(inner) for name, inner in child.items()}
        elif key == "description":
            result[key] = " ".join(child.replace("``", "`").split())
        elif key == "pattern":
            result[key] = portable(child)
        elif key == "enum" and len(child) == 1:
            result["const"] = child[0]
        else:
            result[key] = child if key == "default" else clean(child)
    return result


def needed(root: Schema, defs: Mapping[str, Schema]) -> dict[str, Schema]:
    """Return those of `defs` that `root` refers to, directly or not, sorted by name."""
    found: dict[str, Schema] = {}
    pending = [root]
    while pending:
        for name in _references(pending.pop()):
            if name not in found:
                found[name] = defs[name]
                pending.append(defs[name])
    return dict(sorted(found.items()))


def _references(schema: Any) -> Iterable[str]:
    if isinstance(schema, dict):
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"].removeprefix(REF)
        for child in schema.values():
            yield from _references(child)
    elif isinstance(schema, list):
        for child in schema:
            yield from _references(child)


def _without_null(schema: Schema) -> Schema:
    options = [option for option in schema.get("anyOf", ()) if option != {"type": "null"}]
    if len(options) == len(schema.get("anyOf", ())):
        return schema
    rest = {key: child for key, child in schema.items() if key != "anyOf"}
    return {**rest, **options[0]} if len(options) == 1 else {**rest, "anyOf": options}


_TYPE = ("type", "pattern", "minLength", "maxLength")


def _key(schema: Schema) -> tuple[Any, ...]:
    return tuple(schema.get(word) for word in _TYPE)


def _refer(schema: Any, patterns: Mapping[tuple[Any, ...], str]) -> Any:
    """Return a schema that refers to the named types instead of repeating them."""
    if isinstance(schema, list):
        return [_refer(child, patterns) for child in schema]
    if not isinstance(schema, dict):
        return schema
    if "pattern" in schema or "minLength" in schema or "maxLength" in schema:
        # The keys of an object are strings anyway, so their schema does not say it.
        name = patterns.get(_key({"type": "string", **schema}))
        if name is not None:
            return {**{word: child for word, child in schema.items() if word not in _TYPE}, "$ref": REF + name}
    return {word: child if word == "default" else _refer(child, patterns) for word, child in schema.items()}


def _field_texts(types_: Iterable[Any]) -> dict[tuple[str, str], str]:
    """Return the text behind each field in the source, where there is one: (class, field) -> text."""
    modules = {sys.modules[cls.__module__] for type_ in types_ for cls in type_.__mro__ if cls.__module__ != "builtins"}
    own = {module for module in modules if module.__name__.startswith("missive_")}
    found: dict[tuple[str, str], str] = {}
    for module in sorted(own, key=lambda module: module.__name__):
        for node in ast.walk(ast.parse(inspect.getsource(module))):
            if not isinstance(node, ast.ClassDef):
                continue
            for field, text in zip(node.body, node.body[1:], strict=False):
                if (
                    isinstance(field, ast.AnnAssign)
                    and isinstance(field.target, ast.Name)
                    and isinstance(text, ast.Expr)
                    and isinstance(text.value, ast.Constant)
                    and isinstance(text.value.value, str)
                ):
                    found[node.name, field.target.id] = text.value.value
    return found
