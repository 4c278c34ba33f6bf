"""What goes wrong on XMPP: logins, certificates, cut and frozen connections, kicks, restarts. A real Prosody."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from missive_chat.platform import ChatError, ChatLoginError, Place
from missive_chat.platforms.xmpp.client import XmppPlatform
from slixmpp import JID
from support.chat.certificates import certificate_for
from support.chat.prosody import PASSWORD, Prosody
from support.chat.rigs import Positions, Rig, context, listening, outgoing, settle
from support.chat.xmpp_people import person
from support.cutting import CuttingProxy
from support.secrets import planted

WRONG = planted("xmpp-wrong")

NEEDS = ("prosody",)

OPS = "ops@muc.localhost"
ALICE = Place(chat="alice@localhost", is_direct=True)
ROOM = Place(chat=OPS)


@pytest.fixture(scope="module")
def server() -> Iterator[Prosody]:
    with Prosody("bot", "alice") as prosody:
        yield prosody


def platform(port: int, folder: Path, **given: Any) -> XmppPlatform:
    base = {
        "jid": "bot@localhost", "password": PASSWORD, "host": "127.0.0.1", "port": port, "tls": False,
        "channels": (OPS,),
    }  # fmt: skip
    return XmppPlatform(context("xmpp", folder, **{**base, **given}))


async def test_a_wrong_password_ends_it_at_once_in_the_words_of_the_server(
    server: Prosody, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    before = asyncio.all_tasks()
    wrong = platform(server.port, tmp_path, password=WRONG)
    with pytest.raises(ChatLoginError, match=r"does not let bot@localhost in: .*authorize") as refused:
        await wrong.open()
    await wrong.close()
    assert WRONG not in f"{refused.value!r} {refused.value.help} {caplog.text}"
    await settle(lambda: asyncio.all_tasks() == before)


async def test_the_password_is_not_in_what_the_library_logs(
    server: Prosody, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    right = platform(server.port, tmp_path)
    await right.open()
    await right.close()
    assert "AHB3" not in caplog.text
    assert "<auth" not in caplog.text


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"jid": "bot"}, "no address"),
        ({"host": None}, "without TLS"),
        ({"host": "xmpp.example.org"}, "without TLS"),
        ({"ca_file": "/nowhere/ca.pem", "tls": True}, "ca_file"),
    ],
)
async def test_options_that_cannot_be(server: Prosody, tmp_path: Path, given: dict[str, Any], words: str) -> None:
    wrong = platform(server.port, tmp_path, **given)
    with pytest.raises(ChatLoginError, match=words):
        await wrong.open()
    await wrong.close()


async def test_nobody_is_there(tmp_path: Path) -> None:
    before = asyncio.all_tasks()
    wrong = platform(1, tmp_path)
    with pytest.raises(ChatError, match="cannot be reached") as refused:
        await wrong.open()
    await wrong.close()
    assert not refused.value.permanent
    await settle(lambda: asyncio.all_tasks() == before)


async def test_tls_with_a_certificate_that_is_looked_at(tmp_path: Path) -> None:
    certificate = certificate_for(tmp_path)
    for file in certificate:
        file.chmod(0o644)
    with Prosody("bot", "alice", certificate=certificate) as server:
        async with listening(platform(server.port, tmp_path, tls=True, ca_file=str(certificate[0]))) as rig:
            checks = {check.id: check.message for check in await rig.platform.check()}
            assert checks["tls"] == "the connection is encrypted"
        unknown = platform(server.port, tmp_path, tls=True)
        with pytest.raises(ChatLoginError, match="cannot be trusted"):
            await unknown.open()
        await unknown.close()
        plain = platform(server.port, tmp_path)
        with pytest.raises(ChatError):
            await plain.open()
        await plain.close()


async def test_a_server_without_tls_does_not_get_the_password(server: Prosody, tmp_path: Path) -> None:
    """Whoever takes the offer of TLS out of the stream gets nothing for it."""
    stripped = platform(server.port, tmp_path, tls=True)
    with pytest.raises(ChatLoginError, match="TLS"):
        await stripped.open()
    await stripped.close()


async def test_a_connection_that_is_cut_is_told_and_nothing_is_lost(server: Prosody, tmp_path: Path) -> None:
    cursor = Positions()
    async with (
        person(server.port, "alice", room=OPS) as alice,
        CuttingProxy(f"127.0.0.1:{server.port}") as proxy,
    ):
        port = int(proxy.address.rpartition(":")[2])
        one = platform(port, tmp_path, cursor=cursor)
        rig = Rig(one)
        await one.open()
        async with anyio.create_task_group() as tasks:
            lost = await _listening(tasks, rig)
            alice.tell(OPS, "bot: before", room=True)
            await rig.says("before")
            proxy.reset()
            with anyio.fail_after(20):
                await lost.wait()
        with pytest.raises(ChatError, match="not connected") as refused:
            await one.send(outgoing(ALICE, "hello?"))
        assert refused.value.retry_after
        assert not refused.value.maybe_sent
        await one.close()
        alice.tell(OPS, "bot: while it is away", room=True)
        alice.tell("bot@localhost", "and directly")
        await alice.sync()
        async with listening(one) as again:  # as the bridge does: the same one is opened again
            await again.says("while it is away")
            await again.says("and directly")
            await one.send(outgoing(ROOM, "here again"))
            await alice.hears("here again")


async def _listening(tasks: Any, rig: Rig) -> anyio.Event:
    """Listen until the connection is lost, which it must be."""
    lost = anyio.Event()

    async def run() -> None:
        with pytest.raises(ChatError, match=r"was lost|within"):
            await rig.platform.listen(rig.receive)
        lost.set()

    tasks.start_soon(run)
    await anyio.sleep(0)
    return lost


async def test_a_peer_that_is_frozen_is_found_out(server: Prosody, tmp_path: Path) -> None:
    signs: list[int] = []
    async with CuttingProxy(f"127.0.0.1:{server.port}") as proxy:
        port = int(proxy.address.rpartition(":")[2])
        one = platform(port, tmp_path, ping=0.5, alive=lambda: signs.append(1))
        await one.open()
        async with anyio.create_task_group() as tasks:
            lost = await _listening(tasks, Rig(one))
            count = len(signs)
            await settle(lambda: len(signs) > count + 1)
            proxy.freeze()
            with anyio.fail_after(20):
                await lost.wait()
        await one.close()


async def test_what_was_on_its_way_may_have_been_sent(server: Prosody, tmp_path: Path) -> None:
    for place in (ALICE, ROOM):
        async with CuttingProxy(f"127.0.0.1:{server.port}") as proxy:
            one = platform(int(proxy.address.rpartition(":")[2]), tmp_path)
            await one.open()
            proxy.freeze()
            failures: list[ChatError] = []

            async def send(place: Place = place, one: XmppPlatform = one, into: list[ChatError] = failures) -> None:
                with pytest.raises(ChatError) as failed:
                    await one.send(outgoing(place, "into the void"))
                into.append(failed.value)

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(send)
                await anyio.wait_all_tasks_blocked()
                proxy.reset()
            assert failures[0].maybe_sent
            await one.close()


async def test_we_come_back_after_a_kick(server: Prosody, tmp_path: Path) -> None:
    room = "kick@muc.localhost"
    async with (
        person(server.port, "alice", room=room) as alice,
        listening(platform(server.port, tmp_path, channels=(room,), ping=0.5)) as rig,
    ):
        await alice.client.plugin["xep_0045"].set_role(JID(room), "bot", "none", reason="too loud")
        await settle(lambda: _refused(rig, room) is not None)
        with pytest.raises(ChatError, match="cannot be spoken in: too loud") as refused:
            await rig.platform.send(outgoing(Place(chat=room), "but"))
        assert refused.value.retry_after
        await settle(lambda: _refused(rig, room) is None)
        await rig.platform.send(outgoing(Place(chat=room), "here again"))
        await alice.hears("here again")


def _refused(rig: Rig, room: str) -> str | None:
    assert isinstance(rig.platform, XmppPlatform)
    assert rig.platform._rooms is not None
    return rig.platform._rooms.rooms[room].refused


async def test_a_nick_that_is_taken_and_a_room_that_is_closed(server: Prosody, tmp_path: Path) -> None:
    room, closed = "taken@muc.localhost", "closed@muc.localhost"
    async with person(server.port, "alice", room=room, nick="bot") as alice:
        await alice.join(closed, "alice")
        muc = alice.client.plugin["xep_0045"]
        form = await muc.get_room_config(JID(closed))
        form.set_values({"muc#roomconfig_membersonly": True})  # type: ignore[no-untyped-call]
        form["type"] = "submit"
        await muc.set_room_config(JID(closed), form)
        async with listening(platform(server.port, tmp_path, channels=(room, closed), ping=0.3)) as rig:
            await settle(lambda: _refused(rig, room) is None)
            alice.tell(room, "bot_: is that you?", room=True)
            assert (await rig.says("is that you?")).mentions_me
            checks = {check.id: check for check in await rig.platform.check()}
            assert checks[f"room {room}"].status == "ok", checks
            assert checks[f"room {closed}"].status == "fail"


async def test_a_server_that_is_started_again(tmp_path: Path) -> None:
    with Prosody("bot", "alice") as own:
        one, cursor = platform(own.port, tmp_path), None
        assert cursor is None
        await one.open()
        async with anyio.create_task_group() as tasks:
            lost = await _listening(tasks, Rig(one))
            await anyio.sleep(0.1)
            own.stop(crash=True)
            with anyio.fail_after(20):
                await lost.wait()
        await one.close()
        own.restart()
        async with person(own.port, "alice") as alice, listening(one):
            await one.send(outgoing(ALICE, "after"))
            await alice.hears("after")


async def test_without_archives_there_is_a_warning_and_the_rest_works(tmp_path: Path) -> None:
    with Prosody("bot", "alice", archives=False) as bare:
        async with (
            person(bare.port, "alice", room=OPS) as alice,
            listening(platform(bare.port, tmp_path)) as rig,
        ):
            checks = {check.id: check.status for check in await rig.platform.check()}
            assert checks["archive"] == checks[f"room {OPS}"] == "warn"
            alice.tell("bot@localhost", "hello")
            alice.tell(OPS, "bot: hello, room", room=True)
            direct, room = await rig.says("hello"), await rig.says("hello, room")
            assert len({direct.event_id, room.event_id}) == 2
            await rig.platform.send(outgoing(ROOM, "hello, Alice"))
            await alice.hears("hello, Alice")
            assert await rig.platform.find(outgoing(ROOM, "x")) is None


async def test_a_slow_bridge_does_not_lose_the_connection(server: Prosody, tmp_path: Path) -> None:
    async with (
        person(server.port, "alice") as alice,
        listening(platform(server.port, tmp_path, ping=1.0)) as rig,
    ):
        rig.hold = anyio.Event()
        for number in range(1500):
            alice.tell("bot@localhost", f"{number}")
        await alice.sync()
        await rig.platform.send(outgoing(ALICE, "I am not lost"))
        await alice.hears("I am not lost")
        rig.hold.set()
        await rig.says("1499", 60)
        assert [inbound.text for inbound in rig.heard] == [str(number) for number in range(1500)]
