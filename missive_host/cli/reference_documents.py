"""Tables of the documents that missive writes: results and errors. See `missive_host.cli.reference`."""

from __future__ import annotations

import ast
import inspect
import re
import types
import typing
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec
from msgspec import UnsetType

from missive_host import errors as tree
from missive_host.cli.reference import cell
from missive_host.outputs import all_kinds

_WORDS = {str: "string", int: "integer", float: "number", bool: "boolean", Any: "any"}


def kinds() -> str:
    """Return a table of fields for each kind, and one for each object that they share."""
    import_kinds()
    shared: dict[str, type[msgspec.Struct]] = {}
    lines = ["## Kinds"]
    for kind, struct in all_kinds().items():
        lines += ["", f"### `{kind}`", "", *_struct(struct, shared)]
    lines += ["", "### `error`", "", "An error. It is the only kind with `ok: false`.", ""]
    lines += _fields(tree.ErrorReport, shared)
    lines += ["", "## Objects", "", "What several kinds have in common."]
    done: set[str] = set()
    while waiting := sorted(set(shared) - done):
        done.add(waiting[0])
        lines += ["", f"### {waiting[0]}", "", *_struct(shared[waiting[0]], shared)]
    return "\n".join(lines)


def import_kinds() -> None:
    """Import every module that declares result documents: those called ``outputs…``."""
    here = Path(__file__).parents[1]
    for file in sorted(here.rglob("outputs*.py")):
        import_module(".".join(["missive_host", *file.relative_to(here).with_suffix("").parts]))


def _struct(struct: type[msgspec.Struct], shared: dict[str, type[msgspec.Struct]]) -> list[str]:
    about = inspect.cleandoc(struct.__dict__.get("__doc__") or "")
    return [*([_plain(about), ""] if about else []), *_fields(struct, shared)]


def _fields(struct: type[msgspec.Struct], shared: dict[str, type[msgspec.Struct]]) -> list[str]:
    notes = _notes(struct)
    lines = ["| Field | Type | | |", "| --- | --- | --- | --- |"]
    for info in msgspec.structs.fields(struct):
        optional = not info.required or _may_be_left_out(info.type)
        lines.append(
            f"| `{info.encode_name}` | {_type(info.type, shared)} | {'optional' if optional else ''} "
            f"| {cell(_plain(notes.get(info.name, '')))} |"
        )
    return lines


def _plain(text: str) -> str:
    return text.replace("``", "`")


def _may_be_left_out(hint: Any) -> bool:
    return bool({UnsetType, types.NoneType} & set(typing.get_args(hint)))


def _type(hint: Any, shared: dict[str, type[msgspec.Struct]]) -> str:
    origin, options = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_type(option, shared) for option in options if option not in (UnsetType, types.NoneType))
    if origin is typing.Annotated:
        return _type(options[0], shared)
    if origin is typing.Literal:
        return ", ".join(f"`{word}`" for word in options)
    if origin is tuple:
        return f"list of {_type(options[0], shared)}"
    if origin is dict or hint is dict:
        return "object of strings" if options and options[1] is str else "object"
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        shared[hint.__name__] = hint
        return f"[{hint.__name__}](#{hint.__name__.lower()})"
    return _WORDS[hint]


def _notes(struct: type) -> dict[str, str]:
    """Return what is said of each field: the text that stands below it in the source."""
    found: dict[str, str] = {}
    for cls in reversed(struct.__mro__):
        if cls.__module__.startswith("missive_host"):
            found |= _notes_of(cls.__module__).get(cls.__name__, {})
    return found


@cache
def _notes_of(module: str) -> dict[str, dict[str, str]]:
    source = inspect.getsource(import_module(module))
    return {node.name: dict(_said(node)) for node in ast.parse(source).body if isinstance(node, ast.ClassDef)}


def _said(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for statement, below in zip(node.body, node.body[1:], strict=False):
        if (
            isinstance(statement, ast.AnnAssign)
            and isinstance(statement.target, ast.Name)
            and isinstance(below, ast.Expr)
            and isinstance(below.value, ast.Constant)
            and isinstance(below.value.value, str)
        ):
            yield statement.target.id, below.value.value


# --- errors


def errors() -> str:
    """Return a row for each class of the tree of errors, as its docstring explains it."""
    said = re.findall(r"[├└]── (\w+)\s+(\d+)  (.+)$", inspect.getdoc(tree) or "", re.MULTILINE)
    lines = ["| Exit code | Category | Code | Class | When |", "| --- | --- | --- | --- | --- |"]
    rows = []
    for name, code, when in said:
        cls: type[tree.MissiveError] = getattr(tree, name)
        if cls.exit_code != int(code):
            raise ValueError(f"{name} has the exit code {cls.exit_code}, its docstring says {code}")
        rows.append(
            (cls.exit_code, f"| {code} | `{cls.category}` | `missive::{cls.category}` | `{name}` | {cell(when)} |")
        )
    return "\n".join([*lines, *(row for _, row in sorted(rows, key=lambda row: row[0]))])


def a2a_errors() -> str:
    """Return A2A's error names with their JSON-RPC codes, and the help that missive gives."""
    from missive_host.a2a import faults

    lines = ["| Name | Code | Help |", "| --- | --- | --- |"]
    for code, name in sorted(faults._BY_CODE.items(), reverse=True):
        lines.append(f"| `{name}` | {code} | {cell(faults._HELP.get(name, ''))} |")
    return "\n".join(lines)


# --- events


def events() -> str:
    """Return the reference of the events of the journal."""
    from missive_host.core.event_types import EVENT_TYPES

    lines = []
    for about, found in EVENT_TYPES.items():
        lines += [f"### {about}", "", "| Type | Says | `payload` |", "| --- | --- | --- |"]
        for each in found:
            holds = ", ".join(f"`{name}`" for name in each.holds)
            may_hold = ", ".join(f"`{name}`" for name in each.may_hold)
            fields = "; ".join(text for text in (holds, may_hold and f"may have {may_hold}") if text)
            lines.append(f"| `{each.name}` | {each.says} | {fields} |")
        lines.append("")
    return "\n".join(lines)
