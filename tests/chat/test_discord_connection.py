"""What happens between the bot and Discord: sockets that drop or freeze, sessions that end, and what was said then."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import anyio
import discord
import pytest
from missive_chat.platform import ChatError
from missive_chat.platforms.discord import connection, history
from support.chat.discord_rig import Notes, Rig
from support.chat.fake_discord import FakeDiscord
from support.chat.fake_discord_objects import BOT, CHANNEL, DIRECT

pytestmark = pytest.mark.anyio


@pytest.fixture
async def fake() -> AsyncIterator[FakeDiscord]:
    async with FakeDiscord() as server:
        yield server


@pytest.mark.parametrize("how", ["dropped", "closed", "told to"])
async def test_a_connection_that_ends_is_resumed_and_nothing_is_missed(
    fake: FakeDiscord, tmp_path: Path, how: str
) -> None:
    rig = Rig(fake, tmp_path)
    async with rig.listening():
        before = await fake.says("before")
        await rig.next()
        match how:
            case "dropped":
                await fake.gateway.drop()
            case "closed":
                await fake.gateway.drop(code=4000)
            case _:
                await fake.gateway.order(7)
                await rig.until(lambda: not fake.gateway.online or fake.gateway.resumes)
        during = await fake.says("during")
        await rig.next(2)
        after = await fake.says("after")
        await rig.next(3)
    assert [each.message_id for each in rig.heard] == [str(before), str(during), str(after)]
    assert len(fake.gateway.identifies) == 1
    assert len(fake.gateway.resumes) == 1


async def test_an_event_that_comes_again_has_the_same_id(fake: FakeDiscord, tmp_path: Path) -> None:
    rig = Rig(fake, tmp_path)
    async with rig.listening():
        await fake.says("once")
        await rig.next()
        await fake.gateway.again("MESSAGE_CREATE")
        await fake.says("twice")
        await rig.next(2)
    assert [each.text for each in rig.heard] == ["once", "twice"]
    assert len(rig.deliveries) == 3


async def test_a_frozen_peer_is_left(fake: FakeDiscord, tmp_path: Path) -> None:
    fake.gateway.heartbeat_ms = 200
    rig = Rig(fake, tmp_path, heartbeat_timeout=0.6)
    async with rig.listening():
        await fake.says("before")
        await rig.next()
        fake.gateway.freeze()
        await fake.says("while it was frozen")
        assert (await rig.next(2)).text == "while it was frozen"
    assert fake.gateway.resumes


async def test_pongs_are_signs_of_life(fake: FakeDiscord, tmp_path: Path) -> None:
    fake.gateway.heartbeat_ms = 50
    rig = Rig(fake, tmp_path)
    async with rig.listening():
        known = rig.alive
        await rig.until(lambda: rig.alive > known + 3)
    assert rig.heard == []


async def test_a_void_session_begins_anew_and_what_was_missed_is_fetched(fake: FakeDiscord, tmp_path: Path) -> None:
    rig = Rig(fake, tmp_path)
    async with rig.listening():
        await fake.says("before")
        await rig.next()
        await fake.says("missed", deaf=True)
        await fake.gateway.order(9, data=False)
        assert (await rig.next(2)).text == "missed"
        await rig.until(lambda: len(fake.gateway.identifies) == 2)
        await fake.says("after")
        await rig.next(3)
    assert [each.text for each in rig.heard] == ["before", "missed", "after"]


async def test_after_a_restart_what_was_missed_is_fetched_everywhere(fake: FakeDiscord, tmp_path: Path) -> None:
    notes = Notes()
    await fake.says("before the first start", deaf=True)
    fake.age_by(3600)
    first = Rig(fake, tmp_path, notes)
    async with first.listening():
        await fake.says("hello", channel=DIRECT)
        thread = await fake.opens_thread("topic")
        await first.next()
    for number in range(250):
        await fake.says(str(number), deaf=True)
    await fake.says("direct", channel=DIRECT, deaf=True)
    await fake.says("topic", channel=thread, deaf=True)
    await fake.says("mine", by=BOT, deaf=True)
    second = Rig(fake, tmp_path, notes)
    second.heard += first.heard
    async with second.listening():
        await second.next(1 + 252)
        await fake.says("live")
        assert (await second.next(1 + 253)).text == "live"
    texts = [each.text for each in second.heard[1:-1]]
    assert [text for text in texts if text.isdecimal()] == [str(number) for number in range(250)]
    assert {"direct", "topic"} < set(texts)
    assert "before the first start" not in texts
    assert "mine" not in texts


async def test_only_channels_that_are_answered_in_are_fetched(fake: FakeDiscord, tmp_path: Path) -> None:
    notes = Notes()
    async with Rig(fake, tmp_path, notes).listening():
        pass
    await fake.says("missed", deaf=True)
    rig = Rig(fake, tmp_path, notes, group_policy="allowlist", channels=["1"])
    async with rig.listening():
        await fake.says("live")
        await rig.next()
    assert [each.text for each in rig.heard] == ["live"]
    assert fake.calls("GET", "/channels/.*/messages") == []


async def test_what_is_too_old_is_not_fetched(fake: FakeDiscord, tmp_path: Path) -> None:
    notes = Notes()
    async with Rig(fake, tmp_path, notes).listening():
        pass
    await fake.says("two days old", deaf=True)
    fake.age_by(2 * 86_400)
    notes.values[history.POSITION] = str(int(notes.values[history.POSITION]) - (3 * 86_400_000 << 22))
    await fake.says("young", deaf=True)
    rig = Rig(fake, tmp_path, notes)
    async with rig.listening():
        await rig.next()
        await fake.says("live")
        await rig.next(2)
    assert [each.text for each in rig.heard] == ["young", "live"]


async def test_a_limit_while_fetching_is_waited_for(fake: FakeDiscord, tmp_path: Path) -> None:
    notes = Notes()
    async with Rig(fake, tmp_path, notes).listening():
        pass
    await fake.says("missed", deaf=True)
    fake.limit("GET /channels/200/messages", 0.2)
    rig = Rig(fake, tmp_path, notes)
    async with rig.listening():
        assert (await rig.next()).text == "missed"


async def test_what_could_not_be_fetched_is_not_forgotten(fake: FakeDiscord, tmp_path: Path) -> None:
    notes = Notes()
    async with Rig(fake, tmp_path, notes).listening():
        pass
    await fake.says("missed", deaf=True)
    position = notes.values[history.POSITION]
    fake.fail("GET /channels/200/messages", None, times=3)
    rig = Rig(fake, tmp_path, notes)
    await rig.platform.open()
    with pytest.raises(ChatError, match="fetching what was missed"):
        await rig.platform.listen(rig.receive)
    await rig.platform.close()
    assert notes.values[history.POSITION] == position
    again = Rig(fake, tmp_path, notes)
    fake.heal()
    async with again.listening():
        assert (await again.next()).text == "missed"


async def test_the_position_is_written_after_what_it_stands_for(fake: FakeDiscord, tmp_path: Path) -> None:
    rig = Rig(fake, tmp_path)
    async with rig.listening():
        known = rig.notes.values[history.POSITION]
        rig.hold = anyio.Event()
        number = await fake.says("wait")
        await fake.says("wait, too")
        await rig.until(lambda: len(fake.gateway.online[0].sent) >= 4)
        await anyio.sleep(0.05)
        assert rig.notes.values[history.POSITION] == known
        rig.hold.set()
        rig.hold = None
        await rig.next(2)
        await rig.until(lambda: int(rig.notes.values[history.POSITION]) >= number)


async def test_a_server_that_is_gone_is_told_after_some_attempts(
    fake: FakeDiscord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "ATTEMPTS", 3)
    rig = Rig(fake, tmp_path)
    await rig.platform.open()
    fake.gateway.refuse_connections = True
    with pytest.raises(ChatError, match="3 attempts failed"):
        await rig.platform.listen(rig.receive)
    await rig.platform.close()


async def test_a_bridge_without_room_holds_the_reader(fake: FakeDiscord, tmp_path: Path) -> None:
    rig = Rig(fake, tmp_path)
    async with rig.listening():
        rig.hold = anyio.Event()
        for number in range(2000):
            await fake.says(str(number), channel=CHANNEL)
        assert rig.heard == []
        rig.hold.set()
        rig.hold = None
        await rig.next(2000)
    assert [each.text for each in rig.heard] == [str(number) for number in range(2000)]


async def test_the_position_is_one_of_discords_clock(fake: FakeDiscord, tmp_path: Path) -> None:
    fake.gateway.date = "Thu, 01 Jan 2026 00:00:00 GMT"  # months before that of this machine
    rig = Rig(fake, tmp_path)
    async with rig.listening():
        pass
    position = discord.utils.snowflake_time(int(rig.notes.values[history.POSITION]))
    assert abs((position - datetime(2026, 1, 1, tzinfo=UTC)).total_seconds()) < 60
