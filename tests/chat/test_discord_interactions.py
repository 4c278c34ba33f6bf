"""Buttons and slash commands: acknowledged within Discord's three seconds, whatever the bridge is doing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest
from missive_chat.platform import Button, Outgoing, Place, Press
from support.chat.discord_rig import Rig, outgoing
from support.chat.fake_discord import ALICE, BOB, FakeDiscord
from support.chat.fake_discord_objects import CHANNEL, DIRECT

pytestmark = pytest.mark.anyio
BUTTONS = (
    Button(label="Approve", value="a:X:y", style="primary"),
    Button(label="Refuse", value="a:X:n", style="danger"),
)


@pytest.fixture
async def fake() -> AsyncIterator[FakeDiscord]:
    async with FakeDiscord() as server:
        yield server


async def test_a_press_also_of_a_message_from_before_a_restart(fake: FakeDiscord, tmp_path: Path) -> None:
    sender = Rig(fake, tmp_path)
    await sender.platform.open()
    sent = await sender.platform.send(outgoing("May I?", CHANNEL, buttons=BUTTONS))
    await sender.platform.close()
    rig = Rig(fake, tmp_path)
    async with rig.listening():
        number = await fake.presses(fake.sent()[0], "Approve", by=BOB)
        heard = await rig.next()
    assert (heard.kind, heard.press, heard.message_id) == ("press", Press(value="a:X:y", message_id=sent), sent)
    assert (heard.sender.id, heard.place.chat, heard.place.is_direct) == (str(BOB), str(CHANNEL), False)
    assert fake.acknowledged[number] == {"type": 6}


async def test_a_press_is_acknowledged_while_the_bridge_is_busy(fake: FakeDiscord, tmp_path: Path) -> None:
    rig = Rig(fake, tmp_path)
    async with rig.listening():
        await rig.platform.send(outgoing("May I?", CHANNEL, buttons=BUTTONS))
        rig.hold = anyio.Event()
        await fake.says("something long")
        number = await fake.presses(fake.sent()[0], "Refuse")
        await rig.until(lambda: number in fake.acknowledged)
        assert rig.heard == []
        rig.hold.set()
        rig.hold = None
        assert (await rig.next(2)).kind == "press"


async def test_a_press_that_is_replayed_has_the_same_id(fake: FakeDiscord, tmp_path: Path) -> None:
    rig = Rig(fake, tmp_path)
    async with rig.listening():
        await rig.platform.send(outgoing("May I?", CHANNEL, buttons=BUTTONS))
        await fake.presses(fake.sent()[0], "Approve")
        await rig.next()
        await fake.gateway.again("INTERACTION_CREATE")
        await fake.says("after")
        await rig.next(2)
    assert [each.kind for each in rig.heard] == ["press", "message"]
    assert len(fake.calls("POST", "/interactions/.*")) == 2


async def test_a_press_that_is_told_too_late_counts(fake: FakeDiscord, tmp_path: Path) -> None:
    fake.ack_seconds = -1
    rig = Rig(fake, tmp_path)
    async with rig.listening():
        await rig.platform.send(outgoing("May I?", CHANNEL, buttons=BUTTONS))
        await fake.presses(fake.sent()[0], "Approve")
        assert (await rig.next()).press == Press(value="a:X:y", message_id=fake.sent()[0]["id"])


async def test_an_answer_to_a_press_is_seen_by_its_sender_alone(fake: FakeDiscord, tmp_path: Path) -> None:
    rig = Rig(fake, tmp_path)
    async with rig.listening():
        await rig.platform.send(outgoing("May I?", CHANNEL, buttons=BUTTONS))
        await fake.presses(fake.sent()[0], "Approve", by=BOB)
        heard = await rig.next()
        await rig.platform.send(Outgoing(key="1" * 24, place=heard.place, text="You may not. @everyone"))
    (whisper,) = fake.whispers
    assert (whisper["to"], whisper["flags"] & 64) == (str(BOB), 64)
    assert fake.pings == []
    assert fake.said() == ["May I?"]


async def test_an_answer_that_comes_too_late_for_that_is_a_message(fake: FakeDiscord, tmp_path: Path) -> None:
    rig = Rig(fake, tmp_path)
    async with rig.listening():
        await rig.platform.send(outgoing("May I?", CHANNEL, buttons=BUTTONS))
        await fake.presses(fake.sent()[0], "Approve", by=BOB)
        heard = await rig.next()
        fake.forget_interactions()
        await rig.platform.send(Outgoing(key="1" * 24, place=heard.place, text="You may not."))
    assert fake.said() == ["May I?", "You may not."]


async def test_slash_commands_are_registered_once_and_others_are_left_alone(fake: FakeDiscord, tmp_path: Path) -> None:
    fake.registered["other"] = {"id": "1", "name": "other", "description": "of somebody else", "type": 1}
    for _ in range(2):
        async with Rig(fake, tmp_path, commands=True).listening():
            pass
    assert {"other", "help", "agent", "new", "stop", "status", "approve", "refuse"} == set(fake.registered)
    assert len(fake.calls("POST", "/applications/9001/commands")) == 7


async def test_a_slash_command_is_a_message(fake: FakeDiscord, tmp_path: Path) -> None:
    rig = Rig(fake, tmp_path, commands=True)
    async with rig.listening():
        number = await fake.commands("agent", "writer` @everyone", by=ALICE)
        heard = await rig.next()
        await rig.platform.send(Outgoing(key="1" * 24, place=heard.place, text="ok", reply_to=heard.message_id))
        await fake.commands("new", channel=DIRECT)
        direct = await rig.next(2)
    assert rig.platform.capabilities.command_prefix == "/"
    assert (heard.kind, heard.text, heard.mentions_me) == ("message", "/agent writer` @everyone", True)
    assert (direct.text, direct.place.is_direct) == ("/new", True)
    shown, answer = fake.sent()
    assert fake.acknowledged[number]["type"] == 4
    assert (shown["content"], heard.message_id) == ("`/agent writer @everyone`", shown["id"])
    assert answer["message_reference"]["message_id"] == shown["id"]
    assert fake.pings == []


async def test_the_answer_to_a_slash_command_opens_no_thread(fake: FakeDiscord, tmp_path: Path) -> None:
    rig = Rig(fake, tmp_path, commands=True, threads=True)
    async with rig.listening():
        await fake.commands("help")
        heard = await rig.next()
        place = Place(chat=heard.place.chat, thread=heard.message_id, facts=heard.place.facts)
        await rig.platform.react(place, heard.message_id, "done", instead_of=None)
        await rig.platform.send(outgoing("help", CHANNEL, place=place, reply_to=heard.message_id))
    assert fake.said()[-1] == "help"


async def test_without_slash_commands_nothing_is_registered(fake: FakeDiscord, tmp_path: Path) -> None:
    rig = Rig(fake, tmp_path, commands=False)
    async with rig.listening():
        pass
    assert rig.platform.capabilities.command_prefix == "!"
    assert fake.registered == {}


async def test_commands_that_cannot_be_registered_stop_nothing(
    fake: FakeDiscord, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fake.limit("GET /applications/9001/commands", 3600)
    rig = Rig(fake, tmp_path, commands=True)
    async with rig.listening():
        await fake.says("!help")
        await rig.next()
    assert "registering the slash commands" in caplog.text
