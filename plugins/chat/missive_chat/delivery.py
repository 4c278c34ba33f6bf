"""One message on its way: its results grow into an answer, and at the end the answer is in the outbox."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from missive_chat.answers import Answer
from missive_chat.platform import Place
from missive_chat.requests import code_of
from missive_host.envelopes import Envelope
from missive_host.protocols import Done, Outcome, Retry

if TYPE_CHECKING:
    from missive_chat.settling import Settling
    from missive_host.outputs import Output


class ReplyTo(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where an answer goes: what the host keeps for us."""

    conversation: str
    place: Place
    owner: str
    """What the rows of the outbox are known by."""
    entry: int
    """The number of the event in the inbox; its files are in a folder of this name."""
    message_id: str | None = None
    """The message that is answered."""
    anew: bool = False
    """The agent had forgotten the conversation, and this is the message once more in a new one."""
    control: bool = False
    """It is a command of the bridge itself, of which only the end is told."""

    def stored(self) -> dict[str, Any]:
        data: dict[str, Any] = msgspec.to_builtins(self)
        return data

    @classmethod
    def restored(cls, data: Mapping[str, Any]) -> ReplyTo:
        made = msgspec.convert(dict(data), cls)
        if data.get("retried"):  # by an operator: the first answer said that it failed, and this is another one
            made = msgspec.structs.replace(made, owner=f"{made.owner}-retried")
        return made


class ChatDelivery:
    """A `missive_host.protocols.Delivery`. It may be settled again, by any process."""

    def __init__(self, envelope: Envelope, reply_to: ReplyTo, settling: Settling, *, since: float) -> None:
        self.envelope = envelope
        self.reply_to = reply_to
        self.answer = Answer(code_of(envelope))
        self.since = since
        self._settling = settling

    async def send(self, output: Output) -> None:
        """Let the answer grow."""
        if self.answer.take(output) and not self.reply_to.control:
            await self._settling.grown(self)

    async def settle(self, outcome: Outcome) -> None:
        """Put the whole answer into the outbox; when this returns it is on the disk. Raises `StorageError`."""
        if isinstance(outcome, Retry):  # it goes on later
            self._settling.left(self)
        elif self.reply_to.control:
            await self._settling.controlled(self, failed=None if isinstance(outcome, Done) else outcome.error.message)
        else:
            await self._settling.settled(self, outcome)
