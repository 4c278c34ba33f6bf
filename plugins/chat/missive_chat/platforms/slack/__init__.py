"""Slack: Socket Mode, or signed requests on the gateway's listener. Its library is imported when it is opened."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from missive_chat.adapter import ChatAdapter
    from missive_host.protocols import AdapterContext


def adapter(context: AdapterContext) -> ChatAdapter:
    import slack_sdk.web.async_client  # noqa: F401 - what is missing is told when the adapter is made

    from missive_chat.adapter import ChatAdapter
    from missive_chat.platforms.slack.platform import SlackPlatform

    return ChatAdapter(context, SlackPlatform)
