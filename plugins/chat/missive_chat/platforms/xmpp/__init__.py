"""XMPP: direct messages and rooms (MUC) of one account, with the archive (MAM) for what was missed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from missive_chat.adapter import ChatAdapter
    from missive_host.protocols import AdapterContext


def adapter(context: AdapterContext) -> ChatAdapter:
    """Make the adapter ``xmpp``."""
    import slixmpp  # noqa: F401 - if it is missing, now is the time to say so

    from missive_chat.adapter import ChatAdapter
    from missive_chat.platforms.xmpp.client import XmppPlatform

    return ChatAdapter(context, XmppPlatform)
