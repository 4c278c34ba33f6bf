"""What people do in Telegram, and what the bridge gets of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from missive_chat.platform import Button, ChatError, ChatLoginError, Inbound, Outgoing, Place
from missive_chat.testing.rig import MemoryCursor
from missive_chat.testing.running import Running
from support.chat.fake_telegram import ANN, GROUP, FakeTelegram, Refused
from support.chat.telegram_rig import bot

DIRECT = Place(chat="77", is_direct=True)


@pytest.fixture
def telegram() -> Iterator[FakeTelegram]:
    with FakeTelegram() as fake:
        yield fake


async def heard(telegram: FakeTelegram, tmp_path: Path, text: str | None, **more: Any) -> Inbound:
    """Return what the bridge gets of one message."""
    async with bot(telegram, tmp_path) as bridge:
        telegram.say(text, **more)
        return await bridge.event("the message", lambda event: True)


async def all_of(telegram: FakeTelegram, tmp_path: Path) -> list[Inbound]:
    """Return what the bridge gets of what waits, up to a last message that is said here."""
    async with bot(telegram, tmp_path) as bridge:
        telegram.say("the last one")
        await bridge.message("the last one")
        return bridge.events[:-1]


# --- places


async def test_a_private_chat_a_group_and_a_topic(telegram: FakeTelegram, tmp_path: Path) -> None:
    telegram.say("one")
    telegram.say("two", chat=-4001)
    telegram.say("three", chat=GROUP)
    telegram.say("four", chat=GROUP, message_thread_id=9, is_topic_message=True)
    telegram.say("five", chat=GROUP, message_thread_id=3)  # a reply in a group without topics
    events = await all_of(telegram, tmp_path)
    assert [(event.text, event.place.chat, event.place.is_direct, event.place.thread) for event in events] == [
        ("one", "77", True, None),
        ("two", "-4001", False, None),
        ("three", str(GROUP), False, None),
        ("four", str(GROUP), False, "9"),
        ("five", str(GROUP), False, None),
    ]
    assert len({event.message_id for event in events}) == 5


async def test_ids_of_messages_of_two_chats_are_never_the_same(telegram: FakeTelegram, tmp_path: Path) -> None:
    """Telegram counts messages in each chat by itself."""
    first = telegram.message("here")
    second = {**telegram.message("there", chat=GROUP), "message_id": first["message_id"]}
    telegram.push(message=first)
    telegram.push(message=second)
    here, there = await all_of(telegram, tmp_path)
    assert here.message_id != there.message_id


async def test_posts_in_channels_and_what_only_the_service_says_are_nothing(
    telegram: FakeTelegram, tmp_path: Path
) -> None:
    telegram.say(None, chat=GROUP, new_chat_members=[ANN])
    telegram.say(None, chat=GROUP, pinned_message={"message_id": 1})
    post = telegram.message("a post")
    telegram.push(message={**post, "chat": {"id": -1005, "type": "channel", "title": "News"}})
    telegram.push(poll={"id": "1"})
    assert await all_of(telegram, tmp_path) == []


# --- who


async def test_who_wrote(telegram: FakeTelegram, tmp_path: Path) -> None:
    event = await heard(telegram, tmp_path, "hello")
    assert (event.sender.id, event.sender.name, event.sender.is_bot, event.sender.is_me) == (
        "77",
        "Ann Lee",
        False,
        False,
    )
    assert event.sent_at is not None
    assert abs(event.sent_at - time.time()) < 60


async def test_bots_the_bot_itself_and_what_is_made_by_way_of_one(telegram: FakeTelegram, tmp_path: Path) -> None:
    other = {"id": 5, "is_bot": True, "first_name": "Other"}
    telegram.say("I am a robot", chat=GROUP, user=other)
    telegram.say("I am you", chat=GROUP, user=telegram.me)
    telegram.say("a cat", chat=GROUP, via_bot={"id": 6, "is_bot": True, "username": "cat_bot"})
    telegram.say("news", chat=GROUP, is_automatic_forward=True, sender_chat={"id": -1007, "title": "News"})
    robot, me, cat, news = await all_of(telegram, tmp_path)
    assert robot.sender.is_bot
    assert not robot.sender.is_me
    assert me.sender.is_me
    assert cat.automatic == "made by the bot @cat_bot"
    assert news.automatic is not None
    assert news.sender.id == "-1007"


async def test_an_administrator_who_hides_behind_the_group(telegram: FakeTelegram, tmp_path: Path) -> None:
    """Telegram says that a bot of its own wrote; what it vouches for is the group."""
    anonymous = {"id": 1087968824, "is_bot": True, "first_name": "Group"}
    event = await heard(
        telegram, tmp_path, "hello", chat=GROUP, user=anonymous, sender_chat={"id": GROUP, "title": "The group"}
    )
    assert event.sender.id == str(GROUP)
    assert not event.sender.is_bot


# --- whether the bot is meant


@pytest.mark.parametrize(
    ("said", "text", "meant"),
    [
        ("@robin_bot what is new?", "what is new?", True),
        ("@Robin_Bot, what is new?", "what is new?", True),
        ("😀😀 🇩🇪 @robin_bot what 😀 is new?", "😀😀 🇩🇪 what 😀 is new?", True),
        ("what is new, @robin_bot", "what is new,", True),
        ("@robin_bot", "", True),
        ("@robin_bot_2 what is new?", "@robin_bot_2 what is new?", False),
        ("mail robin@robin_bot.example", "mail robin@robin_bot.example", False),
        ("@ann and @robin_bot", "@ann and", True),
    ],
)
async def test_mentions_at_utf_16_offsets(
    telegram: FakeTelegram, tmp_path: Path, said: str, text: str, meant: bool
) -> None:
    event = await heard(telegram, tmp_path, said, chat=GROUP)
    assert (event.text, event.mentions_me) == (text, meant)


async def test_a_mention_without_a_username(telegram: FakeTelegram, tmp_path: Path) -> None:
    entity = {"type": "text_mention", "offset": 3, "length": 5, "user": telegram.me}
    event = await heard(telegram, tmp_path, "😀 Robin go", chat=GROUP, entities=[entity])
    assert (event.text, event.mentions_me) == ("😀 go", True)


async def test_a_reply_to_the_bot_means_the_bot(telegram: FakeTelegram, tmp_path: Path) -> None:
    async with bot(telegram, tmp_path) as bridge:
        sent = await bridge.platform.send(Outgoing(key="0" * 24, place=Place(chat=str(GROUP)), text="a question"))
        (question,) = telegram.sent()
        telegram.say("an answer", chat=GROUP, reply_to_message=question)
        telegram.say("to Ann", chat=GROUP, reply_to_message=telegram.message("Ann's", chat=GROUP))
        answer = await bridge.message("an answer")
        other = await bridge.message("to Ann")
    assert (answer.mentions_me, answer.reply_to) == (True, sent)
    assert not other.mentions_me


async def test_what_a_topic_begins_with_is_not_replied_to(telegram: FakeTelegram, tmp_path: Path) -> None:
    """In a topic each message is a reply to its beginning, which may be the bot's."""
    begun = {**telegram.message(None, chat=GROUP, user=telegram.me), "forum_topic_created": {"name": "Topic"}}
    topic = {"message_thread_id": begun["message_id"], "is_topic_message": True}
    event = await heard(telegram, tmp_path, "hello all", chat=GROUP, reply_to_message=begun, **topic)
    assert not event.mentions_me
    assert event.reply_to is None


