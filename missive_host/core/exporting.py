"""The journal for other programs, and one conversation as a page that a person reads and mails."""

from __future__ import annotations

import base64
import csv
import hashlib
import html
import io
import json
import os
import re
from typing import TYPE_CHECKING, Any

import msgspec

from missive_host.core.journal import words
from missive_host.core.views import event_view
from missive_host.errors import IoError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from missive_host.a2a.shapes import Json
    from missive_host.store import ContextRow, EventRow, MessageRow, Tables, TaskRow

COLUMNS = (
    "sequence", "event_id", "timestamp", "source", "event_type", "agent", "context_id", "task_id", "message_id",
    "work_id", "says", "payload", "metadata",
)  # fmt: skip
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for a formula when a cell begins with it."""


def ndjson(rows: Iterable[EventRow]) -> Iterator[str]:
    """Yield a line for each event: the ``data`` of an ``event_record``."""
    for row in rows:
        yield msgspec.json.encode(event_view(row)).decode() + "\n"


def comma_separated(rows: Iterable[EventRow], *, head: bool) -> Iterator[str]:
    """Yield the lines of a CSV file (RFC 4180). What a spreadsheet would run is made a text by an apostrophe."""
    if head:
        yield _line(COLUMNS)
    for row in rows:
        cells = (
            row.event_id, row.timestamp, row.source, row.event_type, row.agent_alias, row.context_id, row.task_id,
            row.message_id, row.work_id, words(row.payload), json.dumps(row.payload, ensure_ascii=False),
            json.dumps(row.metadata, ensure_ascii=False),
        )  # fmt: skip
        yield _line((row.sequence, *(_cell(value) for value in cells)))


def _line(cells: Sequence[object]) -> str:
    out = io.StringIO()
    csv.writer(out).writerow(cells)
    return out.getvalue()


def _cell(value: str | None) -> str:
    text = value or ""
    return f"'{text}" if text.startswith(_FORMULA) else text


# --- a page

_STYLE = """
:root{color-scheme:light dark}
body{font:16px/1.5 system-ui,sans-serif;max-width:44rem;margin:0 auto;padding:1rem;overflow-wrap:anywhere}
h1{font-size:1.3rem}
header p,small{opacity:.7;margin:0}
article{margin:1rem 0;padding:.6rem .8rem;border-radius:.6rem;border:1px solid #8886}
.you{margin-left:10%;background:#4a90d922}
.agent{margin-right:10%}
.failed{border-color:#c33}
pre{white-space:pre-wrap;font:inherit;margin:.3rem 0}
pre.data{font:13px/1.4 ui-monospace,monospace}
"""
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Control characters, and those that turn the direction of text, which can hide what it says."""


def page(tables: Tables, context: ContextRow, clean: Callable[[Any], Any], *, exported_at: str) -> Iterator[str]:
    """Yield a conversation as one HTML page: it asks for nothing and runs nothing, and every text in it is escaped.

    `clean` takes secrets out of what was written.
    """
    digest = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    title = _text(context.name or context.context_id)
    yield (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'sha256-{digest}'\">\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>{title}</title>\n<style>{_STYLE}</style></head>\n<body><header><h1>{title}</h1>\n"
        f"<p>Context {_text(context.context_id)}, {_text(context.state)}. Exported {_moment(exported_at)}.</p>"
        "</header>\n<main>\n"
    )
    messages = tables.messages.list(context=context.context_id)
    tasks = tables.tasks.list(context=context.context_id).tasks
    items = [(row.created_at, _message(row, clean)) for row in messages]
    known = {row.message_id for row in messages}
    for task in tasks:
        items += _of_task(tables, task, known, clean)
    for _, text in sorted(items, key=lambda item: item[0]):
        yield text
    yield "</main></body></html>\n"


def _message(row: MessageRow, clean: Callable[[Any], Any]) -> str:
    mine = row.direction in ("request", "local")
    who = f"you to {row.agent_alias}" if mine else row.agent_alias
    failed = row.status in ("failed", "unknown")
    error = clean(row.error or {}).get("message", "") if failed else ""
    note = f"{row.status}: {error}" if failed else ""
    style = f"{'you' if mine else 'agent'}{' failed' if failed else ''}"
    return _article(style, who, row.created_at, clean(row.content).get("parts") or (), note)


def _of_task(tables: Tables, task: TaskRow, known: set[str], clean: Callable[[Any], Any]) -> Iterator[tuple[str, str]]:
    """Yield what a task made, and how it stands, with the time of each."""
    for artifact in tables.artifacts.list(agent=task.agent_alias, task=task.task_id):
        content = clean(artifact.content)
        who = f"{task.agent_alias}, {artifact.name or artifact.artifact_id}"
        yield artifact.updated_at, _article("agent", who, artifact.updated_at, content.get("parts") or ())
    message = clean((task.task.get("status") or {}).get("message") or {})
    parts = () if message.get("messageId") in known else message.get("parts") or ()
    note = f"task {task.task_id}: {task.state}"
    yield task.updated_at, _article("agent", task.agent_alias, task.updated_at, parts, note)


def _article(style: str, who: str, at: str, parts: Iterable[Json], note: str = "") -> str:
    body = "".join(_part(part) for part in parts)
    said = f"<p>{_text(note)}</p>" if note else ""
    return f'<article class="{style}"><small>{_text(who)} · {_moment(at)}</small>\n{body}{said}</article>\n'


def _part(part: Json) -> str:
    if "text" in part:
        return f'<pre dir="auto">{_text(str(part["text"]))}</pre>\n'
    if "data" in part:
        return f'<pre class="data">{_text(json.dumps(part["data"], indent=2, ensure_ascii=False))}</pre>\n'
    about = ", ".join(str(part[name]) for name in ("filename", "mediaType", "url") if part.get(name))
    return f"<p>[file{': ' if about else ''}{_text(about)}]</p>\n"


def _moment(at: str) -> str:
    """Return a time of the store as people write it."""
    return _text(f"{at[:10]} {at[11:19]} UTC")


def _text(text: str) -> str:
    return html.escape(_UNSEEN.sub("", text))


# --- a file


def write_text(path: Path, pieces: Iterable[str], *, force: bool) -> int:
    """Write a file that only its owner may read, whole or not at all; return its size. Raises `IoError`."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    size = 0
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            for piece in pieces:
                size += file.write(piece.encode("utf-8", "replace"))
        if force:
            part.replace(path)
        else:
            os.link(part, path)  # fails if there is one, and never shows half of it
    except FileExistsError:
        raise IoError(f"while writing {path}: it exists", help="write over it with --force") from None
    except OSError as error:
        raise IoError(f"while writing {path}: {(error.strerror or str(error)).lower()}") from None
    finally:
        part.unlink(missing_ok=True)
    return size
