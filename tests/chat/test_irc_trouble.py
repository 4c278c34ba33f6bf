"""What goes wrong on IRC: cut and frozen connections, kicks, floods, restarts. A real InspIRCd."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from missive_chat.platform import ChatError, ChatLoginError, Place
from missive_chat.platforms.irc.client import IrcPlatform
from support.chat.certificates import certificate_for
from support.chat.irc_people import person
from support.chat.irc_servers import Inspircd
from support.chat.rigs import Rig, context, listening, outgoing, settle
from support.cutting import CuttingProxy

NEEDS = ("inspircd",)

OPS = Place(chat="#ops")


@pytest.fixture(scope="module")
def server() -> Iterator[Inspircd]:
    with Inspircd() as inspircd:
        yield inspircd


def platform(port: int, folder: Path, **given: Any) -> IrcPlatform:
    base = {
        "server": "127.0.0.1", "port": port, "tls": False, "nick": "bot", "channels": ("#ops",), "trust_nicks": True,
        "line_interval": 0.0,
    }  # fmt: skip
    return IrcPlatform(context("irc", folder, **{**base, **given}))


def bot(port: int, folder: Path, **given: Any) -> AbstractAsyncContextManager[Rig]:
    return listening(platform(port, folder, **given))


@asynccontextmanager
async def proxied(server: Inspircd) -> AsyncIterator[tuple[CuttingProxy, int]]:
    async with CuttingProxy(f"127.0.0.1:{server.port}") as proxy:
        yield proxy, int(proxy.address.rpartition(":")[2])


async def test_a_connection_that_is_cut_is_made_again(server: Inspircd, tmp_path: Path) -> None:
    async with (
        proxied(server) as (proxy, port),
        person(server.port, "alice", "#ops") as alice,
        bot(port, tmp_path) as rig,
    ):
        await rig.platform.send(outgoing(OPS, "before"))
        proxy.reset()
        await settle(lambda: proxy.connections == 2)
        await alice.until(lambda line: line.command == "QUIT")
        await _sent(rig, "after")
        await alice.hears("after")
        await alice.tell("#ops", "bot: still there?")
        await rig.says("still there?")


async def _sent(rig: Rig, text: str) -> None:
    """Send it as the outbox does: again, as long as it is certain that it was not sent."""
    with anyio.fail_after(30):
        while True:
            try:
                await rig.platform.send(outgoing(OPS, text))
                return
            except ChatError as error:
                if error.permanent or error.maybe_sent:
                    raise
                await anyio.sleep(0.1)


async def test_a_peer_that_is_frozen_is_found_out(server: Inspircd, tmp_path: Path) -> None:
    signs: list[int] = []
    async with (
        proxied(server) as (proxy, port),
        person(server.port, "alice", "#ops") as alice,
        listening(_noted(port, tmp_path, signs)) as rig,
    ):
        count = len(signs)
        await settle(lambda: len(signs) > count)  # our own pings are answered
        proxy.freeze()
        await settle(lambda: proxy.connections == 2)
        await _sent(rig, "here again")
        await alice.hears("here again")


def _noted(port: int, folder: Path, signs: list[int]) -> IrcPlatform:
    return platform(port, folder, ping=0.5, alive=lambda: signs.append(1))


async def test_what_was_written_when_the_connection_broke_may_have_been_sent(server: Inspircd, tmp_path: Path) -> None:
    async with proxied(server) as (proxy, port), bot(port, tmp_path) as rig:
        proxy.freeze()
        failures: list[ChatError] = []

        async def send() -> None:
            with pytest.raises(ChatError) as failed:
                await rig.platform.send(outgoing(OPS, "into the void"))
            failures.append(failed.value)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(send)
            await anyio.wait_all_tasks_blocked()
            proxy.reset()
        assert failures[0].maybe_sent
        with pytest.raises(ChatError, match="not connected") as refused:
            await rig.platform.send(outgoing(OPS, "and now?"))
        assert not refused.value.maybe_sent
        assert refused.value.retry_after


async def test_we_come_back_after_a_kick(server: Inspircd, tmp_path: Path) -> None:
    async with person(server.port, "op", "#ops") as operator, bot(server.port, tmp_path) as rig:
        await operator.say("KICK #ops bot :too loud")
        await settle(lambda: _reason(rig) is not None)
        assert _reason(rig) == "op has thrown us out (too loud)"
        with pytest.raises(ChatError, match="too loud") as refused:
            await rig.platform.send(outgoing(OPS, "but"))
        assert refused.value.retry_after
        await settle(lambda: _reason(rig) is None)
        await rig.platform.send(outgoing(OPS, "here again"))
        await operator.hears("here again")


def _reason(rig: Rig) -> str | None:
    assert isinstance(rig.platform, IrcPlatform)
    link = rig.platform._link
    assert link is not None
    return rig.platform._channels.reasons(link)["#ops"]


async def test_who_is_thrown_out_for_a_flood_comes_back_and_is_slower(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Inspircd(threshold=20) as strict:
        async with person(strict.port, "alice", "#ops") as alice, bot(strict.port, tmp_path) as rig:
            with pytest.raises(ChatError) as failed:
                await rig.platform.send(outgoing(OPS, "\n".join("line" for _ in range(200))))
            assert failed.value.maybe_sent
            await _sent(rig, "I am sorry")
            await alice.hears("I am sorry")
            assert "sending more slowly" in caplog.text


async def test_lines_are_throttled_as_configured(server: Inspircd, tmp_path: Path) -> None:
    """With a burst of 3 and a long interval, three lines are there and the fourth is not."""
    async with (
        person(server.port, "alice", "#ops") as alice,
        bot(server.port, tmp_path, line_burst=3, line_interval=600.0) as rig,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(rig.platform.send, outgoing(OPS, "1\n2\n3\n4"))
        await alice.hears("3")
        await alice.sync()
        assert alice.heard("bot") == ["1", "2", "3"]
        tasks.cancel_scope.cancel()


async def test_a_server_that_is_started_again(tmp_path: Path) -> None:
    with Inspircd() as own:
        async with bot(own.port, tmp_path) as rig:
            await rig.platform.send(outgoing(OPS, "before"))
            own.restart(crash=True)
            async with person(own.port, "alice", "#ops") as alice:
                await _sent(rig, "after")
                await alice.hears("after")


async def test_a_slow_bridge_does_not_lose_the_connection(server: Inspircd, tmp_path: Path) -> None:
    async with person(server.port, "alice", "#ops") as alice, bot(server.port, tmp_path, ping=0.3) as rig:
        rig.hold = anyio.Event()
        await alice.say(*(f"PRIVMSG #ops :{number}" for number in range(1500)))
        await alice.sync()
        await rig.platform.send(outgoing(OPS, "I am not lost"))
        await alice.hears("I am not lost")
        rig.hold.set()
        await rig.says("1499")
        assert [inbound.text for inbound in rig.heard] == [str(number) for number in range(1500)]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return certificate_for(tmp_path_factory.mktemp("tls"))


async def test_tls_with_a_certificate_that_is_looked_at(certificate: tuple[Path, Path], tmp_path: Path) -> None:
    with Inspircd(certificate=certificate) as server:
        given = {"server": "localhost", "tls": True}
        async with (
            bot(server.tls_port, tmp_path, ca_file=certificate[0], **given) as rig,
            person(server.port, "alice", "#ops") as alice,
        ):
            await rig.platform.send(outgoing(OPS, "in private"))
            await alice.hears("in private")
        unknown = platform(server.tls_port, tmp_path, **given)
        with pytest.raises(ChatLoginError, match="cannot be trusted"):
            await unknown.open()
        await unknown.close()
        other_name = platform(server.tls_port, tmp_path, server="127.0.0.1", tls=True, ca_file=certificate[0])
        with pytest.raises(ChatLoginError, match="cannot be trusted"):
            await other_name.open()
        await other_name.close()
        no_file = platform(server.tls_port, tmp_path, ca_file=tmp_path / "missing.pem", **given)
        with pytest.raises(ChatLoginError, match="ca_file"):
            await no_file.open()
        await no_file.close()
