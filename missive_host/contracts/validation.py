"""A document against a schema, with every fault in words: where it is, what was expected, the nearest known name.

A value is not repeated, for it may be a secret in the wrong place.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from missive_host.errors import nearest

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError as SchemaError

Keys = tuple[str | int, ...]

MOST_WORDS = 9
"""How many words of a fixed choice are listed."""

_TYPES = {
    "string": "a string",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "an array",
    "object": "an object",
    "null": "null",
}


class Fault(msgspec.Struct, frozen=True):
    """What is wrong with a document. ``keys`` leads to the place: names in objects, indexes in arrays."""

    keys: Keys
    message: str

    @property
    def path(self) -> str:
        """The place in the manner of JSONPath: ``$.source.profile``, ``$.mime[0]``."""
        return "$" + "".join(_step(key) for key in self.keys)

    def sentence(self) -> str:
        """Return ``PATH: MESSAGE``."""
        return f"{self.path}: {self.message}"


def validate(document: Any, schema: dict[str, Any]) -> tuple[Fault, ...]:
    """Return everything in which `document` (JSON-able data) breaks `schema` (JSON Schema 2020-12)."""
    return validator(schema)(document)


def validator(schema: dict[str, Any]) -> Callable[[Any], tuple[Fault, ...]]:
    """Return `validate` for many documents of one schema.

    It is stricter than most validators in two points, as missive's doors are: a number with a fraction part is not
    an integer, not even ``5.0``; and ``$`` in a pattern is the end, as ECMA-262 has it, which for Python alone would
    also be the place before a last line feed.
    """
    from jsonschema import Draft202012Validator
    from jsonschema.validators import extend

    strict = Draft202012Validator.TYPE_CHECKER.redefine("integer", _is_integer)
    checker = extend(Draft202012Validator, {"pattern": _pattern}, type_checker=strict)(schema)

    def faults(document: Any) -> tuple[Fault, ...]:
        return tuple(dict.fromkeys(fault for error in checker.iter_errors(document) for fault in _explain(error)))

    return faults


def _is_integer(_checker: Any, value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


_DOLLAR = re.compile(r"\\.|\[(?:\\.|[^\]\\])*\]|\$")
"""A ``$``, or what may hold one that means itself: an escape, a set of characters."""


def _pattern(_validator: Any, pattern: str, value: Any, _schema: Any) -> Iterator[SchemaError]:
    from jsonschema.exceptions import ValidationError

    if isinstance(value, str):
        ended = _DOLLAR.sub(lambda match: r"\Z" if match[0] == "$" else match[0], pattern)
        if not re.search(ended, value):
            yield ValidationError("is not in the expected form")


def _step(key: str | int) -> str:
    if isinstance(key, int):
        return f"[{key}]"
    shown = key[:64]
    if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]*", shown):
        return f".{shown}"
    return '["' + shown.encode("unicode_escape").decode().replace('"', '\\"') + '"]'


def _explain(error: SchemaError) -> Iterator[Fault]:
    keys: Keys = tuple(error.absolute_path)
    match error.validator:
        case "unevaluatedProperties":
            yield Fault(keys, "has an unknown field")  # the validator does not say which
        case "additionalProperties" if not error.validator_value:
            known = list(error.schema.get("properties", ()))
            for name in _unknown(error, known):
                yield Fault((*keys, name), f"unknown field{nearest(name[:64], known)}")
        case "required":
            for name in error.validator_value:
                if name not in error.instance:
                    yield Fault((*keys, name), "is missing")
        case "anyOf" | "oneOf":
            yield from _alternatives(error, keys)
        case _ if "propertyNames" in error.absolute_schema_path and isinstance(error.instance, str):
            yield Fault((*keys, error.instance), f"as a name: {_sentence(error)}")
        case _:
            yield Fault(keys, _sentence(error))


def _unknown(error: SchemaError, known: Iterable[str]) -> Iterator[str]:
    patterns = tuple(error.schema.get("patternProperties", ()))
    for name in error.instance:
        if name not in known and not any(re.search(pattern, name) for pattern in patterns):
            yield name


def _alternatives(error: SchemaError, keys: Keys) -> Iterator[Fault]:
    """Say what the branch that was most likely meant expects; where that is not clear, what all of them expect."""
    branches: dict[int, list[SchemaError]] = {}
    for inner in error.context or ():
        branches.setdefault(int(inner.relative_schema_path[0]), []).append(inner)
    choices = [word for branch in error.validator_value for word in _words(branch)]
    if choices:
        yield Fault(keys, _choice(choices, error.instance))
        return
    # A branch of another type altogether (null, for one) was not meant.
    meant = [
        inner for inner in branches.values() if not any(e.validator == "type" and not e.relative_path for e in inner)
    ]
    if len(meant) == 1:
        for inner in meant[0]:
            yield from _explain(inner)
        return
    types_ = dict.fromkeys(
        _TYPES.get(str(inner.validator_value), "another value")
        for branch in branches.values()
        for inner in branch
        if inner.validator == "type" and inner.validator_value != "null"
    )
    yield Fault(keys, f"expected {' or '.join(types_) or 'another value'}")


def _words(schema: Any) -> list[str]:
    """Return the fixed choice of a schema, if it is one."""
    if not isinstance(schema, dict):
        return []
    return [word for word in schema.get("enum", [schema.get("const")]) if isinstance(word, str)]


def _choice(words: list[str], instance: Any) -> str:
    if len(words) == 1:
        return f"expected {words[0]}"
    hint = nearest(instance[:64], words) if isinstance(instance, str) else ""
    if len(words) > MOST_WORDS and isinstance(instance, str):
        return f"is not known here{hint}"
    return f"expected one of {', '.join(words)}{hint}"


_NUMBERED = {
    "minimum": "expected a number of at least {}",
    "exclusiveMinimum": "expected a number of more than {:g}",
    "maximum": "expected a number of at most {}",
    "minLength": "expected more text, a length of at least {}",
    "maxLength": "expected less text, a length of at most {}",
    "minItems": "expected more items, at least {}",
    "maxItems": "expected fewer items, at most {}",
}


def _sentence(error: SchemaError) -> str:
    """Say one fault of a value."""
    rule, limit, schema = error.validator, error.validator_value, error.schema
    if rule == "not" and not limit:
        return "does not belong here"
    if rule in ("enum", "const"):
        words = _words({rule: limit})
        if words:
            return _choice(words, error.instance)
        options = limit if rule == "enum" else [limit]
        return f"expected {' or '.join(msgspec.json.encode(option).decode() for option in options)}"
    if rule == "type":
        return f"expected {' or '.join(_TYPES[name] for name in ([limit] if isinstance(limit, str) else limit))}"
    if rule == "not":
        return f"must not be {limit.get('description', 'this')}"
    if rule in ("pattern", "minLength", "maxLength") and schema.get("title") and schema.get("description"):
        return f"expected {schema['description']}"  # a named type, as FrameId
    if rule == "minLength" and limit == 1:
        return "expected some text"
    if rule == "uniqueItems":
        return "has the same item twice"
    if rule in _NUMBERED:
        return _NUMBERED[rule].format(limit)
    return "is not in the expected form"
