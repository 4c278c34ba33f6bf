"""`App`: one run of the command line, and what it opens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from missive_host.cli.flags import Flags, scan

if TYPE_CHECKING:
    from missive_host.cli.human import LiveView
    from missive_host.cli.progress import Progress
    from missive_host.cli.render import Renderer
    from missive_host.cli.screen import Screen
    from missive_host.commands import Command as CommandStruct
    from missive_host.config import Settings
    from missive_host.core import Core, FileAccess
    from missive_host.errors import ErrorReport
    from missive_host.outputs import Output
    from missive_host.plugins import Plugins
    from missive_host.security.options import CallOptions
    from missive_host.security.providers import Secrets
    from missive_host.security.redact import Redactor


class App:
    """One run of the command line: its flags, and what is opened for them, when it is first asked for."""

    def __init__(self, argv: Sequence[str] = ()) -> None:
        self.argv = tuple(argv)
        self.flags = Flags()
        self._settings: Settings | None = None
        self._core: Core | None = None
        self._screen: Screen | None = None
        self._renderer: Renderer | None = None
        self._redactor: Redactor | None = None
        self._progress: Progress | None = None
        self._mode: str | None = None
        self.stream_view: Callable[[Screen], LiveView] | None = None
        """What shows people the events of this command, if it is not the view of a single stream."""

    # --- what is opened late

    def settings(self) -> Settings:
        """Return the configuration. Raises `ConfigError`."""
        if self._settings is None:
            from missive_host.config import load

            self._settings = load(config_path=self.flags.config, profile=self.flags.profile)
        return self._settings

    def use(self, settings: Settings) -> None:
        """Work with this configuration, not with the one of whoever runs us."""
        self._settings = settings

    def call_options(self) -> CallOptions:
        """Return what flags and config say about every call. Raises `ValidationError` or `AuthError`."""
        from missive_host.cli.options import call_options

        return call_options(self.flags, self.settings())

    def core(self, *, files: FileAccess | None = None) -> Core:
        """Return the core; it is closed when the command line is done. `files`: those that a message may carry."""
        if self._core is None:
            from missive_host.core import Core

            self._core = Core(self.settings(), self.call_options(), files=files, plugins=self._plugins)
            self._core.on_new_work = self._ring
            self._redactor = self._core.redactor
            if self.mode == "human" and self.screen.err_tty:
                from missive_host.cli.progress import Progress

                self._core.on_bytes = self._progress = Progress(self.screen)
        return self._core

    @property
    def redactor(self) -> Redactor:
        """What takes the secrets that are known here out of texts: the core's, if there is one."""
        if self._redactor is None:
            from missive_host.security.redact import Redactor

            self._redactor = Redactor(self.call_options().secrets)
        return self._redactor

    def secrets(self, plugins: Plugins) -> Secrets:
        """Return what resolves references to secrets."""
        from missive_host.security.providers import Secrets

        return Secrets(lambda: plugins, self.settings().environ)

    def _ring(self) -> None:
        """Tell the gateway, if one runs, that there is new work."""
        from missive_host.gateway.control import wake

        wake(self.settings().paths)

    def _plugins(self) -> Plugins:
        from missive_host.cli.plugin import open_plugins

        return open_plugins(self)[0]

    @property
    def mode(self) -> str:
        """``human``, ``json``, ``ndjson`` or ``quiet``: flags first, then ``[output] format``. Raises `ConfigError`."""
        if self._mode is None:
            flags = self.flags
            if flags.quiet:
                self._mode = "quiet"
            elif flags.wants_json:
                self._mode = "ndjson" if flags.ndjson else "json"
            else:
                self._mode = str(self.settings().config.output.format)
        return self._mode

    def print_without_config(self) -> None:
        """Let results be printed even if the configuration cannot be read: for people, unless a flag says otherwise."""
        from missive_host.errors import ConfigError

        try:
            self._mode = self.mode
        except ConfigError:
            self._mode = "human"

    @property
    def screen(self) -> Screen:
        """Where people read: stdout and stderr, with their width and colour."""
        if self._screen is None:
            from missive_host.cli.screen import Screen

            self._screen = Screen(color=self._color())
        return self._screen

    def _color(self) -> str:
        if self.flags.no_color:
            return "never"
        return "auto" if self._settings is None else str(self._settings.config.output.color)

    # --- running

    def prepare(self) -> None:
        """Check the global flags and set logging up: called before any command runs. Raises `ValidationError`."""
        from missive_host.cli.options import check
        from missive_host.logs import configure

        check(self.flags, self.argv)
        configure(self.flags.verbosity)

    def run(self, command: CommandStruct) -> None:
        """Run one command and print its results as they happen. Raises `MissiveError`.

        A command that is answered from the store alone runs without an event loop.
        """
        if type(command).store_only:
            from missive_host.core.telemetry import local

            core = self.core()
            with local(core):
                output = core.run_local(command)
            self.emit(output)
        else:
            from missive_host.cli.running import run_async

            run_async(self, command)

    def emit(self, output: Output, human: Callable[[Any, Screen], None] | None = None) -> None:
        """Print one result in the mode that was asked for.

        `human` shows ``output.data`` to people; without it the renderer of the output's kind does.
        """
        if self._renderer is None:
            from missive_host.cli.render import make_renderer

            self._renderer = make_renderer(self.mode, self)
        self._renderer.emit(output, human)

    def status(self, ctx: click.Context) -> None:
        """Answer a noun without a verb: its help for people, a ``command_status`` for programs."""
        if self.mode == "human":
            click.echo(ctx.get_help(), color=ctx.color)
            return
        from missive_host.cli.options import config_summary
        from missive_host.outputs import CommandStatus, Output

        names = ctx.command_path.split()[1:] or ["root"]
        self.emit(
            Output(
                CommandStatus(
                    command=" ".join(names),
                    status="help_available",
                    implemented=True,
                    message=f"See `{ctx.command_path} --help`.",
                    config=config_summary(self.settings()),
                )
            )
        )

    def look_ahead(self) -> None:
        """Take the flags that decide which plugins there are from all of the command line, parsed or not."""
        raw = scan(self.argv)
        self.flags.config, self.flags.profile = raw.config, raw.profile
        self.flags.plugin, self.flags.no_plugin = raw.plugin, raw.no_plugin
        self.flags.strict_plugins = raw.strict_plugins

    # --- failing

    def error_mode(self) -> str:
        """Return how errors are shown: ``human``, ``json`` or ``ndjson``. Never raises."""
        self.flags.json |= (raw := scan(self.argv)).json
        self.flags.ndjson |= raw.ndjson
        self.flags.no_color |= raw.no_color
        self.flags.trace |= raw.trace
        if self.flags.wants_json:
            return "ndjson" if self.flags.ndjson and not self.flags.json else "json"
        from missive_host.errors import MissiveError

        try:
            self.flags.config = self.flags.config or raw.config
            self.flags.profile = self.flags.profile or raw.profile
            chosen = str(self.settings().config.output.format)
        except (MissiveError, OSError):
            return "human"
        return chosen if chosen in ("json", "ndjson") else "human"

    def fail(self, error: BaseException) -> int:
        """Show an error on stderr and return the exit code."""
        from missive_host.cli.failing import show_error

        return show_error(self, error)

    def redacted(self, report: ErrorReport) -> ErrorReport:
        """Return an error's report without the secrets that are known here."""
        return report if self._redactor is None else self._redactor.report(report)

    def redacted_text(self, text: str) -> str:
        """As `redacted`, for a text."""
        return text if self._redactor is None else self._redactor.text(text)

    @property
    def emitted(self) -> int:
        """How many results were printed: the next NDJSON sequence."""
        return 0 if self._renderer is None else self._renderer.count

    def end_output(self) -> None:
        """Finish what is shown, before an error is."""
        from missive_host.cli.screen import OutputClosedError
        from missive_host.errors import IoError

        if self._progress is not None:
            self._progress.close()
        if self._renderer is not None:
            try:
                self._renderer.close()
            except (OutputClosedError, IoError):
                self._renderer = None

    def close(self) -> None:
        """Finish what is shown, and close what was opened."""
        if self._renderer is not None:
            self._renderer.close()
        self.discard()

    def discard(self) -> None:
        """Close what was opened, whatever is shown."""
        if self._core is not None:
            core, self._core = self._core, None
            core.close()

    async def aclose(self) -> None:
        """Close the core's connections, inside the event loop that made them."""
        if self._core is not None:
            core, self._core = self._core, None
            await core.aclose()


pass_app = click.make_pass_decorator(App)
