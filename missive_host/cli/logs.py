"""``missive logs``: the gateway's log."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import click

from missive_host.cli.kit import App, Command
from missive_host.cli.known import Known

if TYPE_CHECKING:
    from missive_host.config import Settings
    from missive_host.gateway.service import Service
    from missive_host.logs.reading import Chosen, Follower, LogFiles
    from missive_host.outputs_logs import LogLine

TAIL = 100
POLL_SECONDS = 0.2
_LEVELS = {"debug": "debug", "info": "info", "warn": "warn", "warning": "warn", "error": "error"}


class _Shown:
    """What has been shown, or is yet to be: one document has all records, lines are shown as they come."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._lines = app.mode in ("human", "ndjson")
        self.records: list[LogLine] = []
        self.count = 0

    def add(self, line: LogLine) -> None:
        from missive_host.outputs import Output
        from missive_host.outputs_logs import LogRecord

        if self._lines:
            record = LogRecord(**{name: getattr(line, name) for name in line.__struct_fields__})
            self._app.emit(Output(record, sequence=self.count))
        else:
            self.records.append(line)
        self.count += 1

    def end(self, settings: Settings, filters: dict[str, Any]) -> None:
        from missive_host.outputs import Output
        from missive_host.outputs_logs import LogsResult

        if not self._lines:
            result = LogsResult(
                profile=settings.profile,
                path=str(settings.log_file),
                filters=filters,
                count=self.count,
                records=tuple(self.records),
                message=f"{self.count} record{'' if self.count == 1 else 's'}",
            )
            self._app.emit(Output(result))


def _show(**values: Any) -> None:
    from missive_host.errors import IoError
    from missive_host.logs.reading import LogFiles

    app: App = click.get_current_context().obj
    follow: bool = values.pop("follow")
    tail = _tail(values.pop("tail"), values)
    chosen = _chosen(values)
    filters = {name: value for name, value in values.items() if value not in (None, ())}
    _check(app, follow, filters)
    settings = app.settings()
    files = LogFiles(settings.log_file)
    shown = _Shown(app)
    try:
        with ExitStack() as stack:
            _show_from(app, files, stack, chosen, tail, shown, follow=follow)
    except PermissionError as error:
        raise IoError(
            f"{error.filename} cannot be read: this user may not", help="the log belongs to who runs the gateway"
        ) from error
    shown.end(settings, filters)


def _show_from(
    app: App, files: LogFiles, stack: ExitStack, chosen: Chosen, tail: int | None, shown: _Shown, *, follow: bool
) -> None:
    import os

    from missive_host.logs.reading import Follower, all_lines, last_lines, whole

    opened = files.open(stack, since=None if follow else chosen.since)
    ends = [os.fstat(file.fileno()).st_size for file in opened]
    if follow and opened:
        ends[0] = whole(opened[0], ends[0])  # of a line that is being written, the end comes later
    for line in all_lines(opened, ends, chosen) if tail is None else last_lines(opened, ends, tail, chosen):
        shown.add(line)
    _explain(app, found=bool(opened), shown=shown.count, follow=follow)
    if follow:
        follower = Follower(files, *((opened[0], ends[0]) if opened else (None, 0)))
        stack.callback(follower.close)
        _follow(app, follower, chosen, shown)


def _follow(app: App, follower: Follower, chosen: Chosen, shown: _Shown) -> None:
    """Show what comes, until Ctrl-C, or for as long as --timeout says."""
    import anyio

    from missive_host.cli.running import run_watched
    from missive_host.config.units import parse_duration
    from missive_host.logs.reading import parsed

    seconds = None if app.flags.timeout is None else parse_duration(app.flags.timeout, "--timeout")

    async def work() -> None:
        with anyio.move_on_after(seconds):
            while not _is_left():
                for data in follower.news():
                    line = parsed(data)
                    if chosen.has(line):
                        shown.add(line)
                await anyio.sleep(POLL_SECONDS)
            raise BrokenPipeError

    run_watched(app, work, app.redactor.text)


