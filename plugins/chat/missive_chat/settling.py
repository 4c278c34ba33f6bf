"""From an answer to the rows of the outbox: what was asked, how it stands, and what is asked back."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from logging import Logger
from typing import TYPE_CHECKING

import msgspec

from missive_chat import approvals, conversations
from missive_chat.answers import INTERRUPTED, Final
from missive_chat.chunks import chunks, length, truncated
from missive_chat.connection import Connection
from missive_chat.files import Files
from missive_chat.forgotten import SAID, is_forgotten, once_more
from missive_chat.outbox import Draft, Outbox, put
from missive_chat.platform import ChatCapabilities, OutgoingFile, Place
from missive_chat.state import State, insert
from missive_host.commands import Stream
from missive_host.protocols import Outcome, Reject

if TYPE_CHECKING:
    from missive_chat.delivery import ChatDelivery
    from missive_chat.presence import Presence

STATUS_AFTER = 5.0
"""Seconds after which what an agent says it is doing is shown in a native stream, too, if there is nothing else."""
WHOLE_FILE = "answer.md"
TURN = 2.0
"""Seconds that an answer waits for the one before it."""


STILL_ASKED = "The agent has not heard your answer: its question stands, write it once more later."


def unheard_answer(delivery: ChatDelivery, outcome: Outcome) -> Stream | None:
    """Return the command that was an answer to an agent's question, if the agent could not be reached with it.

    A decision about an approval is none: it counts once, and an ordinary message must not come in its place.
    """
    command = delivery.envelope.command
    if not isinstance(command, Stream) or command.task is None or command.json_parts or delivery.answer.state:
        return None
    lost = isinstance(outcome, Reject) and outcome.error.category == "transport"
    return command if lost else None


@dataclass(frozen=True, slots=True)
class Manner:
    """The options that say how it is answered."""

    stream: bool
    max_messages: int
    approval_expiry: float
    may_approve: bool
    """True if there is somebody who may."""


class Settling:
    """What deliveries are settled by. It needs no connection: what is to be sent waits in the outbox."""

    def __init__(
        self,
        state: State,
        outbox: Outbox,
        files: Files,
        presence: Presence,
        manner: Manner,
        connection: Connection,
        clock: Callable[[], float],
        log: Logger,
    ) -> None:
        self._state = state
        self._outbox = outbox
        self._files = files
        self._presence = presence
        self._manner = manner
        self._connection = connection
        self._clock = clock
        self._log = log
        self.on_again: Callable[[str], None] = lambda _: None
        """Called when a message of a conversation has been put into the inbox again."""

    @property
    def _can(self) -> ChatCapabilities:
        return self._connection.capabilities

    def measure(self, text: str) -> int:
        """Return how much room a text takes on the platform."""
        return length(self._connection.platform.render(text), self._can.unit)

    # --- while it grows

    async def grown(self, delivery: ChatDelivery) -> None:
        to = delivery.reply_to
        if self._manner.stream and self._can.edits:
            text = truncated(self._progress(delivery), self._can.max_edit or self._can.max_text, self.measure)
            if text.strip():
                await self._outbox.grow(to.conversation, to.owner, to.place, text, to.message_id)

    def _progress(self, delivery: ChatDelivery) -> str:
        """What is shown so far. A native stream takes nothing back, so in it words on the way wait for a while."""
        answer = delivery.answer
        if self._can.native_stream and (answer.text or self._clock() - delivery.since < STATUS_AFTER):
            return answer.text
        return answer.progress

    def left(self, delivery: ChatDelivery) -> None:
        """It goes on later, perhaps in another process."""
        self._presence.ended(delivery)

    # --- at its end

    async def settled(self, delivery: ChatDelivery, outcome: Outcome) -> None:
        """Put the answer into the outbox, once. Raises `StorageError`.

        The host runs a conversation in order, but tells each end by itself: the answers are put in order here.
        """
        await self._presence.in_turn(delivery, TURN)
        to, final = delivery.reply_to, delivery.answer.final(outcome)
        unheard = unheard_answer(delivery, outcome)
        if unheard is not None:
            final = replace(final, text=f"{final.text}\n\n{STILL_ASKED}")
        forgotten = is_forgotten(delivery, outcome)
        if self._state.value("SELECT 1 FROM settled WHERE owner = ?", to.owner) is not None:
            self._presence.ended(delivery, failed=None if forgotten else final.failed)
            return
        if forgotten:
            at = self._clock()
            if await self._state.change(lambda db: once_more(db, delivery, at)):
                self._presence.ended(delivery)
                self.on_again(to.conversation)
                return
        code = approvals.fresh_code() if final.state == "auth_required" else None
        shown = self._state.row("SELECT shown FROM outbox WHERE owner = ? AND slot = '0'", to.owner)
        drafts = await self._drafts(delivery, final, code, grows=shown is not None)
        if shown is not None and not any(draft.slot == "0" for draft in drafts):  # it has to end
            drafts.insert(0, Draft(slot="0", text=shown["shown"] or "(no text)"))
        now = self._clock()

        def work(db: sqlite3.Connection) -> None:
            if not insert(db, "settled", {"owner": to.owner, "at": now}):
                return
            for draft in drafts:
                put(db, to.conversation, to.owner, to.place, draft, final=True, now=now)
            self._note_task(db, to.conversation, final, now)
            if unheard is not None and unheard.task is not None and unheard.agent is not None:
                session = delivery.envelope.source.resume_name
                conversations.waits_again(db, to.conversation, session, unheard.task, unheard.agent)
            if code is not None and final.task is not None and final.agent is not None:
                question = next(draft for draft in reversed(drafts) if draft.file is None)
                self._ask(db, delivery, final, question, code, now)

        await self._state.change(work)
        self._outbox.stop_growing(to.owner)
        self._outbox.wake(to.conversation)
        self._presence.ended(delivery, failed=final.failed)
        if not (isinstance(outcome, Reject) and outcome.dead):  # an operator may have it tried again
            await self._files.drop(str(to.entry))

    def _note_task(self, db: sqlite3.Connection, key: str, final: Final, now: float) -> None:
        """Remember the task that waits for an answer."""
        if final.state in INTERRUPTED and final.task is not None:
            conversations.note(db, key, now, task=final.task, task_agent=final.agent, task_state=final.state)
        else:  # what waits besides goes on waiting: the question may be newer than this message
            conversations.waits_no_more(db, key, final.task)

    def _ask(
        self, db: sqlite3.Connection, delivery: ChatDelivery, final: Final, draft: Draft, code: str, now: float
    ) -> None:
        to = delivery.reply_to
        insert(
            db,
            "approvals",
            {
                "code": code,
                "conversation": to.conversation,
                "place": msgspec.json.encode(to.place).decode(),
                "task": final.task,
                "agent": final.agent,
                "question": draft.text,
                "owner": to.owner,
                "slot": draft.slot,
                "asked_at": now,
                "expires_at": now + self._manner.approval_expiry,
            },
        )

    async def _drafts(self, delivery: ChatDelivery, final: Final, code: str | None, *, grows: bool) -> list[Draft]:
        to = delivery.reply_to
        files, problems = await self._kept(to.owner, final)
        forgot = SAID if to.anew else None
        text = "\n\n".join(filter(None, (forgot, final.text, *problems, self._question(code))))
        limit = min(self._can.max_text, self._can.max_edit or self._can.max_text) if grows else self._can.max_text
        if code is not None and self._can.edits:  # how it ends is to be added to it
            limit = max(limit // 2, limit - self.measure(approvals.LONGEST_END))
        most = self._manner.max_messages if self._can.attachments_out is not None and code is None else None
        pieces = chunks(text, limit, self.measure, most=None if most is None else most + 1) if text.strip() else ()
        if most is not None and len(pieces) > most:
            pieces = self._beginning(text, limit)
            files.insert(0, await self._whole(to.owner, text))
        drafts = [Draft(slot=str(number), text=piece) for number, piece in enumerate(pieces)]
        if drafts:
            drafts[0] = replace(drafts[0], reply_to=to.message_id)
            if code is not None and self._can.buttons and self._manner.may_approve:
                drafts[-1] = replace(drafts[-1], buttons=approvals.buttons(code))
        return drafts + [Draft(slot=f"file-{n}", text="", file=file) for n, file in enumerate(files)]

    def _beginning(self, text: str, limit: int) -> tuple[str, ...]:
        note = f"\n\n… The whole answer is in the file `{WHOLE_FILE}`."
        return (chunks(text, limit - self.measure(note), self.measure, most=1)[0] + note,)

    async def _whole(self, owner: str, text: str) -> OutgoingFile:
        import base64

        from missive_chat.answers import FoundFile

        raw = base64.b64encode(text.encode()).decode()
        return await self._files.keep(owner, -1, FoundFile(WHOLE_FILE, "text/markdown", raw))

    def _question(self, code: str | None) -> str | None:
        if code is None:
            return None
        if not self._manner.may_approve:
            return "🔒 Nobody is listed who may approve this (`approvers`)."
        minutes = round(self._manner.approval_expiry / 60) or 1
        return f"🔒 Approve with `!approve {code}`, refuse with `!refuse {code}`, within {minutes} min."

    async def _kept(self, owner: str, final: Final) -> tuple[list[OutgoingFile], list[str]]:
        most = self._can.attachments_out
        kept: list[OutgoingFile] = []
        problems: list[str] = []
        for number, file in enumerate(final.files):
            size = len(file.raw) * 3 // 4
            if most is None:
                problems.append(f"(There is a file, `{file.name}`, which cannot be sent here.)")
            elif size > most:
                problems.append(f"(The file `{file.name}` is too big for this channel: {size} bytes.)")
            else:
                try:
                    kept.append(await self._files.keep(owner, number, file))
                except (OSError, ValueError) as error:
                    self._log.warning("a file of an answer could not be kept: %s", error)
                    problems.append(f"(The file `{file.name}` could not be kept.)")
        return kept, problems

    # --- the bridge's own commands

    async def controlled(self, delivery: ChatDelivery, *, failed: str | None) -> None:
        """Say how a command of the bridge ended."""
        to = delivery.reply_to
        text = "The task was cancelled." if failed is None else f"⚠️ {failed.partition(': ')[2] or failed}"
        now = self._clock()

        def work(db: sqlite3.Connection) -> None:
            if insert(db, "settled", {"owner": to.owner, "at": now}):
                draft = Draft(slot="0", text=text, reply_to=to.message_id)
                put(db, to.conversation, to.owner, to.place, draft, final=True, now=now)

        await self._state.change(work)
        self._outbox.wake(to.conversation)

    async def say(self, conversation: str, owner: str, place: Place, text: str) -> None:
        """Say something by the bridge itself, once for an owner."""
        now = self._clock()
        with suppress(ValueError):
            pieces = chunks(text, self._can.max_text, self.measure)
            drafts = [Draft(slot=f"say-{number}", text=piece) for number, piece in enumerate(pieces)]

            def work(db: sqlite3.Connection) -> None:
                for draft in drafts:
                    put(db, conversation, owner, place, draft, final=True, now=now)

            await self._state.change(work)
        self._outbox.wake(conversation)
