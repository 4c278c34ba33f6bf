"""A person on XMPP, with slixmpp as clients have it: it does what it is told, and keeps what it hears."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any
from xml.etree.ElementTree import Element, SubElement, fromstring

import anyio
from slixmpp import JID, ClientXMPP
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath
from support.chat.prosody import PASSWORD

BODY = "{jabber:client}body"
REPLACE = "{urn:xmpp:message-correct:0}replace"
STATES = "{http://jabber.org/protocol/chatstates}"


class Person:
    def __init__(self, client: ClientXMPP) -> None:
        self.client = client
        self.heard: list[Element] = []
        self._changed = asyncio.Event()

    def on_message(self, message: Any) -> None:
        self.heard.append(message.xml)
        self._changed.set()
        self._changed = asyncio.Event()

    async def until(self, found: Callable[[Element], bool], seconds: float = 20) -> Element:
        with anyio.fail_after(seconds):
            while True:
                changed = self._changed
                for xml in self.heard:
                    if found(xml):
                        return xml
                await changed.wait()

    async def hears(self, text: str, seconds: float = 20) -> Element:
        return await self.until(lambda xml: xml.findtext(BODY) == text, seconds)

    def tell(self, to: str, text: str | None, *, room: bool = False, inside: str = "", **attributes: str) -> str:
        """Send a message; `inside` is XML that goes into it. Return its id."""
        message = self.client.make_message(mto=JID(to), mtype="groupchat" if room else "chat")
        xml: Element = message.xml
        for child in list(xml):
            xml.remove(child)
        for name, value in attributes.items():
            xml.set(name.rstrip("_"), value)
        if text is not None:
            SubElement(xml, BODY).text = text
        for child in fromstring(f"<x xmlns='jabber:client'>{inside}</x>"):
            xml.append(child)
        self.client.send_xml(xml)
        return xml.get("id") or ""

    async def join(self, room: str, nick: str) -> None:
        await self.client.plugin["xep_0045"].join_muc_wait(JID(room), nick, maxstanzas=0, timeout=20)

    async def sync(self) -> None:
        """Wait until our server has dealt with all that was sent before."""
        iq = self.client.make_iq_get(ito=JID("localhost"))
        iq.enable("ping")
        await iq.send(timeout=20)  # type: ignore[no-untyped-call]


@asynccontextmanager
async def person(port: int, user: str, *, room: str | None = None, nick: str | None = None) -> AsyncIterator[Person]:
    client = ClientXMPP(f"{user}@localhost", PASSWORD)
    client.enable_starttls = client.enable_direct_tls = False
    client.enable_plaintext = True
    client.plugin["feature_mechanisms"].unencrypted_scram = client.plugin["feature_mechanisms"].unencrypted_plain = True
    for plugin in ("xep_0030", "xep_0045", "xep_0199"):
        client.register_plugin(plugin)
    someone, started = Person(client), asyncio.Event()
    client.register_handler(Callback("person", MatchXPath("{jabber:client}message"), someone.on_message))
    client.add_event_handler("session_start", lambda _: started.set())
    client.connect("127.0.0.1", port)
    try:
        with anyio.fail_after(20):
            await started.wait()
        client.send_presence()
        if room is not None:
            await someone.join(room, nick or user)
        yield someone
    finally:
        with anyio.CancelScope(shield=True):
            await client.disconnect(wait=1.0)
            client.abort()
            client.cancel_connection_attempt()
            filters = client._run_out_filters
            if filters is not None:
                filters.cancel()
                with suppress(asyncio.CancelledError):
                    await filters
