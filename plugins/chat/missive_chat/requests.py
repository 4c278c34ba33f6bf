"""From a chat message to a command for the host."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from missive_chat.conversations import Conversation
from missive_chat.platform import Inbound, Place
from missive_host.commands import Allreduce, Bcast, Command, Send, Stream, TaskCancel
from missive_host.envelopes import ChatAttachment, ChatFacts, ChatSender, Envelope, chat_envelope

MESSAGE_METADATA = "missive.chat.v1"
"""The key in the metadata of the A2A message under which the agent finds who wrote, and where."""


@dataclass(frozen=True, slots=True)
class Target:
    """Who a channel talks to."""

    agent: str | None
    agents: tuple[str, ...]
    group: str | None
    policy: str | None
    reducer: str

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Target:
        return cls(**{name: options[name] for name in cls.__dataclass_fields__})

    @property
    def choice(self) -> tuple[str, ...]:
        """The agents that people may choose from."""
        return tuple(dict.fromkeys(name for name in (self.agent, *self.agents) if name is not None))

    def agent_for(self, conversation: Conversation) -> str | None:
        """Return the agent of a conversation; None if it talks to the group."""
        if conversation.agent is not None and conversation.agent in self.choice:
            return conversation.agent
        return self.agent if self.group is None else None


@dataclass(frozen=True, slots=True)
class Content:
    """What a message brings along."""

    text: str
    before: str | None = None
    """What was said in the channel before."""
    files: tuple[str, ...] = ()
    media_types: tuple[str, ...] = ()
    data: tuple[Any, ...] = ()


def command_for(target: Target, conversation: Conversation, content: Content, facts: ChatFacts) -> Command:
    """Return the command for a message: to the task that waits, else to the agent or the group."""
    common: dict[str, Any] = {
        "message": content.text or None,
        "file_bytes": content.files,
        "mime": content.media_types,
        "json_parts": content.data,
        "text_parts": (content.before,) if content.before else (),
        "metadata": {MESSAGE_METADATA: _for_the_agent(facts)},
    }
    if content.data and content.media_types:
        common["mime"] = (*content.media_types, *("application/json" for _ in content.data))
    if conversation.task is not None and conversation.task_state == "input_required":
        return Stream(agent=conversation.task_agent, task=conversation.task, fallback=True, **common)
    agent = target.agent_for(conversation)
    if agent is not None:
        return Stream(agent=agent, fallback=True, **common)
    if target.policy is not None:
        return Send(group=target.group, policy=target.policy, **common)
    assert target.group is not None
    if target.reducer == "none":
        return Bcast(group=target.group, failure_policy="continue", **common)
    return Allreduce(group=target.group, strategy=target.reducer, **common)


def _for_the_agent(facts: ChatFacts) -> dict[str, Any]:
    data: dict[str, Any] = msgspec.to_builtins(facts)
    return data


def facts_for(inbound: Inbound, place: Place, platform: str, account: str) -> ChatFacts:
    """Return where a message came from, as the contract has it."""
    sent = None if inbound.sent_at is None else datetime.fromtimestamp(inbound.sent_at, UTC)
    return ChatFacts(
        platform=platform,
        account=account,
        event_id=inbound.event_id,
        chat=place.chat,
        is_direct=place.is_direct,
        thread=place.thread,
        message_id=inbound.message_id,
        sender=ChatSender(id=inbound.sender.id, name=inbound.sender.name, is_bot=inbound.sender.is_bot),
        sent_at=None if sent is None else sent.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        attachments=tuple(
            ChatAttachment(name=each.name, media_type=each.media_type, size=each.size) for each in inbound.attachments
        ),
    )


def envelope_for(
    command: Command, conversation: Conversation, facts: ChatFacts, *, part: str = "", in_session: bool = True
) -> Envelope:
    """Return the envelope of a command that a message asked for."""
    made = chat_envelope(facts, command, source_id=conversation.key, resume_name=conversation.resume_name, part=part)
    return made if in_session else msgspec.structs.replace(made, in_session=False)


def code_of(envelope: Envelope) -> str:
    """Return the short code that people see; `missive intake show` finds the delivery by it."""
    return envelope.id[: len("chat-") + 8]


def cancel_of(task: str, agent: str | None) -> TaskCancel:
    return TaskCancel(task_id=task, agent=agent, timeout="30s")
