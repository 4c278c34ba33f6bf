"""What the bridge sends, and what Telegram gets of it; what goes wrong on the way, told honestly."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from missive_chat.platform import Button, ChatError, ChatLoginError, Outgoing, OutgoingFile, Place
from missive_chat.testing import Hidden
from support.chat.fake_telegram import GROUP, TOKEN, FakeTelegram, Refused
from support.chat.telegram_rig import bot

from missive_host.errors import ConfigError

DIRECT = Place(chat="77", is_direct=True)
TOPIC = Place(chat=str(GROUP), thread="9")
YES = Button(label="Yes", value="a:1:y", style="primary")


@pytest.fixture
def telegram() -> Iterator[FakeTelegram]:
    with FakeTelegram() as fake:
        yield fake


def says(text: str, place: Place = DIRECT, **more: Any) -> Outgoing:
    return Outgoing(key="c0ffee" * 4, place=place, text=text, **more)


def parts(message: dict[str, Any]) -> list[tuple[str, str]]:
    """Return kind and text of the parts of a message."""
    raw = message["text"].encode("utf-16-le")
    return [
        (each["type"], raw[2 * each["offset"] : 2 * (each["offset"] + each["length"])].decode("utf-16-le"))
        for each in message.get("entities", ())
    ]


async def test_markdown_is_seen_as_it_is_meant(telegram: FakeTelegram, tmp_path: Path) -> None:
    text = "# 😀 Title\n**bold _both_** `a*b` [link](https://example.org/)\n```py\nx = '**'\n```\n- one\n> said"
    async with bot(telegram, tmp_path, listens=False) as bridge:
        await bridge.platform.send(says(text))
    (sent,) = telegram.sent()
    assert sent["text"] == "😀 Title\nbold both a*b link\nx = '**'\n• one\nsaid"
    assert parts(sent) == [
        ("bold", "😀 Title"),
        ("bold", "bold both"),
        ("italic", "both"),
        ("code", "a*b"),
        ("text_link", "link"),
        ("pre", "x = '**'"),
        ("blockquote", "said"),
    ]


async def test_no_preview_of_a_link_is_fetched(telegram: FakeTelegram, tmp_path: Path) -> None:
    """Telegram's servers would open whatever address an agent was made to write."""
    async with bot(telegram, tmp_path, listens=False) as bridge:
        sent = await bridge.platform.send(says("see https://example.org/?secret=1"))
        await bridge.platform.edit(DIRECT, sent, "see https://example.org/?secret=2")
    sending, editing = (fields for method, fields in telegram.calls if method in ("sendMessage", "editMessageText"))
    assert sending["link_preview_options"] == editing["link_preview_options"] == {"is_disabled": True}


async def test_the_limit_is_of_utf_16_units_after_parsing(telegram: FakeTelegram, tmp_path: Path) -> None:
    fits = "**" + "😀" * 2048 + "**"
    async with bot(telegram, tmp_path, listens=False) as bridge:
        assert len(bridge.platform.render(fits).encode("utf-16-le")) // 2 == 4096
        await bridge.platform.send(says(fits))
        with pytest.raises(ChatError, match="message is too long") as caught:
            await bridge.platform.send(says("😀" * 2049))
    assert caught.value.permanent
    assert len(telegram.sent()) == 1


async def test_what_telegram_cannot_parse_is_sent_plain(telegram: FakeTelegram, tmp_path: Path) -> None:
    telegram.refuses_entities = True
    async with bot(telegram, tmp_path, listens=False) as bridge:
        sent = await bridge.platform.send(says("**bold**"))
        await bridge.platform.edit(DIRECT, sent, "**bolder**", buttons=(YES,))
    (message,) = telegram.sent()
    assert message["text"] == "bolder"
    assert "entities" not in message
    assert message["reply_markup"]["inline_keyboard"][0][0]["callback_data"] == "a:1:y"


async def test_more_formatting_than_telegram_takes(telegram: FakeTelegram, tmp_path: Path) -> None:
    async with bot(telegram, tmp_path, listens=False) as bridge:
        await bridge.platform.send(says("**a** " * 300))
    (sent,) = telegram.sent()
    assert len(sent["entities"]) == 100
    assert sent["text"] == ("a " * 300).strip()


async def test_an_answer_in_a_topic_to_a_message(telegram: FakeTelegram, tmp_path: Path) -> None:
    asked = telegram.message("?", chat=GROUP, message_thread_id=9, is_topic_message=True)
    async with bot(telegram, tmp_path, listens=False) as bridge:
        await bridge.platform.send(says("!", TOPIC, reply_to=f"{GROUP}:{asked['message_id']}"))
        await bridge.platform.send(says("to what is gone", TOPIC, reply_to=f"{GROUP}:99999"))
        await bridge.platform.typing(TOPIC)
    first, second = telegram.sent()
    assert first["message_thread_id"] == second["message_thread_id"] == 9
    assert first["reply_to_message"]["message_id"] == asked["message_id"]
    assert "reply_to_message" not in second
    assert telegram.actions == [{"chat_id": GROUP, "message_thread_id": 9, "action": "typing"}]