def _is_left() -> bool:
    """Whether who read standard output through a pipe has gone: ``missive logs -f | head -1`` is to end at once."""
    import os
    import select
    import stat
    import sys

    try:
        number = sys.stdout.fileno()
        if not hasattr(select, "poll") or not stat.S_ISFIFO(os.fstat(number).st_mode):
            return False
    except (OSError, ValueError):
        return False
    poll = select.poll()
    poll.register(number, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


# --- what was typed


def _tail(text: str | None, values: dict[str, Any]) -> int | None:
    """Return how many records are wanted; None: all. Where a time is given, all since then."""
    from missive_host.errors import ValidationError

    if text is None:
        return None if values["since"] or values["until"] else TAIL
    if text == "all":
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise ValidationError(
            f"--tail: expected a whole number or `all`, not '{text[:64]}'", help="such as -n 20, or -n all"
        )
    return int(text)


def _chosen(values: dict[str, Any]) -> Chosen:
    import re

    from missive_host.errors import ValidationError
    from missive_host.logs.reading import Chosen

    grep = None
    if values["grep"] is not None:
        try:
            grep = re.compile(values["grep"])
        except re.error as error:
            raise ValidationError(
                f"--grep: not a regular expression: {error}", help="put a backslash before . * + ? ( ) [ ] { } ^ $ |"
            ) from None
    return Chosen(
        level=values["level"] and _LEVELS[values["level"]],
        targets=values["target"],
        adapter=values["adapter"],
        agent=values["agent"],
        ids=values["id"],
        grep=grep,
        since=_time("--since", values["since"]),
        until=_time("--until", values["until"]),
    )


def _time(flag: str, text: str | None) -> float | None:
    """Return a time in seconds: ``10m`` is ten minutes ago; without a zone it is UTC, as it is shown."""
    import time
    from datetime import UTC, datetime

    from missive_host.config.units import parse_duration
    from missive_host.errors import ValidationError

    if text is None:
        return None
    try:
        return time.time() - parse_duration(text)
    except ValidationError:
        pass
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ValidationError(
            f"{flag}: '{text[:64]}' is not a time", help="such as 10m (ten minutes ago) or 2026-01-31T09:30:00Z"
        ) from None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def _check(app: App, follow: bool, filters: dict[str, Any]) -> None:
    from missive_host.errors import ValidationError

    if follow and "until" in filters:
        raise ValidationError("--follow and --until exclude each other", help="what comes has no end")
    if follow and app.mode == "json":
        raise ValidationError("what is followed is not one document", help="use --ndjson: each record is a line")


# --- where it is, if it is not there


def _explain(app: App, *, found: bool, shown: int, follow: bool) -> None:
    """Say why there is nothing to see, or not all of it. Raises `ConfigError` if the log goes elsewhere."""
    from missive_host.errors import ConfigError

    settings = app.settings()
    if settings.config.logging.destination == "stderr":
        where = _elsewhere(settings, follow)
        if not found:
            raise ConfigError("the log of this gateway goes to stderr, and not into a file", help=where)
        if app.mode != "quiet":
            app.screen.note(f"the log goes to stderr now: {where}")
    elif not found and app.mode != "quiet":
        app.screen.note("nothing has been logged yet: the gateway writes its log while it runs")
        if not follow:
            app.screen.note("  missive gateway run")
    elif not shown and not follow and app.mode != "quiet":
        app.screen.note("no records")


def _elsewhere(settings: Settings, follow: bool) -> str:
    """Say what shows a log that goes to stderr."""
    from missive_host.gateway.installing import service_log

    to_file = 'or set destination = "file" under [logging], and then `missive gateway reload`'
    service = _installed(settings)
    if service is None:
        return f"look where the gateway was started, {to_file}"
    if service.manager == "systemd":
        scope = "" if service.system else "--user "
        return f"journalctl {scope}-u {service.name}{' -f' if follow else ''}, {to_file}"
    return f"tail {'-f ' if follow else ''}{service_log(settings, system=service.system)}, {to_file}"


def _installed(settings: Settings) -> Service | None:
    import sys

    from missive_host.errors import MissiveError
    from missive_host.gateway.service import service_of

    for system in (False, True):
        try:
            service = service_of(settings.profile, settings.environ, system=system, platform=sys.platform)
        except MissiveError:
            return None
        if service.installed:
            return service
    return None


logs = Command(
    "logs",
    help="""Show the log of the gateway of this profile: what it did, and what went wrong.

Each line says what it is about: the adapter, the work (which is the receipt's id), the agent, the task. With `--id`
you get everything about one of them. What is logged is said by `level` under [logging] in the configuration.""",
    examples=(
        "missive logs --follow",
        "missive logs --since 10m --level warn",
        "missive logs --id 019c2a4e-7d10-7b3f-9a55-3d2f8f3a7c11 --json",
    ),
    params=[
        click.Option(["-f", "--follow"], is_flag=True, help="Go on with what comes, until Ctrl-C or --timeout."),
        click.Option(
            ["-n", "--tail"],
            metavar="N",
            help=f"The newest N records, or `all`. [default: {TAIL}; with --since or --until: all]",
        ),
        click.Option(["--since"], metavar="TIME", help="From then on: 10m, or 2026-01-31T09:30:00Z."),
        click.Option(["--until"], metavar="TIME", help="Up to then."),
        click.Option(["--level"], type=click.Choice(tuple(_LEVELS)), help="This level, and what is more severe."),
        click.Option(
            ["--target"],
            metavar="NAME",
            multiple=True,
            help="What this part, such as missive.gateway, and all below it have logged. Repeatable.",
        ),
        click.Option(["--adapter"], metavar="NAME", type=Known("adapter"), help="About this adapter."),
        click.Option(["--agent"], metavar="NAME", type=Known("agent"), help="About this agent."),
        click.Option(
            ["--id", "--receipt"],
            metavar="ID",
            type=Known("anything"),
            multiple=True,
            help="About this receipt, job, frame, message, task, context or trace. Repeatable.",
        ),
        click.Option(["--grep"], metavar="REGEX", help="Whose text matches."),
    ],
    callback=_show,
)
