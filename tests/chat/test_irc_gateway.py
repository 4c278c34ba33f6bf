"""A channel of IRC talks to an agent: a gateway process, a real InspIRCd with accounts, and a demo agent."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from irctokens.line import Line
from support.chat.irc_people import Person, person
from support.chat.irc_servers import Inspircd
from support.chat.irc_services import Services
from support.chat.rigs import settle
from support.chat.towns import Town, town_of
from support.secrets import planted

if TYPE_CHECKING:
    from support.cores import Home

    from missive_host.demo.fleet import AgentProcess

NEEDS = ("inspircd",)

ACCOUNTS = {"bot": planted("irc"), "alice": "pw", "bob": "pw"}


@pytest.fixture(scope="module")
def server() -> Iterator[Inspircd]:
    with Inspircd() as inspircd, Services(inspircd.link_port, ACCOUNTS):
        yield inspircd


@asynccontextmanager
async def irc(home: Home, agent: AgentProcess, server: Inspircd, more: str = "") -> AsyncIterator[tuple[Town, Person]]:
    settings = (
        f'server = "127.0.0.1"\nport = {server.port}\ntls = false\nnick = "bot"\nsasl_user = "bot"\n'
        'sasl_password = { secret = "env:IRC_PASSWORD" }\nchannels = ["#ops"]\nusers = ["alice"]\n'
        f'approvers = ["bob"]\nline_interval = "10ms"\n{more}'
    )
    async with (
        person(server.port, "al", "#ops", account=("alice", "pw")) as alice,
        town_of(home, agent, "irc", settings, {"IRC_PASSWORD": ACCOUNTS["bot"]}) as town,
    ):
        await alice.until(_bot_comes)
        yield town, alice


async def test_a_mention_and_a_private_message_are_answered(home: Home, agent: AgentProcess, server: Inspircd) -> None:
    async with irc(home, agent, server) as (town, alice), person(server.port, "alice", "#ops") as thief:
        await thief.tell("#ops", "bot: echo I have taken the nick")
        await alice.tell("#ops", "bot: echo good \x02morning\x02")
        await alice.hears("good morning")
        await alice.tell("bot", "echo in private")
        assert (await alice.hears("in private")).params[0] == "al"
        assert alice.heard("bot") == ["good morning", "in private"]
        await alice.tell("#ops", "nobody was asked")
        await alice.tell("#ops", "bot: echo what was said before?")
        await alice.hears("al: nobody was asked")
        assert town.gateway is not None
        assert ACCOUNTS["bot"] not in town.gateway.errors


async def test_a_question_is_answered_by_the_next_message(home: Home, agent: AgentProcess, server: Inspircd) -> None:
    async with irc(home, agent, server) as (_, alice):
        await alice.tell("bot", "ask Which colour?")
        await alice.until(lambda line: line.command == "PRIVMSG" and "Which colour?" in line.params[-1])
        await alice.tell("bot", "blue")
        await alice.until(
            lambda line: line.command == "PRIVMSG" and line.hostmask.nickname == "bot" and "blue" in line.params[-1]
        )


async def test_leave_is_given_by_who_may(home: Home, agent: AgentProcess, server: Inspircd) -> None:
    # people in the channel may be others than those who write directly, so nobody but `users` may speak in it
    more = 'dm_policy = "allowlist"\n'
    async with irc(home, agent, server, more) as (_, alice), person(server.port, "bob", account=("bob", "pw")) as bob:
        await bob.join("#ops")
        await alice.tell("#ops", "bot: auth")
        line = await alice.until(lambda line: line.command == "PRIVMSG" and "!approve" in line.params[-1])
        code = re.search(r"!approve ([A-Z0-9]+)", line.params[-1])
        assert code is not None
        await alice.tell("#ops", f"bot: !approve {code[1]}")
        await alice.until(lambda line: line.command == "PRIVMSG" and "not listed" in line.params[-1])
        await bob.tell("#ops", f"bot: !approve {code[1]}")
        await alice.until(lambda line: line.command == "PRIVMSG" and "pproved" in line.params[-1])


async def test_a_long_answer_comes_in_order(home: Home, agent: AgentProcess, server: Inspircd) -> None:
    async with irc(home, agent, server) as (_, alice):
        await alice.tell("bot", "stream 60 0")
        await settle(lambda: any("60" in text for text in alice.heard("bot")))
        numbers = [int(number) for text in alice.heard("bot") for number in re.findall(r"chunk (\d+)", text)]
        assert numbers == list(range(1, 61))
        assert all(len(text.encode()) <= 400 for text in alice.heard("bot"))


async def test_killed_and_started_again_it_answers_what_was_asked_once(
    home: Home, agent: AgentProcess, server: Inspircd
) -> None:
    async with irc(home, agent, server) as (town, alice):
        await alice.tell("bot", "echo before")
        await alice.hears("before")
        await town.quiet()
        await alice.tell("bot", "slow 1")
        await settle(town.taken(2))
        await town.kill()
        alice.lines = [line for line in alice.lines if not _bot_comes(line)]
        await town.start()
        await alice.until(_bot_comes)
        await alice.hears("Answered after 1 s.")
        await alice.tell("bot", "echo after")
        await alice.hears("after")
        assert alice.heard("bot") == ["before", "Answered after 1 s.", "after"]


def _bot_comes(line: Line) -> bool:
    return line.command == "JOIN" and (line.source or "").startswith("bot!")
