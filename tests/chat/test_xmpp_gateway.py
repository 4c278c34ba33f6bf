"""Rooms and people on XMPP talk to an agent: a gateway process, a real Prosody, and a demo agent."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element

import pytest
from slixmpp import JID
from support.chat.prosody import PASSWORD, Prosody
from support.chat.rigs import settle
from support.chat.towns import Town, town_of
from support.chat.xmpp_people import BODY, REPLACE, Person, person

if TYPE_CHECKING:
    from support.cores import Home

    from missive_host.demo.fleet import AgentProcess

NEEDS = ("prosody",)

OPS = "ops@muc.localhost"


@pytest.fixture(scope="module")
def server() -> Iterator[Prosody]:
    with Prosody("bot", "alice", "bob", "eve") as prosody:
        yield prosody


@asynccontextmanager
async def xmpp(home: Home, agent: AgentProcess, server: Prosody) -> AsyncIterator[tuple[Town, Person]]:
    settings = (
        f'jid = "bot@localhost"\npassword = {{ secret = "env:XMPP_PASSWORD" }}\nhost = "127.0.0.1"\n'
        f'port = {server.port}\ntls = false\nchannels = ["{OPS}"]\nusers = ["alice@localhost"]\n'
        f'approvers = ["bob@localhost"]\nfile_hosts = ["127.0.0.1"]\n'
    )
    async with (
        person(server.port, "alice", room=OPS) as alice,
        town_of(home, agent, "xmpp", settings, {"XMPP_PASSWORD": PASSWORD}) as town,
    ):
        await settle(lambda: "bot" in alice.client.plugin["xep_0045"].get_roster(JID(OPS)))
        yield town, alice


def shown(person: Person) -> list[str]:
    """Return the bot's messages as a client shows them: each as it was changed last."""
    messages: dict[str, str] = {}
    for xml in person.heard:
        if not re.match(r"bot@localhost|ops@muc\.localhost/bot$", xml.get("from") or "") or xml.get("type") == "error":
            continue
        text, replaced = xml.findtext(BODY), xml.find(REPLACE)
        if text is not None:
            messages[(xml.get("id") if replaced is None else replaced.get("id")) or ""] = text
    return list(messages.values())


def url_of(xml: Element) -> str | None:
    return xml.findtext("{jabber:x:oob}x/{jabber:x:oob}url")


async def test_a_mention_and_a_direct_message_are_answered(home: Home, agent: AgentProcess, server: Prosody) -> None:
    async with xmpp(home, agent, server) as (_, alice), person(server.port, "eve", room=OPS) as eve:
        eve.tell(OPS, "bot: echo I am not listed", room=True)
        eve.tell("bot@localhost", "echo nor here")
        alice.tell(OPS, "bot: echo good **morning**", room=True)
        await settle(lambda: shown(alice) == ["good *morning*"])
        alice.tell("bot@localhost", "echo in private")
        await settle(lambda: shown(alice) == ["good *morning*", "in private"])
        assert shown(eve) == ["good *morning*"]
        alice.tell(OPS, "nobody was asked", room=True)
        alice.tell(OPS, "bot: echo what was said before?", room=True)
        await settle(lambda: "alice: nobody was asked" in shown(alice)[-1])


async def test_an_answer_grows_and_a_question_is_answered(home: Home, agent: AgentProcess, server: Prosody) -> None:
    async with xmpp(home, agent, server) as (_, alice):
        alice.tell("bot@localhost", "stream 4 0.7")
        await settle(lambda: any("chunk 4" in text for text in shown(alice)))
        (text,) = shown(alice)
        assert [int(number) for number in re.findall(r"chunk (\d)", text)] == [1, 2, 3, 4]
        assert any(xml.find(REPLACE) is not None for xml in alice.heard)
        alice.tell("bot@localhost", "ask Which colour?")
        await settle(lambda: any("Which colour?" in text for text in shown(alice)))
        alice.tell("bot@localhost", "blue")
        await settle(lambda: any("blue" in text for text in shown(alice)))


async def test_leave_is_given_by_who_may(home: Home, agent: AgentProcess, server: Prosody) -> None:
    async with xmpp(home, agent, server) as (_, alice), person(server.port, "bob", room=OPS) as bob:
        alice.tell(OPS, "bot: auth", room=True)
        found = await alice.until(lambda xml: "!approve" in (xml.findtext(BODY) or ""))
        code = re.search(r"!approve ([A-Z0-9]+)", found.findtext(BODY) or "")
        assert code is not None
        alice.tell(OPS, f"bot: !approve {code[1]}", room=True)
        await alice.until(lambda xml: "not listed" in (xml.findtext(BODY) or ""))
        bob.tell(OPS, f"bot: !approve {code[1]}", room=True)
        await alice.until(lambda xml: "pproved" in (xml.findtext(BODY) or ""))


async def test_files_go_both_ways(home: Home, agent: AgentProcess, server: Prosody) -> None:
    async with xmpp(home, agent, server) as (_, alice):
        alice.tell("bot@localhost", f"echo {'long ' * 30_000}")
        xml = await alice.until(lambda xml: url_of(xml) is not None)
        url = url_of(xml)
        assert url is not None
        alice.heard.clear()
        alice.tell("bot@localhost", url, inside=f"<x xmlns='jabber:x:oob'><url>{url}</url></x>")
        await alice.until(lambda xml: "bot@localhost" in (xml.get("from") or "") and bool(xml.findtext(BODY)))


async def test_what_was_asked_while_it_was_down_is_answered_once(
    home: Home, agent: AgentProcess, server: Prosody
) -> None:
    async with xmpp(home, agent, server) as (town, alice):
        alice.tell(OPS, "bot: echo before", room=True)
        await settle(lambda: shown(alice) == ["before"])
        await town.quiet()
        await town.kill()
        alice.tell(OPS, "bot: echo while it was down", room=True)
        alice.tell("bot@localhost", "echo and directly")
        await alice.sync()
        await town.start()
        await settle(lambda: len(shown(alice)) == 3)
        alice.tell(OPS, "bot: echo after", room=True)
        await settle(lambda: "after" in shown(alice))
        assert sorted(shown(alice)) == ["after", "and directly", "before", "while it was down"]