# --- edits and buttons


async def test_an_edit_leaves_the_buttons_it_names(telegram: FakeTelegram, tmp_path: Path) -> None:
    no = Button(label="No", value="a:1:n", style="danger")
    async with bot(telegram, tmp_path, listens=False) as bridge:
        sent = await bridge.platform.send(says("may I?", buttons=(YES, no)))
        await bridge.platform.edit(DIRECT, sent, "may I now?", buttons=(YES, no))
        (row,) = telegram.sent()[0]["reply_markup"]["inline_keyboard"]
        assert [(button["text"], button["style"]) for button in row] == [("Yes", "primary"), ("No", "danger")]
        await bridge.platform.edit(DIRECT, sent, "may I now?", buttons=(YES, no))  # not modified
        await bridge.platform.edit(DIRECT, sent, "no", final=True)
    assert "reply_markup" not in telegram.sent()[0]


async def test_a_button_that_says_too_much(telegram: FakeTelegram, tmp_path: Path) -> None:
    async with bot(telegram, tmp_path, listens=False) as bridge:
        with pytest.raises(ChatError, match="66 bytes") as caught:
            await bridge.platform.send(says("?", buttons=(Button(label="Yes", value="ä" * 33),)))
    assert caught.value.permanent
    assert telegram.sent() == []


async def test_an_edit_of_what_is_gone_or_too_long(telegram: FakeTelegram, tmp_path: Path) -> None:
    async with bot(telegram, tmp_path, listens=False) as bridge:
        sent = await bridge.platform.send(says("here"))
        with pytest.raises(ChatError, match="message to edit not found") as gone:
            await bridge.platform.edit(DIRECT, "77:4711", "there")
        with pytest.raises(ChatError, match="MESSAGE_TOO_LONG") as long:
            await bridge.platform.edit(DIRECT, sent, "x" * 4097)
    assert gone.value.permanent
    assert long.value.permanent


async def test_reactions_are_of_those_that_telegram_has(telegram: FakeTelegram, tmp_path: Path) -> None:
    said = telegram.message("hello")
    where = (77, said["message_id"])
    async with bot(telegram, tmp_path, listens=False) as bridge:
        for reaction, emoji in (("seen", "👀"), ("done", "👍"), ("failed", "👎")):
            await bridge.platform.react(DIRECT, f"77:{where[1]}", reaction, instead_of=None)  # type: ignore[arg-type]
            assert telegram.reactions[where] == [emoji]


# --- files


def file_of(tmp_path: Path, name: str, content: bytes, media_type: str | None = None) -> OutgoingFile:
    path = tmp_path / "outgoing"
    path.write_bytes(content)
    return OutgoingFile(path=path, name=name, media_type=media_type)


async def test_a_picture_is_shown_and_what_is_none_is_a_document(telegram: FakeTelegram, tmp_path: Path) -> None:
    async with bot(telegram, tmp_path / "data", listens=False) as bridge:
        await bridge.platform.send(says("real", file=file_of(tmp_path, "a.png", b"\x89PNG....", "image/png")))
        await bridge.platform.send(says("false", TOPIC, file=file_of(tmp_path, "b.png", b"no picture", "image/png")))
    real, false = telegram.sent()
    assert (real["caption"], len(real["photo"])) == ("real", 1)
    assert (false["caption"], false["document"]["file_name"]) == ("false", "b.png")
    assert telegram.files[false["document"]["file_id"]] == b"no picture"
    assert false["message_thread_id"] == 9


async def test_a_file_without_a_text_and_one_with_a_long_one(telegram: FakeTelegram, tmp_path: Path) -> None:
    long = "word " * 400
    async with bot(telegram, tmp_path / "data", listens=False) as bridge:
        await bridge.platform.send(says("", file=file_of(tmp_path, "a.txt", b"a")))
        telegram.limits["sendDocument"] = [3]
        message = says(long, file=file_of(tmp_path, "b.txt", b"b"), buttons=(YES,))
        with pytest.raises(ChatError, match="retry after 3") as caught:
            await bridge.platform.send(message)
        assert caught.value.retry_after == 3
        await bridge.platform.send(message)
    alone, text, file = telegram.sent()
    assert "caption" not in alone
    assert text["text"] == long.strip()
    assert "reply_markup" not in text
    assert file["document"]["file_name"] == "b.txt"
    assert "reply_markup" in file


