"""Approvals: an agent asks for leave, and one of the listed people says yes or no, once, in time.

A code stands for one question of one task. It says nothing to who reads it and is worth nothing to who is not listed;
without anybody listed nobody may say yes.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from missive_chat import conversations
from missive_chat.outbox import Draft, put
from missive_chat.pairing import new_code
from missive_chat.platform import Button, Place, Sender
from missive_chat.state import State

Decision = Literal["approve", "refuse"]
_PRESSED: dict[str, Decision] = {"y": "approve", "n": "refuse"}
_DONE = {"approve": "approved", "refuse": "refused"}


@dataclass(frozen=True, slots=True)
class Approval:
    """A question for leave."""

    code: str
    conversation: str
    place: Place
    task: str
    agent: str
    question: str
    owner: str
    slot: str
    asked_at: float
    expires_at: float
    state: str
    decided_by: str | None
    decided_name: str | None
    decided_at: float | None


_LONGEST_NAME = 64
LONGEST_END = f"\n\nApproved by {'W' * _LONGEST_NAME} at 2000-01-01T00:00:00Z."
"""What may be added to a question when it is decided."""


def buttons(code: str) -> tuple[Button, ...]:
    """Return the two buttons of a question."""
    return (
        Button(label="Approve", value=f"a:{code}:y", style="primary"),
        Button(label="Refuse", value=f"a:{code}:n", style="danger"),
    )


def pressed(value: str) -> tuple[str, Decision] | None:
    """Return code and decision of a button of ours."""
    kind, _, rest = value.partition(":")
    code, _, mark = rest.partition(":")
    decision = _PRESSED.get(mark)
    return None if kind != "a" or decision is None else (code, decision)


def fresh_code() -> str:
    return new_code(6)


def find(state: State, code: str) -> Approval | None:
    row = state.row("SELECT * FROM approvals WHERE code = ?", code.upper())
    return None if row is None else _approval(row)


def listed(state: State) -> tuple[Approval, ...]:
    """Return all questions that are remembered, the newest first."""
    return tuple(_approval(row) for row in state.rows("SELECT * FROM approvals ORDER BY asked_at DESC"))


def _approval(row: sqlite3.Row) -> Approval:
    values: dict[str, Any] = {name: row[name] for name in Approval.__dataclass_fields__}
    return Approval(**{**values, "place": msgspec.json.decode(row["place"], type=Place)})


def decide(
    db: sqlite3.Connection, approval: Approval, decision: Decision, by: Sender, now: float, *, edits: bool
) -> bool:
    """Write a decision down, in a transaction; False if it was decided before, or came too late."""
    state = _DONE[decision]
    done = db.execute(
        "UPDATE approvals SET state = ?, decided_by = ?, decided_name = ?, decided_at = ? "
        "WHERE code = ? AND state = 'open' AND expires_at > ?",
        (state, by.id, by.name[:128], now, approval.code, now),
    )
    if done.rowcount != 1:
        return False
    name = (by.name or by.id)[:_LONGEST_NAME]
    _close(db, approval, f"{state.capitalize()} by {name} at {_time(now)}.", now, edits=edits)
    return True


def expire(db: sqlite3.Connection, now: float, *, edits: bool) -> list[str]:
    """Close what nobody has decided in time; return the conversations."""
    rows = db.execute("SELECT * FROM approvals WHERE state = 'open' AND expires_at <= ?", (now,)).fetchall()
    for row in rows:
        approval = _approval(row)
        db.execute("UPDATE approvals SET state = 'expired', decided_at = ? WHERE code = ?", (now, approval.code))
        _close(db, approval, "Nobody has answered in time: not approved.", now, edits=edits)
        conversations.waits_no_more(db, approval.conversation, approval.task)
    return [row["conversation"] for row in rows]


def _close(db: sqlite3.Connection, approval: Approval, words: str, now: float, *, edits: bool) -> None:
    """Take the buttons away and say how it ended: in the question's own message, or where that cannot be, after it."""
    draft = Draft(slot=approval.slot, text=f"{approval.question}\n\n{words}")
    if not edits:
        draft = Draft(slot=f"{approval.slot}-end", text=words)
    put(db, approval.conversation, approval.owner, approval.place, draft, final=True, now=now)


def decided_data(approval: Approval, decision: Decision, by: Sender, now: float) -> dict[str, Any]:
    """Return what the agent is told, as a data part."""
    return {
        "decision": decision,
        "approver": {"id": by.id, "name": by.name},
        "at": _time(now),
        "code": approval.code,
    }


def _time(now: float) -> str:
    return datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
