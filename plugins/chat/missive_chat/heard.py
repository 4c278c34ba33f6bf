"""What was said in a channel without a mention, for the next message that is for us."""

from __future__ import annotations

import sqlite3

from missive_chat.platform import Inbound
from missive_chat.state import State

MOST = 20
"""Messages that are kept for each channel or thread."""
LENGTH = 2000


def lines(state: State, event: Inbound) -> list[str]:
    """Return what was said where an event is from. No line of it can be taken for one that somebody else has said."""
    rows = state.rows("SELECT sender, text FROM heard WHERE scope = ? ORDER BY id", _scope(event))
    return [f"{' '.join(row['sender'].split())}: " + "\n    ".join(row["text"].splitlines()) for row in rows]


def keep(db: sqlite3.Connection, event: Inbound, now: float) -> None:
    scope = _scope(event)
    db.execute("DELETE FROM heard WHERE scope = ? AND message_id = ?", (scope, event.message_id))
    db.execute(
        "INSERT INTO heard (scope, message_id, sender, text, at) VALUES (?, ?, ?, ?, ?)",
        (scope, event.message_id, _called(event), event.text[:LENGTH], now),
    )
    db.execute(
        "DELETE FROM heard WHERE scope = ? AND id NOT IN (SELECT id FROM heard WHERE scope = ? "
        "ORDER BY id DESC LIMIT ?)",
        (scope, scope, MOST),
    )


def handed_on(db: sqlite3.Connection, event: Inbound) -> None:
    """Forget what goes to the agent with an event."""
    db.execute("DELETE FROM heard WHERE scope = ?", (_scope(event),))


def changed(db: sqlite3.Connection, event: Inbound) -> None:
    """Give a message the text of an edit, if that comes from who wrote it."""
    if event.unauthentic is None:
        db.execute(
            "UPDATE heard SET text = ? WHERE sender = ? AND message_id = ? AND (scope = ? OR substr(scope, 1, ?) = ?)",
            (event.text[:LENGTH], _called(event), *_said(event)),
        )


def taken_back(db: sqlite3.Connection, event: Inbound) -> None:
    """Forget a message; by whom it was deleted is not always said."""
    db.execute("DELETE FROM heard WHERE message_id = ? AND (scope = ? OR substr(scope, 1, ?) = ?)", _said(event))


def _said(event: Inbound) -> tuple[str, str, int, str]:
    """Return what tells a message in its chat: elsewhere, another one may have its id (some are chosen)."""
    chat = event.place.chat
    return event.message_id, chat, len(chat) + 1, f"{chat}:"


def _called(event: Inbound) -> str:
    return event.sender.name or event.sender.id


def _scope(event: Inbound) -> str:
    """Return the channel or thread in which something was said."""
    thread = event.place.thread
    return event.place.chat if thread is None or thread == event.message_id else f"{event.place.chat}:{thread}"
