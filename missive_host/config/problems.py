"""What is wrong with a configuration file, said with line, table, key and the nearest known key.

Only used when a file was refused: msgspec names the first fault without the names of the tables around it, so
here the document is walked once more, table by table, to find them all. A value is never repeated in a message:
it may be a secret in the wrong place. The one exception are words of a fixed choice.
"""

from __future__ import annotations

import re
import types
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

import msgspec
from msgspec import UNSET, UnsetType

from missive_host.errors import ConfigError, nearest

if TYPE_CHECKING:
    from pathlib import Path

KeyPath = tuple[str | int, ...]


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One fault. ``line`` counts from 1."""

    message: str
    line: int | UnsetType = UNSET
    table: str | UnsetType = UNSET
    key: str | UnsetType = UNSET

    def sentence(self, file: Path) -> str:
        """Return ``FILE:LINE: [TABLE] KEY: MESSAGE``."""
        where = f"[{self.table}] " if self.table else ""
        key = f"{self.key}: " if self.key else ""
        line = f":{self.line}" if self.line else ""
        return f"{file}{line}: {where}{key}{self.message}"


class InvalidConfigError(ConfigError):
    """A configuration file that cannot be used. ``problems`` has every fault of it, in the order of the file."""

    def __init__(self, file: Path, problems: tuple[Problem, ...]) -> None:
        rest = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        super().__init__(
            problems[0].sentence(file) + rest, help="`missive config validate` lists all that is wrong with it"
        )
        self.file = file
        self.problems = problems


def problems_of(text: str, found: list[tuple[KeyPath, str]]) -> tuple[Problem, ...]:
    """Return `found`, pairs of where and what, as problems with their lines, in the order of the file."""
    lines = _lines(text)
    problems = [_problem(path, message, lines) for path, message in found]
    return tuple(sorted(problems, key=lambda problem: problem.line or 0))


def _problem(path: KeyPath, message: str, lines: dict[KeyPath, int]) -> Problem:
    line = next((lines[path[:end]] for end in range(len(path), 0, -1) if path[:end] in lines), None)
    *tables, key = path or ("",)
    while tables and isinstance(key, int):
        key = f"{tables.pop()}[{key}]"
    table = ".".join(_quoted(part) for part in tables)
    return Problem(message=message, line=line or UNSET, table=table or UNSET, key=_quoted(key) or UNSET)


def _quoted(part: str | int) -> str:
    text = str(part)[:64]
    return text if re.fullmatch(r"[A-Za-z0-9_\-\[\]]*", text) else f'"{text}"'


# --- the walk


def walk(annotation: Any, value: Any, path: KeyPath = ()) -> list[tuple[KeyPath, str]]:
    """Return everything that keeps `value` from being an `annotation`, as pairs of where and what."""
    bare = get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
    options = get_args(bare) if get_origin(bare) in (Union, types.UnionType) else (bare,)
    struct = next(
        (option for option in options if isinstance(option, type) and issubclass(option, msgspec.Struct)), None
    )
    if struct is not None and value is not None:
        return _walk_struct(struct, value, path) if isinstance(value, dict) else [(path, "expected a table")]
    if get_origin(bare) is dict and isinstance(value, dict):
        return _walk_dict(get_args(bare), value, path)
    if get_origin(bare) is tuple and isinstance(value, list):
        item = get_args(bare)[0]
        return [found for index, child in enumerate(value) for found in walk(item, child, (*path, index))]
    return _leaf(annotation, options, value, path)


def _walk_struct(struct: type[msgspec.Struct], value: dict[str, Any], path: KeyPath) -> list[tuple[KeyPath, str]]:
    known = {info.name: info for info in msgspec.structs.fields(struct)}
    found: list[tuple[KeyPath, str]] = []
    good: dict[str, Any] = {}
    for key, child in value.items():
        if key not in known:
            found.append(((*path, key), f"unknown key{_hint(key[:64], list(known))}"))
        elif faults := walk(known[key].type, child, (*path, key)):
            found += faults
        else:
            good[key] = child
    found += [((*path, key), "is missing") for key, info in known.items() if info.required and key not in value]
    try:
        msgspec.convert(good, struct)
    except msgspec.ValidationError as error:
        # The struct's own check. What it misses may be there, but at fault, and so not in `good`.
        where, what = _own_check(str(error), path)
        if not found or not ("is needed" in what or "missing required" in what):
            found.append((where, what))
    return found


def _hint(key: str, known: list[str]) -> str:
    longer = next((name for name in known if name.endswith(f"_{key}")), None)  # url: base_url
    return f"; did you mean '{longer}'?" if longer else nearest(key, known)


def _own_check(text: str, path: KeyPath) -> tuple[KeyPath, str]:
    """Read the message of a struct's own check: "`key`: what is wrong - at `$`"."""
    text = re.sub(r" - at `[^`]*`$", "", text)
    match = re.match(r"`(\w+)`: (.*)", text, re.DOTALL)
    return ((*path, match[1]), match[2]) if match else (path, text)


