"""What a pigeon carries, and the ``missive.pigeon.v1`` envelope that missive makes of it.

A note is text in UTF-8: some lines ``name: value``, a blank line, and the message. An answer looks the same::

    ring: GB-12                       ring: GB-12
    to: echo                          from: echo
    from: north                       status: done

    the harvest is in                 good to hear
"""

from __future__ import annotations

import json
import re
from typing import Any

from carrier_pigeon import PIGEON
from missive_host.envelopes import Envelope, FrameError, parse_envelope
from missive_host.errors import ErrorReport, nearest

MAX_CHARACTERS = 2000
"""No pigeon carries more."""
_KNOWN = ("ring", "to", "from")
_RING = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,39}")


def read_note(data: bytes, account: str, *, durable: bool) -> Envelope:
    """Return a note as an envelope. Raises `FrameError` that says what is wrong with it.

    The ring is the envelope's id, and in the gateway, where answers are kept, its idempotency key: a note that comes
    twice is one. Notes of one loft are one conversation, in the order in which they came.
    """
    try:
        head, _, message = data.decode().replace("\r\n", "\n").partition("\n\n")
    except UnicodeDecodeError as error:
        raise FrameError(f"the note is not valid UTF-8 at byte {error.start}") from None
    fields = _fields(head)
    ring = fields.get("ring", "")
    if not _RING.fullmatch(ring):
        raise FrameError(
            f"`ring: {ring[:40]}` is no ring" if ring else "there is no `ring:`", help="1 to 40 letters, digits and '-'"
        )
    if "to" not in fields:
        raise FrameError("there is no `to:`", frame_id=ring, help="say the alias of an agent: `to: echo`")
    message = message.strip()
    if not 0 < len(message) <= MAX_CHARACTERS:
        what = f"has {len(message)} characters" if message else "says nothing"
        raise FrameError(
            f"the note {what}", frame_id=ring, help=f"1 to {MAX_CHARACTERS} characters, after a blank line"
        )
    frame: dict[str, Any] = {"id": ring, "command": "send", "agent": fields["to"], "message": message}
    if durable:
        frame["idempotency_key"] = ring
    if "from" in fields:
        frame["source"] = {"source_id": f"{account}/{fields['from']}"}
    return parse_envelope(json.dumps(frame).encode(), PIGEON, default_source=account, default_session=False)


def _fields(head: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    for number, line in enumerate(head.splitlines(), 1):
        name, colon, value = line.partition(":")
        name = name.strip().lower()
        if not colon or name not in _KNOWN:
            raise FrameError(
                f"line {number}: `{name[:64]}` is none of {', '.join(_KNOWN)}{nearest(name[:64], _KNOWN)}",
                help="a note begins with lines `name: value`; a blank line ends them",
            )
        if name in fields:
            raise FrameError(f"line {number}: `{name}` is there twice", help="keep one of them")
        fields[name] = value.strip()
    return fields


def write_answer(ring: str | None, agent: str | None, text: str, error: ErrorReport | None = None) -> bytes:
    """Return the answer to a note."""
    lines = [f"ring: {ring}"] if ring else []
    lines += [f"from: {agent}"] if agent else []
    lines.append("status: " + ("done" if error is None else "failed"))
    if error is not None:
        text = error.message + (f"\n{error.help}" if error.help else "")
    return "\n".join([*lines, "", text, ""]).encode(errors="replace")
