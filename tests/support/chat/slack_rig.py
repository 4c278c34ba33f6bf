"""The fake Slack as the other side of the contract that every platform holds, and what its own tests begin with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
from missive_chat.platform import Cursor, Platform, PlatformContext
from missive_chat.platforms.slack.platform import SlackPlatform
from missive_chat.testing import Hidden, Rig, Shown
from support.chat.fake_slack import APP_TOKEN, BOT_ID, BOT_TOKEN, BOT_USER, SIGNING_SECRET, FakeSlack, buttons, shown
from support.secrets import planted

from missive_host.protocols import Listener

WRONG_TOKEN = "xoxb-" + planted("wrong")

EMOJI = {"eyes", "white_check_mark", "x"}


def slack_options(slack: FakeSlack, **more: Any) -> dict[str, Any]:
    """The options as the host hands them over."""
    return {
        "bot_token": Hidden(BOT_TOKEN),
        "app_token": Hidden(APP_TOKEN),
        "signing_secret": None,
        "mode": "socket",
        "native_streams": True,
        "ping_interval": 0.5,
        "api_url": slack.api_url,
        **more,
    }


class SlackRig(Rig):
    refusal = "invalid_auth"
    secrets = (BOT_TOKEN, APP_TOKEN, SIGNING_SECRET, WRONG_TOKEN)
    mass_mentions = ("<!channel>", "<!here|here>", "<!everyone>", "@everyone", "@here", "<!subteam^S123|@team>")
    direct_channel, channel = "D1", "C1"

    def __init__(self, slack: FakeSlack, **more: Any) -> None:
        self.slack = slack
        self.options: Mapping[str, Any] = slack_options(slack, **more)
        self.wrong_options = {**self.options, "bot_token": Hidden(WRONG_TOKEN)}
        self.unreachable_options = {**self.options, "api_url": "http://127.0.0.1:9/api/"}
        self.listener: Listener | None = None
        self.last: dict[str, Any] = {}
        self.root: str | None = None

    def context(self, folder: Path, cursor: Cursor, options: Mapping[str, Any] | None = None) -> PlatformContext:
        return replace(super().context(folder, cursor, options), listener=self.listener)

    def platform(self, context: PlatformContext) -> Platform:
        return SlackPlatform(context)

    async def say(
        self,
        text: str,
        *,
        direct: bool = False,
        mention: bool = False,
        thread: bool = False,
        reply_to: str | None = None,
        file: tuple[str, bytes] | None = None,
    ) -> None:
        channel = self.direct_channel if direct else self.channel
        if thread and self.root is None:
            self.root = self.slack.spoken("the root of a thread", channel=channel, user="U7")["ts"]
        files = () if file is None else (self.slack.add_file(file[0], file[1]),)
        said = f"<@{BOT_USER}> {text}" if mention else text
        event = self.slack.spoken(
            said, channel=channel, thread=reply_to or (self.root if thread else None), files=files
        )
        self.last = self.slack.event(event)
        await self.slack.deliver("events_api", self.last)

    async def shown(self) -> list[Shown]:
        found = []
        for (channel, ts), message in sorted(self.slack.messages.items()):
            if message.get("bot_id") != BOT_ID:
                continue
            found.append(
                Shown(
                    id=ts,
                    text=shown(message),
                    thread=message.get("thread_ts"),
                    buttons=tuple(buttons(message)),
                    files=tuple(self.slack.files[file["id"]]["content"] for file in message.get("files", ())),
                    reactions=self._reactions(channel, ts),
                )
            )
        return found

    def _reactions(self, channel: str, ts: str) -> tuple[str, ...]:
        return tuple(name for chat, at, name in sorted(self.slack.reactions) if (chat, at) == (channel, ts))

    def _channel_of(self, message_id: str) -> str:
        return next(channel for channel, ts in self.slack.messages if ts == message_id)

    async def press(self, message_id: str, value: str) -> None:
        await self.slack.press(self._channel_of(message_id), message_id, value)

    async def change(self, message_id: str, text: str) -> None:
        await self.slack.edited(self._channel_of(message_id), message_id, text)

    async def is_typing(self) -> bool:
        return bool(self.slack.statuses)

    async def pinged(self) -> list[str]:
        found = []
        for message in self.slack.of(self.channel) + self.slack.of(self.direct_channel):
            for text in (shown(message), str(message.get("text", ""))):
                found += [mention for mention in self.mass_mentions if mention in text]
        return found

    async def limit(self, retry_after: float) -> None:
        for method in ("chat.postMessage", "chat.startStream"):
            self.slack.limit(method, after=retry_after)

    async def lose_answer(self) -> None:
        self.slack.lose_answer("chat.postMessage")

    async def redeliver(self) -> None:
        await self.slack.attempt("events_api", self.last, attempt=1)

    async def drop(self) -> None:
        while not self.slack.sockets:
            await anyio.sleep(0.01)
        self.slack.cut()