def _walk_dict(types_: tuple[Any, ...], value: dict[str, Any], path: KeyPath) -> list[tuple[KeyPath, str]]:
    key_type, value_type = types_
    found: list[tuple[KeyPath, str]] = []
    for key, child in value.items():
        found += [((*path, key), f"as a name: {message}") for _, message in _leaf(key_type, (), key, path)]
        found += walk(value_type, child, (*path, key))
    return found


def _leaf(annotation: Any, options: tuple[Any, ...], value: Any, path: KeyPath) -> list[tuple[KeyPath, str]]:
    try:
        msgspec.convert(value, annotation)
    except msgspec.ValidationError as error:
        choices = [word for option in options if get_origin(option) is Literal for word in get_args(option)]
        if choices and isinstance(value, str):
            return [(path, f"expected one of {', '.join(choices)}{nearest(value[:64], choices)}")]
        return [(path, _words(str(error), value))]
    return []


_PATTERNS = (
    ("[a-z0-9._-]", "expected 1 to 63 lower-case letters, digits, '.', '_' or '-', a letter or digit at both ends"),
    ("ms|s|m|h", "expected a duration such as 500ms, 30s, 5m or 1h"),
    ("KiB|MiB", "expected a number of bytes such as 1048576 or 8MiB"),
    ("file:///", "expected an absolute URL: http, https, file, or that of an agent transport"),
    ("^https?://", "expected an absolute http or https URL"),
    ("https?://", "expected an http or https URL, or host:port for gRPC"),
    ("[A-Za-z_]", "expected the name of an environment variable"),
    ("0-9A-Za-z-]", "expected letters, digits and '-' without white space, as in a header's name"),
    ("x20-", "expected printable ASCII characters in one line"),
    ("[A-Za-z0-9._-]", "expected letters, digits, '.', '_' or '-'"),
    ("[^\\\\s,]", "expected a URI without white space or comma"),
    ("x7f", "expected text without white space or control characters"),
)
_KINDS = {"str": "a string", "int": "a whole number", "bool": "true or false", "object": "a table", "array": "a list"}


def _words(text: str, value: Any) -> str:
    """Say msgspec's message in the words of TOML, without the value."""
    text = re.sub(r" - at `[^`]*`$", "", text)
    if "matching regex" in text:
        if isinstance(value, str) and re.match(r"[a-z]+://[^/]*@", value):
            return "credentials do not belong into a URL; use an auth ref"
        return next((words for mark, words in _PATTERNS if mark in text), "is not in the expected form")
    text = text.replace(" | null", "").replace("`null`", "nothing").replace("Expected `float`", "Expected a number")
    text = re.sub(r"`(str|int|bool|object|array)`", lambda match: _KINDS[match[1]], text)
    text = (
        text.replace("`int | str`", "a whole number or a string").replace("length >= 1", "some text").replace("`", "")
    )
    return text[:1].lower() + text[1:]


# --- lines

_HEADER = re.compile(r"^\s*(\[\[?)\s*(.+?)\s*\]\]?\s*(?:#.*)?$")
_ASSIGNMENT = re.compile(
    r"""^\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'))*)\s*="""
)
_PART = re.compile(r""""([^"]*)"|'([^']*)'|([A-Za-z0-9_-]+)""")


def _lines(text: str) -> dict[KeyPath, int]:
    """Return the line of every table and key that begins a line; good enough for messages, not a TOML parser."""
    lines: dict[KeyPath, int] = {}
    counts: dict[KeyPath, int] = {}
    table: KeyPath = ()
    quoted = False
    for number, line in enumerate(text.splitlines(), 1):
        if not quoted and (match := _HEADER.match(line)):
            table = _resolve(_parts(match[2]), counts)
            if match[1] == "[[":
                counts[table] = counts.get(table, -1) + 1
                table = (*table, counts[table])
            for end in range(1, len(table) + 1):
                lines.setdefault(table[:end], number)
        elif not quoted and (match := _ASSIGNMENT.match(line)):
            path = table
            for part in _parts(match[1]):
                path = (*path, part)
                lines.setdefault(path, number)
        if (line.count('"""') + line.count("'''")) % 2:
            quoted = not quoted
    return lines


def _parts(text: str) -> tuple[str, ...]:
    return tuple(match[1] or match[2] or match[3] or "" for match in _PART.finditer(text))


def _resolve(parts: tuple[str, ...], counts: dict[KeyPath, int]) -> KeyPath:
    """Put the index of the newest entry behind every part that is an array of tables."""
    path: KeyPath = ()
    for index, part in enumerate(parts):
        path = (*path, part)
        if path in counts and index < len(parts) - 1:
            path = (*path, counts[path])
    return path
