"""The outbox: what should be on the platform, and the work of getting it there.

A row is one message: what it should say (`wanted`) and what it says (`shown`). It is sent, then edited until the two
are the same; an answer that grows changes what is wanted. Before the first attempt it is written down that there was
one, under the key that every attempt has, so that after a crash in between

* a platform that takes one key only once gets the message again (`idempotent_send`),
* one that can be asked is asked (`can_find`),
* any other gets it again: twice, at worst, but never not at all.

Each conversation has its own order, pace and waiting time; none holds up another.
"""

from __future__ import annotations

import math
import secrets
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from logging import Logger
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
import msgspec

from missive_chat.connection import Connection
from missive_chat.files import remove
from missive_chat.platform import Button, ChatError, Outgoing, OutgoingFile, Place, Platform
from missive_chat.state import State, insert
from missive_host.errors import MissiveError

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

GIVE_UP = 86400.0
"""Seconds for which sending is tried."""
POLL = 5.0
"""Seconds between two looks for rows that another process has written."""
LONGEST_PAUSE = 60.0
MOST_FAULTS = 3
"""How often a message is tried that a platform cannot send for a reason that it does not know itself."""
MOST_PACES = 10_000
"""Conversations whose pace is remembered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A message that is to be sent."""

    slot: str
    text: str
    reply_to: str | None = None
    buttons: tuple[Button, ...] = ()
    file: OutgoingFile | None = None


def put(
    db: sqlite3.Connection, conversation: str, owner: str, place: Place, draft: Draft, *, final: bool, now: float
) -> None:
    """Write a message down in a transaction; one that is there already gets the text and the buttons of this one,
    unless it is whole, and this is not."""
    buttons = msgspec.json.encode(draft.buttons).decode()
    new = insert(
        db,
        "outbox",
        {
            "conversation": conversation,
            "owner": owner,
            "slot": draft.slot,
            "key": secrets.token_hex(12),
            "place": msgspec.json.encode(place).decode(),
            "reply_to": draft.reply_to,
            "wanted": draft.text,
            "buttons": buttons,
            "file": None if draft.file is None else _file_text(draft.file),
            "final": int(final),
            "created_at": now,
        },
    )
    if not new:
        db.execute(
            "UPDATE outbox SET wanted = ?, buttons = ?, final = ?, state = 'waiting', attempts = 0 "
            "WHERE owner = ? AND slot = ? AND final <= ?",
            (draft.text, buttons, int(final), owner, draft.slot, int(final)),
        )


def _file_text(file: OutgoingFile) -> str:
    return msgspec.json.encode({"path": str(file.path), "name": file.name, "media_type": file.media_type}).decode()


@dataclass(slots=True)
class _Pace:
    """How fast one conversation may be written to."""

    tokens: float
    at: float
    not_before: float = 0.0
    last_edit: float = -math.inf

    def wait(self, now: float, *, edit: bool, send_interval: float, burst: int, edit_interval: float) -> float:
        """Return the seconds to wait before the next call."""
        pause = self.not_before - now
        if edit:
            return max(pause, self.last_edit + edit_interval - now)
        self.tokens = min(burst, self.tokens + (now - self.at) / max(send_interval, 1e-9))
        self.at = now
        return max(pause, (1 - self.tokens) * send_interval)

    def spend(self, now: float, *, edit: bool) -> None:
        if edit:
            self.last_edit = now
        else:
            self.tokens -= 1
            self.last_edit = now


