"""Conversations: which of the platform's places are one session with an agent."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, replace

from missive_chat.platform import ChatCapabilities, Inbound, Place
from missive_chat.state import State


@dataclass(frozen=True, slots=True)
class Conversation:
    """Where a conversation stands."""

    key: str
    agent: str | None = None
    generation: int = 0
    task: str | None = None
    task_agent: str | None = None
    task_state: str | None = None
    """``input_required`` or ``auth_required``, while the task waits."""
    answered: bool = False

    @property
    def resume_name(self) -> str:
        """The session's resume name: a new one after each ``new``, so that the context is a new one."""
        return "default" if not self.generation else f"r{self.generation}"


def place_of(inbound: Inbound, capabilities: ChatCapabilities) -> Place:
    """Return where the answer goes: a message in a channel begins a thread, where that is so."""
    place = inbound.place
    if capabilities.threads == "none" or not capabilities.begins_threads or place.is_direct or place.thread is not None:
        return place
    return replace(place, thread=inbound.message_id)


def key_of(place: Place) -> str:
    """Return the conversation's key. It is told by ids alone, which the platform vouches for."""
    return (
        ("direct" if place.is_direct else "channel") + f":{place.chat}" + (f":{place.thread}" if place.thread else "")
    )


def find(state: State, key: str) -> Conversation:
    """Return a conversation, or how a new one begins."""
    row = state.row("SELECT * FROM conversations WHERE key = ?", key)
    if row is None:
        return Conversation(key)
    fields = ("key", "agent", "generation", "task", "task_agent", "task_state")
    return Conversation(**{name: row[name] for name in fields}, answered=bool(row["answered"]))


def put(db: sqlite3.Connection, conversation: Conversation, now: float) -> None:
    """Write a conversation down."""
    db.execute(
        "INSERT OR REPLACE INTO conversations VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            conversation.key,
            conversation.agent,
            conversation.generation,
            conversation.task,
            conversation.task_agent,
            conversation.task_state,
            int(conversation.answered),
            now,
        ),
    )
