"""What the bridge has the bot do, as Discord gets it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest
from missive_chat.platform import Button, ChatError, OutgoingFile, Place
from support.chat.discord_rig import Rig, outgoing
from support.chat.fake_discord import BOB, FakeDiscord
from support.chat.fake_discord_objects import CHANNEL, DIRECT, HIDDEN

pytestmark = pytest.mark.anyio
HERE = Place(chat=str(CHANNEL))


@pytest.fixture
async def fake() -> AsyncIterator[FakeDiscord]:
    async with FakeDiscord() as server:
        yield server


@pytest.fixture
async def rig(fake: FakeDiscord, tmp_path: Path) -> AsyncIterator[Rig]:
    """A bot that has logged in, and does not listen: that is enough for sending."""
    made = Rig(fake, tmp_path)
    await made.platform.open()
    yield made
    await made.platform.close()


async def test_an_answer_is_a_reply_and_grows(rig: Rig, fake: FakeDiscord) -> None:
    question = await fake.says("?")
    sent = await rig.platform.send(outgoing("so", CHANNEL, reply_to=str(question)))
    await rig.platform.edit(HERE, sent, "so far")
    await rig.platform.edit(HERE, sent, "so far")
    await rig.platform.edit(HERE, sent, "so far so good", final=True)
    (message,) = fake.sent()
    assert (message["id"], message["content"]) == (sent, "so far so good")
    assert message["message_reference"]["message_id"] == str(question)
    assert message["flags"] & 4  # no previews of links


async def test_a_reply_to_what_was_deleted_is_a_message(rig: Rig, fake: FakeDiscord) -> None:
    question = await fake.says("?")
    await fake.deletes(question)
    await rig.platform.send(outgoing("so", CHANNEL, reply_to=str(question)))
    assert fake.said() == ["so"]


async def test_nobody_is_pinged_whatever_the_agent_says(rig: Rig, fake: FakeDiscord) -> None:
    question = await fake.says("?")
    text = f"@everyone @here <@{BOB}> <@&{CHANNEL}>"
    sent = await rig.platform.send(outgoing(text, CHANNEL, reply_to=str(question)))
    await rig.platform.edit(HERE, sent, text + "!")
    assert fake.pings == []
    assert "@everyone" not in fake.said()[0]
    assert "@here" not in fake.said()[0]


async def test_the_same_key_is_one_message_also_of_another_process(rig: Rig, fake: FakeDiscord, tmp_path: Path) -> None:
    first = await rig.platform.send(outgoing("once", CHANNEL))
    other = Rig(fake, tmp_path)
    await other.platform.open()
    assert await other.platform.send(outgoing("once", CHANNEL)) == first
    await other.platform.close()
    assert fake.said() == ["once"]


async def test_an_answer_of_502_after_it_was_taken_makes_no_second_message(rig: Rig, fake: FakeDiscord) -> None:
    fake.fail("POST /channels/200/messages", 502, after=True)
    await rig.platform.send(outgoing("once", CHANNEL))
    assert fake.said() == ["once"]
    assert len(fake.calls("POST", "/channels/200/messages")) == 2


async def test_a_connection_that_breaks_may_have_sent_it(rig: Rig, fake: FakeDiscord) -> None:
    fake.fail("POST /channels/200/messages", None, after=True)
    with pytest.raises(ChatError) as caught:
        await rig.platform.send(outgoing("once", CHANNEL))
    assert caught.value.maybe_sent
    assert not caught.value.permanent
    await rig.platform.send(outgoing("once", CHANNEL))
    assert fake.said() == ["once"]


@pytest.mark.parametrize(("retry_after", "is_global"), [(0.3, False), (75.0, False), (900.0, True)])
async def test_a_rate_limit_is_told_and_not_waited_for(
    rig: Rig, fake: FakeDiscord, retry_after: float, is_global: bool
) -> None:
    fake.limit("POST /channels/200/messages", retry_after, is_global=is_global)
    with pytest.raises(ChatError) as caught:
        await rig.platform.send(outgoing("later", CHANNEL))
    assert caught.value.retry_after == retry_after
    assert not caught.value.maybe_sent
    await rig.platform.send(outgoing("later", CHANNEL))
    assert fake.said() == ["later"]


async def test_a_bucket_that_is_used_up_is_told_before_it_is_asked(rig: Rig, fake: FakeDiscord) -> None:
    fake.bucket = (2, 60.0)
    for number in range(2):
        await rig.platform.send(outgoing(str(number), CHANNEL, key=f"{number:024x}"))
    with pytest.raises(ChatError) as caught:
        await rig.platform.send(outgoing("3", CHANNEL, key=f"{3:024x}"))
    assert caught.value.retry_after is not None
    assert 0 < caught.value.retry_after <= 60
    assert len(fake.calls("POST", "/channels/200/messages")) == 2
    await rig.platform.send(outgoing("elsewhere", DIRECT))


async def test_a_ban_before_the_api_is_told_with_its_time(rig: Rig, fake: FakeDiscord) -> None:
    fake.ban("POST /channels/200/messages", 120)
    with pytest.raises(ChatError) as caught:
        await rig.platform.send(outgoing("x", CHANNEL))
    assert caught.value.retry_after == 120


async def test_the_limit_is_one_of_characters_and_not_of_utf_16(rig: Rig, fake: FakeDiscord) -> None:
    assert rig.platform.capabilities.unit == "characters"
    await rig.platform.send(outgoing("🦞" * 2000, CHANNEL))
    with pytest.raises(ChatError, match="2000 or fewer") as caught:
        await rig.platform.send(outgoing("🦞" * 2001, CHANNEL, key="f" * 24))
    assert caught.value.permanent


@pytest.mark.parametrize(("channel", "words"), [(HIDDEN, "Missing Access"), (999, "Unknown Channel")])
async def test_where_it_cannot_be_said(rig: Rig, fake: FakeDiscord, channel: int, words: str) -> None:
    with pytest.raises(ChatError, match=words) as caught:
        await rig.platform.send(outgoing("x", channel))
    assert caught.value.permanent
    assert caught.value.help


async def test_a_name_is_no_id(rig: Rig) -> None:
    with pytest.raises(ChatError, match="'general'") as caught:
        await rig.platform.send(outgoing("x", CHANNEL, place=Place(chat="general")))
    assert "Copy Channel ID" in str(caught.value.help)


async def test_files_out(rig: Rig, fake: FakeDiscord, tmp_path: Path) -> None:
    file = tmp_path / "1"
    file.write_bytes(b"\x00report")
    with_name = OutgoingFile(path=file, name="report ü.bin")
    await rig.platform.send(outgoing("", CHANNEL, file=with_name))
    await rig.platform.send(outgoing("", CHANNEL, file=with_name))
    (message,) = fake.sent()
    assert (message["attachments"][0]["filename"], fake.file(message)) == ("report ü.bin", b"\x00report")
    file.write_bytes(bytes(10 * 1024 * 1024 + 1))
    with pytest.raises(ChatError, match="too large") as caught:
        await rig.platform.send(outgoing("", CHANNEL, key="a" * 24, file=with_name))
    assert caught.value.permanent
    file.unlink()
    with pytest.raises(ChatError, match="cannot be read") as missing:
        await rig.platform.send(outgoing("", CHANNEL, key="b" * 24, file=with_name))
    assert (missing.value.permanent, missing.value.maybe_sent) == (True, False)


async def test_files_in_also_when_their_urls_have_expired(fake: FakeDiscord, tmp_path: Path) -> None:
    rig = Rig(fake, tmp_path)
    async with rig.listening():
        await fake.says("look", files=(("data.txt", b"x" * 1000),))
        (attachment,) = (await rig.next()).attachments
        fake.expire_files()
        size = await rig.platform.download(attachment, tmp_path / "in", limit=1000)
        with pytest.raises(ChatError, match="larger than 999") as caught:
            await rig.platform.download(attachment, tmp_path / "in2", limit=999)
    assert (attachment.name, attachment.media_type, attachment.size) == ("data.txt", "text/plain", 1000)
    assert size == 1000
    assert await anyio.Path(tmp_path / "in").read_bytes() == b"x" * 1000
    assert caught.value.permanent


async def test_a_file_that_was_deleted(fake: FakeDiscord, tmp_path: Path) -> None:
    rig = Rig(fake, tmp_path)
    async with rig.listening():
        number = await fake.says("look", files=(("data.txt", b"x"),))
        (attachment,) = (await rig.next()).attachments
        await fake.deletes(number)
        with pytest.raises(ChatError, match="Unknown Message") as caught:
            await rig.platform.download(attachment, tmp_path / "in", limit=10)
    assert caught.value.permanent


async def test_reactions_take_each_others_place(rig: Rig, fake: FakeDiscord) -> None:
    number = await fake.says("?")
    await rig.platform.react(HERE, str(number), "seen", instead_of=None)
    assert fake.reactions[number] == ["👀"]
    await rig.platform.react(HERE, str(number), "done", instead_of="seen")
    assert fake.reactions[number] == ["✅"]
    await rig.platform.react(HERE, str(number), "failed", instead_of="seen")  # somebody has taken it away
    assert fake.reactions[number] == ["✅", "❌"]


async def test_typing(rig: Rig, fake: FakeDiscord) -> None:
    await rig.platform.typing(HERE)
    assert len(fake.calls("POST", "/channels/200/typing")) == 1


async def test_buttons_come_and_go(rig: Rig, fake: FakeDiscord) -> None:
    buttons = (Button(label="Approve", value="a:X:y", style="primary"), Button(label="Refuse", value="a:X:n"))
    sent = await rig.platform.send(outgoing("May I?", CHANNEL, buttons=buttons))
    (row,) = fake.sent()[0]["components"]
    assert [button["custom_id"] for button in row["components"]] == ["a:X:y", "a:X:n"]
    await rig.platform.edit(HERE, sent, "May I? …", buttons=buttons)
    assert fake.sent()[0]["components"]
    await rig.platform.edit(HERE, sent, "Approved.")
    assert fake.sent()[0]["components"] == []


async def test_a_thread_is_opened_below_a_message_once(fake: FakeDiscord, tmp_path: Path) -> None:
    rig = Rig(fake, tmp_path, threads=True)
    async with rig.listening():
        number = await fake.says("plan a trip", mention=True)
        heard = await rig.next()
        # as the bridge does where there are threads: a message in a channel begins one
        place = Place(chat=heard.place.chat, thread=heard.message_id, facts=heard.place.facts)
        await rig.platform.react(place, heard.message_id, "seen", instead_of=None)
        await rig.platform.typing(place)
        await rig.platform.send(outgoing("first", CHANNEL, place=place, reply_to=heard.message_id))
        await rig.platform.typing(place)
        restarted = Rig(fake, tmp_path, threads=True)
        await restarted.platform.open()
        second = outgoing("second", CHANNEL, key="1" * 24, place=place, reply_to=heard.message_id)
        sent = await restarted.platform.send(second)
        await restarted.platform.edit(place, sent, "the second")
        await restarted.platform.close()
        await fake.says("and then?", channel=number)
        inside = await rig.next(2)
    assert rig.platform.capabilities.threads == "flat"
    assert fake.channels[number]["name"] == "plan a trip"
    assert fake.said(number) == ["first", "the second"]
    assert fake.reactions[number] == ["👀"]
    assert fake.said(CHANNEL) == []
    assert len(fake.calls("POST", f"/channels/{number}/typing")) == 1
    assert (inside.place.chat, inside.place.thread) == (str(CHANNEL), str(number))
