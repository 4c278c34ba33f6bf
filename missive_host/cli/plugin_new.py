"""``missive plugin new``: a project of one's own to begin with."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from missive_host.cli.kit import App, Command, pass_app

if TYPE_CHECKING:
    from missive_host.cli.screen import Screen
    from missive_host.outputs_host import PluginNewResult
    from missive_host.plugins import Plugins
    from missive_host.scaffold import Plan

_KINDS = ("adapter", "policy", "reducer")


@click.command(
    cls=Command,
    examples=[
        "missive plugin new pigeon --kind adapter",
        "missive plugin new pigeon --kind adapter --contract",
        "missive plugin new cheapest --kind policy --dir plugins/cheapest",
        "missive plugin new mean --kind reducer --json",
    ],
)
@click.argument("name")
@click.option(
    "--kind",
    type=click.Choice(_KINDS),
    required=True,
    help="What it adds: a door (adapter), a way to choose agents (policy), a way to make one answer of many (reducer).",
)
@click.option("--dir", "folder", metavar="DIR", type=click.Path(), help="Where the project is written; ./missive-NAME.")
@click.option("--contract", is_flag=True, help="An adapter that reads an envelope of its own, missive.NAME.v1.")
@pass_app
def new(app: App, name: str, kind: Literal["adapter", "policy", "reducer"], folder: str | None, contract: bool) -> None:
    """Write a small complete plugin: module, tests, README, packaging.

    NAME is what the plugin is called everywhere: in the configuration, in listings, in logs. Nothing is written over.
    """
    from missive_host.cli.plugin import open_plugins
    from missive_host.outputs import Output
    from missive_host.outputs_host import PluginNewResult
    from missive_host.scaffold import Plan, write

    plan = Plan(name, kind, own_contract=contract)
    plugins, _ = open_plugins(app)
    _refuse_clash(plan, plugins)
    place = Path(folder if folder is not None else plan.distribution)
    files = write(plan, place)
    where = str(place) if place.is_absolute() else f"./{place}"
    result = PluginNewResult(
        name=plan.name,
        plugin_kind=plan.kind,
        distribution=plan.distribution,
        module=plan.module,
        folder=str(place.absolute()),
        files=files,
        next=(
            f"pip install -e {shlex.quote(where + '[test]')}",
            "missive plugin check",
            f"pytest {shlex.quote(where)}",
        ),
        message=f"{plan.kind} `{plan.name}` written to {where}",
        **({"contract": plan.contract} if plan.own_contract else {}),
    )
    app.emit(Output(result), show_new)


def show_new(data: PluginNewResult, screen: Screen) -> None:
    for name in data.files:
        screen.text(f"  {name}")
    screen.line(data.message)
    screen.line("Next:")
    for command in data.next:
        screen.text(f"  {command}")


def _refuse_clash(plan: Plan, plugins: Plugins) -> None:
    """Refuse names that are somebody's already: of two plugins with one name neither would load."""
    from importlib.util import find_spec

    from missive_host.errors import ValidationError

    choose = "choose another name; `missive plugin list` shows those that are taken"
    for record in plugins.records:
        if record.name == plan.name:
            raise ValidationError(f"there is a {record.label} already", help=choose)
    declared = {
        "adapter": [(spec.name, record) for spec, record in plugins.adapters()],
        "policy": [(spec.name, record) for spec, record in plugins.policies()],
        "reducer": [(spec.name, record) for spec, record in plugins.reducers()],
    }
    for name, record in declared[plan.kind]:
        if name == plan.name:
            raise ValidationError(f"there is a {plan.kind} `{plan.name}` already, of {record.label}", help=choose)
    if find_spec(plan.module) is not None:
        raise ValidationError(f"there is a module `{plan.module}` already", help=choose)
