"""What ``missive chat doctor`` finds out about a bot, and says to do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from missive_chat.platform import ChatError, Check
from support.chat.discord_rig import Rig
from support.chat.fake_discord import TOKEN, FakeDiscord
from support.chat.fake_discord_objects import CHANNEL, HIDDEN

from missive_host.errors import ConfigError

pytestmark = pytest.mark.anyio


@pytest.fixture
async def fake() -> AsyncIterator[FakeDiscord]:
    async with FakeDiscord() as server:
        yield server


async def _checks(fake: FakeDiscord, folder: Path, **options: Any) -> dict[str, Check]:
    rig = Rig(fake, folder, **options)
    await rig.platform.open()
    try:
        found = await rig.platform.check()
    finally:
        await rig.platform.close()
    assert TOKEN not in repr(found)
    return {check.id: check for check in found}


async def test_all_is_well(fake: FakeDiscord, tmp_path: Path) -> None:
    found = await _checks(fake, tmp_path, channels=[str(CHANNEL)], threads=True)
    assert {name: check.status for name, check in found.items()} == dict.fromkeys(
        ("token", "intents", "socket", "servers", "channel:200", "clock"), "ok"
    )
    assert "#general (200) in Guild" in found["channel:200"].message


async def test_the_intent_is_off(fake: FakeDiscord, tmp_path: Path) -> None:
    fake.flags = 0
    found = await _checks(fake, tmp_path)
    assert found["intents"].status == "fail"
    assert "applications/9001/bot" in str(found["intents"].fix)


async def test_interactions_go_elsewhere(fake: FakeDiscord, tmp_path: Path) -> None:
    fake.interactions_url = "https://example.org/discord"
    assert (await _checks(fake, tmp_path))["interactions"].status == "fail"


async def test_the_bot_is_nowhere(fake: FakeDiscord, tmp_path: Path) -> None:
    fake.in_server = False
    check = (await _checks(fake, tmp_path))["servers"]
    assert check.status == "warn"
    assert "client_id=9001&scope=bot+applications.commands&permissions=" in str(check.fix)


@pytest.mark.parametrize(
    ("channel", "words"),
    [(str(HIDDEN), "Missing Access"), ("999", "Unknown Channel"), ("general", "not an id"), ("300", "direct")],
)
async def test_a_channel_that_cannot_be_used(fake: FakeDiscord, tmp_path: Path, channel: str, words: str) -> None:
    check = (await _checks(fake, tmp_path, channels=[channel]))[f"channel:{channel}"]
    assert check.status in ("fail", "warn")
    assert words in check.message
    assert check.fix


async def test_permissions_that_are_missing_are_named(fake: FakeDiscord, tmp_path: Path) -> None:
    fake.permissions = (1 << 10) | (1 << 11)  # to see, and to write
    check = (await _checks(fake, tmp_path, channels=[str(CHANNEL)], threads=True))["channel:200"]
    assert check.status == "fail"
    assert "Read Message History, Attach Files, Add Reactions, Create Public Threads" in check.message


async def test_the_clock_is_wrong(fake: FakeDiscord, tmp_path: Path) -> None:
    fake.gateway.date = "Thu, 01 Jan 2026 00:00:00 GMT"
    check = (await _checks(fake, tmp_path))["clock"]
    assert check.status == "fail"
    assert "ahead of Discord's" in check.message


async def test_discord_does_not_answer(fake: FakeDiscord, tmp_path: Path) -> None:
    rig = Rig(fake, tmp_path)
    await rig.platform.open()
    fake.fail("GET /gateway/bot", None, times=2)  # the HTTP client itself tries a GET again
    found = {check.id: check for check in await rig.platform.check()}
    await rig.platform.close()
    assert found["api"].status == "fail"


async def test_what_is_not_discord_is_told(fake: FakeDiscord, tmp_path: Path) -> None:
    rig = Rig(fake, tmp_path, api_url=f"{fake.base}/nowhere")
    with pytest.raises(ChatError, match="404"):
        await rig.platform.open()
    await rig.platform.close()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"api_url": "http://example.org/api"}, "`api_url` must be https"),
        ({"gateway_url": "ws://example.org"}, "`gateway_url` must be wss"),
        ({"gateway_url": "https://example.org"}, "`gateway_url` is not a URL of wss"),
    ],
)
async def test_a_token_is_sent_to_nobody_in_the_clear(
    fake: FakeDiscord, tmp_path: Path, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        Rig(fake, tmp_path, **options)
