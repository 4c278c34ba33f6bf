"""The command ``missive``: which sub-commands there are, and how a run ends.

No noun is imported here: the table has each command's name and one line about it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

import click

from missive_host import __version__
from missive_host.cli.app import App
from missive_host.cli.groups import LazyGroup, is_brief

COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("missive_host.cli.demo:demo", "Three small agents, and messages to them, on this machine."),
    "agent": ("missive_host.cli.agent:agent", "Register agents, and see what they can do."),
    "send": ("missive_host.cli.send:send", "Send a message to an agent and wait for its answer."),
    "stream": ("missive_host.cli.send:stream", "Send a message and see the agent's updates as they happen."),
    "task": ("missive_host.cli.task:task", "Look at tasks, wait for them, cancel them; save their artifacts."),
    "context": ("missive_host.cli.context:context", "Keep conversations with agents apart."),
    "group": ("missive_host.cli.group:group", "Name groups of agents, to send to one of them or to all."),
    "route": ("missive_host.cli.routes:route", "See how messages to a group find their agent."),
    "bcast": ("missive_host.cli.collective:bcast", "Send one message to all members of a group."),
    "scatter": ("missive_host.cli.collective:scatter", "Send each member of a group a part of its own."),
    "barrier": ("missive_host.cli.collective:barrier", "Wait until the members of a group have come to an end."),
    "gather": ("missive_host.cli.collective:gather", "Collect what the members of a group answered."),
    "reduce": ("missive_host.cli.collective:reduce", "Make one answer of what the members of a group answered."),
    "allreduce": ("missive_host.cli.collective:allreduce", "Broadcast, wait, gather and reduce, in one."),
    "adapter": ("missive_host.cli.adapter:adapter", "Run a door by itself: stdio and what plugins bring."),
    "gateway": ("missive_host.cli.gateway:gateway", "Run every enabled adapter, and keep what they take in."),
    "session": ("missive_host.cli.session:session", "See who talks with which agent through the gateway; begin anew."),
    "job": ("missive_host.cli.job:job", "Let the gateway work in the background, now, later or again and again."),
    "intake": ("missive_host.cli.intake:intake", "See what the gateway has taken in, and its dead letters."),
    "token": ("missive_host.cli.token:token", "Let clients in to the gateway, and out again."),
    "push": ("missive_host.cli.push:push", "Have agents send notifications about their tasks."),
    "webhook": ("missive_host.cli.webhook:webhook", "Take push notifications of agents, without the gateway."),
    "events": ("missive_host.cli.events:events", "See what has happened: the journal."),
    "trace": ("missive_host.cli.events:trace", "See everything that happened to one thing."),
    "logs": ("missive_host.cli.logs:logs", "See the log of the gateway, and follow it."),
    "doctor": ("missive_host.cli.doctor:doctor", "See what is broken, and the command that mends it."),
    "store": ("missive_host.cli.store:store", "Check the store, save it, restore it, forget what is old."),
    "config": ("missive_host.cli.config:config", "Show and check the configuration."),
    "plugin": ("missive_host.cli.plugin:plugin", "See which plugins there are and what they provide."),
    "contract": ("missive_host.cli.contract:contract", "The JSON Schemas of what missive reads and writes."),
    "completion": ("missive_host.cli.completion:completion", "Print the completion script of a shell."),
    "skill": ("missive_host.cli.skill:skill", "Teach a coding agent to use missive."),
    "help": ("missive_host.cli.help:help_", "Show the help of a command."),
    "manpage": ("missive_host.cli.help:manpage", "Print a manual page."),
}
SECTIONS = {
    "demo": "Messages",
    "group": "Several agents",
    "adapter": "Doors, and the gateway behind them",
    "events": "What has happened, and is it well",
    "config": "Setting up",
}
"""The command that begins a section of the help, and its title."""

HELP = """Messages for AI agents: each becomes a call on an A2A agent.

