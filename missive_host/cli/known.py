"""What the shell may complete: names and ids from the store, the configuration and the plugins.

Completion asks in passing. It makes nothing, waits for nobody, and what cannot be read has no names.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, get_args

import click

from missive_host.cli.app import App

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from missive_host.store.names import Stored

    ParamType = click.ParamType[Any]
else:
    ParamType = click.ParamType  # generic only since click 8.4

Here = Literal[
    "adapter", "auth_ref", "binding", "contract", "env", "plugin", "policy", "profile", "reducer", "time_zone"
]
"""What is not in the store."""
_HERE: frozenset[str] = frozenset(get_args(Here))
Names = Iterable[tuple[str, str]]


class Known(ParamType):
    """Text that the shell completes."""

    name = "text"

    def __init__(self, what: Stored | Here) -> None:
        self.what = what

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:  # noqa: ARG002
        return complete(self.what, ctx, incomplete)


def complete(what: Stored | Here, ctx: click.Context, incomplete: str) -> list[CompletionItem[str]]:
    """Return the names that begin with `incomplete`, each with a word about it."""
    from click.shell_completion import CompletionItem

    from missive_host.errors import MissiveError

    if not isinstance(ctx.obj, App):
        return []
    try:
        found = _here(ctx.obj, what) if what in _HERE else _stored(ctx, what, incomplete)  # type: ignore[arg-type]
    except (MissiveError, OSError):
        return []
    given = {value for values in _given(ctx).values() if isinstance(values, tuple) for value in values}
    return [
        CompletionItem(name, help=" ".join(about.split()))
        for name, about in found
        if name.startswith(incomplete) and name not in given and _typed_as_it_is(name)
    ]


def _given(ctx: click.Context) -> dict[str, Any]:
    """Return what was typed before. After a flag whose value is asked for, click has read the flags alone."""
    given = {name: value for name, value in ctx.params.items() if value is not None}
    if not ctx.args:
        return given
    again = ctx.command.make_context(ctx.info_name, list(ctx.args), parent=ctx.parent, resilient_parsing=True)
    return {**again.params, **given}


def _typed_as_it_is(name: str) -> bool:
    """Return False for what nobody can type, though an agent may call a task so: control characters, a flag."""
    return name.isprintable() and not name.startswith("-")


def _stored(ctx: click.Context, what: Stored, incomplete: str) -> Names:
    from missive_host.store.names import names

    settings = ctx.obj.settings()
    given = _given(ctx)
    agent, task = (given.get(name) for name in ("agent", "task_id"))
    found = names(
        settings.paths.database,
        what,
        incomplete,
        agent=agent if isinstance(agent, str) else "",
        task=task if isinstance(task, str) else "",
    )
    # What the configuration names comes into the store with the first command that opens it.
    if what == "agent":
        seeds = {name: (name, block.base_url) for name, block in settings.config.agents.items()}
    elif what == "group":
        seeds = {name: (name, block.routing_policy or "") for name, block in settings.config.groups.items()}
    else:
        return found
    return sorted((seeds | {row[0]: row for row in found}).values())


# --- not in the store


def _here(app: App, what: Here) -> Names:
    app.look_ahead()
    found: Names = _PLACES[what](app)
    return found


def _profiles(app: App) -> Names:
    """Yield those of the configuration, and those that have a folder."""
    from missive_host.config.discovery import find
    from missive_host.config.loading import read_config

    _, path = find(app.flags.config, os.environ)
    names = {"default": ""} if path is None else {"default": "", **dict.fromkeys(read_config(path).profiles, str(path))}
    app.flags.profile = None
    folder = app.settings().paths.state.parent
    if folder.is_dir():
        names |= {entry.name: names.get(entry.name, "") for entry in folder.iterdir() if entry.is_dir()}
    return sorted(names.items())


def _plugins(app: App) -> Names:
    from missive_host.cli.plugin import find_plugins

    return sorted((record.name, f"{record.owner}, {record.state}") for record in find_plugins(app)[0])


def _policies(app: App) -> Names:
    from missive_host.cli.plugin import open_plugins

    return [(spec.name, spec.summary) for spec, _ in open_plugins(app)[0].policies()]


def _reducers(app: App) -> Names:
    from missive_host.cli.plugin import open_plugins

    return [(spec.name, spec.summary) for spec, _ in open_plugins(app)[0].reducers()]


def _contracts(app: App) -> Names:
    from missive_host.cli.plugin import open_plugins
    from missive_host.contracts import contracts

    own = [(entry.name, "missive") for entry in contracts()]
    return sorted(own + [(spec.name, spec.summary) for spec, _ in open_plugins(app)[0].contracts()])


def _adapters(app: App) -> Names:
    blocks = app.settings().config.adapters
    return sorted((name, block.kind + ("" if block.enabled else ", not enabled")) for name, block in blocks.items())


def _time_zones(_: App) -> Names:
    from zoneinfo import available_timezones

    return [(name, "") for name in sorted(available_timezones())]


_PLACES: dict[Here, Any] = {
    "adapter": _adapters,
    "auth_ref": lambda app: [(name, "") for name in sorted(app.settings().config.auth_refs)],
    "binding": lambda _: [("json-rpc", ""), ("http+json", ""), ("grpc", "")],
    "contract": _contracts,
    "env": lambda _: [(name, "") for name in sorted(os.environ)],  # never what is in it
    "plugin": _plugins,
    "policy": _policies,
    "profile": _profiles,
    "reducer": _reducers,
    "time_zone": _time_zones,
}
