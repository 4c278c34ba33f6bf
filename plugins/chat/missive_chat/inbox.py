"""The inbox: an event is on the disk before it is acknowledged, then acted on once, in its conversation's order."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from dataclasses import dataclass, replace
from logging import Logger
from typing import TYPE_CHECKING, Any

import anyio
import msgspec

from missive_chat.conversations import key_of, place_of
from missive_chat.platform import ChatCapabilities, Inbound
from missive_chat.state import State, insert
from missive_host.errors import StorageError

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

CAPACITY = 5_000
"""Events that may wait. The platform's reader then waits, too."""
PATIENCE = 1.0
"""Seconds that what hurries waits for its turn, so that what was said just before it comes first."""
STORAGE_PAUSE = 2.0
"""Seconds before something is tried again that the disk did not take."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One event that waits."""

    id: int
    event: Inbound
    conversation: str
    request: dict[str, Any] | None
    """What was made of it before, as it was to be handed to the host."""
    stored: str = ""
    """The event as it was in the inbox."""


class Inbox:
    """Takes events in and has them handled, one after another in each conversation, side by side otherwise."""

    def __init__(
        self,
        state: State,
        handle: Callable[[Entry], Awaitable[str]],
        capabilities: ChatCapabilities,
        clock: Callable[[], float],
        log: Logger,
        hurries: Callable[[Inbound], bool] = lambda _: False,
    ) -> None:
        """`hurries` tells what must not wait behind messages for which the host has no room."""
        self._state = state
        self._handle = handle
        self._hurries = hurries
        self._capabilities = capabilities
        self._clock = clock
        self._log = log
        self._group: TaskGroup | None = None
        self._context = copy_context()
        self._serving: set[str] = set()
        self._acting: set[int] = set()
        """What is being acted on: it is too late to change it."""
        self._waiting = 0
        self._freed = anyio.Event()

    async def receive(self, inbound: Inbound) -> bool:
        """Take an event in. False: it is known already. A deleted message that still waits will not be acted on."""
        began, deadline = time.monotonic(), self._capabilities.ack_deadline
        while self._waiting >= CAPACITY:
            await self._freed.wait()
        inbound, event = _stored(inbound)
        conversation = key_of(place_of(inbound, self._capabilities))
        new, self._waiting = await self._state.change(lambda db: self._take(db, inbound, event, conversation))
        took = time.monotonic() - began
        if deadline is not None and took > deadline:
            self._log.warning("an event was taken in after %.1f s, and is expected again after %g s", took, deadline)
        if new:
            self._serve_soon(conversation)
            if self._group is not None and self._hurries(inbound):
                self._context.run(self._group.start_soon, self._hurry, conversation, inbound.event_id)
        return new

    def _take(self, db: sqlite3.Connection, inbound: Inbound, event: str, conversation: str) -> tuple[bool, int]:
        new = insert(
            db,
            "inbox",
            {
                "event_id": inbound.event_id,
                "conversation": conversation,
                "message_id": inbound.message_id,
                "event": event,
                "received_at": self._clock(),
            },
        )
        if new and inbound.kind in ("edit", "delete"):
            self._change_waiting(db, inbound, conversation)
        return new, _waiting(db)

    def _change_waiting(self, db: sqlite3.Connection, change: Inbound, conversation: str) -> None:
        """A message that has not been acted on yet is changed, or taken back; then the change itself is done with."""
        found = db.execute(
            "SELECT id, event FROM inbox WHERE conversation = ? AND message_id = ? AND state = 'waiting' "
            "AND request IS NULL AND event_id != ?",
            (conversation, change.message_id, change.event_id),
        ).fetchall()
        for row in found:
            event = msgspec.json.decode(row["event"], type=Inbound)
            if event.kind != "message" or row["id"] in self._acting:
                continue
            if change.kind == "delete":  # by whom is not always said, and a moderator may do it
                db.execute(
                    "UPDATE inbox SET state = 'done', event = '', verdict = 'deleted' WHERE id = ?", (row["id"],)
                )
                continue
            if event.sender.id != change.sender.id:
                continue
            edited = replace(event, text=change.text, mentions_me=event.mentions_me or change.mentions_me)
            db.execute("UPDATE inbox SET event = ? WHERE id = ?", (msgspec.json.encode(edited).decode(), row["id"]))
            db.execute(
                "UPDATE inbox SET state = 'done', event = '', verdict = 'in time' WHERE event_id = ?",
                (change.event_id,),
            )

    def open(self, group: TaskGroup) -> None:
        """Have everything handled that waits, and what comes, in `group`."""
        self._group = group
        self._context = copy_context()
        self.look()

    def close(self) -> None:
        """Begin nothing more: what is put into the inbox waits there for the next one."""
        self._group = None

    def look(self) -> None:
        """Have handled what waits: another one, whose connection has ended, may have put it there."""
        rows = self._state.rows(
            "SELECT conversation, count(*) FROM inbox WHERE state = 'waiting' GROUP BY conversation"
        )
        self._waiting = sum(row[1] for row in rows)
        for row in rows:
            self._serve_soon(row["conversation"])

    async def handled(self) -> None:
        """Wait until everything that was received has been acted on."""
        while self._waiting:
            await self._freed.wait()

    def wake(self, conversation: str) -> None:
        """Something has been put into the inbox again."""
        self._waiting += 1
        self._serve_soon(conversation)

    def _serve_soon(self, conversation: str) -> None:
        if self._group is not None and conversation not in self._serving:
            self._serving.add(conversation)
            # Not in the context of the request that this event came with: events of others are served there, too.
            self._context.run(self._group.start_soon, self._serve, conversation)

    async def _serve(self, conversation: str) -> None:
        try:
            while (entry := self._first(conversation)) is not None:
                await self._one(entry)
        finally:
            self._serving.discard(conversation)

    async def _hurry(self, conversation: str, event_id: str) -> None:
        """Act on an event out of turn, unless its turn comes soon."""
        await anyio.sleep(PATIENCE)
        entry = self._first(conversation, event_id)
        if entry is not None:
            await self._one(entry)
            self._serve_soon(conversation)  # if the disk did not take it

    def _first(self, conversation: str, event_id: str | None = None) -> Entry | None:
        """Return the first event of a conversation that waits and is not being acted on, or this one if it does."""
        rows = self._state.rows(
            "SELECT * FROM inbox WHERE state = 'waiting' AND conversation = ? AND (? IS NULL OR event_id = ?) "
            "ORDER BY id LIMIT ?",
            conversation, event_id, event_id, 1 + len(self._acting),
        )  # fmt: skip
        row = next((each for each in rows if each["id"] not in self._acting), None)
        if row is None:
            return None
        return Entry(
            id=row["id"],
            event=msgspec.json.decode(row["event"], type=Inbound),
            conversation=conversation,
            request=None if row["request"] is None else json.loads(row["request"]),
            stored=row["event"],
        )

    async def _one(self, entry: Entry) -> None:
        self._acting.add(entry.id)
        try:
            verdict = await self._handle(entry)
            self._waiting = await self._state.change(lambda db: self._done(db, entry, verdict))
        except StorageError as error:  # it stays where it is
            self._log.warning("%s", error.message)
            await anyio.sleep(STORAGE_PAUSE)
            return
        finally:
            self._acting.discard(entry.id)
        freed, self._freed = self._freed, anyio.Event()
        freed.set()
        self._log.debug("%s %s: %s", entry.event.kind, entry.event.event_id, verdict)

    def _done(self, db: sqlite3.Connection, entry: Entry, verdict: str) -> int:
        """Note that an event is done with, unless it is another one by now: the same message, once more."""
        db.execute(
            "UPDATE inbox SET state = 'done', event = '', request = NULL, verdict = ? WHERE id = ? AND event = ?",
            (verdict, entry.id, entry.stored),
        )
        return _waiting(db)


def _stored(inbound: Inbound) -> tuple[Inbound, str]:
    """Return an event and its JSON. Half characters, which no JSON and no database takes, are `?` in both."""
    try:
        return inbound, msgspec.json.encode(inbound).decode()
    except UnicodeEncodeError:
        text = json.dumps(msgspec.to_builtins(inbound), ensure_ascii=False).encode("utf-8", "replace").decode()
        return msgspec.json.decode(text, type=Inbound), text


def _waiting(db: sqlite3.Connection) -> int:
    """Return how many events wait. A change of a message may have ended others than itself."""
    count: int = db.execute("SELECT count(*) FROM inbox WHERE state = 'waiting'").fetchone()[0]
    return count