Register an agent once, then send to it by its alias. Results are on stdout, everything else on stderr."""

EXAMPLES = (
    "missive demo",
    "missive agent add echo http://127.0.0.1:8001",
    'missive send echo "Hello"',
    'missive stream echo "Count to ten" --ndjson',
    "missive task list --json",
)


def _show_version(ctx: click.Context, param: click.Parameter, value: bool) -> None:  # noqa: ARG001 - click's signature
    if value and not ctx.resilient_parsing:
        click.echo(f"missive {__version__}")
        ctx.exit()


class _Root(LazyGroup):
    """The nouns of missive, and those that plugins bring: what is in the table needs no plugin, not even a look."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*super().list_commands(ctx), *(name for name, _ in self._of_plugins(ctx))]

    def short_helps(self, ctx: click.Context) -> list[tuple[str, str]]:
        return [*super().short_helps(ctx), *self._of_plugins(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        found = super().get_command(ctx, cmd_name)
        if found is not None or cmd_name.startswith("-") or not isinstance(ctx.obj, App):
            return found
        from missive_host.cli.nouns import find_noun
        from missive_host.errors import ConfigError, PluginError

        try:
            return find_noun(ctx.obj, cmd_name)
        except ConfigError as error:
            # With a config that cannot be read, a word that is nobody's is still just that.
            known = isinstance(error, PluginError) or cmd_name in self.list_commands(ctx)
            if ctx.resilient_parsing or not known:
                return None
            raise

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections: list[tuple[str, list[tuple[str, str]]]] = []
        for row in super().short_helps(ctx):
            if row[0] in SECTIONS or not sections:
                sections.append((SECTIONS.get(row[0], "Commands"), []))
            sections[-1][1].append(row)
        width = max(len(name) for _, rows in sections for name, _ in rows)
        for title, rows in (*sections, ("Commands of plugins", self._of_plugins(ctx))):
            if rows:
                with formatter.section(title):
                    formatter.write_dl([(name.ljust(width), text) for name, text in rows])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if not is_brief(ctx):
            from missive_host.cli.overview import ENVIRONMENT, EXIT_CODES, READ_ON

            for title, rows in (
                ("Exit codes", EXIT_CODES),
                ("Environment", ENVIRONMENT),
                ("Read on", READ_ON),
            ):
                with formatter.section(title):
                    formatter.write_dl(rows)
        super().format_epilog(ctx, formatter)

    def _of_plugins(self, ctx: click.Context) -> list[tuple[str, str]]:
        if not isinstance(ctx.obj, App):
            return []
        from missive_host.plugins.nouns import listed

        ctx.obj.look_ahead()
        return listed(ctx.obj.flags.no_plugin, COMMANDS)


def make_root() -> LazyGroup:
    """Return the root command."""
    version = click.Option(
        ["-V", "--version"],
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_show_version,
        help="Show the version.",
    )
    return _Root("missive", table=COMMANDS, help=HELP, examples=EXAMPLES, params=[version])


def run(argv: Sequence[str]) -> int:
    """Run one command line and return the exit code. Shows every error itself."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a name that the terminal cannot show is no reason to fail
    app = App(argv)
    root = make_root()
    instruction = os.environ.get("_MISSIVE_COMPLETE")
    try:
        if instruction:
            from missive_host.cli.shells import answer

            return answer(root, app, instruction)
        code = _invoke(root, app)
        app.close()
    except KeyboardInterrupt:
        from missive_host.cli.failing import InterruptedBySignalError

        return app.fail(InterruptedBySignalError(2))
    except Exception as error:  # noqa: BLE001 - the last one to catch it: shown as one line or one document
        return app.fail(error)
    finally:
        app.discard()
    return code


def _invoke(root: click.Group, app: App) -> int:
    try:
        with root.make_context("missive", list(app.argv), obj=app) as ctx:
            code: Any = root.invoke(ctx)
    except click.exceptions.Exit as leave:
        code = leave.exit_code
    except click.Abort:
        raise KeyboardInterrupt from None
    return code if isinstance(code, int) else 0
