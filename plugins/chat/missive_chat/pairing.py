"""Pairing: whoever is not known gets a code; an operator who gets it from them lets them in."""

from __future__ import annotations

import secrets
import sqlite3
from dataclasses import dataclass

import msgspec

from missive_chat.conversations import key_of
from missive_chat.outbox import Draft, put
from missive_chat.platform import Place, Sender
from missive_chat.state import State
from missive_host.errors import ValidationError

EXPIRES = 3600.0
"""Seconds for which a code is good, and in which nobody is told twice."""
MOST = 50
"""People who may wait at once: strangers must not fill the table."""
_LETTERS = "ABCDEFGHJKMNPQRSTVWXYZ23456789"


def new_code(length: int = 8) -> str:
    """Return a random code, without letters that are taken for others."""
    return "".join(secrets.choice(_LETTERS) for _ in range(length))


@dataclass(frozen=True, slots=True)
class Asking:
    """Somebody who asked to be let in."""

    sender: str
    name: str
    code: str
    state: str
    asked_at: float
    expires_at: float


def paired(state: State) -> frozenset[str]:
    """Return the ids of the people who were let in."""
    return frozenset(row[0] for row in state.rows("SELECT sender FROM pairing WHERE state = 'approved'"))


def ask(db: sqlite3.Connection, sender: Sender, place: Place, now: float) -> str | None:
    """Return a new code for a stranger, in a transaction; None if they have one, were refused, or too many wait."""
    db.execute("DELETE FROM pairing WHERE state != 'approved' AND expires_at <= ?", (now,))
    if db.execute("SELECT 1 FROM pairing WHERE sender = ?", (sender.id,)).fetchone() is not None:
        return None
    if db.execute("SELECT count(*) FROM pairing WHERE state = 'asked'").fetchone()[0] >= MOST:
        return None
    code = new_code()
    db.execute(
        "INSERT INTO pairing VALUES (?, ?, ?, ?, 'asked', ?, ?, NULL)",
        (sender.id, sender.name[:128], code, msgspec.json.encode(place).decode(), now, now + EXPIRES),
    )
    return code


def asking(state: State, now: float) -> tuple[Asking, ...]:
    """Return who waits, and who was let in."""
    rows = state.rows(
        "SELECT * FROM pairing WHERE state = 'approved' OR (state = 'asked' AND expires_at > ?) ORDER BY asked_at", now
    )
    fields = Asking.__dataclass_fields__
    return tuple(Asking(**{name: row[name] for name in fields}) for row in rows)


def decide(state: State, code: str, *, approve: bool, now: float) -> Asking:
    """Let somebody in, or refuse them (also who was let in: then `code` may be their id). They are told.

    Raises `ValidationError` if there is no such code.
    """

    def work(db: sqlite3.Connection) -> Asking:
        row = db.execute(
            "SELECT * FROM pairing WHERE (code = ? AND (state != 'asked' OR expires_at > ?)) OR sender = ?",
            (code.upper(), now, code),
        ).fetchone()
        if row is None:
            raise ValidationError(f"nobody waits with the code '{code[:32]}'", help="see `missive chat pairing list`")
        new = "approved" if approve else "refused"
        db.execute(
            "UPDATE pairing SET state = ?, decided_at = ?, expires_at = ? WHERE sender = ?",
            (new, now, now + EXPIRES, row["sender"]),
        )
        if approve and row["state"] != "approved":
            place = msgspec.json.decode(row["place"], type=Place)
            draft = Draft(slot="0", text="You have been let in. Write away!")
            put(db, key_of(place), f"paired-{row['code']}", place, draft, final=True, now=now)
        return Asking(**{name: row[name] for name in Asking.__dataclass_fields__ if name != "state"}, state=new)

    return state.change_now(work)
