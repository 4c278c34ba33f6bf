"""XMPP holds what every platform must hold."""

from __future__ import annotations

import asyncio
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from typing import Any
from uuid import uuid4

import anyio
import pytest
from missive_chat.platform import Platform, PlatformContext
from missive_chat.platforms.xmpp.client import XmppPlatform
from missive_chat.testing import Hidden, PlatformContract, Rig, Shown
from slixmpp import JID
from support.chat.prosody import PASSWORD, Prosody
from support.chat.rigs import options
from support.chat.xmpp_people import BODY, REPLACE, STATES, Person, person
from support.cutting import CuttingProxy
from support.secrets import planted

WRONG = planted("xmpp-wrong")

NEEDS = ("prosody",)

OOB_URL = "{jabber:x:oob}x/{jabber:x:oob}url"


class XmppRig(Rig):
    refusal = "Unable to authorize you"
    secrets = (WRONG,)

    def __init__(self, server: Prosody, alice: Person, proxy: CuttingProxy, room: str, bot: str) -> None:
        self.server, self.alice, self.proxy, self.room, self.bot = server, alice, proxy, room, bot
        base: dict[str, Any] = {
            **options("xmpp"), "jid": bot, "password": Hidden(PASSWORD), "host": "127.0.0.1", "tls": False,
            "port": int(proxy.address.rpartition(":")[2]), "channels": (room,), "file_hosts": ("127.0.0.1",),
        }  # fmt: skip
        self.options = base
        self.wrong_options = {**base, "password": Hidden(WRONG)}
        self.unreachable_options = {**base, "port": 1}
        self.was_there = False
        self._tasks: set[asyncio.Task[None]] = set()

    def platform(self, context: PlatformContext) -> Platform:
        return XmppPlatform(context)

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
        with anyio.fail_after(20):  # at the first start what was said before does not count
            while not self.was_there and not self._bot_is_there():
                await anyio.sleep(0.02)
        self.was_there = True
        inside = "<thread>topic</thread>" if thread else ""
        if file is not None:
            url = await self._store(*file)
            text, inside = f"{text}\n{url}", f"{inside}<x xmlns='jabber:x:oob'><url>{url}</url></x>"
        said = f"{self.nick}: {text}" if mention else text
        to = self.bot if direct else self.room
        self.alice.tell(to, said, room=not direct, inside=inside)
        await self.alice.sync()

    @property
    def nick(self) -> str:
        return self.bot.partition("@")[0]

    def _bot_is_there(self) -> bool:
        return self.nick in self.alice.client.plugin["xep_0045"].get_roster(JID(self.room))

    async def _store(self, name: str, content: bytes) -> str:
        from xml.etree.ElementTree import SubElement

        upload = "{urn:xmpp:http:upload:0}"
        iq = self.alice.client.make_iq_get(ito=JID("upload.localhost"))
        SubElement(iq.xml, f"{upload}request", filename=name, size=str(len(content)))
        slot = (await iq.send(timeout=20)).xml.find(f"{upload}slot")  # type: ignore[no-untyped-call]
        put = slot.find(f"{upload}put")
        request = urllib.request.Request(put.get("url"), data=content, method="PUT")
        for header in put:
            request.add_header(header.get("name"), header.text)
        request.add_header("Content-Type", "application/octet-stream")
        await asyncio.to_thread(lambda: urllib.request.urlopen(request, timeout=20).close())
        return str(slot.find(f"{upload}get").get("url"))

    async def shown(self) -> list[Shown]:
        await self.alice.sync()
        shown: dict[str, Shown] = {}
        for xml in self.alice.heard:
            sender = xml.get("from") or ""
            text = xml.findtext(BODY)
            if text is None or not sender.startswith((self.bot, f"{self.room}/{self.nick}")):
                continue
            replaced, url = xml.find(REPLACE), xml.findtext(OOB_URL)
            ours = (xml.get("id") if replaced is None else replaced.get("id")) or ""
            files: tuple[bytes, ...] = ()
            if url is not None:
                text = text.replace(url, "").strip()
                files = (await asyncio.to_thread(_content, url),)
            shown[ours] = Shown(id=ours, text=text, thread=xml.findtext("{jabber:client}thread"), files=files)
        return list(shown.values())

    async def change(self, message_id: str, text: str) -> None:
        ours = message_id.rpartition(" ")[2]
        inside = f"<replace xmlns='urn:xmpp:message-correct:0' id='{ours}'/>"
        self.alice.tell(self.room, f"{self.nick}: {text}", room=True, inside=inside)

    async def is_typing(self) -> bool:
        await self.alice.until(lambda xml: xml.find(f"{STATES}composing") is not None)
        return True

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

    async def drop(self) -> None:
        self.proxy.reset()


def _content(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=20) as answer:
        return bytes(answer.read())


@pytest.fixture(scope="module")
def prosody() -> Iterator[Prosody]:
    with Prosody("alice", *(f"bot{number}" for number in range(60))) as server:
        yield server


NUMBERS = iter(range(60))


class TestXmpp(PlatformContract):
    lacks = frozenset({"buttons", "reactions", "idempotent-send", "mass-mentions", "rate-limit", "redelivery"})

    @pytest.fixture
    async def rig(self, prosody: Prosody) -> AsyncIterator[XmppRig]:
        room = f"r{uuid4().hex[:8]}@muc.localhost"
        async with AsyncExitStack() as stack:
            proxy = await stack.enter_async_context(CuttingProxy(f"127.0.0.1:{prosody.port}"))
            alice = await stack.enter_async_context(person(prosody.port, "alice", room=room))
            yield XmppRig(prosody, alice, proxy, room, f"bot{next(NUMBERS)}@localhost")
