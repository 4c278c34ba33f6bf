"""The other side of a platform under test: a fake or a real server, and people there who write and read."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from missive_chat.options import SHARED
from missive_chat.platform import ChatCapabilities, Cursor, Platform, PlatformContext

DECLARED: Mapping[str, Callable[[ChatCapabilities], bool]] = {
    "edits": lambda can: can.edits,
    "threads": lambda can: can.threads != "none",
    "buttons": lambda can: can.buttons,
    "reactions": lambda can: can.reactions,
    "typing": lambda can: can.typing_ttl is not None,
    "files-in": lambda can: can.attachments_in is not None,
    "files-out": lambda can: can.attachments_out is not None,
    "idempotent-send": lambda can: can.idempotent_send,
    "find": lambda can: can.can_find,
}
"""Features that `ChatCapabilities` tells of, and how."""

FEATURES: Mapping[str, str] = {
    "edits": "a message can be changed after it was sent",
    "threads": "messages can be in threads",
    "buttons": "messages can have buttons",
    "reactions": "messages can have reactions",
    "typing": "it can be shown that somebody is writing",
    "files-in": "people can send files",
    "files-out": "files can be sent to people",
    "idempotent-send": "the platform takes a message of the same key once",
    "find": "it can be asked whether a message of a key was sent",
    "login": "there are credentials that can be wrong",
    "channels": "there are places of more than one person",
    "direct": "there are places of one person and the bot",
    "mass-mentions": "a text can ping everybody",
    "rate-limit": "the platform can refuse a message for a time",
    "lost-answer": "the connection can break after a message was sent and before the answer",
    "replay": "what was written while nobody listened comes afterwards",
    "redelivery": "the platform may deliver an event twice",
    "drop": "a connection for receiving is held, and can be cut",
    "edit-events": "people can change what they wrote, and we hear of it",
}
"""What a platform may lack, and what it means to have it."""


def declared(can: ChatCapabilities) -> frozenset[str]:
    """Return the features that the capabilities claim."""
    return frozenset(name for name, has in DECLARED.items() if has(can))


class Hidden:
    """A secret as an option has it: ``reveal()`` gives it, and nothing else does."""

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__


class MemoryCursor:
    """A cursor for one test; a second platform may be given the same, as after a restart."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}

    def get(self, name: str) -> str | None:
        return self.values.get(name)

    async def set(self, name: str, value: str) -> None:
        self.values[name] = value


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A message of the bot, as people see it."""

    id: str
    text: str
    thread: str | None = None
    buttons: tuple[str, ...] = ()
    """Their values, in order."""
    files: tuple[bytes, ...] = ()
    reactions: tuple[str, ...] = ()


_HINT = "the rig has no method for this: write it, or put {!r} into `lacks`"


class Rig(ABC):
    """One for each test. A method is needed only for the features that the contract class does not list in `lacks`."""

    options: Mapping[str, Any]
    """Options of the platform's own that are right, secrets as `Hidden`; those that all chats have are added."""
    wrong_options: Mapping[str, Any]
    """The same with a credential that is refused."""
    refusal: str
    """Words that the platform says to it."""
    unreachable_options: Mapping[str, Any]
    """The same with an address at which nobody is."""
    secrets: tuple[str, ...] = ()
    """Texts that nobody may ever see: tokens and passwords, the wrong ones too."""
    mass_mentions: tuple[str, ...] = ()
    """Texts that would ping everybody if they were sent as they are."""

    # --- the platform

    @abstractmethod
    def platform(self, context: PlatformContext) -> Platform:
        """Return the platform under test, not yet open."""

    def context(self, folder: Path, cursor: Cursor, options: Mapping[str, Any] | None = None) -> PlatformContext:
        defaults = {option.name: () if option.repeated else option.default for option in SHARED}
        folder.mkdir(parents=True, exist_ok=True)
        return PlatformContext(
            account="contract",
            options={**defaults, **(self.options if options is None else options)},
            log=logging.getLogger("missive.contract"),
            data_dir=folder,
            cursor=cursor,
            alive=self._heard,
        )

    heard = 0
    """How often the platform has said that it is alive."""

    def _heard(self) -> None:
        self.heard += 1

    # --- people at the other side

    @abstractmethod
    async def say(
        self,
        text: str,
        *,
        direct: bool = False,
        mention: bool = False,
        thread: bool = False,
        file: tuple[str, bytes] | None = None,
    ) -> None:
        """Let a person write: always the same one, in the same channel, or directly to the bot.

        If the platform keeps nothing for those who are away, it first waits until the bot is there.
        """

    @abstractmethod
    async def shown(self) -> list[Shown]:
        """Return the bot's messages as they are now, in the order in which they were sent."""

    async def press(self, message_id: str, value: str) -> None:
        """Let the person press a button of a message."""
        raise NotImplementedError(_HINT.format("buttons"))

    async def change(self, message_id: str, text: str) -> None:
        """Let the person change a message of his own."""
        raise NotImplementedError(_HINT.format("edit-events"))

    async def is_typing(self) -> bool:
        """Return whether people have seen that the bot is writing; wait for it, if that takes its time."""
        raise NotImplementedError(_HINT.format("typing"))

    async def pinged(self) -> list[str]:
        """Return who or what was pinged by the bot's messages."""
        raise NotImplementedError(_HINT.format("mass-mentions"))

    # --- what goes wrong

    async def limit(self, retry_after: float) -> None:
        """Let the platform refuse the next message: come again after so many seconds."""
        raise NotImplementedError(_HINT.format("rate-limit"))

    async def lose_answer(self) -> None:
        """Let the platform take the next message, and break the connection instead of answering."""
        raise NotImplementedError(_HINT.format("lost-answer"))

    async def redeliver(self) -> None:
        """Let the platform deliver the last event once more."""
        raise NotImplementedError(_HINT.format("redelivery"))

    async def drop(self) -> None:
        """Cut the connection over which the platform gets its events."""
        raise NotImplementedError(_HINT.format("drop"))