# --- commands


@pytest.mark.parametrize(
    ("said", "chat", "text", "meant"),
    [
        ("/new", 77, "/new", True),
        ("/new@robin_bot", GROUP, "/new", True),
        ("/agent@ROBIN_BOT echo", GROUP, "/agent echo", True),
        ("/status", GROUP, "/status", True),
        ("/weather", GROUP, "/weather", False),
        ("/start", 77, "/help", True),
        ("/start abc", 77, "/help", True),
        ("not /new", GROUP, "not /new", False),
    ],
)
async def test_commands(telegram: FakeTelegram, tmp_path: Path, said: str, chat: int, text: str, meant: bool) -> None:
    event = await heard(telegram, tmp_path, said, chat=chat)
    assert (event.text, event.mentions_me) == (text, meant)


async def test_a_command_of_another_bot_is_none_of_ours(telegram: FakeTelegram, tmp_path: Path) -> None:
    telegram.say("/new@other_bot", chat=GROUP)
    assert await all_of(telegram, tmp_path) == []


async def test_the_menu_of_commands(telegram: FakeTelegram, tmp_path: Path) -> None:
    async with bot(telegram, tmp_path / "on") as bridge:
        telegram.say("hello")
        await bridge.message("hello")
        assert {"help", "new", "stop", "status", "agent"} <= set(telegram.commands)
        telegram.commands = []
    telegram.fails["setMyCommands"] = [Refused(400, "Bad Request: BOT_COMMAND_INVALID")]
    async with bot(telegram, tmp_path / "refused") as bridge:
        telegram.say("are you there?")
        await bridge.message("are you there?")
    async with bot(telegram, tmp_path / "off", commands=False) as bridge:
        telegram.say("still there?")
        await bridge.message("still there?")
    assert telegram.commands == []


