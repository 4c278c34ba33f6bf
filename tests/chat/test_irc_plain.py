"""IRC as it was in 1993: a real ngIRCd, without ids, accounts and capabilities."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from missive_chat.platform import ChatError, ChatLoginError, Place
from missive_chat.platforms.irc.client import IrcPlatform
from support.chat.irc_people import person
from support.chat.irc_servers import Ngircd
from support.chat.rigs import Rig, context, listening, outgoing
from support.secrets import planted

DOOR, WRONG = planted("irc-door"), planted("irc-wrong")

NEEDS = ("ngircd",)


@pytest.fixture(scope="module")
def server() -> Iterator[Ngircd]:
    with Ngircd() as ngircd:
        yield ngircd


def platform(port: int, folder: Path, **given: Any) -> IrcPlatform:
    base = {
        "server": "127.0.0.1",
        "port": port,
        "tls": False,
        "nick": "bot",
        "channels": ("#ops",),
        "line_interval": 0.0,
    }
    return IrcPlatform(context("irc", folder, **{**base, **given}))


def bot(server: Ngircd, folder: Path, **given: Any) -> AbstractAsyncContextManager[Rig]:
    return listening(platform(server.port, folder, **given))


async def test_without_accounts_nobody_is_known(server: Ngircd, tmp_path: Path) -> None:
    async with bot(server, tmp_path) as rig, person(server.port, "alice", "#ops", caps=False) as alice:
        await alice.tell("#ops", "bot: hello")
        said = await rig.says("hello")
        assert said.unauthentic is not None
        assert said.sender.id.startswith("alice!")
        checks = {check.id: check for check in await rig.platform.check()}
        assert checks["accounts"].status == "fail"
        assert checks["accounts"].fix is not None
        assert "trust_nicks" in checks["accounts"].fix
        assert checks["msgid"].status == "warn"


async def test_on_a_closed_network_a_nick_is_enough(server: Ngircd, tmp_path: Path) -> None:
    async with (
        bot(server, tmp_path, trust_nicks=True, users=("Alice",)) as rig,
        person(server.port, "alice", "#ops", caps=False) as alice,
    ):
        await alice.tell("bot", "hello")
        said = await rig.says("hello")
        assert (said.sender.id, said.unauthentic) == ("Alice", None)
        assert said.place == Place(chat="Alice", is_direct=True, facts={"nick": "alice"})
        await rig.platform.send(outgoing(said.place, "hello\n\nto *you*"))
        await alice.hears("to *you*")
        assert alice.heard("bot") == ["hello", "to *you*"]


async def test_the_same_said_twice_is_two_messages(server: Ngircd, tmp_path: Path) -> None:
    """Nothing here tells a line that comes again from one that is said again, so both are taken."""
    async with bot(server, tmp_path) as rig, person(server.port, "alice", "#ops", caps=False) as alice:
        await alice.tell("#ops", "again")
        await alice.tell("#ops", "again")
        await alice.tell("#ops", "end")
        await rig.says("end")
        assert len({inbound.event_id for inbound in rig.heard}) == 3


async def test_a_long_answer_comes_whole_and_in_order(server: Ngircd, tmp_path: Path) -> None:
    """ngIRCd throws out whoever sends a line of more than 512 bytes."""
    async with bot(server, tmp_path) as rig, person(server.port, "alice", "#ops", caps=False) as alice:
        lines = [f"{number} " + "größer " * number for number in range(40)]
        for line in lines:
            await rig.platform.send(outgoing(Place(chat="#ops"), line))
        await rig.platform.send(outgoing(Place(chat="#ops"), "ü" * 800))
        await rig.platform.send(outgoing(Place(chat="#ops"), "end"))
        await alice.hears("end")
        heard = alice.heard("bot")
        assert " ".join(" ".join(heard[:-1]).split()).startswith(" ".join(" ".join(lines).split()))
        assert "".join(heard).count("ü") == 800
        assert all(len(line) <= 512 for line in alice.raw.split(b"\r\n"))


async def test_nothing_of_an_answer_becomes_a_command(server: Ngircd, tmp_path: Path) -> None:
    async with bot(server, tmp_path) as rig, person(server.port, "alice", "#ops", caps=False) as alice:
        await rig.platform.send(
            outgoing(Place(chat="#ops"), "one\r\nQUIT :bye\r\n:x!y@z PRIVMSG #ops :forged\0\r\n\x01VERSION\x01")
        )
        await alice.hears("VERSION")
        assert alice.heard("bot") == ["one", "QUIT :bye", ":x!y@z PRIVMSG #ops :forged", "VERSION"]
        assert alice.heard("x") == []
        for chat in ("#ops,alice", "#ops :x", "alice\r\nQUIT", ""):
            with pytest.raises(ChatError, match="is not the name") as refused:
                await rig.platform.send(outgoing(Place(chat=chat), "hello"))
            assert refused.value.permanent


async def test_an_empty_message_is_refused(server: Ngircd, tmp_path: Path) -> None:
    async with bot(server, tmp_path) as rig:
        with pytest.raises(ChatError, match="no text") as refused:
            await rig.platform.send(outgoing(Place(chat="#ops"), "\x02\n"))
        assert refused.value.permanent


async def test_who_is_not_there_and_where_we_are_not(server: Ngircd, tmp_path: Path) -> None:
    async with bot(server, tmp_path) as rig:
        for place in (Place(chat="nobody", is_direct=True), Place(chat="#nowhere")):
            with pytest.raises(ChatError, match="did not take") as refused:
                await rig.platform.send(outgoing(place, "hello"))
            assert refused.value.permanent


async def test_the_password_of_the_server(tmp_path: Path) -> None:
    with Ngircd(password=DOOR) as server:
        async with (
            bot(server, tmp_path, password=DOOR, trust_nicks=True) as rig,
            person(server.port, "alice", caps=False, password=DOOR) as alice,
        ):
            await alice.tell("bot", "let me in")
            await rig.says("let me in")
        wrong = platform(server.port, tmp_path, password=WRONG)
        with pytest.raises(ChatLoginError, match=r"does not let us in: .*[Pp]assword") as refused:
            await wrong.open()
        await wrong.close()
        assert WRONG not in f"{refused.value!r} {refused.value.help}"


async def test_a_nick_that_the_server_does_not_take(server: Ngircd, tmp_path: Path) -> None:
    wrong = platform(server.port, tmp_path, nick="a bot")
    with pytest.raises(ChatLoginError, match="does not take the nick `a bot`"):
        await wrong.open()
    await wrong.close()


async def test_nobody_listens_there(tmp_path: Path, server: Ngircd) -> None:
    wrong = platform(1, tmp_path)
    with pytest.raises(ChatError, match=r"127\.0\.0\.1:1 cannot be reached"):
        await wrong.open()
    await wrong.close()
    no_tls = platform(server.port, tmp_path, tls=True)
    with pytest.raises(ChatError, match="does not speak TLS"):
        await no_tls.open()
    await no_tls.close()


async def test_without_tls_only_this_machine_is_spoken_to(tmp_path: Path) -> None:
    far = platform(6667, tmp_path, server="irc.example.org")
    with pytest.raises(ChatLoginError, match="without TLS"):
        await far.open()
    await far.close()
