"""The tables of keys in ``docs/configuration.md``, made from the model.

``python -m missive_host.config.reference docs/configuration.md`` writes them anew between the two markers.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from json import dumps
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec

from missive_host.commands import Duration, Name
from missive_host.config import model

BEGIN = "<!-- keys: made by missive_host.config.reference -->"
END = "<!-- /keys -->"

TABLES: tuple[tuple[str, type[msgspec.Struct]], ...] = (
    ("Top level", model.Config),
    ("`[profiles.NAME]`", model.Profile),
    ("`[agents.NAME]`", model.Agent),
    ("`[groups.NAME]`", model.GroupBlock),
    ("`[[groups.NAME.members]]`", model.GroupMember),
    ("`[auth_refs.NAME]` and `[[auth_refs.NAME.headers]]`", model.AuthRef),
    ("`[storage]`", model.Storage),
    ("`[output]`", model.OutputBlock),
    ("`[protocol]`", model.Protocol),
    ("`[gateway]`", model.Gateway),
    ("`[gateway.busy_input]` and `[adapters.NAME.busy_input]`", model.BusyInput),
    ("`[logging]`", model.Logging),
    ("`[routing]`", model.Routing),
    ("`[adapters.NAME]`", model.AdapterBlock),
    ("`[sinks.NAME]`", model.SinkBlock),
    ("`[telemetry]`", model.Telemetry),
    ("`[[filters]]`", model.FilterBlock),
    ("`[qos]`", model.Qos),
    ("`[plugins]`", model.Plugins),
)
_TYPES = {str: "string", int: "integer", float: "number", bool: "boolean", Any: "any"}
_NAMED = (
    (Name, "name"),
    (Duration, "duration"),
    (model.Size, "size"),
    (model.AgentUrl, "URL"),
    (model.HttpUrl, "URL"),
    (model.InterfaceUrl, "URL"),
)


def markdown() -> str:
    """Return a heading and a table of keys for every table of the config."""
    lines: list[str] = []
    for title, about, keys in tables():
        lines += ["", f"### {title}", "", about, "", "| Key | Type | Default | |", "| --- | --- | --- | --- |"]
        lines += [f"| `{key.name}` | {key.type} | {key.default} | {key.description} |" for key in keys]
    return "\n".join(lines).strip() + "\n"


def refreshed(document: str) -> str:
    """Return `document` with the text between the markers made anew."""
    before, _, rest = document.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{markdown()}\n{END}{after}"


class Key(msgspec.Struct, frozen=True):
    """One key of a table; `type` and `default` have in back quotes what one types."""

    name: str
    type: str
    default: str
    description: str


def tables() -> Iterator[tuple[str, str, list[Key]]]:
    """Yield each table of the config: its title, a sentence about it, its keys."""
    for title, struct in TABLES:
        about = (struct.__doc__ or "").strip().splitlines()[0]
        fields = msgspec.structs.fields(struct)
        yield (
            title,
            about,
            [Key(each.name, _type(each.type), _default(each), _description(each.type)) for each in fields],
        )


def _description(annotation: Any) -> str:
    return next((meta.description for meta in annotation.__metadata__ if meta.description), "")


def _type(annotation: Any) -> str:
    name = next((name for named, name in _NAMED if _bare(annotation, named)), None)
    if name is not None:
        return name
    if get_origin(annotation) is Annotated:
        return _type(get_args(annotation)[0])
    origin, options = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return _type(next(option for option in options if option is not type(None)))
    if origin is Literal:
        return ", ".join(f"`{word}`" for word in options)
    if origin is tuple:
        return f"list of {_type(options[0])}"
    if origin is dict:
        return f"table of {_type(options[1])}"
    return _TYPES.get(annotation, "table")


def _bare(annotation: Any, named: Any) -> bool:
    """True if `annotation` is `named`, also with a description around it."""
    if annotation == named:
        return True
    # Annotated[Annotated[str, a], b] is one Annotated with both.
    if get_origin(annotation) is Annotated and get_origin(named) is Annotated:
        return bool(annotation.__metadata__[: len(named.__metadata__)] == named.__metadata__)
    return get_origin(annotation) is Annotated and get_args(annotation)[0] == named


def _default(info: msgspec.structs.FieldInfo) -> str:
    if info.required:
        return "required"
    value = info.default_factory() if info.default_factory is not msgspec.NODEFAULT else info.default
    if value is None or isinstance(value, msgspec.Struct):
        return ""
    return f"`{dumps(list(value) if isinstance(value, tuple) else value)}`"


if __name__ == "__main__":
    page = Path(sys.argv[1])
    page.write_text(refreshed(page.read_text("utf-8")), "utf-8")
