"""Errors on stderr: a few lines for people, a document for programs. And which exit code they mean."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from missive_host.cli.screen import OutputClosedError, harmless, leave_stdout, one_line

if TYPE_CHECKING:
    from missive_host.cli.app import App
    from missive_host.errors import ErrorReport

EXIT_USAGE = 2
EXIT_INTERNAL = 70
EXIT_CLOSED = 141
"""The reader of our stdout has gone: what a shell reports of a program that SIGPIPE has ended (128 + 13)."""


class InterruptedBySignalError(Exception):
    """A signal has ended the command, after it was cancelled cleanly."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def show_error(app: App, error: BaseException) -> int:
    """Show an error in the mode that was asked for, and return the exit code."""
    whole, error = error, _only(error)
    if isinstance(error, OutputClosedError | BrokenPipeError):
        leave_stdout()
        return EXIT_CLOSED
    if isinstance(error, click.exceptions.Exit):
        return error.exit_code
    app.end_output()
    mode = app.error_mode()
    report = _report(app, error)
    if app.flags.trace and not isinstance(error, click.ClickException | InterruptedBySignalError):
        _traceback(app, whole)
    if mode == "human":
        _for_people(app, report, _usage(error))
    else:
        _for_programs(report, compact=mode == "ndjson", sequence=app.emitted)
    return report.exit_code


def _only(error: BaseException) -> BaseException:
    """Return what a task group has wrapped, if it is one thing."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _report(app: App, error: BaseException) -> ErrorReport:
    from missive_host.errors import ErrorReport, MissiveError

    if isinstance(error, InterruptedBySignalError):
        return ErrorReport(
            code="missive::orchestration",
            category="orchestration",
            message="orchestration error: interrupted",
            exit_code=128 + error.number,
        )
    if isinstance(error, click.ClickException):
        text = error.format_message()
        return ErrorReport(
            code="missive::validation",
            category="validation",
            message="validation error: " + text[:1].lower() + text[1:].rstrip("."),
            exit_code=EXIT_USAGE,
            help=_remedy(error),
        )
    if isinstance(error, MissiveError):
        return app.redacted(error.report())
    return app.redacted(
        ErrorReport(
            code="missive::orchestration",
            category="orchestration",
            message=f"orchestration error: internal error: {type(error).__name__}: {error}".rstrip(": "),
            exit_code=EXIT_INTERNAL,
            help="this is a fault in missive; run with --trace for the traceback",
        )
    )


def _remedy(error: click.ClickException) -> str:
    ctx = error.ctx if isinstance(error, click.UsageError) else None
    return f"see `{ctx.command_path if ctx is not None else 'missive'} --help`"


def _usage(error: BaseException) -> str | None:
    if isinstance(error, click.UsageError) and error.ctx is not None:
        return " ".join(error.ctx.get_usage().split()).removeprefix("Usage: ")
    return None


def _for_people(app: App, report: ErrorReport, usage: str | None) -> None:
    screen = app.screen
    message = report.message
    if report.category != "io":  # those read on from their prefix
        message = message.removeprefix(report.message.partition(": ")[0] + ": ")
    lines = [screen.style("error:", "red", err=True) + " " + harmless(message)]
    if usage:
        lines.append("  " + screen.style("usage:", "dim", err=True) + " " + usage)
    if report.help:
        lines.append("  " + screen.style("help:", "cyan", err=True) + " " + one_line(report.help))
    lines += ["  " + screen.style("caused by:", "dim", err=True) + " " + one_line(cause) for cause in report.sources]
    _write_err("\n".join(lines) + "\n")


def _for_programs(report: ErrorReport, *, compact: bool, sequence: int) -> None:
    import msgspec

    from missive_host.cli.render import pretty
    from missive_host.outputs import document

    made = document("error", report, ok=False, sequence=sequence if compact else None)
    _write_err((msgspec.json.encode(made) + b"\n" if compact else pretty(made)).decode())


def _traceback(app: App, error: BaseException) -> None:
    import traceback

    _write_err(harmless(app.redacted_text("".join(traceback.format_exception(error)))))


def _write_err(text: str) -> None:
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):
        return  # there is nobody to tell
