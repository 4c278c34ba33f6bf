"""IRC: channels and private messages of one nick, with IRCv3 where the server has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from missive_chat.adapter import ChatAdapter
    from missive_host.protocols import AdapterContext


def adapter(context: AdapterContext) -> ChatAdapter:
    """Make the adapter ``irc``."""
    from missive_chat.adapter import ChatAdapter
    from missive_chat.platforms.irc.client import IrcPlatform

    return ChatAdapter(context, IrcPlatform)
