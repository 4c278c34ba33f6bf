"""An agent that has forgotten a conversation: the message is sent once more, in a new one, and that is said."""

from __future__ import annotations

import json
import re
import sqlite3
from typing import TYPE_CHECKING

import msgspec

from missive_chat.platform import Inbound, Sender
from missive_chat.state import insert
from missive_host.envelopes import chat_envelope, facts_of, stored
from missive_host.protocols import Outcome, Reject

if TYPE_CHECKING:
    from missive_chat.delivery import ChatDelivery

SAID = "(The agent has forgotten this conversation; a new one begins.)"
_REFUSALS = ("InvalidParamsError", "InvalidRequestError", "ContextNotFoundError", "UnsupportedOperationError")
_CONTEXT = re.compile("context", re.IGNORECASE)


def is_forgotten(delivery: ChatDelivery, outcome: Outcome) -> bool:
    """Tell whether the agent has refused a message because it does not know the contextId that goes with it."""
    if not isinstance(outcome, Reject) or delivery.reply_to.anew or delivery.reply_to.control:
        return False
    error = outcome.error
    named = error.a2a is not None and error.a2a.name in _REFUSALS
    goes_on = getattr(delivery.envelope.command, "task", None) is None
    return named and goes_on and _CONTEXT.search(error.message) is not None


def once_more(db: sqlite3.Connection, delivery: ChatDelivery, now: float) -> bool:
    """Put the message into the inbox again, in a transaction, for a new conversation. False: it is there no more."""
    to, envelope = delivery.reply_to, delivery.envelope
    row = db.execute("SELECT generation FROM conversations WHERE key = ?", (to.conversation,)).fetchone()
    if row is None or not insert(db, "settled", {"owner": to.owner, "at": now}):
        return False
    anew = msgspec.structs.replace(to, owner=f"{to.owner}-anew", anew=True)
    again = chat_envelope(
        facts_of(envelope), envelope.command,
        source_id=to.conversation, resume_name=f"r{row['generation'] + 1}", part="anew",
    )  # fmt: skip
    event = Inbound(event_id=to.owner, place=to.place, message_id=to.message_id or "", sender=Sender(id=""))
    request = json.dumps({"envelope": stored(again), "reply_to": anew.stored()})
    done = db.execute(
        "UPDATE inbox SET state = 'waiting', event = ?, request = ? WHERE id = ?",
        (msgspec.json.encode(event).decode(), request, to.entry),
    )
    if done.rowcount == 0:
        db.execute("DELETE FROM settled WHERE owner = ?", (to.owner,))
        return False
    db.execute("UPDATE conversations SET generation = generation + 1 WHERE key = ?", (to.conversation,))
    return True
