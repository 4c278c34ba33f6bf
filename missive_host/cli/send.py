"""``missive send`` and ``missive stream``."""

from __future__ import annotations

import sys
from typing import Any

import click

from missive_host import commands as c
from missive_host.cli.kit import Field, verb
from missive_host.errors import IoError, ValidationError


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


def _options(**more: Any) -> dict[str, Any]:
    return {
        "stdin_text": Field(
            "--stdin", switch=True, parse=_stdin, help="Read a text from standard input: the next part."
        ),
        "files": Field("--file", metavar="PATH", type=click.Path()),
        "file_bytes": Field("--file-bytes", metavar="PATH", type=click.Path()),
        "json_parts": "--json-part",
        "text_parts": Field("--part", metavar="text=VALUE", parse=_parts),
        "accepted_output_modes": "--accepted-output-mode",
        **more,
    }


_PARTS = """

The parts are sent in this order: MESSAGE, --stdin, --file, --file-bytes, --json-part, --part."""

send = verb(
    "send",
    c.Send,
    arguments=("message",),
    options=_options(return_immediately="--async"),
    help=(c.Send.__doc__ or "") + _PARTS,
    examples=(
        'missive send echo "Hello"',
        'git diff | missive send reviewer "Is this safe?" --stdin',
        'missive send writer "Sum this up" --file-bytes report.pdf --mime application/pdf',
        """missive send planner --json-part '{"city":"Bern"}' --metadata trace=42 --json""",
        'missive send writer "Shorter, please" --context ctx-1 --timeout 2m',
        'missive send slow "Start" --async',
    ),
)

stream = verb(
    "stream",
    c.Stream,
    arguments=("message",),
    options=_options(),
    help=(c.Stream.__doc__ or "") + _PARTS,
    examples=(
        'missive stream writer "A long story"',
        'missive stream writer "A long story" --ndjson',
        'missive stream writer "A long story" > story.txt',
    ),
)
