"""The bridge: what becomes of each event."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from logging import Logger
from typing import TYPE_CHECKING, Any

import anyio
import msgspec

from missive_chat import approvals, conversations, gates, heard, pairing
from missive_chat.connection import Connection
from missive_chat.conversations import Conversation
from missive_chat.delivery import ChatDelivery, ReplyTo
from missive_chat.files import Files
from missive_chat.inbox import Entry
from missive_chat.outbox import Outbox
from missive_chat.platform import ChatError, Inbound, Place
from missive_chat.presence import Presence
from missive_chat.requests import Content, Target, cancel_of, code_of, command_for, envelope_for, facts_for
from missive_chat.settling import Settling
from missive_chat.state import State
from missive_chat.words import AT_ONCE, FOR_ADMINS, Word, help_text, word_of
from missive_host.envelopes import Envelope, from_stored, stored
from missive_host.errors import MissiveError, StorageError

if TYPE_CHECKING:
    from missive_host.protocols import Intake

FETCHES = 5
"""How often it is tried to fetch a file."""


class Bridge:
    """Handles events. It keeps nothing in memory that a crash may not take: what was decided is in the state first."""

    def __init__(
        self,
        *,
        account: str,
        kind: str,
        connection: Connection,
        state: State,
        outbox: Outbox,
        files: Files,
        presence: Presence,
        settling: Settling,
        rules: gates.Rules,
        target: Target,
        options: dict[str, Any],
        clock: Callable[[], float],
        log: Logger,
        keyed: bool,
    ) -> None:
        self._account = account
        self._kind = kind
        self._connection = connection
        self._state = state
        self._outbox = outbox
        self._files = files
        self._presence = presence
        self._settling = settling
        self._rules = rules
        self._target = target
        self._resend_edited = options["edited"] == "resend"
        self._max_attachment: int = options["max_attachment"]
        self._clock = clock
        self._log = log
        self._keyed = keyed
        self._rate = gates.Rate()
        self.intake: Intake | None = None

    # --- an event

    def hurries(self, event: Inbound) -> bool:
        """Whether an event is a word for the bridge that must not wait behind messages."""
        word = word_of(event.text, self._connection.capabilities.command_prefix) if event.kind == "message" else None
        return word is not None and word.name in AT_ONCE

    async def handle(self, entry: Entry) -> str:
        """Act on an event; return what became of it, in a word. Raises `StorageError` if it is to be tried again."""
        place = conversations.place_of(entry.event, self._connection.capabilities)
        try:
            if entry.request is not None:  # it was decided before, and the process died before the host had it
                return await self._again(entry.request)
            return await self._decide(entry, place)
        except StorageError:
            raise
        except MissiveError as error:
            self._log.warning("%s %s: %s", entry.event.kind, entry.event.event_id, error.message)
            await self._say(entry, place, f"⚠️ {error.message}")
            return "refused"
        except Exception as error:  # noqa: BLE001 - one event must not end the bridge, nor come again for ever
            self._log.exception("%s %s", entry.event.kind, entry.event.event_id)
            await self._say(entry, place, f"⚠️ Something went wrong here ({type(error).__name__}).")
            return "failed"

    async def _decide(self, entry: Entry, place: Place) -> str:
        event = entry.event
        if event.kind == "press":
            return await self._pressed(entry, place)
        if event.kind == "delete":
            await self._state.change(lambda db: heard.taken_back(db, event))
            return "deleted"
        if event.kind == "edit" and not self._resend_edited:
            await self._state.change(lambda db: heard.changed(db, event))
            return "edited"
        paired = pairing.paired(self._state) if self._rules.dm_policy == "pairing" else frozenset()
        verdict = gates.judge(
            event,
            self._rules,
            paired=paired,
            is_reply_to_us=lambda: event.reply_to is not None and self._outbox.is_ours(event.reply_to),
            in_our_thread=lambda: (
                self._connection.capabilities.threads != "none"  # a topic is a channel in a channel, nobody's thread
                and place.thread != event.message_id
                and place.thread is not None
                and conversations.find(self._state, entry.conversation).answered
            ),
            rate=self._rate,
            now=self._clock(),
        )
        match verdict.action:
            case "act":
                return await self._act(entry, place)
            case "keep":
                await self._state.change(lambda db: heard.keep(db, event, self._clock()))
            case "pair":
                await self._pair(entry, place)
            case "say" if verdict.say:
                await self._say(entry, place, verdict.say)
            case _:
                pass
        return verdict.why

    async def _act(self, entry: Entry, place: Place) -> str:
        event = entry.event
        conversation = conversations.find(self._state, entry.conversation)
        word = word_of(event.text, self._connection.capabilities.command_prefix)
        if word is not None:
            return await self._word(entry, place, conversation, word)
        if not event.text.strip() and not event.attachments and not heard.lines(self._state, event):
            return "empty"
        self._presence.seen(place, event.message_id)
        content = await self._content(entry)
        facts = facts_for(event, place, self._kind, self._account)
        envelope = envelope_for(command_for(self._target, conversation, content, facts), conversation, facts)
        to = self._reply_to(entry, place, envelope)

        def work(db: sqlite3.Connection) -> None:
            conversations.note(db, conversation.key, self._clock(), answered=1)
            if conversation.task_state == "input_required":
                conversations.waits_no_more(db, conversation.key, conversation.task)
            heard.handed_on(db, event)
            _decided(db, entry, envelope, to)

        await self._state.change(work)
        await self._submit(envelope, to)
        return "accepted"

    async def _content(self, entry: Entry) -> Content:
        event = entry.event
        code = f"{entry.id}"
        paths, types, problems = await self._fetched(code, event)
        lines = heard.lines(self._state, event)
        before = "Said here before, by people who did not write to you:\n" + "\n".join(lines) if lines else None
        text = event.text
        if event.kind == "edit":
            text = f"(This is an earlier message, edited.)\n{text}"
        if problems:
            text = "\n".join((text, *(f"({problem})" for problem in problems))).strip()
        return Content(text=text, before=before, files=paths, media_types=types)

    async def _fetched(self, owner: str, event: Inbound) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
        for attempt in range(FETCHES):
            try:
                platform = await self._connection.ready()
                return await self._files.fetch(platform, owner, event.attachments, self._max_attachment)
            except ChatError as error:
                if attempt == FETCHES - 1:
                    return (), (), (f"the files could not be fetched: {error.message}",)
                await anyio.sleep(error.retry_after or 0.5 * 2**attempt)
        raise AssertionError

    async def _pair(self, entry: Entry, place: Place) -> None:
        event = entry.event
        code = await self._state.change(lambda db: pairing.ask(db, event.sender, place, self._clock()))
        if code is not None:
            text = (
                "I do not know you yet. Give this code to whoever runs me, and write again when you are let in:\n"
                f"`{code}`  (`missive chat pairing approve {self._account} {code}`)"
            )
            await self._say(entry, place, text)

    # --- approvals

    async def _pressed(self, entry: Entry, place: Place) -> str:
        event = entry.event
        found = approvals.pressed(event.press.value) if event.press is not None else None
        if found is None or event.unauthentic is not None or event.sender.is_me:
            return "no button of ours"
        return await self._decision(entry, place, *found)

    async def _decision(self, entry: Entry, place: Place, code: str, decision: approvals.Decision) -> str:
        """Take the decision of whoever may decide. In doubt it is none."""
        sender, now = entry.event.sender, self._clock()
        approval = approvals.find(self._state, code)
        if sender.id not in self._rules.approvers:
            if self._rate.may_tell(f"decision {sender.id}", now):  # pressing a button costs nothing
                name = sender.name or sender.id
                await self._say(entry, place, f"{name}, you are not listed as somebody who may decide this.")
            return "not an approver"
        if approval is None:
            await self._say(entry, place, "There is no such question.")
            return "no such approval"
        conversation = conversations.find(self._state, approval.conversation)
        facts = facts_for(entry.event, approval.place, self._kind, self._account)
        data = approvals.decided_data(approval, decision, sender, now)
        asked = replace(conversation, task=approval.task, task_agent=approval.agent, task_state="input_required")
        envelope = envelope_for(
            command_for(self._target, asked, Content(text="", data=(data,)), facts), conversation, facts
        )

        to = ReplyTo(
            conversation=approval.conversation, place=approval.place,
            owner=f"{code_of(envelope)}-{entry.id}", entry=entry.id,
        )  # fmt: skip

        def work(db: sqlite3.Connection) -> bool:
            edits = self._connection.capabilities.edits
            if not approvals.decide(db, approval, decision, sender, now, edits=edits):
                return False
            conversations.waits_no_more(db, approval.conversation, approval.task)
            _decided(db, entry, envelope, to)
            return True

        if not await self._state.change(work):
            state = approval.state if approval.state != "open" else "expired"
            await self._say(entry, place, f"This question is {state} already.")
            return f"already {state}"
        self._outbox.wake(approval.conversation)
        await self._submit(envelope, to)
        return decision

    # --- the bridge's own words

    async def _word(self, entry: Entry, place: Place, conversation: Conversation, word: Word) -> str:
        sender = entry.event.sender.id
        if word.name in FOR_ADMINS and self._rules.admins and sender not in self._rules.admins:
            await self._say(entry, place, f"`{word.name}` is for {len(self._rules.admins)} listed people only.")
            return "not an admin"
        match word.name:
            case "approve" | "refuse":
                return await self._decision(entry, place, word.rest, "approve" if word.name == "approve" else "refuse")
            case "help":
                text = help_text(self._connection.capabilities.command_prefix)
            case "agent":
                text = await self._choose(conversation, word.rest)
            case "new":
                await self._state.change(lambda db: conversations.begin_anew(db, conversation.key, self._clock()))
                text = "A new conversation begins."
            case "stop":
                return await self._stop(entry, place, conversation)
            case _:
                text = self._status(conversation)
        await self._say(entry, place, text)
        return word.name

    async def _choose(self, conversation: Conversation, name: str) -> str:
        choice = self._target.choice
        now = self._target.agent_for(conversation)
        if not name:
            here = f"agent `{now}`" if now is not None else f"the group `{self._target.group}`"
            return f"Here answers {here}." + (
                f" There are: {', '.join(f'`{each}`' for each in choice)}." if choice else ""
            )
        if name not in choice:
            return f"There is no agent `{name[:64]}` here." + (f" There are: {', '.join(choice)}." if choice else "")
        chosen: dict[str, str | None] = {"agent": name, "task": None, "task_agent": None, "task_state": None}
        await self._state.change(lambda db: conversations.note(db, conversation.key, self._clock(), **chosen))
        return f"From now on `{name}` answers here."

    def _status(self, conversation: Conversation) -> str:
        agent = self._target.agent_for(conversation)
        lines = [f"Agent: `{agent}`" if agent is not None else f"Group: `{self._target.group}`"]
        for delivery in self._presence.running(conversation.key):
            seconds = round(self._clock() - delivery.since)
            state = delivery.answer.state or "waiting for the agent"
            task = f", task `{delivery.answer.task}`" if delivery.answer.task else ""
            lines.append(f"Running for {seconds} s: {state}{task} (code `{code_of(delivery.envelope)}`)")
        if conversation.task is not None:
            what = "your answer" if conversation.task_state == "input_required" else "an approval"
            lines.append(f"Task `{conversation.task}` of `{conversation.task_agent}` waits for {what}.")
        if len(lines) == 1:
            lines.append("Nothing is going on.")
        return "\n".join(lines)

    async def _stop(self, entry: Entry, place: Place, conversation: Conversation) -> str:
        """Cancel the task at the agent. That does not wait for its turn: it must not wait for what it ends."""
        running = [each.answer for each in self._presence.running(conversation.key) if each.answer.task is not None]
        tasks = [(answer.task, answer.agent) for answer in running]
        if not tasks and conversation.task is not None:
            tasks = [(conversation.task, conversation.task_agent)]
        if not tasks or tasks[0][0] is None:
            busy = self._presence.running(conversation.key)
            await self._say(
                entry, place, "It has no task yet that could be cancelled." if busy else "Nothing is going on."
            )
            return "nothing to stop"
        facts = facts_for(entry.event, place, self._kind, self._account)
        envelope = envelope_for(cancel_of(*tasks[0]), conversation, facts, in_session=False)  # type: ignore[arg-type]

        to = self._reply_to(entry, place, envelope)

        def work(db: sqlite3.Connection) -> None:
            conversations.waits_no_more(db, conversation.key, tasks[0][0])
            _decided(db, entry, envelope, to)

        await self._state.change(work)
        await self._submit(envelope, to)
        return "stop"

    # --- to the host

    async def _again(self, request: dict[str, Any]) -> str:
        await self._submit(from_stored(request["envelope"]), ReplyTo.restored(request["reply_to"]))
        return "accepted"

    def _reply_to(self, entry: Entry, place: Place, envelope: Envelope) -> ReplyTo:
        return ReplyTo(
            conversation=entry.conversation,
            place=place,
            owner=f"{code_of(envelope)}-{entry.id}",
            entry=entry.id,
            message_id=entry.event.message_id,
            control=not envelope.in_session,
        )

    async def _submit(self, envelope: Envelope, to: ReplyTo) -> None:
        assert self.intake is not None
        if not self._keyed:  # a host that keeps nothing knows no keys
            envelope = msgspec.structs.replace(envelope, idempotency_key=None)
        delivery = self.delivery(envelope, to)
        try:
            await self.intake.submit(delivery, reply_to=to.stored())
        except BaseException:
            self._presence.ended(delivery)
            raise

    def delivery(self, envelope: Envelope, to: ReplyTo) -> ChatDelivery:
        """Return what takes the answer."""
        made = ChatDelivery(envelope, to, self._settling, since=self._clock())
        if not to.control:
            self._presence.begun(made)
        return made

    async def _say(self, entry: Entry, place: Place, text: str) -> None:
        await self._settling.say(entry.conversation, f"say-{entry.id}", place, text)


def _decided(db: sqlite3.Connection, entry: Entry, envelope: Envelope, to: ReplyTo) -> None:
    """Write down what is to be handed to the host, so that after a crash it is the very same."""
    text = json.dumps({"envelope": stored(envelope), "reply_to": to.stored()})
    db.execute("UPDATE inbox SET request = ? WHERE id = ?", (text, entry.id))
