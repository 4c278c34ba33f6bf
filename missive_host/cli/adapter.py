"""``missive adapter NAME``: one command for each adapter that a plugin declares."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from missive_host.cli.declared import flag_of, given, parameter
from missive_host.cli.kit import App, Command, Group

if TYPE_CHECKING:
    from collections.abc import Mapping

    from missive_host.filters import Chain
    from missive_host.plugins import Plugins
    from missive_host.protocols import Summary
    from missive_host.specs import AdapterSpec, Option


class _Adapters(Group):
    """Its sub-commands are declared by plugins: it imports the one that is named, or all for the help."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name, _ in self.short_helps(ctx)]

    def short_helps(self, ctx: click.Context) -> list[tuple[str, str]]:
        return [(spec.name, about) for spec, about in self._declared(ctx) if spec.foreground]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_commands(ctx, formatter)
        rows = [(spec.name, about) for spec, about in self._declared(ctx) if not spec.foreground]
        if rows:
            with formatter.section("Run by the gateway only"):
                formatter.write_dl(rows)

    def _declared(self, ctx: click.Context) -> list[tuple[AdapterSpec, str]]:
        """Return each adapter with one line about it, which says what must be installed for it."""
        from missive_host.errors import MissiveError
        from missive_host.plugins.reasons import needs

        try:
            found = _plugins(ctx.obj).adapters()
        except MissiveError:
            if ctx.resilient_parsing:
                return []
            raise
        return [
            (spec, f"(needs {wanted}) {spec.summary}" if (wanted := needs(record, spec)) else spec.summary)
            for spec, record in found
        ]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        from missive_host.errors import MissiveError, PluginError

        if cmd_name.startswith("-"):
            return None
        try:
            plugins = _plugins(ctx.obj)
            spec, _ = plugins.adapter(cmd_name)
        except MissiveError:
            if ctx.resilient_parsing:
                return None
            raise
        if not spec.foreground:
            raise PluginError(f"adapter `{cmd_name}` does not run by itself", help="enable it in the gateway")
        return _AdapterCommand(spec, plugins)


class _AdapterCommand(Command):
    """Runs one adapter until its input ends."""

    def __init__(self, spec: AdapterSpec, plugins: Plugins) -> None:
        contracts = [f"Reads {', '.join(spec.accepts)}."] if spec.accepts else []
        contracts += [f"Writes {', '.join(spec.emits)}."] if spec.emits else []
        text = spec.summary + ("\n\n" + " ".join(contracts) if contracts else "")
        super().__init__(
            spec.name,
            help=text,
            examples=spec.examples or (f"missive adapter {spec.name}",),
            params=[
                *(parameter(option) for option in _typed(spec)),
                *([] if spec.file_root_option else [_file_root()]),
            ],
            callback=self._run,
        )
        self._spec = spec
        self._plugins = plugins

    def _run(self, **values: Any) -> int:
        app: App = click.get_current_context().obj
        typed = given(_typed(self._spec), values)
        return run_adapter(app, self._spec, self._plugins, typed, file_root=values.get("file_root"))


def run_adapter(
    app: App, spec: AdapterSpec, plugins: Plugins, given: Mapping[str, Any], *, file_root: str | None = None
) -> int:
    """Run an adapter with the options that were given, and return its exit status. Raises `MissiveError`.

    `file_root` is the folder whose files a message may carry; without it none.
    """
    from missive_host.adapter_options import convert_options
    from missive_host.core import FileAccess
    from missive_host.core.telemetry import carrying, telemetry_of

    labels = {option.name: flag_of(option) for option in spec.options}
    options = convert_options(spec, given, label=labels.__getitem__, secrets=app.secrets(plugins))
    factory = plugins.factory(spec)
    from functools import partial
    from pathlib import Path

    import anyio

    from missive_host.logs import configure
    from missive_host.runner import run_adapter as run
    from missive_host.security.secrets import secrets_in

    files = FileAccess.below(file_root) if file_root is not None else None
    if spec.file_root_option:
        files = FileAccess(base=Path(options[spec.file_root_option]).expanduser().absolute())
    core = app.core(files=files)
    for secret in secrets_in(options):
        core.redactor.add(secret)
    filters = _filters(app, spec.name, plugins) if app.settings().config.filters else None
    configure(app.flags.verbosity, core.redactor.text)  # again: with anyio came asyncio, and with it logging

    def show(summary: Summary) -> None:
        from missive_host.errors import PluginError
        from missive_host.outputs_adapters import summary_output

        output = summary_output(summary.kind, {"profile": core.profile, **summary.data})
        if output is None:
            raise PluginError(f"adapter `{spec.name}` ended with a `{summary.kind}`, which missive does not have")
        app.emit(output)

    progress = None if app.mode == "quiet" else app.screen.note
    work = partial(run, core, spec.name, factory, options, progress=progress, on_summary=show, filters=filters)
    with telemetry_of(core, long=True), carrying(core.settings.environ):
        return anyio.run(work)


def _filters(app: App, name: str, plugins: Plugins) -> Chain:
    from missive_host.filters import Filters

    core = app.core()
    return Filters(core.settings.config, plugins, app.secrets(plugins), core.redactor.add).of(name)


def _plugins(app: App) -> Plugins:
    from missive_host.cli.plugin import open_plugins

    app.look_ahead()
    plugins, notices = open_plugins(app)
    for notice in notices:
        app.screen.note(notice, "yellow")
    return plugins


def _typed(spec: AdapterSpec) -> list[Option]:
    """Return the options that can be typed: a table is for the config."""
    return [option for option in spec.options if option.type != "table"]


def _file_root() -> click.Option:
    return click.Option(
        ["file_root", "--file-root"],
        metavar="DIR",
        type=click.Path(),
        help="Let messages carry files from below this folder (`files`, `file_bytes`); without it none.",
    )


adapter = _Adapters(
    "adapter",
    help="""Run a door by itself: it reads messages in its own way, and missive carries them to agents.

Adapters come from plugins; see `missive plugin list`.""",
    examples=(
        """printf '%s\\n' '{"id":"req-1","command":"task_list"}' | missive adapter stdio""",
        "missive adapter stdio --mode long-running < frames.ndjson",
    ),
)
