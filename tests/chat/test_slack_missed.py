"""What was said while nobody listened is found, in order, and not more than that."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest
from missive_chat.platforms.slack import missed, socket_mode
from missive_chat.testing.rig import MemoryCursor
from missive_chat.testing.running import Running
from support.chat.fake_slack import BOT_USER, FakeSlack
from support.chat.slack_rig import SlackRig

pytestmark = pytest.mark.anyio


@pytest.fixture
async def slack() -> AsyncIterator[FakeSlack]:
    async with FakeSlack(ack_timeout=0.5) as slack:
        yield slack
        assert slack.faults == []


async def test_a_pause_is_made_up_for_in_order(slack: FakeSlack, tmp_path: Path) -> None:
    cursor = MemoryCursor()
    async with Running(SlackRig(slack), tmp_path, cursor=cursor) as running:
        root = await slack.say("before")
        await running.message("before")
    slack.spoken("in a thread", thread=root)
    slack.spoken(f"<@{BOT_USER}> in a channel", channel="C2")
    slack.spoken("direct", channel="D2", user="U3")
    slack.spoken("a topic", subtype="channel_topic")
    slack.spoken("ours", user=BOT_USER, bot_id="B1")
    async with Running(SlackRig(slack), tmp_path, cursor=cursor) as running:
        await running.message("direct")
        await slack.say("after")
        await running.message("after")
        new = [event for event in running.events if event.text != "before"]
    assert [event.text for event in new] == ["in a thread", "in a channel", "direct", "after"]
    assert [event.place.thread == root for event in new[:1]] == [True]
    assert new[1].mentions_me
    assert new[2].place.is_direct


async def test_the_first_time_nothing_old_is_answered(slack: FakeSlack, tmp_path: Path) -> None:
    slack.spoken("long ago")
    cursor = MemoryCursor()
    async with Running(SlackRig(slack), tmp_path, cursor=cursor) as running:
        await slack.say("hello")
        await running.message("hello")
        assert [event.text for event in running.events] == ["hello"]
    assert float(cursor.values["latest"]) == pytest.approx(running.events[0].sent_at)


async def test_what_is_older_than_max_age_stays_unread(slack: FakeSlack, tmp_path: Path) -> None:
    cursor = MemoryCursor()
    old = time.time() - 2 * 86_400
    await cursor.set("latest", f"{old - 100:.6f}")
    stamp = f"{old:.6f}"
    slack.messages["C1", stamp] = {"type": "message", "user": "U1", "text": "two days old", "ts": stamp, "team": "T1"}
    slack.spoken("fresh")
    async with Running(SlackRig(slack), tmp_path, cursor=cursor) as running:
        await running.message("fresh")
        assert [event.text for event in running.events] == ["fresh"]


async def test_many_pages_are_read(slack: FakeSlack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(missed, "PAGE", 10)
    cursor = MemoryCursor()
    await cursor.set("latest", f"{time.time() - 60:.6f}")
    for number in range(35):
        slack.spoken(f"number {number}")
    async with Running(SlackRig(slack), tmp_path, cursor=cursor) as running:
        await running.message("number 34")
        assert [event.text for event in running.events] == [f"number {number}" for number in range(35)]


async def test_what_the_scopes_let_us_see_is_found(
    slack: FakeSlack, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    slack.scopes -= {"channels:read", "groups:read"}
    slack.fail("conversations.history", "missing_scope")
    cursor = MemoryCursor()
    await cursor.set("latest", f"{time.time() - 60:.6f}")
    slack.spoken("not to be read", channel="C1")
    slack.spoken("direct", channel="D1")
    async with Running(SlackRig(slack, channels=("C1",)), tmp_path, cursor=cursor) as running:
        await running.message("direct")
        assert [event.text for event in running.events] == ["direct"]
    assert "what was said in C1 in the meantime cannot be read" in caplog.text


async def test_a_limit_while_reading_is_waited_for(slack: FakeSlack, tmp_path: Path) -> None:
    cursor = MemoryCursor()
    await cursor.set("latest", f"{time.time() - 60:.6f}")
    slack.limit("users.conversations", after=0.1)
    slack.limit("conversations.history", after=0.1, times=2)
    slack.spoken("meanwhile")
    async with Running(SlackRig(slack), tmp_path, cursor=cursor) as running:
        await running.message("meanwhile")


async def test_a_limit_that_lasts_is_said_and_holds_up_nothing(
    slack: FakeSlack, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cursor = MemoryCursor()
    await cursor.set("latest", f"{time.time() - 60:.6f}")
    slack.limit("users.conversations", after=600)
    async with Running(SlackRig(slack), tmp_path, cursor=cursor) as running:
        await slack.say("hello")
        await running.message("hello")
    assert "cannot all be read" in caplog.text


async def test_a_long_cut_is_a_pause(slack: FakeSlack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket_mode, "GAP", 0.0)
    async with Running(SlackRig(slack), tmp_path) as running:
        await slack.say("before")
        slack.spoken("never delivered")
        slack.cut()
        await running.message("never delivered")


async def test_the_position_is_not_a_commit_for_each_message(slack: FakeSlack, tmp_path: Path) -> None:
    class Counting(MemoryCursor):
        count = 0

        async def set(self, name: str, value: str) -> None:
            self.count += 1
            await super().set(name, value)

    cursor = Counting()
    async with Running(SlackRig(slack), tmp_path, cursor=cursor) as running:
        for number in range(20):
            await slack.say(f"number {number}")
        last = await running.message("number 19")
        await anyio.sleep(0)
    assert cursor.count < 6
    assert float(cursor.values["latest"]) == pytest.approx(last.sent_at)