async def test_an_edit_of_a_text_below_a_file(telegram: FakeTelegram, tmp_path: Path) -> None:
    async with bot(telegram, tmp_path / "data", listens=False) as bridge:
        sent = await bridge.platform.send(says("the table", file=file_of(tmp_path, "a.txt", b"a"), buttons=(YES,)))
        await bridge.platform.edit(DIRECT, sent, "the **old** table")
    (message,) = telegram.sent()
    assert message["caption"] == "the old table"
    assert "reply_markup" not in message


async def test_a_file_that_telegram_does_not_take(telegram: FakeTelegram, tmp_path: Path) -> None:
    file = file_of(tmp_path, "big.bin", b"")
    with file.path.open("r+b") as content:
        content.truncate(50_000_001)
    async with bot(telegram, tmp_path / "data", listens=False) as bridge:
        with pytest.raises(ChatError, match=r"big\.bin has 50000001 bytes") as caught:
            await bridge.platform.send(says("", file=file))
    assert caught.value.permanent
    assert not [method for method, _ in telegram.calls if method == "sendDocument"]


# --- what goes wrong


@pytest.mark.parametrize(
    ("refusal", "permanent", "maybe_sent"),
    [
        (Refused(400, "Bad Request: chat not found"), True, False),
        (Refused(403, "Forbidden: bot was blocked by the user"), True, False),
        (Refused(500, "Internal Server Error: restart"), False, True),
        (Refused(502, "Bad Gateway"), False, True),
    ],
)
async def test_refusals(
    telegram: FakeTelegram, tmp_path: Path, refusal: Refused, permanent: bool, maybe_sent: bool
) -> None:
    telegram.fails["sendMessage"] = [refusal]
    async with bot(telegram, tmp_path, listens=False) as bridge:
        with pytest.raises(ChatError, match=refusal.description) as caught:
            await bridge.platform.send(says("hello"))
    assert (caught.value.permanent, caught.value.maybe_sent) == (permanent, maybe_sent)


async def test_a_long_penalty_is_told_as_it_is(telegram: FakeTelegram, tmp_path: Path) -> None:
    telegram.limits["editMessageText"] = [13938]
    async with bot(telegram, tmp_path, listens=False) as bridge:
        sent = await bridge.platform.send(says("hello"))
        with pytest.raises(ChatError) as caught:
            await bridge.platform.edit(DIRECT, sent, "hello again")
    assert caught.value.retry_after == 13938
    assert not caught.value.permanent


async def test_nobody_was_there_so_nothing_was_sent(telegram: FakeTelegram, tmp_path: Path) -> None:
    async with bot(telegram, tmp_path, listens=False) as bridge:
        telegram.stop()
        with pytest.raises(ChatError, match="cannot be reached") as caught:
            await bridge.platform.send(says("hello"))
    assert not caught.value.maybe_sent


