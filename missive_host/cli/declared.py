"""The options that plugins declare, as parameters of a command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from missive_host.cli.known import Known
from missive_host.cli.verbs import Choices, ParamType, Positional
from missive_host.cli.wording import size

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from missive_host.specs import Option

_METAVARS = {"integer": "N", "duration": "DURATION", "size": "SIZE", "path": "PATH", "string": "TEXT"}


def parameter_name(option: Option) -> str:
    """Return the name of its click parameter: one that no parameter of missive's own has."""
    return "option_" + option.name.replace("-", "_")


def flag_of(option: Option) -> str:
    """Return its flag, e.g. ``--max-weight``."""
    return option.flag or "--" + option.name.replace("_", "-")


def parameter(option: Option) -> click.Option:
    """Return an option as a flag."""
    flag = flag_of(option)
    name = parameter_name(option)
    text = option.help + _shown_default(option)
    if option.type == "boolean" and not option.repeated:
        return click.Option([name, f"{flag}/--no-{flag[2:]}"], default=None, help=text)
    metavar = _METAVARS.get(option.type, "TEXT")
    if option.secret:
        metavar = "env:NAME|file:PATH"
    elif option.choices:
        metavar = "[" + "|".join(option.choices) + "]"
    return click.Option(
        [name, flag],
        required=option.required,
        multiple=option.repeated,
        metavar=metavar,
        type=_type(option),
        help=text,
    )


def _type(option: Option) -> ParamType:
    if option.choices:
        return Choices(option.choices)
    if option.completes is not None:
        return Known(option.completes)
    return click.Path() if option.type == "path" else click.STRING


def _shown_default(option: Option) -> str:
    default = option.default
    if default is None or default is False or default == ():
        return ""
    if option.type == "size" and isinstance(default, int):
        default = size(default)
    elif option.type == "duration" and isinstance(default, int | float):
        default = f"{default:g}s"
    elif isinstance(default, tuple):
        default = ", ".join(map(str, default))
    return f" [default: {'on' if default is True else default}]"


def argument(option: Option) -> click.Argument:
    """Return an option that has no flag, but a place."""
    name = option.name.replace("_", "-").upper()
    shown = name if option.required else f"[{name}]"
    return Positional(
        parameter_name(option),
        option.help + _shown_default(option),
        required=option.required,
        nargs=-1 if option.repeated else 1,
        metavar=f"{shown}..." if option.repeated else shown,
        type=_type(option),
    )


def given(options: Iterable[Option], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was typed, by the option's own name."""
    typed = {option.name: values[parameter_name(option)] for option in options}
    return {name: value for name, value in typed.items() if value not in (None, ())}