# --- what was written


async def test_formatting_comes_as_markdown(telegram: FakeTelegram, tmp_path: Path) -> None:
    text = "😀 bold code link struck\nprint(1)"
    entities = [
        {"type": "bold", "offset": 3, "length": 4},
        {"type": "code", "offset": 8, "length": 4},
        {"type": "text_link", "offset": 13, "length": 4, "url": "https://example.org/"},
        {"type": "strikethrough", "offset": 18, "length": 6},
        {"type": "pre", "offset": 25, "length": 8, "language": "python"},
        {"type": "custom_emoji", "offset": 0, "length": 2},
    ]
    event = await heard(telegram, tmp_path, text, entities=entities)
    assert event.text == "😀 **bold** `code` [link](https://example.org/) ~~struck~~\n```python\nprint(1)\n```"


async def test_an_edit(telegram: FakeTelegram, tmp_path: Path) -> None:
    async with bot(telegram, tmp_path) as bridge:
        said = telegram.say("frist")
        message = await bridge.message("frist")
        telegram.edit(said, "first")
        edit = await bridge.event("the edit", lambda event: event.kind == "edit")
    assert (edit.text, edit.message_id) == ("first", message.message_id)
    assert edit.event_id != message.event_id


async def test_a_place_and_a_sticker(telegram: FakeTelegram, tmp_path: Path) -> None:
    telegram.say(None, location={"latitude": 48.1, "longitude": 11.5})
    telegram.say(None, sticker={"file_id": "x", "emoji": "👍"})
    place, sticker = await all_of(telegram, tmp_path)
    assert (place.text, sticker.text) == ("geo:48.1,11.5", "👍")


# --- files


async def test_a_photo_is_its_largest_size(telegram: FakeTelegram, tmp_path: Path) -> None:
    sizes = [
        {"file_id": telegram.stored(b"s" * size), "width": size, "height": size, "file_size": size}
        for size in (90, 800, 320)
    ]
    async with bot(telegram, tmp_path) as bridge:
        telegram.say("a look", photo=sizes)
        event = await bridge.message("a look")
        (photo,) = event.attachments
        assert await bridge.platform.download(photo, tmp_path / "photo", limit=1000) == 800
    assert (photo.media_type, photo.size) == ("image/jpeg", 800)
    assert photo.name.endswith(".jpg")


@pytest.mark.parametrize("kind", ["voice", "audio", "video", "video_note", "animation"])
async def test_voices_and_films_are_files(telegram: FakeTelegram, tmp_path: Path, kind: str) -> None:
    file = {"file_id": telegram.stored(b"film"), "mime_type": "x/y", "file_size": 4}
    more = {"document": file} if kind == "animation" else {}  # Telegram says it twice
    event = await heard(telegram, tmp_path, None, **{kind: file}, **more)
    (attachment,) = event.attachments
    assert attachment.name.startswith(kind.partition("_")[0])
    assert attachment.media_type == "x/y"


async def test_an_album_is_one_message(telegram: FakeTelegram, tmp_path: Path) -> None:
    for number in range(3):
        document = telegram.document(f"{number}.txt", b"x")
        telegram.say("three files" if not number else None, document=document, media_group_id="g1")
    telegram.say(None, document=telegram.document("other.txt", b"x"), media_group_id="g2")
    album, other = await all_of(telegram, tmp_path)
    assert album.text == "three files"
    assert [file.name for file in album.attachments] == ["0.txt", "1.txt", "2.txt"]
    assert [file.name for file in other.attachments] == ["other.txt"]


