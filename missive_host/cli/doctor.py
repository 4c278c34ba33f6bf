"""``missive doctor``: why nothing works, and the command that mends it."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import msgspec

from missive_host.cli.kit import App, Command, pass_app
from missive_host.errors import ErrorReport, OrchestrationError

if TYPE_CHECKING:
    from missive_host.cli.screen import Screen
    from missive_host.config import Settings
    from missive_host.errors import ConfigError
    from missive_host.outputs_doctor import DoctorResult

_STYLES = {"fail": "red", "warning": "yellow"}


class UnhealthyError(OrchestrationError):
    """Something is broken; the exit code is that of the first thing that is."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message, help="the hints of the checks that failed say what mends them")
        self._code = code

    def report(self) -> ErrorReport:
        return msgspec.structs.replace(super().report(), exit_code=self._code)


@pass_app
def _doctor(app: App) -> None:
    """Look at everything a message needs, all at once, and say what mends what is broken.

    The program and its plugins, the configuration, the folders, the disk and the store, credentials (never shown),
    agents with their cards and certificates, clocks, the gateway, adapters. It changes nothing, and needs nothing to be
    in order. Each check may take 10 seconds, or what --timeout says. Leaves with the exit code of the first check that
    failed; warnings leave with 0.
    """
    from missive_host.cli.options import call_options
    from missive_host.cli.plugin import open_plugins
    from missive_host.cli.running import run_watched
    from missive_host.doctor import Examination, diagnose
    from missive_host.doctor.examination import SECONDS
    from missive_host.outputs import Output

    app.print_without_config()
    settings, error, places = _settings(app)
    app.use(settings)
    options = call_options(app.flags, settings)
    line = _Line(app.screen, shown=app.mode == "human" and app.screen.err_tty)
    what = Examination(
        settings=settings,
        config_error=error,
        places=places,
        options=options,
        open_plugins=lambda: open_plugins(app),
        seconds=SECONDS if options.timeout is None else options.timeout,
        progress=line,
    )
    stdout = sys.stdout
    try:
        result = run_watched(app, lambda: diagnose(what), app.redactor.text)
    finally:
        sys.stdout = stdout  # while a plugin is imported it is standard error, and one may never come to an end
        line.close()
    app.emit(Output(result), show)
    if result.overall.exit_code:
        count = result.overall.failed
        said = f"{count} check{'' if count == 1 else 's'} failed"
        raise UnhealthyError(said, result.overall.exit_code)


doctor = Command(
    "doctor",
    callback=_doctor,
    help=_doctor.__doc__,
    examples=(
        "missive doctor",
        "missive doctor --timeout 3s",
        "missive doctor --json | jq '.data.checks[] | select(.status == \"fail\")'",
    ),
)


def _settings(app: App) -> tuple[Settings, ConfigError | None, bool]:
    """Return the settings, with the built-in defaults for what cannot be used; and whether it is known where the state
    lies."""
    from pathlib import Path

    from missive_host.config import Config, Paths, Settings
    from missive_host.config.paths import profile_paths
    from missive_host.errors import ConfigError

    try:
        return app.settings(), None, True
    except ConfigError as error:
        wrong = error
    profile = app.flags.profile or os.environ.get("MISSIVE_PROFILE") or "default"
    places = True
    try:
        paths = profile_paths(profile, os.environ)
    except ConfigError:
        places = False
        nowhere = Path(os.devnull)
        paths = Paths(nowhere, nowhere, nowhere, nowhere / "missive.sqlite3")
    file = getattr(wrong, "file", None)
    settings = Settings(
        profile=profile, config=Config(), source="built_in_default", path=file, paths=paths, environ=os.environ
    )
    return settings, wrong, places


class _Line:
    """One line on a terminal's stderr: how far it is, and what it waits for."""

    def __init__(self, screen: Screen, *, shown: bool) -> None:
        self._screen, self._shown = screen, shown

    def __call__(self, done: int, total: int, waiting: tuple[str, ...]) -> None:
        from missive_host.cli.screen import shorten

        text = shorten(f"{done}/{total} checked; {', '.join(waiting)}", (self._screen.columns or 80) - 1)
        self._write(f"\r\x1b[K{text}")

    def close(self) -> None:
        """Take the line away."""
        self._write("\r\x1b[K")

    def _write(self, text: str) -> None:
        if self._shown:
            try:
                self._screen.err.write(text)
                self._screen.err.flush()
            except (OSError, ValueError):
                self._shown = False


def show(data: DoctorResult, screen: Screen) -> None:
    """Show the checks, and below them what mends each that is not in order, whole, however narrow the terminal is."""
    screen.table(("CHECK", "STATUS", "WHAT"), [(check.id, check.status, check.message) for check in data.checks])
    for check in data.checks:
        if check.status in _STYLES:
            screen.line()
            screen.line(f"{check.id}: {check.message}", _STYLES[check.status])
            screen.fields([("try" if number == 0 else "or", hint) for number, hint in enumerate(check.hints)])
    screen.note(data.message, "red" if data.overall.failed else None)
