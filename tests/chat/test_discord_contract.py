"""Discord holds what every platform must hold, without threads below messages and with them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, ClassVar

import anyio
import pytest
from missive_chat.platform import Platform, PlatformContext
from missive_chat.platforms.discord.platform import Discord
from missive_chat.testing import Hidden, PlatformContract, Rig, Shown
from support.chat.fake_discord import TOKEN, FakeDiscord
from support.chat.fake_discord_objects import BOT, CHANNEL, DIRECT
from support.secrets import planted

WRONG_TOKEN = "a.wrong." + planted("discord")


class DiscordRig(Rig):
    refusal = "401: Unauthorized"
    secrets = (TOKEN, WRONG_TOKEN)
    mass_mentions = ("@everyone", "@here", "<@42>")

    def __init__(self, fake: FakeDiscord, *, threads: bool) -> None:
        self.fake = fake
        self.thread: int | None = None
        self.options: Mapping[str, Any] = {
            "token": Hidden(TOKEN),
            "threads": threads,
            "commands": True,
            "api_url": fake.api_url,
            "gateway_url": fake.gateway_url,
            "group_policy": "open",
            "dm_policy": "open",
        }
        self.wrong_options = {**self.options, "token": Hidden(WRONG_TOKEN)}
        nowhere = {"api_url": "http://127.0.0.1:1/api/v10", "gateway_url": "ws://127.0.0.1:1"}
        self.unreachable_options = {**self.options, **nowhere}

    def platform(self, context: PlatformContext) -> Platform:
        return Discord(context)

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
        channel = DIRECT if direct else CHANNEL
        if thread:
            channel = self.thread = self.thread or await self.fake.opens_thread("topic")
        if not self.fake.gateway.sessions:  # at the first start what was said before does not count
            with anyio.fail_after(10):
                while not self.fake.gateway.sessions:
                    await anyio.sleep(0.01)
                await anyio.sleep(0.2)
        await self.fake.says(text, channel=channel, mention=mention, files=(file,) if file else ())

    async def shown(self) -> list[Shown]:
        numbers = sorted(
            (int(each["id"]), channel) for channel in self.fake.messages for each in self.fake.sent(channel)
        )
        return [self._shown(self.fake.messages[channel][number], channel) for number, channel in numbers]

    def _shown(self, message: dict[str, Any], channel: int) -> Shown:
        buttons = [button for row in message["components"] for button in row["components"]]
        return Shown(
            id=message["id"],
            text=message["content"],
            thread=str(channel) if self.fake.channels[channel]["type"] == 11 else None,
            buttons=tuple(button["custom_id"] for button in buttons),
            files=tuple(self.fake.file(message, number) for number in range(len(message["attachments"]))),
            reactions=tuple(self.fake.reactions.get(int(message["id"]), ())),
        )

    async def press(self, message_id: str, value: str) -> None:
        messages = [each for channel in list(self.fake.messages) for each in self.fake.sent(channel)]
        message = next(each for each in messages if each["id"] == message_id)
        buttons = [button for row in message["components"] for button in row["components"]]
        await self.fake.presses(message, next(each["label"] for each in buttons if each["custom_id"] == value))

    async def change(self, message_id: str, text: str) -> None:
        channel = next(each for each, messages in self.fake.messages.items() if int(message_id) in messages)
        await self.fake.edits_message(int(message_id), f"<@{BOT}> {text}", channel=channel)

    async def is_typing(self) -> bool:
        return bool(self.fake.calls("POST", "/channels/.*/typing"))

    async def pinged(self) -> list[str]:
        return self.fake.pings

    async def limit(self, retry_after: float) -> None:
        self.fake.limit("POST /channels/.*/messages", retry_after)

    async def lose_answer(self) -> None:
        self.fake.fail("POST /channels/.*/messages", None, after=True)

    async def redeliver(self) -> None:
        await self.fake.gateway.again("MESSAGE_CREATE")

    async def drop(self) -> None:
        await self.fake.gateway.drop()


class _Discord(PlatformContract):
    threads: ClassVar[bool]

    @pytest.fixture
    async def rig(self) -> AsyncIterator[DiscordRig]:
        async with FakeDiscord() as fake:
            yield DiscordRig(fake, threads=self.threads)


class TestDiscord(_Discord):
    lacks = frozenset({"find"})
    threads = False


class TestDiscordWithThreads(_Discord):
    lacks = frozenset({"find"})
    threads = True
