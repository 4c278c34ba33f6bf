"""What happens on Discord, as the bridge gets it: through the real library, from a server that speaks its wire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest
from missive_chat.platform import ChatLoginError, Place
from support.chat.discord_rig import Rig
from support.chat.fake_discord import ALICE, BOB, TOKEN, FakeDiscord
from support.chat.fake_discord_objects import BOT, BOT_ROLE, CHANNEL, DIRECT, GUILD
from support.secrets import planted

WRONG = "a.wrong." + planted("discord")

pytestmark = pytest.mark.anyio


@pytest.fixture
async def fake() -> AsyncIterator[FakeDiscord]:
    async with FakeDiscord() as server:
        yield server


@pytest.fixture
def rig(fake: FakeDiscord, tmp_path: Path) -> Rig:
    return Rig(fake, tmp_path)


async def test_a_mention_in_a_channel(rig: Rig, fake: FakeDiscord) -> None:
    async with rig.listening():
        number = await fake.says("what is the time?", mention=True)
        heard = await rig.next()
    assert (heard.text, heard.mentions_me, heard.message_id) == ("what is the time?", True, str(number))
    assert heard.place == Place(chat=str(CHANNEL))
    assert (heard.sender.id, heard.sender.name, heard.sender.is_bot, heard.sender.is_me) == (
        "42",
        "alice",
        False,
        False,
    )
    assert heard.sent_at is not None


async def test_who_is_named_is_read_by_its_name_and_we_are_left_out(rig: Rig, fake: FakeDiscord) -> None:
    async with rig.listening():
        await fake.says(f"<@&{BOT_ROLE}> ask <@!{BOB}> in <#{CHANNEL}> <:wave:123456>")
        await fake.says("nobody is named")
        await fake.says("@everyone look")
        await rig.next(3)
    named, unnamed, everyone = rig.heard
    assert (named.text, named.mentions_me) == ("ask @bob in #general :wave:", True)
    assert not unnamed.mentions_me
    assert not everyone.mentions_me


async def test_a_reply_to_us_is_told_by_its_message_and_not_by_the_ping(rig: Rig, fake: FakeDiscord) -> None:
    async with rig.listening():
        mine = await fake.says("an answer", by=BOT)
        reference = {"message_id": str(mine), "channel_id": str(CHANNEL), "guild_id": str(GUILD)}
        await fake.says("go on", message_reference=reference, type=19, referenced_message=fake.messages[CHANNEL][mine])
        heard = await rig.next()
    assert (heard.reply_to, heard.mentions_me, heard.text) == (str(mine), False, "go on")


async def test_a_direct_message(rig: Rig, fake: FakeDiscord) -> None:
    async with rig.listening():
        await fake.says("hello", channel=DIRECT)
        heard = await rig.next()
    assert heard.place == Place(chat=str(DIRECT), is_direct=True)


async def test_a_thread_is_a_thread_of_the_channel_above_it(rig: Rig, fake: FakeDiscord) -> None:
    async with rig.listening():
        known = await fake.opens_thread("known")
        unknown = await fake.opens_thread("archived until now", told=False)
        await fake.says("one", channel=known)
        await fake.says("two", channel=unknown)
        await rig.next(2)
    assert [each.place for each in rig.heard] == [
        Place(chat=str(CHANNEL), thread=str(known)),
        Place(chat=str(CHANNEL), thread=str(unknown)),
    ]


async def test_our_own_messages_are_not_heard_and_those_of_bots_are_told_apart(rig: Rig, fake: FakeDiscord) -> None:
    async with rig.listening():
        await fake.says("me", by=BOT)
        await fake.says("a bot", by=77, bot=True)
        await fake.says("a webhook", by=78, webhook_id="78")
        await fake.says("joined", type=7)
        await fake.says("a person")
        await rig.next(3)
    assert [(each.text, each.sender.is_bot) for each in rig.heard] == [
        ("a bot", True),
        ("a webhook", True),
        ("a person", False),
    ]


async def test_edits_and_deletions(rig: Rig, fake: FakeDiscord) -> None:
    async with rig.listening():
        number = await fake.says("frist", mention=True)
        await fake.unfurls(number)
        await fake.edits_message(number, f"<@{BOT}> first")
        await fake.edits_message(number, f"<@{BOT}> the first")
        await fake.deletes(number)
        others = [await fake.says("a"), await fake.says("b")]
        await fake.deletes(*others)
        await rig.next(8)
    kinds = [(each.kind, each.text) for each in rig.heard[:4]]
    assert kinds == [("message", "frist"), ("edit", "first"), ("edit", "the first"), ("delete", "")]
    assert {each.message_id for each in rig.heard[:4]} == {str(number)}
    assert [each.message_id for each in rig.heard[6:]] == [str(other) for other in others]
    assert len({each.event_id for each in rig.heard}) == 8


async def test_the_order_is_that_of_discord(rig: Rig, fake: FakeDiscord) -> None:
    async with rig.listening():
        for number in range(200):
            await fake.says(str(number))
        await rig.next(200)
    assert [each.text for each in rig.heard] == [str(number) for number in range(200)]


async def test_an_event_that_cannot_be_read_ends_nothing(rig: Rig, fake: FakeDiscord) -> None:
    async with rig.listening():
        await fake.gateway.dispatch("MESSAGE_CREATE", {"id": "x", "channel_id": None})
        await fake.gateway.dispatch("SOMETHING_NEW", {"a": 1})
        await fake.gateway.dispatch("INTERACTION_CREATE", {"id": "1"})
        await fake.presses({"channel_id": str(CHANNEL), "components": ODD_BUTTON}, "odd")
        await fake.says("still here")
        assert (await rig.next()).text == "still here"
    assert len(fake.gateway.identifies) == 1


ODD_BUTTON = [{"components": [{"label": "odd", "custom_id": "x"}]}]


async def test_a_forwarded_message_is_quoted(rig: Rig, fake: FakeDiscord) -> None:
    snapshot = {**fake_message("first\nsecond"), "type": 0}
    async with rig.listening():
        await fake.says("look", message_snapshots=[{"message": snapshot}])
        assert (await rig.next()).text == "look\n\n> first\n> second"


def fake_message(content: str) -> dict[str, object]:
    return {"content": content, "timestamp": "2026-01-01T00:00:00+00:00", "edited_timestamp": None, "flags": 0} | {
        "attachments": [],
        "embeds": [],
        "mentions": [],
        "components": [],
    }


async def test_without_the_privileged_intent_the_cause_is_named(rig: Rig, fake: FakeDiscord) -> None:
    fake.gateway.privileged = False
    await rig.platform.open()
    try:
        with pytest.raises(ChatLoginError, match="4014 Disallowed intents") as caught:
            await rig.platform.listen(rig.receive)
    finally:
        await rig.platform.close()
    assert "Message Content Intent" in str(caught.value.help)


async def test_a_wrong_token_is_told_at_once_and_not_shown(fake: FakeDiscord, tmp_path: Path) -> None:
    rig = Rig(fake, tmp_path, token=WRONG)
    with pytest.raises(ChatLoginError, match="401: Unauthorized") as caught:
        await rig.platform.open()
    await rig.platform.close()
    assert WRONG not in repr(caught.value) + str(caught.value.help)


async def test_a_token_that_is_revoked_ends_listening(rig: Rig, fake: FakeDiscord) -> None:
    await rig.platform.open()
    fake.gateway.token = "another"
    try:
        with pytest.raises(ChatLoginError, match="4004 Authentication failed"):
            await rig.platform.listen(rig.receive)
    finally:
        await rig.platform.close()


async def test_nothing_is_left_running(rig: Rig, fake: FakeDiscord) -> None:
    await fake.says("warm up", deaf=True)
    before = asyncio.all_tasks()
    async with rig.listening():
        await fake.says("hello")
        await rig.next()
        own = {task for task in asyncio.all_tasks() - before if "_handler" not in repr(task)}
        assert own
    await anyio.sleep(0)
    left = {task for task in asyncio.all_tasks() - before if not task.done() and "RequestHandler" not in repr(task)}
    assert left == set()
    await rig.platform.close()


async def test_two_accounts_in_one_process(fake: FakeDiscord, tmp_path: Path) -> None:
    async with FakeDiscord() as other:
        one, two = Rig(fake, tmp_path), Rig(other, tmp_path)
        async with one.listening(), two.listening():
            await fake.says("to one")
            await other.says("to two", by=ALICE)
            assert (await one.next()).text == "to one"
            assert (await two.next()).text == "to two"
            assert len(one.heard) == len(two.heard) == 1
    assert TOKEN not in repr(one.platform.__dict__)
