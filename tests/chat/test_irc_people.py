"""IRC with accounts and IRCv3: a real InspIRCd, to which the services that know the accounts are linked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from missive_chat.platform import ChatError, ChatLoginError, Inbound, Place
from missive_chat.platforms.irc.client import IrcPlatform
from support.chat.irc_people import person
from support.chat.irc_servers import Inspircd
from support.chat.irc_services import Services
from support.chat.rigs import Positions, Rig, context, listening, outgoing
from support.secrets import planted

WRONG = planted("irc-wrong")

NEEDS = ("inspircd",)

ACCOUNTS = {"bot": planted("irc"), "alice": "pw", "bob": "pw"}
ALICE = ("alice", "pw")
BOB = ("bob", "pw")


@pytest.fixture(scope="module")
def server() -> Iterator[Inspircd]:
    with Inspircd() as inspircd, Services(inspircd.link_port, ACCOUNTS):
        yield inspircd


def platform(server: Inspircd, folder: Path, **given: Any) -> IrcPlatform:
    base = {
        "server": "127.0.0.1", "port": server.port, "tls": False, "nick": "bot", "sasl_user": "bot",
        "sasl_password": ACCOUNTS["bot"], "channels": ("#ops",), "users": ("alice", "Bob"), "line_interval": 0.0,
    }  # fmt: skip
    return IrcPlatform(context("irc", folder, **{**base, **given}))


@asynccontextmanager
async def bot(server: Inspircd, folder: Path, **given: Any) -> AsyncIterator[Rig]:
    async with listening(platform(server, folder, **given)) as rig:
        yield rig


async def test_a_message_in_a_channel_has_the_account_the_id_and_the_time_of_the_server(
    server: Inspircd, tmp_path: Path
) -> None:
    async with bot(server, tmp_path) as rig, person(server.port, "al", "#ops", account=ALICE) as alice:
        await alice.tell("#ops", "bot: what is \x02the\x02 \x0304,01load\x03?")
        said = await rig.says("what is the load?")
        echo = await alice.until(lambda line: line.command == "PRIVMSG")
        assert said.sender.id == "alice"
        assert said.sender.name == "al"
        assert said.unauthentic is None
        assert said.automatic is None
        assert said.mentions_me
        assert said.place == Place(chat="#ops")
        assert echo.tags is not None
        assert said.message_id == echo.tags["msgid"]
        assert said.event_id == f"irc:{said.message_id}"
        assert said.sent_at is not None


async def test_a_private_message_belongs_to_the_account_and_so_does_its_answer(
    server: Inspircd, tmp_path: Path
) -> None:
    async with bot(server, tmp_path) as rig, person(server.port, "al", account=ALICE) as alice:
        await alice.tell("bot", "hello")
        said = await rig.says("hello")
        assert said.place == Place(chat="alice", is_direct=True, facts={"nick": "al"})
        assert said.mentions_me
        message_id = await rig.platform.send(outgoing(said.place, "hello to you", reply_to=said.message_id))
        heard = await alice.hears("hello to you")
        assert heard.tags is not None
        assert heard.tags["msgid"] == message_id
        assert heard.tags["+draft/reply"] == said.message_id


async def test_an_answer_does_not_go_to_who_has_taken_the_nick(server: Inspircd, tmp_path: Path) -> None:
    async with bot(server, tmp_path) as rig, person(server.port, "al", account=ALICE) as alice:
        await alice.tell("bot", "a secret, please")
        said = await rig.says("a secret, please")
        await alice.say("NICK al2")
        await alice.sync()
        async with person(server.port, "al", account=BOB) as thief:
            with pytest.raises(ChatError, match="nobody who is logged in as alice has the nick al") as refused:
                await rig.platform.send(outgoing(said.place, "the secret"))
            assert refused.value.retry_after
            assert not refused.value.maybe_sent
            await thief.sync()
            assert thief.heard("bot") == []


async def test_who_has_no_account_is_nobody_whose_word_counts(server: Inspircd, tmp_path: Path) -> None:
    async with bot(server, tmp_path) as rig, person(server.port, "alice", "#ops") as stranger:
        await stranger.tell("#ops", "bot: it is me, alice")
        said = await rig.says("it is me, alice")
        assert said.sender.id == "alice!alice@127.0.0.1"
        assert said.unauthentic is not None
        assert "not logged in" in said.unauthentic


async def test_an_account_cannot_be_claimed_by_a_tag(server: Inspircd, tmp_path: Path) -> None:
    async with bot(server, tmp_path) as rig, person(server.port, "eve", "#ops") as eve:
        await eve.say("@account=alice;+account=alice;time=2020-01-01T00:00:00Z PRIVMSG #ops :bot: obey")
        said = await rig.says("obey")
        assert said.unauthentic is not None
        assert said.sender.id.startswith("eve!")


async def test_ids_are_spelled_as_in_the_config(server: Inspircd, tmp_path: Path) -> None:
    async with (
        bot(server, tmp_path, channels=("#Ops[1]",)) as rig,
        person(server.port, "robert", "#ops{1}", account=BOB) as bob,
    ):
        await bob.tell("#ops{1}", "BOT, are you there")
        said = await rig.says("are you there")
        assert said.sender.id == "Bob"
        assert said.place.chat == "#Ops[1]"
        assert await rig.platform.send(outgoing(said.place, "yes"))
        await bob.hears("yes")


@pytest.mark.parametrize(
    ("said", "text", "mentions"),
    [
        ("bot: hi", "hi", True),
        ("bot hi", "hi", True),
        ("@bot hi", "hi", True),
        ("Bot, hi", "hi", True),
        ("ask bot about it", "ask bot about it", True),
        ("robots are fine", "robots are fine", False),
        ("bottle of rum", "bottle of rum", False),
        ("bot-x is another one", "bot-x is another one", False),
        ("!status", "!status", False),
        ("\x01ACTION asks bot\x01", "* al asks bot", True),
    ],
)
async def test_mentions(server: Inspircd, tmp_path: Path, said: str, text: str, mentions: bool) -> None:
    async with bot(server, tmp_path) as rig, person(server.port, "al", "#ops", account=ALICE) as alice:
        await alice.tell("#ops", said)
        assert (await rig.says(text)).mentions_me is mentions


async def test_a_reply_names_the_message_that_it_is_to(server: Inspircd, tmp_path: Path) -> None:
    async with bot(server, tmp_path) as rig, person(server.port, "al", "#ops", account=ALICE) as alice:
        first = await rig.platform.send(outgoing(Place(chat="#ops"), "one\ntwo"))
        await alice.say(f"@+draft/reply={first} PRIVMSG #ops :why?")
        assert (await rig.says("why?")).reply_to == first


async def test_notices_and_requests_of_clients_are_not_answered(server: Inspircd, tmp_path: Path) -> None:
    async with bot(server, tmp_path) as rig, person(server.port, "al", "#ops", account=ALICE) as alice:
        await alice.say(
            "NOTICE #ops :bot: I am a notice", "PRIVMSG bot :\x01VERSION\x01", "NOTICE bot :\x01VERSION x\x01"
        )
        await alice.tell("#ops", "the end")
        await rig.says("the end")
        notice, end = rig.heard
        assert notice.automatic is not None
        assert end.automatic is None
        await alice.sync()
        assert not [
            line for line in alice.lines if line.command == "NOTICE" and line.source and line.source[:4] == "bot!"
        ]


async def test_a_bot_says_that_it_is_one_and_our_own_lines_are_not_heard(server: Inspircd, tmp_path: Path) -> None:
    async with bot(server, tmp_path) as rig, person(server.port, "droid", "#ops", account=BOB) as droid:
        await droid.say("MODE droid +B")
        await rig.platform.send(outgoing(Place(chat="#ops"), "my own words"))
        await droid.hears("my own words")
        await droid.tell("#ops", "a bot speaks")
        await rig.says("a bot speaks")
        assert [inbound.text for inbound in rig.heard] == ["a bot speaks"]
        await droid.say("WHOIS bot")
        await droid.until(lambda line: line.command == "335")  # we have the mode of a bot, too
        assert rig.heard[0].sender.is_bot


async def test_a_wrong_password_ends_it_at_once_in_the_words_of_the_server(server: Inspircd, tmp_path: Path) -> None:
    wrong = platform(server, tmp_path, sasl_password=WRONG)
    with pytest.raises(ChatLoginError, match="SASL authentication failed") as refused:
        await wrong.open()
    await wrong.close()
    assert WRONG not in f"{refused.value!r} {refused.value} {refused.value.help}"


async def test_half_a_login_is_refused(server: Inspircd, tmp_path: Path) -> None:
    half = platform(server, tmp_path, sasl_password=None)
    with pytest.raises(ChatLoginError, match="needs both"):
        await half.open()
    await half.close()


async def test_the_doctor_says_what_is_right_and_what_is_not(server: Inspircd, tmp_path: Path) -> None:
    async with person(server.port, "op", "#locked", account=BOB) as operator:
        await operator.say("MODE #locked +k door")
        await operator.sync()
        async with bot(server, tmp_path, channels=("#ops", "#locked")) as rig:
            checks = {check.id: check for check in await rig.platform.check()}
            assert checks["login"].message == "connected as bot, logged in as bot"
            assert checks["accounts"].status == "ok"
            assert checks["channel #ops"].status == "ok"
            assert checks["channel #locked"].status == "fail"
            assert "key" in checks["channel #locked"].message
            with pytest.raises(ChatError, match="#locked cannot be spoken in") as refused:
                await rig.platform.send(outgoing(Place(chat="#locked"), "hello"))
            assert refused.value.retry_after
        async with bot(server, tmp_path, channels=("#locked",), channel_keys={"#locked": "door"}) as rig:
            await rig.platform.send(outgoing(Place(chat="#locked"), "hello"))
            await operator.hears("hello")


async def test_what_the_server_does_not_take_is_said_in_its_words(server: Inspircd, tmp_path: Path) -> None:
    async with bot(server, tmp_path, trust_nicks=True) as rig, person(server.port, "op", "#quiet") as operator:
        await operator.say("MODE #quiet +m")
        await operator.sync()
        for place in (Place(chat="#quiet"), Place(chat="nobody-here", is_direct=True), Place(chat="#not-there")):
            with pytest.raises(ChatError, match=r"did not take the message") as refused:
                await rig.platform.send(outgoing(place, "hello"))
            assert refused.value.permanent
            assert not refused.value.maybe_sent


async def test_nothing_runs_after_close(server: Inspircd, tmp_path: Path) -> None:
    before = asyncio.all_tasks()
    async with bot(server, tmp_path) as rig:
        await rig.platform.send(outgoing(Place(chat="#ops"), "hello"))
    assert asyncio.all_tasks() == before
    await rig.platform.close()


async def test_open_alone_is_enough_for_sending(server: Inspircd, tmp_path: Path) -> None:
    """`missive chat test` does that, beside a gateway that has the nick."""
    async with bot(server, tmp_path) as rig, person(server.port, "al", "#ops", account=ALICE) as alice:
        second = platform(server, tmp_path)
        try:
            await second.open()
            await second.send(outgoing(Place(chat="#ops"), "a test"))
            await second.send(outgoing(Place(chat="alice", is_direct=True, facts={"nick": "al"}), "and to you"))
        finally:
            await second.close()
        assert (await alice.hears("a test")).hostmask.nickname == "bot_"
        await alice.hears("and to you")
        await rig.says("a test")


async def test_what_was_said_while_we_were_away_is_heard_once(tmp_path: Path) -> None:
    """The server plays a channel's history back; what was said before we ever came, or was heard, is left out."""
    cursor = Positions()
    with Inspircd() as server, Services(server.link_port, ACCOUNTS):
        async with person(server.port, "al", "#ops", account=ALICE) as alice:
            await alice.say("MODE #ops +H 20:1h")
            await alice.tell("#ops", "long before the bot")
            base: dict[str, Any] = {"cursor": cursor}
            async with bot(server, tmp_path, **base) as rig:
                await alice.tell("#ops", "first")
                await rig.says("first")
            await alice.tell("#ops", "while it is away")
            known = {inbound.event_id for inbound in rig.heard}
            async with bot(server, tmp_path, **base) as again:
                await again.says("while it is away")
                await alice.tell("#ops", "last")
                await again.says("last")
                assert _new(again.heard, known) == ["while it is away", "last"]


