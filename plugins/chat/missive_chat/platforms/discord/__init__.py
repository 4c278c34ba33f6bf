"""Discord: a bot in servers and in direct messages, over the gateway's socket, by discord.py.

========================  ==================================================================================
`client`                  the library's client, bent to our needs: other endpoints, no waiting in secret
`connection`              the socket: connecting, resuming, and giving up
`inbound`                 messages, edits, deletions, presses and slash commands become `Inbound`
`history`                 what was said while we were away
`outbound`                an `Outgoing` becomes a call; their errors become ours
`rendering`               Markdown as Discord shows it
`doctor`                  what ``missive chat doctor`` looks at
`platform`                the `Platform`, which joins them
========================  ==================================================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING

# here, and not in `adapter`: while a factory is looked up, a library that is missing is told with what to install
from missive_chat.platforms.discord.platform import Discord

if TYPE_CHECKING:
    from missive_chat.adapter import ChatAdapter
    from missive_host.protocols import AdapterContext


def adapter(context: AdapterContext) -> ChatAdapter:
    """Make the adapter."""
    from missive_chat.adapter import ChatAdapter

    return ChatAdapter(context, Discord)
