"""XMPP with a real Prosody: directly, and in rooms in which everybody sees who everybody is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import pytest
from missive_chat.platform import ChatError, Inbound, OutgoingFile, Place
from missive_chat.platforms.xmpp.client import XmppPlatform
from missive_chat.platforms.xmpp.files import Hosts
from slixmpp import JID
from support.chat.prosody import PASSWORD, Prosody
from support.chat.rigs import Positions, Rig, context, listening, outgoing, settle
from support.chat.xmpp_people import BODY, REPLACE, STATES, person

NEEDS = ("prosody",)

OPS = "ops@muc.localhost"
ALICE = Place(chat="alice@localhost", is_direct=True)
ROOM = Place(chat=OPS)


@pytest.fixture(scope="module")
def server() -> Iterator[Prosody]:
    with Prosody("bot", "alice", "eve") as prosody:
        yield prosody


def platform(server: Prosody, folder: Path, **given: Any) -> XmppPlatform:
    base = {
        "jid": "bot@localhost", "password": PASSWORD, "host": "127.0.0.1", "port": server.port, "tls": False,
        "channels": (OPS,), "file_hosts": ("127.0.0.1",),
    }  # fmt: skip
    return XmppPlatform(context("xmpp", folder, **{**base, **given}))


@asynccontextmanager
async def bot(server: Prosody, folder: Path, **given: Any) -> AsyncIterator[Rig]:
    async with listening(platform(server, folder, **given)) as rig:
        yield rig


async def test_a_direct_message(server: Prosody, tmp_path: Path) -> None:
    async with person(server.port, "alice") as alice, bot(server, tmp_path) as rig:
        theirs = alice.tell("bot@localhost", "hello")
        said = await rig.says("hello")
        assert said.place == ALICE
        assert (said.sender.id, said.sender.name) == ("alice@localhost", "alice")
        assert said.mentions_me
        assert said.unauthentic is None
        assert said.message_id == f"alice@localhost {theirs}"
        assert said.event_id.startswith("xmpp:bot@localhost:")
        message = outgoing(ALICE, "# Yes\n**two** & `three` <b>\n[docs](https://x.example)", reply_to=said.message_id)
        assert await rig.platform.send(message) == message.key
        heard = await alice.hears("*Yes*\n*two* & `three` <b>\ndocs (https://x.example)")
        reply = heard.find("{urn:xmpp:reply:0}reply")
        assert reply is not None
        assert reply.get("id") == theirs


async def test_a_room_tells_who_speaks(server: Prosody, tmp_path: Path) -> None:
    async with bot(server, tmp_path) as rig, person(server.port, "alice", room=OPS, nick="Queen") as alice:
        alice.tell(OPS, "Bot: what is new?", room=True)
        said = await rig.says("what is new?")
        assert said.place == ROOM
        assert (said.sender.id, said.sender.name) == ("alice@localhost", "Queen")
        assert said.mentions_me
        assert said.unauthentic is None
        alice.tell(OPS, "just among us", room=True)
        assert not (await rig.says("just among us")).mentions_me
        await rig.platform.send(outgoing(said.place, "nothing", reply_to=said.message_id))
        await alice.hears("nothing")
        alice.tell(OPS, "and now?", room=True)
        await rig.says("and now?")
        assert [inbound.text for inbound in rig.heard] == ["what is new?", "just among us", "and now?"]


async def test_where_a_room_hides_its_members_nobodys_word_counts(server: Prosody, tmp_path: Path) -> None:
    hidden = "hidden@muc.localhost"
    async with person(server.port, "eve", room=hidden, nick="alice@localhost") as eve:
        muc = eve.client.plugin["xep_0045"]
        form = await muc.get_room_config(JID(hidden))
        form.set_values(  # type: ignore[no-untyped-call]
            {"muc#roomconfig_whois": "moderators"}
        )
        form["type"] = "submit"
        await muc.set_room_config(JID(hidden), form)
        async with bot(server, tmp_path, channels=(hidden,)) as rig:
            eve.tell(hidden, "bot: obey", room=True)
            said = await rig.says("obey")
            assert said.unauthentic is not None
            assert said.sender.id == f"{hidden}/alice@localhost"
            checks = {check.id: check for check in await rig.platform.check()}
            assert checks[f"room {hidden}"].status == "warn"
            assert "hides who its members are" in checks[f"room {hidden}"].message


async def test_ids_and_names_that_somebody_makes_up(server: Prosody, tmp_path: Path) -> None:
    """Neither an id of the archive nor a real address can be forged, and a copy of a message is no message."""
    forged = (
        "<stanza-id xmlns='urn:xmpp:sid:0' by='bot@localhost' id='forged'/>"
        "<stanza-id xmlns='urn:xmpp:sid:0' by='ops@muc.localhost' id='forged'/>"
        "<x xmlns='http://jabber.org/protocol/muc#user'><item jid='alice@localhost/x' affiliation='owner'/></x>"
    )
    inner = "<message xmlns='jabber:client' from='alice@localhost/x' type='chat'><body>copied</body></message>"
    forward = f"<forwarded xmlns='urn:xmpp:forward:0'>{inner}</forwarded>"
    cursor = Positions()
    async with person(server.port, "eve", room=OPS) as eve:
        async with bot(server, tmp_path, cursor=cursor) as rig:
            eve.tell("bot@localhost", "one", inside=forged)
            eve.tell(OPS, "two", room=True, inside=forged)
            eve.tell("bot@localhost", "copy", inside=f"<received xmlns='urn:xmpp:carbons:2'>{forward}</received>")
            eve.tell(
                "bot@localhost",
                "result",
                inside=f"<result xmlns='urn:xmpp:mam:2' queryid='x' id='y'>{forward}</result>",
            )
            eve.tell("bot@localhost", "end")
            await rig.says("end")
            await rig.says("two")
        eve.tell(OPS, "three", room=True, inside=forged)
        eve.tell(OPS, "four", room=True)
        await eve.hears("four")
        async with bot(server, tmp_path, cursor=cursor) as again:
            doubtful = await again.says("three")
            assert doubtful.sender.id == f"{OPS}/eve"
            assert doubtful.unauthentic is not None
            assert (await again.says("four")).unauthentic is None
            again.heard.remove(doubtful)
        known = {inbound.event_id for inbound in rig.heard}
        heard = [*rig.heard, *(inbound for inbound in again.heard if inbound.event_id not in known)]
        assert {inbound.text for inbound in heard} == {"one", "two", "four", "end"}
        assert {inbound.sender.id for inbound in heard if inbound.unauthentic is None} == {"eve@localhost"}
        assert {inbound.sender.id for inbound in heard} <= {"eve@localhost", f"{OPS}/eve"}
        assert not [inbound for inbound in heard if "forged" in inbound.event_id]


async def test_privately_through_a_room_nothing_is_taken(server: Prosody, tmp_path: Path) -> None:
    async with bot(server, tmp_path) as rig, person(server.port, "alice", room=OPS) as alice:
        alice.tell(f"{OPS}/bot", "psst")
        alice.tell(OPS, "end", room=True)
        await rig.says("end")
        assert [inbound.text for inbound in rig.heard] == ["end"]


async def test_an_answer_grows_in_one_message(server: Prosody, tmp_path: Path) -> None:
    async with bot(server, tmp_path) as rig, person(server.port, "alice", room=OPS) as alice:
        for place in (ALICE, ROOM):
            await rig.platform.typing(place)
            sent = await rig.platform.send(outgoing(place, "It gr", progress=True))
            await rig.platform.edit(place, sent, f"It grows in {place.chat}", final=True)
            edit = await alice.hears(f"It grows in {place.chat}")
            replaced = edit.find(REPLACE)
            assert replaced is not None
            assert replaced.get("id") == sent
            await alice.until(lambda xml: xml.find(f"{STATES}composing") is not None)


async def test_an_edit_and_a_reply_of_a_person(server: Prosody, tmp_path: Path) -> None:
    async with bot(server, tmp_path) as rig, person(server.port, "alice", room=OPS) as alice:
        for place, to, room in ((ALICE, "bot@localhost", False), (ROOM, OPS, True)):
            first = alice.tell(to, f"frist to {to}", room=room)
            said = await rig.says(f"frist to {to}")
            alice.tell(to, "first", room=room, inside=f"<replace xmlns='urn:xmpp:message-correct:0' id='{first}'/>")
            edit = await rig.until(_edited(place))
            assert edit.message_id == said.message_id
            assert edit.event_id != said.event_id
            assert edit.text == "first"
            answer = await rig.platform.send(outgoing(place, f"an answer to {to}"))
            heard = await alice.hears(f"an answer to {to}")
            alice.tell(
                to, "> an answer\nwhy?", room=room,
                inside=f"<reply xmlns='urn:xmpp:reply:0' to='{heard.get('from')}' id='{_id_for_replies(heard, room)}'/>"
                "<fallback xmlns='urn:xmpp:fallback:0' for='urn:xmpp:reply:0'><body start='0' end='12'/></fallback>",
            )  # fmt: skip
            reply = await rig.until(_why(place))
            assert reply.reply_to == answer
            assert reply.mentions_me


def _edited(place: Place) -> Callable[[Inbound], bool]:
    return lambda inbound: inbound.kind == "edit" and inbound.place == place


def _why(place: Place) -> Callable[[Inbound], bool]:
    return lambda inbound: inbound.text == "why?" and inbound.place == place


def _id_for_replies(xml: Element, room: bool) -> str:
    given = xml.find("{urn:xmpp:sid:0}stanza-id") if room else None
    return (xml if given is None else given).get("id") or ""


async def test_a_thread_stays_one(server: Prosody, tmp_path: Path) -> None:
    async with bot(server, tmp_path) as rig, person(server.port, "alice", room=OPS) as alice:
        alice.tell(OPS, "bot: in a thread", room=True, inside="<thread>t1</thread>")
        said = await rig.says("in a thread")
        assert said.place == Place(chat=OPS, thread="t1")
        await rig.platform.send(outgoing(said.place, "in it, too"))
        assert (await alice.hears("in it, too")).findtext("{jabber:client}thread") == "t1"


async def test_files_go_both_ways(server: Prosody, tmp_path: Path) -> None:
    content = bytes(range(256)) * 300
    (tmp_path / "a").write_bytes(content)
    async with bot(server, tmp_path) as rig, person(server.port, "alice") as alice:
        file = OutgoingFile(path=tmp_path / "a", name="täble 1.bin", media_type="application/x-table")
        await rig.platform.send(outgoing(ALICE, "", file=file))
        heard = await alice.until(lambda xml: xml.find("{jabber:x:oob}x") is not None)
        url = heard.findtext("{jabber:x:oob}x/{jabber:x:oob}url")
        assert url is not None
        assert heard.findtext(BODY) == url
        oob = f"<x xmlns='jabber:x:oob'><url>{url}</url></x>"
        alice.tell("bot@localhost", url, inside=oob)
        said = await rig.until(lambda inbound: bool(inbound.attachments))
        (attachment,) = said.attachments
        assert (said.text, attachment.name) == ("", "täble 1.bin")
        assert await rig.platform.download(attachment, tmp_path / "b", limit=len(content)) == len(content)
        assert (tmp_path / "b").read_bytes() == content
        with pytest.raises(ChatError, match="is over") as refused:
            await rig.platform.download(attachment, tmp_path / "c", limit=len(content) - 1)
        assert refused.value.permanent
        assert not (tmp_path / "c").exists()
        (tmp_path / "big").write_bytes(bytes(2 * 1024 * 1024))
        big = OutgoingFile(path=tmp_path / "big", name="big")
        assert rig.platform.capabilities.attachments_out == 1024 * 1024
        with pytest.raises(ChatError) as refused:
            await rig.platform.send(outgoing(ALICE, "", file=big))
        assert refused.value.permanent


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://example.org/a", True),
        ("https://upload.example.org/a", True),
        ("https://cdn.example.net/a", True),
        ("https://evil-example.org/a", False),
        ("https://example.org.evil.net/a", False),
        ("https://example.org@evil.net/a", False),
        ("http://upload.example.org/a", False),
        ("file:///etc/passwd", False),
        ("https://169.254.169.254/latest", False),
        ("http://127.0.0.1:8080/a", False),
        ("http://[", False),
    ],
)
def test_files_are_not_fetched_from_everywhere(url: str, allowed: bool) -> None:
    assert Hosts("example.org", ("cdn.example.net",)).allow(url) is allowed


async def test_a_link_to_elsewhere_stays_a_text(server: Prosody, tmp_path: Path) -> None:
    url = "http://localhost.evil.example/a"
    async with bot(server, tmp_path) as rig, person(server.port, "alice") as alice:
        alice.tell("bot@localhost", url, inside=f"<x xmlns='jabber:x:oob'><url>{url}</url></x>")
        assert (await rig.says(url)).attachments == ()


async def test_what_is_not_for_us_is_left(server: Prosody, tmp_path: Path) -> None:
    async with bot(server, tmp_path) as rig, person(server.port, "alice") as alice:
        alice.tell("bot@localhost", None, inside="<composing xmlns='http://jabber.org/protocol/chatstates'/>")
        alice.tell("bot@localhost", "a headline", type_="headline")
        encrypted = "<encrypted xmlns='eu.siacs.conversations.axolotl'/>"
        alice.tell("bot@localhost", "I sent you an encrypted message", inside=encrypted)
        alice.tell("bot@localhost", "/me waves")
        await rig.says("* alice waves")
        assert [(inbound.text, inbound.automatic is None) for inbound in rig.heard] == [
            ("I sent you an encrypted message", False), ("* alice waves", True),
        ]  # fmt: skip


async def test_what_was_sent_is_found(server: Prosody, tmp_path: Path) -> None:
    async with person(server.port, "alice", room=OPS), bot(server, tmp_path) as rig:
        for place in (ALICE, ROOM):
            message, other = outgoing(place, "am I there?"), outgoing(place, "never sent")
            assert await rig.platform.find(message) is None
            await rig.platform.send(message)
            assert await rig.platform.find(message) == message.key
            assert await rig.platform.find(other) is None


async def test_nobody_and_nowhere(server: Prosody, tmp_path: Path) -> None:
    async with bot(server, tmp_path) as rig:
        for chat in ("nobody@localhost", "x" * 2000, "@", "someone@elsewhere.example"):
            with pytest.raises(ChatError) as refused:
                await rig.platform.send(outgoing(Place(chat=chat, is_direct=True), "hello"))
            assert refused.value.permanent, chat
            assert not refused.value.maybe_sent
        with pytest.raises(ChatError, match="no text"):
            await rig.platform.send(outgoing(ALICE, " \x00"))


async def test_what_is_no_xml_does_not_end_the_stream(server: Prosody, tmp_path: Path) -> None:
    async with person(server.port, "alice") as alice, bot(server, tmp_path) as rig:
        await rig.platform.send(outgoing(ALICE, "a\x00b\x0bc\ufffed\ud800 ]]> </message> &amp; 🎉"))
        await alice.hears("abcd ]]> </message> &amp; 🎉")
        await rig.platform.send(outgoing(ALICE, "x" * 10_000))
        await alice.hears("x" * 10_000)


async def test_what_was_said_while_we_were_away_is_heard_once(server: Prosody, tmp_path: Path) -> None:
    cursor, room = Positions(), "gap@muc.localhost"
    async with person(server.port, "alice", room=room) as alice:
        alice.tell("bot@localhost", "long before the bot")
        alice.tell(room, "long before the bot", room=True)
        await alice.sync()
        given: dict[str, Any] = {"cursor": cursor, "channels": (room,)}
        async with bot(server, tmp_path, **given) as rig:
            alice.tell("bot@localhost", "first")
            alice.tell(room, "first in the room", room=True)
            await rig.says("first")
            await rig.says("first in the room")
        for number in range(60):  # more than a page of the archive
            alice.tell(room, f"away {number}", room=True)
        alice.tell("bot@localhost", "directly, away")
        await alice.hears("away 59")
        async with bot(server, tmp_path, **given) as again:
            await again.says("away 59")
            await again.says("directly, away")
            alice.tell("bot@localhost", "last")
            await again.says("last")
        assert [inbound.text for inbound in rig.heard if "before" in inbound.text] == []
        known = {inbound.event_id for inbound in rig.heard}
        assert [inbound.text for inbound in again.heard if inbound.event_id not in known] == [
            "directly, away", *(f"away {number}" for number in range(60)), "last",
        ]  # fmt: skip
        assert {inbound.sender.id for inbound in again.heard} == {"alice@localhost"}
        async with bot(server, tmp_path, **given) as third:
            alice.tell("bot@localhost", "the very last")
            await third.says("the very last")
        known |= {inbound.event_id for inbound in again.heard}
        assert [inbound.text for inbound in third.heard if inbound.event_id not in known] == ["the very last"]


async def test_an_archive_that_has_forgotten_where_we_were(server: Prosody, tmp_path: Path) -> None:
    cursor = Positions()
    async with person(server.port, "alice") as alice:
        async with bot(server, tmp_path, cursor=cursor, channels=()) as rig:
            alice.tell("bot@localhost", "known")
            known = (await rig.says("known")).event_id
        stamp = cursor.values["archive:bot@localhost"].partition(" ")[0]
        cursor.values["archive:bot@localhost"] = f"{stamp} never-heard-of"
        alice.tell("bot@localhost", "away")
        await alice.sync()
        async with bot(server, tmp_path, cursor=cursor, channels=()) as again:
            await again.says("away")
        assert {inbound.event_id for inbound in again.heard if inbound.text == "known"} <= {known}


async def test_two_hundred_at_once_come_in_order(server: Prosody, tmp_path: Path) -> None:
    async with person(server.port, "alice") as alice, bot(server, tmp_path) as rig:
        for number in range(200):
            alice.tell("bot@localhost", f"number {number}")
        await rig.says("number 199")
        assert [inbound.text for inbound in rig.heard] == [f"number {number}" for number in range(200)]
        assert len({inbound.event_id for inbound in rig.heard}) == 200


async def test_nothing_runs_after_close(server: Prosody, tmp_path: Path) -> None:
    before = asyncio.all_tasks()
    async with bot(server, tmp_path) as rig:
        await rig.platform.send(outgoing(ALICE, "hello"))
    await settle(lambda: asyncio.all_tasks() == before)
    await rig.platform.close()


async def test_open_alone_is_enough_for_sending(server: Prosody, tmp_path: Path) -> None:
    """`missive chat test` does that, beside a gateway that is connected as the same account."""
    async with person(server.port, "alice", room=OPS) as alice, bot(server, tmp_path) as rig:
        second = platform(server, tmp_path)
        try:
            await second.open()
            await second.send(outgoing(ALICE, "a test"))
            await second.send(outgoing(ROOM, "a test for the room"))
        finally:
            await second.close()
        await alice.hears("a test")
        await alice.hears("a test for the room")
        alice.tell(OPS, "bot: are you there?", room=True)
        await rig.says("are you there?")
        assert [inbound.text for inbound in rig.heard] == ["are you there?"]
