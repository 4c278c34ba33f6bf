"""``missive bcast``, ``scatter``, ``barrier``, ``gather``, ``reduce`` and ``allreduce``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from missive_host import commands as c
from missive_host.cli.kit import Field, Options, verb
from missive_host.cli.send import content_options
from missive_host.cli.verbs import Verb
from missive_host.errors import IoError, ValidationError

if TYPE_CHECKING:
    from missive_host.cli.app import App
    from missive_host.commands import Command as CommandStruct

_EXIT = """

The exit code says how it ended: 0 succeeded, {}"""
CONTEXT: Options = {"context": Field("--context")}


class _Bcast(Verb):
    """With ``--stream`` all members are shown at once."""

    def build(self, app: App, values: dict[str, Any]) -> CommandStruct:
        command = super().build(app, values)
        if getattr(command, "stream", False):
            from missive_host.cli.live_group import GroupView

            app.stream_view = GroupView
        return command


class _Barrier(Verb):
    """``--from-bcast`` is a way to write ``--operation`` and ``--context``."""

    def own_params(self) -> list[click.Parameter]:
        params = super().own_params()
        if not any(param.name == "from_bcast" for param in params):
            option = click.Option(
                ["from_bcast", "--from-bcast"],
                metavar="PATH",
                type=click.Path(),
                help="Wait for the members of the broadcast whose result, as JSON, is in this file; `-` is standard "
                "input.",
            )
            params.insert(1, option)
        return params

    def build(self, app: App, values: dict[str, Any]) -> CommandStruct:
        path = values.pop("from_bcast", None)
        if path is not None:
            values = {**values, **_of_broadcast(path, values)}
        return super().build(app, values)


def _of_broadcast(path: str, values: dict[str, Any]) -> dict[str, Any]:
    """Return operation and context of the ``bcast_result`` in a file. Raises `ValidationError` and `IoError`."""
    found = _broadcast(_read(path), path)
    request = found.get("request")
    context = request.get("context_id") if isinstance(request, dict) else None
    told = {"group": found.get("group"), "operation": found.get("operation_id"), "context": context}
    if not all(isinstance(value, str) for value in told.values()):
        raise ValidationError(f"--from-bcast: the result of the broadcast in {path} is not complete")
    for name, value in told.items():
        if values.get(name) not in (None, value):
            raise ValidationError(f"--from-bcast: that broadcast is of the {name} '{value}', not of '{values[name]}'")
    return told


def _read(path: str) -> str:
    try:
        data = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
        return data.decode()
    except OSError as error:
        raise IoError(f"while reading {path}: {(error.strerror or str(error)).lower()}") from None
    except UnicodeDecodeError as error:
        raise ValidationError(f"--from-bcast: {path} is not valid UTF-8 at byte {error.start}") from None


def _broadcast(text: str, path: str) -> dict[str, Any]:
    """Return the data of the last result of a broadcast in JSON or NDJSON."""
    import msgspec

    documents = []
    try:
        documents.append(msgspec.json.decode(text))
    except msgspec.DecodeError:
        try:
            documents += [msgspec.json.decode(line) for line in text.splitlines() if line.strip()]
        except msgspec.DecodeError as error:
            raise ValidationError(
                f"--from-bcast: {path} is neither JSON nor NDJSON",
                help="give it what `missive bcast … --json` printed",
                sources=(str(error),),
            ) from None
    for document in reversed(documents):
        kind, data = (document.get("kind"), document.get("data")) if isinstance(document, dict) else (None, None)
        if kind == "allreduce_result" and isinstance(data, dict):
            kind, data = "bcast_result", data.get("bcast")
        if kind in ("bcast_result", "scatter_result") and isinstance(data, dict):
            return data
    raise ValidationError(
        f"--from-bcast: there is no result of a broadcast in {path}",
        help="give it what `missive bcast … --json` printed",
    )


def _command_line(values: tuple[str, ...]) -> list[str]:
    """One text is split into words as a shell would; several are taken as they are. No shell runs it."""
    if len(values) > 1:
        return list(values)
    import shlex

    try:
        words = shlex.split(values[0])
    except ValueError as error:
        raise ValidationError(f"--command: {str(error).lower()}") from None
    if not words:
        raise ValidationError("--command: it is empty")
    return words


REDUCING: Options = {
    "settings": "--setting",
    "reducer_command": Field(
        "--command",
        metavar="COMMAND",
        parse=_command_line,
        help="Let this program reduce: it gets the prompt on stdin. It is split into words as a shell would, but no "
        "shell runs it; given several times, each is one word.",
    ),
    "accepted_output_modes": "--accepted-output-mode",
}

bcast = _Bcast(
    "bcast",
    c.Bcast,
    arguments=("message",),
    options=content_options(return_immediately="--async"),
    help_text=(c.Bcast.__doc__ or "")
    + _EXIT.format(
        "70 members failed, 82 not in time.\nWhat arrived is printed and kept in every case; "
        "`missive gather` collects it."
    ),
    examples=(
        'missive bcast reviewers "Is this safe?" --timeout 2m',
        "git diff | missive bcast reviewers --stdin --failure-policy continue --json",
        'missive bcast reviewers "A long story" --stream',
        'missive bcast reviewers "Start" --async --json > bcast.json',
    ),
)

scatter = verb(
    "scatter",
    c.Scatter,
    arguments=("message",),
    options=content_options(
        return_immediately="--async",
        text_parts=Field("--text", metavar="TEXT", help="A further text for all of them."),
        parts=Field("--part", metavar="TEXT"),
        files=Field("--file", metavar="PATH", type=click.Path(), help="One file for each member, sent by reference."),
        file_bytes=Field(
            "--file-bytes", metavar="PATH", type=click.Path(), help="One file for each member, sent whole."
        ),
        json_parts=Field("--json-part", help="One JSON value for each member."),
    ),
    help=(c.Scatter.__doc__ or "")
    + "\n\nMESSAGE, --stdin and --text go to all of them. A part of --part is the last one."
    "\nThe exit codes are those of `missive bcast`.",
    examples=(
        'missive scatter reviewers "Review this chapter:" --part "Chapter 1 …" --part "Chapter 2 …"',
        "missive scatter reviewers --file-bytes a.pdf --file-bytes b.pdf --mime application/pdf",
        "missive scatter reviewers --template 'You are number {{index}} of {{count}}. Count to ten from there.'",
    ),
)

barrier = _Barrier(
    "barrier",
    c.Barrier,
    arguments=(),
    options={"watch_local": "--local", "states": "--state"},
    help_text=(c.Barrier.__doc__ or "")
    + _EXIT.format("80 failed, 81 cancelled, 82 not in time, 83 a member waits\nfor input, 84 for an authorisation."),
    examples=(
        "missive barrier reviewers --context ctx-1 --timeout 5m",
        "missive barrier reviewers --from-bcast bcast.json --required 2 --failure-policy continue",
        'missive bcast reviewers "Start" --async --json | missive barrier reviewers --from-bcast -',
    ),
)

gather = verb(
    "gather",
    c.Gather,
    options={**CONTEXT, "output_dir": Field(("-o", "--output-dir"), metavar="DIR", type=click.Path())},
    examples=(
        "missive gather reviewers --context ctx-1",
        "missive gather reviewers --context ctx-1 --refresh --json",
        "missive gather reviewers --context ctx-1 -o out/",
    ),
)

reduce = verb(
    "reduce",
    c.Reduce,
    options={**CONTEXT, **REDUCING},
    examples=(
        "missive reduce reviewers --context ctx-1",
        "missive reduce reviewers --context ctx-1 --strategy vote --setting quorum=2",
        "missive reduce reviewers --context ctx-1 --reducer-agent writer --template 'Sum up: {{inputs}}'",
        "missive reduce reviewers --context ctx-1 --command 'wc --words'",
    ),
)

allreduce = verb(
    "allreduce",
    c.Allreduce,
    arguments=("message",),
    options=content_options(settings="--setting"),
    help=(c.Allreduce.__doc__ or "")
    + _EXIT.format("else that of the step that failed: see `missive bcast`,\n`barrier` and `reduce`."),
    examples=(
        'missive allreduce reviewers "Is this safe? Answer yes or no." --strategy vote --timeout 2m',
        'missive allreduce reviewers "Name one risk" --required 2 --reducer-agent writer',
    ),
)