class Outbox:
    """Gets the rows onto the platform. `send` of rows goes on while `run` runs."""

    def __init__(self, state: State, clock: Callable[[], float], log: Logger) -> None:
        self._state = state
        self._clock = clock
        self._log = log
        self._growing: dict[str, str] = {}
        """What messages that still grow should say, by owner; it changes too often for the disk."""
        self._stuck: set[str] = set()
        """Owners whose growing message the platform does not take; the whole answer is tried all the same."""
        self._busy: dict[str, anyio.Event] = {}
        self._pace: dict[str, _Pace] = {}
        self._connection: Connection | None = None
        self._group: TaskGroup | None = None
        self._idle = anyio.Event()

    # --- what is to be sent

    async def grow(self, conversation: str, owner: str, place: Place, text: str, reply_to: str | None) -> None:
        """Show a text that is not whole yet; the row is made when there is the first of it."""
        if self._connection is None:
            return
        if owner not in self._growing:
            draft = Draft(slot="0", text=text, reply_to=reply_to)
            known = self._state.value("SELECT final FROM outbox WHERE owner = ? AND slot = '0'", owner)
            if known == 1:
                return
            if known is None:
                await self._state.change(
                    lambda db: put(db, conversation, owner, place, draft, final=False, now=self._clock())
                )
        self._growing[owner] = text
        self.wake(conversation)

    def stop_growing(self, owner: str) -> None:
        """What was committed for an owner is what it should say."""
        self._growing.pop(owner, None)
        self._stuck.discard(owner)

    def wake(self, conversation: str) -> None:
        """There is something to be sent in a conversation."""
        event = self._busy.get(conversation)
        if event is not None:
            event.set()
        elif self._group is not None:
            self._busy[conversation] = anyio.Event()
            self._group.start_soon(self._serve, conversation)

    def is_ours(self, message_id: str) -> bool:
        """True if the bridge has sent this message."""
        return self._state.value("SELECT 1 FROM outbox WHERE message_id = ?", message_id) is not None

    # --- sending

    async def run(self, connection: Connection) -> None:
        """Send what waits, and go on until cancelled."""
        self._connection = connection
        try:
            async with anyio.create_task_group() as group:
                self._group = group
                while True:
                    for row in self._state.rows(_WAITING):
                        self.wake(row["conversation"])
                    await anyio.sleep(POLL)
        finally:
            self._connection = self._group = None
            self._busy.clear()

    async def drained(self) -> None:
        """Wait until there is nothing left to send now."""
        while self._busy and self._connection is not None and self._connection.is_open:
            self._idle = anyio.Event()
            await self._idle.wait()

    async def _serve(self, conversation: str) -> None:
        """Send the rows of one conversation, in their order, until there are none."""
        while True:
            changed = self._busy[conversation] = anyio.Event()
            row = self._next(conversation)
            if row is None:
                del self._busy[conversation]
                self._idle.set()
                return
            pause = await self._bring(conversation, row)
            if pause > 0:
                with anyio.move_on_after(pause):
                    if row["final"]:
                        await anyio.sleep(pause)
                    else:  # an answer that ends need not wait for the pace of one that grows
                        await changed.wait()

    def _next(self, conversation: str) -> sqlite3.Row | None:
        """Return the first row that has something to do."""
        rows = self._state.rows(
            "SELECT * FROM outbox WHERE state = 'waiting' AND conversation = ? ORDER BY id", conversation
        )
        for row in rows:
            if row["final"]:
                return row
            if row["owner"] not in self._stuck and self._wanted(row) != row["shown"]:
                return row
        return None

    def _wanted(self, row: sqlite3.Row) -> str:
        return str(row["wanted"] if row["final"] else self._growing.get(row["owner"], row["wanted"]))

    async def _bring(self, conversation: str, row: sqlite3.Row) -> float:
        """Do the next thing that a row needs. Return the seconds to wait before anything else is done."""
        if self._connection is None:
            return POLL
        platform = await self._connection.ready()
        wanted, can, now = self._wanted(row), platform.capabilities, anyio.current_time()
        edit = row["message_id"] is not None
        same = wanted == row["shown"] and row["buttons"] == "[]" and not can.native_stream
        if edit and (same or not can.edits):
            await self._note(row, state="sent", sent_at=self._clock())
            return 0
        if len(self._pace) > MOST_PACES:  # what was idle for so long may be written to at once
            self._pace = {key: each for key, each in self._pace.items() if max(each.at, each.not_before) > now - 60}
        pace = self._pace.setdefault(conversation, _Pace(can.burst, now))
        pause = pace.wait(
            now, edit=edit, send_interval=can.send_interval, burst=can.burst, edit_interval=can.edit_interval
        )
        if pause > 0:
            return pause
        pace.spend(now, edit=edit)
        try:
            if edit:
                await self._edit(platform, row, wanted)
            else:
                await self._send(platform, row, wanted)
        except ChatError as error:
            return await self._failed(row, pace, error)
        except MissiveError:
            raise
        except Exception as error:  # noqa: BLE001 - one message must not end the bridge, nor do so at each start
            self._log.warning("a message could not be sent", exc_info=True)
            permanent = row["attempts"] >= MOST_FAULTS
            fault = ChatError(f"{type(error).__name__}: {error}", permanent=permanent, maybe_sent=True)
            return await self._failed(row, pace, fault)
        return 0

    async def _send(self, platform: Platform, row: sqlite3.Row, wanted: str) -> None:
        message, can = outgoing(row, wanted), platform.capabilities
        message_id = None
        old = bool(row["attempted"]) and can.idempotent_send
        if row["attempted"] and can.can_find and not can.idempotent_send:
            message_id = await platform.find(message)
            old = message_id is not None
        if message_id is None:
            if not row["attempted"]:
                await self._note(row, attempted=1)
            message_id = await platform.send(message)
        # one that may have been there before says what was wanted then: an edit makes sure
        sure = not (old and can.edits and row["file"] is None)
        await self._note(
            row, message_id=message_id, shown=wanted if sure else None, attempts=0,
            state="sent" if row["final"] and sure else "waiting", sent_at=self._clock(),
        )  # fmt: skip
        if message.file is not None:
            await anyio.to_thread.run_sync(remove, message.file.path)

    async def _edit(self, platform: Platform, row: sqlite3.Row, wanted: str) -> None:
        place = msgspec.json.decode(row["place"], type=Place)
        buttons = msgspec.json.decode(row["buttons"], type=tuple[Button, ...])
        final = bool(row["final"])
        await platform.edit(place, row["message_id"], wanted, buttons=buttons, final=final)
        await self._note(row, shown=wanted, attempts=0, state="sent" if final else "waiting", sent_at=self._clock())

    async def _failed(self, row: sqlite3.Row, pace: _Pace, error: ChatError) -> float:
        attempts = row["attempts"] + 1
        log = self._log.warning if row["final"] else self._log.debug
        log("a message could not be %s: %s", "changed" if row["message_id"] else "sent", error.message)
        pause = error.retry_after or min(LONGEST_PAUSE, 0.5 * 2 ** min(attempts, 8))
        pace.not_before = anyio.current_time() + pause
        unsure = error.maybe_sent or row["attempted"] or row["message_id"] is not None  # a doubt stays one
        if not row["final"]:  # an answer that grows is only shown as it goes; the end is what counts
            if error.permanent:
                self._stuck.add(row["owner"])
            if row["message_id"] is None:
                await self._note(row, attempted=int(unsure), error=error.message)
            return pause
        if error.permanent or self._clock() - row["created_at"] > GIVE_UP:
            await self._give_up(row, error)
            return 0
        await self._note(row, attempts=attempts, error=error.message, attempted=int(unsure))
        return pause

    async def _give_up(self, row: sqlite3.Row, error: ChatError) -> None:
        """A message that cannot be changed is sent anew; a file that cannot be sent is at least named."""
        if row["message_id"] is not None:
            await self._note(row, message_id=None, shown=None, attempted=0, key=secrets.token_hex(12), attempts=0)
        elif row["file"] is not None:
            name = msgspec.json.decode(row["file"])["name"]
            text = f"{row['wanted']}\n⚠️ The file `{name}` could not be sent: {error.message}".strip()
            await self._note(row, file=None, wanted=text, key=secrets.token_hex(12), attempted=0, attempts=0)
        else:
            self._log.error("a message is lost, the platform does not take it: %s", error.message)
            await self._note(row, state="failed", error=error.message)

    async def _note(self, row: sqlite3.Row, **values: Any) -> None:
        """Write down how a row stands; what is wanted of it may have changed meanwhile, so only these columns."""
        if values.get("state") == "sent":  # not if it has been changed while it was on the way
            values = {**values, "state": "waiting"}
            sent = " AND final = 1 AND wanted = shown"
        else:
            sent = ""

        def work(db: sqlite3.Connection) -> None:
            names = ", ".join(f"{name} = ?" for name in values)
            db.execute(f"UPDATE outbox SET {names} WHERE id = ?", (*values.values(), row["id"]))  # noqa: S608
            if sent:
                db.execute(
                    f"UPDATE outbox SET state = 'sent' WHERE id = ? AND buttons = ?{sent}",  # noqa: S608
                    (row["id"], row["buttons"]),
                )

        await self._state.change(work)


_WAITING = "SELECT DISTINCT conversation FROM outbox WHERE state = 'waiting' AND (final = 1 OR message_id IS NULL)"


def outgoing(row: sqlite3.Row, wanted: str) -> Outgoing:
    """Return the message of a row."""
    file = None if row["file"] is None else msgspec.json.decode(row["file"])
    return Outgoing(
        key=row["key"],
        place=msgspec.json.decode(row["place"], type=Place),
        text=wanted,
        reply_to=row["reply_to"],
        buttons=msgspec.json.decode(row["buttons"], type=tuple[Button, ...]),
        file=None if file is None else OutgoingFile(**{**file, "path": Path(file["path"])}),
        progress=not row["final"],
    )
