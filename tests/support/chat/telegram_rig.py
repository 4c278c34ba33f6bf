"""The fake Bot API as the contract of platforms wants it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from missive_chat.platform import Platform, PlatformContext
from missive_chat.platforms.telegram import Telegram
from missive_chat.testing import Hidden, Rig, Shown
from missive_chat.testing.running import Running
from support.chat.fake_telegram import GROUP, TOKEN, WRONG_TOKEN, FakeTelegram


def options(telegram: FakeTelegram, **more: Any) -> dict[str, Any]:
    return {"token": Hidden(TOKEN), "api_url": telegram.url, "commands": True, **more}


class TelegramRig(Rig):
    refusal = "Unauthorized"
    secrets = (TOKEN, WRONG_TOKEN, TOKEN.partition(":")[2])

    def __init__(self, telegram: FakeTelegram) -> None:
        self.telegram = telegram
        self.options: Mapping[str, Any] = options(telegram)
        self.wrong_options = {**self.options, "token": Hidden(WRONG_TOKEN)}
        self.unreachable_options = {**self.options, "api_url": "http://127.0.0.1:1"}

    def platform(self, context: PlatformContext) -> Platform:
        return Telegram(context)

    async def say(
        self,
        text: str,
        *,
        direct: bool = False,
        mention: bool = False,
        thread: bool = False,
        file: tuple[str, bytes] | None = None,
    ) -> None:
        more: dict[str, Any] = {} if file is None else {"document": self.telegram.document(*file)}
        self.telegram.say(f"@robin_bot {text}" if mention else text, chat=77 if direct else GROUP, **more)

    async def shown(self) -> list[Shown]:
        return [self._shown(message) for message in self.telegram.sent()]

    def _shown(self, message: Mapping[str, Any]) -> Shown:
        where = message["chat"]["id"], message["message_id"]
        rows = message.get("reply_markup", {}).get("inline_keyboard", ())
        return Shown(
            id=f"{where[0]}:{where[1]}",
            text=message.get("text", message.get("caption", "")),
            buttons=tuple(button["callback_data"] for row in rows for button in row),
            files=(self.telegram.files[message["document"]["file_id"]],) if "document" in message else (),
            reactions=tuple(self.telegram.reactions.get(where, ())),
        )

    def _message(self, message_id: str) -> dict[str, Any]:
        chat, _, number = message_id.partition(":")
        return self.telegram.messages[int(chat), int(number)]

    async def press(self, message_id: str, value: str) -> None:
        self.telegram.press(self._message(message_id), value)

    async def change(self, message_id: str, text: str) -> None:
        self.telegram.edit(self._message(message_id), text)

    async def is_typing(self) -> bool:
        return bool(self.telegram.actions)

    async def limit(self, retry_after: float) -> None:
        self.telegram.limits["sendMessage"] = [retry_after]

    async def lose_answer(self) -> None:
        self.telegram.loses_answer.add("sendMessage")

    async def redeliver(self) -> None:
        deadline = time.monotonic() + 10
        while not self.telegram.delivered:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)
        self.telegram.push_again(self.telegram.delivered[-1])

    async def drop(self) -> None:
        self.telegram.drop()


def bot(telegram: FakeTelegram, folder: Path, *, listens: bool = True, cursor: Any = None, **settings: Any) -> Running:
    """Return a bot at work: ``async with bot(telegram, tmp_path) as bridge``."""
    rig = TelegramRig(telegram)
    rig.options = options(telegram, **settings)
    return Running(rig, folder, listens=listens, cursor=cursor)
