"""IRC holds what every platform must hold: with accounts and ids (InspIRCd), and without (ngIRCd)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import anyio
import pytest
from missive_chat.platform import Outgoing, Platform, PlatformContext
from missive_chat.platforms.irc.client import IrcPlatform
from missive_chat.testing import Hidden, PlatformContract, Rig, Shown
from support.chat.irc_people import Person, person
from support.chat.irc_servers import Inspircd, Ngircd
from support.chat.irc_services import Services
from support.chat.rigs import options
from support.cutting import CuttingProxy
from support.secrets import planted

RIGHT, WRONG = planted("irc"), planted("irc-wrong")

NEEDS = ("inspircd", "ngircd")

ACCOUNTS = {"bot": RIGHT, "alice": "pw"}
OPS = "#ops"


class Remembering(IrcPlatform):
    """Remembers which ids it gave, in order: without `msgid` people see none."""

    def __init__(self, context: PlatformContext, ids: list[str]) -> None:
        super().__init__(context)
        self._ids = ids

    async def send(self, message: Outgoing) -> str:
        sent = await super().send(message)
        self._ids.append(sent)
        return sent


class IrcRig(Rig):
    secrets = (RIGHT, WRONG)

    def __init__(
        self, port: int, alice: Person, proxy: CuttingProxy, given: dict[str, Any], wrong: dict[str, Any]
    ) -> None:
        self.alice = alice
        self.ids: list[str] = []
        self.proxy = proxy
        base = {
            **options("irc"), "server": "127.0.0.1", "port": port, "tls": False, "nick": "bot", "channels": (OPS,),
            "line_interval": 0.0, **given,
        }  # fmt: skip
        self.options = base
        self.wrong_options = {**base, **wrong}
        self.unreachable_options = {**base, "port": 1}
        self._tasks: set[asyncio.Task[None]] = set()

    def platform(self, context: PlatformContext) -> Platform:
        return Remembering(context, self.ids)

    async def say(
        self,
        text: str,
        *,
        direct: bool = False,
        mention: bool = False,
        thread: bool = False,
        reply_to: str | None = None,
        file: tuple[str, bytes] | None = None,
    ) -> None:
        await self._bot_is_there()
        await self.alice.tell("bot" if direct else OPS, f"bot: {text}" if mention else text)

    async def _bot_is_there(self) -> None:
        with anyio.fail_after(20):
            while True:
                self.alice.lines = [line for line in self.alice.lines if line.command not in {"353", "366"}]
                await self.alice.say(f"NAMES {OPS}")
                await self.alice.until(lambda line: line.command == "366")
                names = [name for line in self.alice.lines if line.command == "353" for name in line.params[-1].split()]
                if "bot" in {name.lstrip("@+") for name in names}:
                    return
                await anyio.sleep(0.05)

    async def shown(self) -> list[Shown]:
        await self.alice.sync()
        lines = [line for line in self.alice.lines if line.command == "PRIVMSG" and line.hostmask.nickname == "bot"]
        messages: list[str] = []
        full = False
        for text in (line.params[-1] for line in lines):
            if full:
                messages[-1] += text
            else:
                messages.append(text)
            full = len(text.encode()) > 300
        return [
            Shown(id=self.ids[number] if number < len(self.ids) else "", text=text)
            for number, text in enumerate(messages)
        ]

    async def drop(self) -> None:
        before = self.proxy.connections
        self.proxy.reset()
        with anyio.fail_after(20):
            while self.proxy.connections == before:
                await anyio.sleep(0.01)

    async def lose_answer(self) -> None:
        known = len(await self.shown())
        self.proxy.mute()

        async def cut() -> None:
            while len(await self.shown()) == known:
                await asyncio.sleep(0.01)
            self.proxy.reset()

        task = asyncio.create_task(cut())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


LACKS = frozenset(
    {
        "edits", "threads", "buttons", "reactions", "typing", "files-in", "files-out", "idempotent-send", "find",
        "mass-mentions", "rate-limit", "replay", "redelivery", "edit-events",
    }
)  # fmt: skip


@asynccontextmanager
async def rig_of(
    server: Inspircd | Ngircd, given: dict[str, Any], wrong: dict[str, Any], **who: Any
) -> AsyncIterator[IrcRig]:
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(CuttingProxy(f"127.0.0.1:{server.port}"))
        alice = await stack.enter_async_context(person(server.port, "al", OPS, **who))
        yield IrcRig(int(proxy.address.rpartition(":")[2]), alice, proxy, given, wrong)


@pytest.fixture(scope="module")
def with_accounts() -> Iterator[Inspircd]:
    with Inspircd() as inspircd, Services(inspircd.link_port, ACCOUNTS):
        yield inspircd


@pytest.fixture(scope="module")
def without_anything() -> Iterator[Ngircd]:
    with Ngircd(password=RIGHT) as ngircd:
        yield ngircd


class TestWithAccounts(PlatformContract):
    lacks = LACKS

    @pytest.fixture
    async def rig(self, with_accounts: Inspircd) -> AsyncIterator[IrcRig]:
        given = {"sasl_user": "bot", "sasl_password": Hidden(RIGHT)}
        wrong = {"sasl_password": Hidden(WRONG)}
        async with rig_of(with_accounts, given, wrong, account=("alice", "pw")) as rig:
            rig.refusal = "SASL authentication failed"
            yield rig


class TestWithoutAnything(PlatformContract):
    lacks = LACKS

    @pytest.fixture
    async def rig(self, without_anything: Ngircd) -> AsyncIterator[IrcRig]:
        given = {"password": Hidden(RIGHT), "trust_nicks": True}
        wrong = {"password": Hidden(WRONG)}
        async with rig_of(without_anything, given, wrong, caps=False, password=RIGHT) as rig:
            rig.refusal = "Bad password"
            yield rig