def _new(heard: list[Inbound], known: set[str]) -> list[str]:
    return [inbound.text for inbound in heard if inbound.event_id not in known]


async def test_a_message_is_one_even_if_a_hundred_come_at_once(server: Inspircd, tmp_path: Path) -> None:
    async with bot(server, tmp_path) as rig, person(server.port, "al", "#ops", account=ALICE) as alice:
        await alice.say(*(f"PRIVMSG #ops :number {number}" for number in range(200)))
        await rig.says("number 199")
        assert [inbound.text for inbound in rig.heard] == [f"number {number}" for number in range(200)]
        assert len({inbound.event_id for inbound in rig.heard}) == 200


async def test_the_nick_is_taken_back_when_it_is_free(server: Inspircd, tmp_path: Path) -> None:
    async with (
        person(server.port, "al", "#ops", account=ALICE) as alice,
        person(server.port, "bot") as ghost,
        bot(server, tmp_path, ping=0.3) as rig,
    ):
        checks = {check.id: check for check in await rig.platform.check()}
        assert "we have bot_" in checks["nick"].message
        await alice.tell("#ops", "bot_: with this name?")
        assert (await rig.says("with this name?")).mentions_me
        await ghost.say("QUIT")
        await alice.until(lambda line: line.command == "NICK" and line.params == ["bot"])
        await alice.tell("#ops", "bot: are you it?")
        assert (await rig.says("are you it?")).mentions_me
        assert "nick" not in {check.id for check in await rig.platform.check()}
