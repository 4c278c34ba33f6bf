"""``missive send`` and ``missive stream``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from missive_host import commands as c
from missive_host.cli.kit import Field
from missive_host.cli.routes import REQUIREMENTS
from missive_host.cli.verbs import Verb
from missive_host.errors import IoError, ValidationError

if TYPE_CHECKING:
    from missive_host.cli.app import App
    from missive_host.commands import Command as CommandStruct


def _stdin(_: bool) -> str:
    try:
        data = b"" if sys.stdin is None else sys.stdin.buffer.read()
    except OSError as error:
        raise IoError(f"while reading standard input: {(error.strerror or str(error)).lower()}") from None
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise ValidationError(
            f"--stdin: not valid UTF-8 at byte {error.start}", help="send a file's bytes with --file-bytes"
        ) from None


def _parts(values: tuple[str, ...]) -> list[str]:
    texts = []
    for value in values:
        kind, equals, text = value.partition("=")
        if not equals or kind != "text":
            raise ValidationError(
                f"--part: expected text=VALUE, not '{value[:64]}'",
                help="other kinds have flags of their own: --file, --file-bytes and --json-part",
            )
        texts.append(text)
    return texts


def content_options(**more: Any) -> dict[str, Any]:
    """Return how the fields that make a message look on the command line, and `more`."""
    return {
        "stdin_text": Field(
            "--stdin", switch=True, parse=_stdin, help="Read a text from standard input: the next part."
        ),
        "files": Field("--file", metavar="PATH", type=click.Path()),
        "file_bytes": Field("--file-bytes", metavar="PATH", type=click.Path()),
        "json_parts": "--json-part",
        "text_parts": Field("--part", metavar="text=VALUE", parse=_parts),
        "accepted_output_modes": "--accepted-output-mode",
        **REQUIREMENTS,
        **more,
    }


class MessageVerb(Verb):
    """With ``--group`` there is no agent to name: the first argument is the message then."""

    def build(self, app: App, values: dict[str, Any]) -> CommandStruct:
        if values.get("group") is not None and values.get("message") is None:
            values = {**values, "agent": None, "message": values.get("agent")}
        return super().build(app, values)


PARTS = """

The parts are sent in this order: MESSAGE, --stdin, --file, --file-bytes, --json-part, --part."""

send = MessageVerb(
    "send",
    c.Send,
    arguments=("agent", "message"),
    options=content_options(return_immediately="--async"),
    help_text=(c.Send.__doc__ or "") + PARTS,
    examples=(
        'missive send echo "Hello"',
        'git diff | missive send reviewer "Is this safe?" --stdin',
        'missive send writer "Sum this up" --file-bytes report.pdf --mime application/pdf',
        """missive send planner --json-part '{"city":"Bern"}' --metadata trace=42 --json""",
        'missive send writer "Shorter, please" --context ctx-1 --timeout 2m',
        'missive send slow "Start" --async',
        'missive send --group reviewers "Who has time?" --policy least-busy',
    ),
)

stream = MessageVerb(
    "stream",
    c.Stream,
    arguments=("agent", "message"),
    options=content_options(),
    help_text=(c.Stream.__doc__ or "") + PARTS,
    examples=(
        'missive stream writer "A long story"',
        'missive stream writer "A long story" --ndjson',
        'missive stream writer "A long story" > story.txt',
    ),
)
