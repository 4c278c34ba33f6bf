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


def note(db: sqlite3.Connection, key: str, now: float, **values: str | int | None) -> None:
    """Write down how a conversation stands: only this, for other things of it may have changed meanwhile."""
    values = {"used_at": now, **values}  # type: ignore[dict-item]
    names = ", ".join(values)
    marks = ", ".join("?" * len(values))
    sets = ", ".join(f"{name} = excluded.{name}" for name in values)
    sql = f"INSERT INTO conversations (key, {names}) VALUES (?, {marks}) ON CONFLICT (key) DO UPDATE SET {sets}"  # noqa: S608
    db.execute(sql, (key, *values.values()))


def begin_anew(db: sqlite3.Connection, key: str, now: float) -> None:
    """Begin a new context; no task of the one before waits any more."""
    note(db, key, now, task=None, task_agent=None, task_state=None)
    db.execute("UPDATE conversations SET generation = generation + 1 WHERE key = ?", (key,))


def waits_no_more(db: sqlite3.Connection, key: str, task: str | None) -> None:
    """A task has its answer, or has ended. Another one that waits goes on waiting."""
    db.execute(
        "UPDATE conversations SET task = NULL, task_agent = NULL, task_state = NULL WHERE key = ? AND task = ?",
        (key, task),
    )


def waits_again(db: sqlite3.Connection, key: str, resume_name: str, task: str, agent: str) -> bool:
    """A task did not get its answer, so it goes on waiting; False if the conversation has gone on without it."""
    row = db.execute("SELECT * FROM conversations WHERE key = ?", (key,)).fetchone()
    if row is None or row["task"] is not None or row["agent"] not in (None, agent):
        return False
    if Conversation(key, generation=row["generation"]).resume_name != resume_name:
        return False
    db.execute(
        "UPDATE conversations SET task = ?, task_agent = ?, task_state = 'input_required' WHERE key = ?",
        (task, agent, key),
    )
    return True
