"""Telegram, by way of the Bot API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from missive_chat.platforms.telegram.platform import Telegram

if TYPE_CHECKING:
    from missive_chat.adapter import ChatAdapter
    from missive_host.protocols import AdapterContext

__all__ = ["Telegram", "adapter"]


def adapter(context: AdapterContext) -> ChatAdapter:
    """Return the adapter around a bot."""
    from missive_chat.adapter import ChatAdapter

    return ChatAdapter(context, Telegram)