async def test_an_answer_that_does_not_come_in_time(
    telegram: FakeTelegram, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("missive_chat.platforms.telegram.api.TIMEOUT", 0.3)
    telegram.hangs.add("sendMessage")
    async with bot(telegram, tmp_path, listens=False) as bridge:
        with pytest.raises(ChatError, match=r"broke before the answer \(ReadTimeout\)") as caught:
            await bridge.platform.send(says("hello"))
    assert caught.value.maybe_sent
    assert not caught.value.permanent
    assert telegram.texts() == ["hello"]


async def test_a_page_instead_of_an_answer(telegram: FakeTelegram, tmp_path: Path) -> None:
    """A proxy or a portal in between answers in its own way."""
    bridge = bot(telegram, tmp_path, listens=False, api_url=f"{telegram.url}/file")
    with pytest.raises(ChatError, match="status 405, and not an answer of the Bot API") as caught:
        await bridge.platform.open()
    await bridge.platform.close()
    assert not caught.value.permanent


@pytest.mark.parametrize(
    ("place", "words"), [(Place(chat="@team"), "'@team' is no chat"), (Place(chat="7", thread="x"), "'x' is no topic")]
)
async def test_a_place_that_is_none(telegram: FakeTelegram, tmp_path: Path, place: Place, words: str) -> None:
    async with bot(telegram, tmp_path, listens=False) as bridge:
        with pytest.raises(ChatError, match=words) as caught:
            await bridge.platform.send(says("hello", place))
    assert caught.value.permanent


async def test_a_file_that_is_gone(telegram: FakeTelegram, tmp_path: Path) -> None:
    file = OutgoingFile(path=tmp_path / "gone", name="table.csv")
    async with bot(telegram, tmp_path / "data", listens=False) as bridge:
        with pytest.raises(ChatError, match=r"table\.csv cannot be read: No such file") as caught:
            await bridge.platform.send(says("", file=file))
    assert caught.value.permanent


async def test_a_group_that_has_become_a_supergroup(telegram: FakeTelegram, tmp_path: Path) -> None:
    telegram.moved[-4001] = GROUP
    small = Place(chat="-4001")
    async with bot(telegram, tmp_path, listens=False) as bridge:
        sent = await bridge.platform.send(says("one", small))
        await bridge.platform.send(says("two", small))
        await bridge.platform.edit(small, sent, "first")
    assert telegram.texts(GROUP) == ["first", "two"]
    assert [fields["chat_id"] for method, fields in telegram.calls if method == "sendMessage"] == [-4001, GROUP, GROUP]


# --- the token, the address, the environment


@pytest.mark.parametrize("token", ["", "abc", "123456:", "123:with/slash", "123:a b", "123:\u00e4"])
async def test_what_is_no_token_is_not_sent_anywhere(telegram: FakeTelegram, tmp_path: Path, token: str) -> None:
    bridge = bot(telegram, tmp_path, listens=False, token=Hidden(token))
    with pytest.raises(ChatLoginError, match="not one of Telegram's") as caught:
        await bridge.platform.open()
    await bridge.platform.close()
    assert not token or token not in str(caught.value)
    assert telegram.calls == []


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://api.example.org", "unencrypted"),
        ("ftp://api.example.org", "not an address"),
        ("api.example.org", "not an address"),
        ("https://me:pw@api.example.org", "not an address"),
        ("https://api.example.org:99999", "not an address"),
    ],
)
def test_an_address_that_is_not_good(telegram: FakeTelegram, tmp_path: Path, url: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        bot(telegram, tmp_path, api_url=url)


async def test_httpx_logs_no_token(telegram: FakeTelegram, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """httpx logs each address at INFO; what others log through it is left alone."""
    caplog.set_level(logging.DEBUG)
    async with bot(telegram, tmp_path, listens=False) as bridge:
        await bridge.platform.send(says("hello"))
        logging.getLogger("httpx").info("of %s", "somebody else")
    assert "/bot***/sendMessage" in caplog.text
    assert TOKEN not in caplog.text
    assert "of somebody else" in caplog.text
    assert logging.getLogger("httpx").filters == []


async def test_a_proxy_of_the_environment_is_not_for_this_machine(
    telegram: FakeTelegram, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with bot(telegram, tmp_path, listens=False) as bridge:
        assert bridge.platform.identity == "123456"


async def test_it_can_be_opened_again(telegram: FakeTelegram, tmp_path: Path) -> None:
    async with bot(telegram, tmp_path, listens=False) as bridge:
        await bridge.platform.close()
        with pytest.raises(ChatError, match="closed") as caught:
            await bridge.platform.send(says("hello"))
        assert not caught.value.maybe_sent
        await bridge.platform.open()
        await bridge.platform.send(says("hello"))
    assert telegram.texts() == ["hello"]


# --- doctor


async def checks(telegram: FakeTelegram, tmp_path: Path, **settings: Any) -> dict[str, tuple[str, str, str | None]]:
    async with bot(telegram, tmp_path, listens=False, **settings) as bridge:
        return {check.id: (check.status, check.message, check.fix) for check in await bridge.platform.check()}


async def test_the_doctor_explains_privacy_mode(telegram: FakeTelegram, tmp_path: Path) -> None:
    assert (await checks(telegram, tmp_path))["privacy"][0] == "ok"
    telegram.me["can_read_all_group_messages"] = False
    status, message, _ = (await checks(telegram, tmp_path))["privacy"]
    assert status == "ok"
    assert "only commands, mentions of the bot and replies" in message
    status, message, fix = (await checks(telegram, tmp_path, mention=False))["privacy"]
    assert status == "warn"
    assert "/setprivacy" in str(fix)
    assert "add it again" in str(fix)


async def test_the_doctor_looks_at_webhook_groups_and_clock(telegram: FakeTelegram, tmp_path: Path) -> None:
    telegram.webhook = "https://elsewhere.example/hook"
    telegram.me["can_join_groups"] = False
    telegram.members |= {-1002: "left", -1003: "kicked"}
    telegram.moved[-4001] = GROUP
    telegram.set_clock_ahead(300)
    found = await checks(telegram, tmp_path, channels=(str(GROUP), "-1002", "-1003", "-4001", "team", "-1009"))
    assert {name: check[0] for name, check in found.items()} == {
        "token": "ok",
        "webhook": "fail",
        "privacy": "ok",
        "groups": "warn",
        f"channel {GROUP}": "ok",
        "channel -1002": "fail",
        "channel -1003": "fail",
        "channel -4001": "fail",
        "channel team": "fail",
        "channel -1009": "fail",
        "clock": "warn",
    }
    assert str(GROUP) in str(found["channel -4001"][2])
    assert "300 s" in found["clock"][1] or "299 s" in found["clock"][1]
    assert all(fix for status, _, fix in found.values() if status != "ok")