async def test_the_rest_of_an_album_is_waited_for(
    telegram: FakeTelegram, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("missive_chat.platforms.telegram.platform.ALBUM_PAUSE", 3.0)
    async with bot(telegram, tmp_path) as bridge:
        telegram.say("two files", document=telegram.document("0.txt", b"x"), media_group_id="g1")
        while not telegram.handed_over:
            await anyio.sleep(0.01)
        telegram.say(None, document=telegram.document("1.txt", b"x"), media_group_id="g1")
        album = await bridge.message("two files")
        assert [file.name for file in album.attachments] == ["0.txt", "1.txt"]
        telegram.say("then")
        await bridge.message("then")
        assert len(bridge.events) == 2


async def test_what_comes_late_of_an_album_is_not_lost(telegram: FakeTelegram, tmp_path: Path) -> None:
    """The gateway was killed after the album was written down, and before Telegram knew of that; now there is more."""
    first = telegram.message("files", document=telegram.document("0.txt", b"x"), media_group_id="g1")
    second = telegram.message(None, document=telegram.document("1.txt", b"x"), media_group_id="g1")
    third = telegram.message(None, document=telegram.document("2.txt", b"x"), media_group_id="g1")
    telegram.push(message=first)
    telegram.push(message=second)
    async with bot(telegram, tmp_path / "killed") as bridge:
        bridge.takes = False
        before = await bridge.message("files")
    telegram.push(message=third)
    (after,) = await all_of(telegram, tmp_path / "again")
    assert len(after.attachments) == 3
    assert after.event_id != before.event_id


async def test_a_file_that_is_too_big_for_a_bot(telegram: FakeTelegram, tmp_path: Path) -> None:
    async with bot(telegram, tmp_path) as bridge:
        telegram.say("big", document=telegram.document("big.bin", b"x" * (21 << 20)))
        (attachment,) = (await bridge.message("big")).attachments
        with pytest.raises(ChatError, match="file is too big") as caught:
            await bridge.platform.download(attachment, tmp_path / "big", limit=10**9)
    assert caught.value.permanent


async def test_a_download_that_lies_about_its_size(telegram: FakeTelegram, tmp_path: Path) -> None:
    async with bot(telegram, tmp_path) as bridge:
        telegram.say("small", document={**telegram.document("small.bin", b"x" * 100_000), "file_size": 10})
        (attachment,) = (await bridge.message("small")).attachments
        with pytest.raises(ChatError, match="more than the 1000 bytes") as caught:
            await bridge.platform.download(attachment, tmp_path / "small", limit=1000)
    assert caught.value.permanent
    assert not (tmp_path / "small").exists()


# --- buttons


async def pressed(bridge: Running, telegram: FakeTelegram, number: int = 1) -> Inbound:
    return await bridge.event("the press", lambda event: event.kind == "press", number=number)


async def test_each_press_is_acknowledged_exactly_once(telegram: FakeTelegram, tmp_path: Path) -> None:
    button = Button(label="Yes", value="x" * 64)
    cursor = MemoryCursor()
    async with bot(telegram, tmp_path, cursor=cursor) as bridge:
        await bridge.platform.send(Outgoing(key="0" * 24, place=DIRECT, text="may I?", buttons=(button,)))
        (question,) = telegram.sent()
        first = telegram.press(question, "x" * 64)
        event = await pressed(bridge, telegram)
        telegram.say("and now?")
        await bridge.message("and now?")
        assert event.press is not None
        assert event.press.value == "x" * 64
        assert telegram.answered == [first]
        # the gateway was killed after that, and Telegram does not know that the press has arrived
        update = next(each for each in telegram.delivered if "callback_query" in each)
    telegram.push_again(update)
    cursor.values.clear()
    async with bot(telegram, tmp_path, cursor=cursor) as bridge:
        telegram.say("once more?")
        await bridge.message("once more?")
        again = await pressed(bridge, telegram)
    assert again.event_id == event.event_id
    assert telegram.answered == [first]


async def test_a_press_that_was_not_written_down_is_not_acknowledged(telegram: FakeTelegram, tmp_path: Path) -> None:
    button = Button(label="Yes", value="yes")
    async with bot(telegram, tmp_path) as bridge:
        await bridge.platform.send(Outgoing(key="0" * 24, place=DIRECT, text="may I?", buttons=(button,)))
        (question,) = telegram.sent()
        bridge.takes = False
        telegram.press(question, "yes")
        await pressed(bridge, telegram)
    assert telegram.answered == []
    assert len(telegram.updates) == 1


async def test_a_press_below_an_old_message_of_which_nothing_is_left(telegram: FakeTelegram, tmp_path: Path) -> None:
    async with bot(telegram, tmp_path) as bridge:
        telegram.press({"message_id": 4, "chat": telegram.chat(GROUP), "date": 0}, "a:X:y")
        event = await pressed(bridge, telegram)
    assert event.message_id == f"{GROUP}:4"


# --- polling


async def test_nothing_is_thrown_away_and_offsets_are_kept(telegram: FakeTelegram, tmp_path: Path) -> None:
    for number in range(250):
        telegram.say(f"number {number},")
    cursor = MemoryCursor()
    async with bot(telegram, tmp_path, cursor=cursor) as bridge:
        await bridge.message("number 249,")
        telegram.say("last")
        await bridge.message("last")
    assert [event.text for event in bridge.events[:250]] == [f"number {number}," for number in range(250)]
    assert list(cursor.values) == ["offset.123456"]


async def test_another_poller_is_told(telegram: FakeTelegram, tmp_path: Path) -> None:
    async with bot(telegram, tmp_path / "a", listens=False) as bridge:
        telegram.fails["getUpdates"] = [
            Refused(
                409,
                "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running",
            )
        ]

        with pytest.raises(ChatError, match="another process gets this bot's updates: Conflict") as caught:
            await bridge.platform.listen(_take)
    assert not caught.value.permanent
    assert "One bot, one gateway" in str(caught.value.help)


async def test_two_pollers_at_a_real_server_of_updates(telegram: FakeTelegram, tmp_path: Path) -> None:
    """The one that asks last gets the updates, the other the conflict; ours begins anew, and so gets them back."""
    async with bot(telegram, tmp_path / "a", listens=False) as first, bot(telegram, tmp_path / "b") as second:
        telegram.say("hello")
        await second.message("hello")
        with pytest.raises(ChatError, match="only one bot instance"):
            await first.platform.listen(_take)
        telegram.say("who hears it?")
        await second.message("who hears it?")


async def _take(event: Inbound) -> bool:
    return True


async def test_a_webhook_is_told(telegram: FakeTelegram, tmp_path: Path) -> None:
    telegram.webhook = "https://elsewhere.example/hook"
    async with bot(telegram, tmp_path, listens=False) as bridge:
        with pytest.raises(ChatLoginError, match="to a webhook: Conflict") as caught:
            await bridge.platform.listen(_take)
    assert "deleteWebhook" in str(caught.value.help)


async def test_short_troubles_are_sat_out(telegram: FakeTelegram, tmp_path: Path) -> None:
    telegram.fails["getUpdates"] = [Refused(502, "Bad Gateway")]
    telegram.limits["getUpdates"] = [0, 0.2]
    async with bot(telegram, tmp_path) as bridge:
        telegram.say("at last")
        await bridge.message("at last")
    assert not telegram.fails["getUpdates"]
    assert not telegram.limits["getUpdates"]


async def test_a_token_that_is_revoked_while_it_runs(telegram: FakeTelegram, tmp_path: Path) -> None:
    async with bot(telegram, tmp_path, listens=False) as bridge:
        telegram.fails["getUpdates"] = [Refused(401, "Unauthorized")]
        with pytest.raises(ChatLoginError, match="Unauthorized"):
            await bridge.platform.listen(_take)


async def test_the_log_says_ids_once(telegram: FakeTelegram, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody can see in Telegram's apps what the configuration wants."""
    caplog.set_level("INFO", "missive")
    for _ in range(2):
        telegram.say("hello", chat=GROUP)
        telegram.say("hello")
    await all_of(telegram, tmp_path)
    lines = [record.getMessage() for record in caplog.records if "the id for" in record.getMessage()]
    assert lines == [
        f"'Ann Lee' (77) writes in a group: the id for `channels` is {GROUP}",
        "'Ann Lee' writes directly: the id for `users` is 77",
    ]


async def test_an_update_that_cannot_be_read_holds_up_nothing(
    telegram: FakeTelegram, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    telegram.push(message={"text": "without a chat"})
    telegram.push(callback_query={"id": "1", "data": "x", "message": {"message_id": 3}})
    telegram.push(message=[])
    assert await all_of(telegram, tmp_path) == []
    assert caplog.text.count("cannot be read") == 2
    assert "without a chat" not in caplog.text
