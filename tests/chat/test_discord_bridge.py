"""A channel of Discord talks to an agent: a gateway process, the real library, a fake server, and a demo agent."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import pytest
from support.chat.discord_town import town_of
from support.chat.fake_discord import ALICE, BOB, TOKEN
from support.chat.fake_discord_objects import CHANNEL, DIRECT

if TYPE_CHECKING:
    from support.cores import Home

    from missive_host.demo.fleet import AgentProcess

pytestmark = pytest.mark.anyio


async def test_a_mention_is_answered_and_the_answer_pings_nobody(home: Home, agent: AgentProcess) -> None:
    async with town_of(home, agent) as town:
        asked = await town.fake.says("echo good morning @everyone <@43>", mention=True)
        await town.answered(asked)
        (answer,) = town.fake.sent()
        assert answer["content"] == "good morning @\u200beveryone @bob"
        assert answer["message_reference"]["message_id"] == str(asked)
        assert town.fake.pings == []
        assert town.fake.calls("POST", f"/channels/{CHANNEL}/typing")
        direct = await town.fake.says("echo in private", channel=DIRECT)
        await town.answered(direct)
        assert town.fake.said(DIRECT) == ["in private"]
        assert TOKEN not in town.gateway.errors  # type: ignore[union-attr]


async def test_a_message_that_comes_twice_is_answered_once_also_after_a_restart(
    home: Home, agent: AgentProcess
) -> None:
    async with town_of(home, agent) as town:
        asked = await town.fake.says("echo once", mention=True)
        await town.answered(asked)
        await town.fake.repeats(asked)
        await town.kill()
        await town.fake.says("echo while nobody was there", mention=True, deaf=True)
        await town.start()
        await town.fake.repeats(asked)
        last = await town.fake.says("echo last", mention=True)
        await town.answered(last)
        assert town.fake.said() == ["once", "while nobody was there", "last"]


async def test_a_connection_that_drops_is_resumed(home: Home, agent: AgentProcess) -> None:
    async with town_of(home, agent) as town:
        await town.answered(await town.fake.says("echo one", mention=True))
        await town.fake.gateway.drop()
        await town.answered(await town.fake.says("echo two", mention=True))
        assert town.fake.said() == ["one", "two"]
        assert len(town.fake.gateway.resumes) == 1


async def test_a_question_of_the_agent_is_answered_by_the_next_message(home: Home, agent: AgentProcess) -> None:
    async with town_of(home, agent) as town:
        await town.fake.says("ask Which colour?", mention=True)
        await town.until(lambda: any("Which colour?" in text for text in town.fake.said()))
        await town.answered(await town.fake.says("blue", mention=True))
        assert any("blue" in text for text in town.fake.said()[1:])


async def test_leave_is_given_by_who_may_and_once(home: Home, agent: AgentProcess) -> None:
    async with town_of(home, agent) as town:
        fake = town.fake
        await fake.says("auth", mention=True)
        question = await town.until(lambda: next((each for each in fake.sent() if each["components"]), None))
        before = copy.deepcopy(question)
        await fake.presses(before, "Approve", by=ALICE)
        (refusal,) = await town.until(lambda: fake.whispers)
        assert (refusal["to"], "not listed" in refusal["content"]) == (str(ALICE), True)
        assert question["components"]
        await fake.presses(before, "Approve", by=BOB)
        await town.until(lambda: not question["components"])
        assert "Approved by bob" in question["content"]
        await fake.presses(before, "Refuse", by=BOB)
        await town.until(lambda: len(fake.whispers) == 2)
        assert "approved already" in fake.whispers[1]["content"]
        assert len(fake.acknowledged) == 3


async def test_an_answer_grows_by_edits(home: Home, agent: AgentProcess) -> None:
    async with town_of(home, agent) as town:
        await town.answered(await town.fake.says("stream 4 0.7", mention=True))
        (text,) = town.fake.said()
        assert town.fake.edits
        assert town.fake.edits[-1] == text
        assert len(set(town.fake.edits)) == len(town.fake.edits)
        assert all("chunk 4" not in edit for edit in town.fake.edits[:-1])


async def test_files_go_both_ways(home: Home, agent: AgentProcess) -> None:
    async with town_of(home, agent) as town:
        content = b"a,b\n1,2\n"
        await town.answered(await town.fake.says("echo-parts", mention=True, files=(("table.csv", content),)))
        files = [town.fake.file(each) for each in town.fake.sent() if each["attachments"]]
        assert files == [content]


def _code(lines: int) -> str:
    return "\n".join(f"line {number:04} = {'x' * 30}" for number in range(lines))


async def test_code_that_is_longer_than_a_message_stays_code(home: Home, agent: AgentProcess) -> None:
    async with town_of(home, agent) as town:
        await town.answered(await town.fake.says(f"echo Look:\n```python\n{_code(200)}\n```\nEnd.", mention=True))
        said = town.fake.said()
        assert len(said) > 3
        assert all(text.count("```") % 2 == 0 and len(text) <= 2000 for text in said)
        lines = [line for text in said for line in text.split("\n") if line.startswith("line ")]
        assert lines == _code(200).split("\n")


async def test_a_very_long_answer_is_a_file(home: Home, agent: AgentProcess) -> None:
    async with town_of(home, agent) as town:
        await town.answered(await town.fake.says(f"echo {_code(600)}", mention=True))
        (file,) = [town.fake.file(each) for each in town.fake.sent() if each["attachments"]]
        assert file.decode() == _code(600)


async def test_a_limit_in_the_middle_of_an_answer_loses_and_doubles_nothing(home: Home, agent: AgentProcess) -> None:
    async with town_of(home, agent) as town:
        town.fake.limit(f"POST /channels/{CHANNEL}/messages", 1.0, skip=2)
        await town.answered(await town.fake.says(f"echo {_code(190)}", mention=True))
        said = town.fake.said()
        assert len(said) == 5
        assert "\n".join(said).split() == _code(190).split()
        assert len(town.fake.calls("POST", f"/channels/{CHANNEL}/messages")) == 6


@pytest.mark.parametrize("after", [True, False])
async def test_killed_between_the_answer_and_the_sending_there_is_one_message(
    home: Home, agent: AgentProcess, after: bool
) -> None:
    async with town_of(home, agent) as town:
        town.fake.hang(f"POST /channels/{CHANNEL}/messages", after=after)
        await town.fake.says("echo exactly once", mention=True)
        await town.until(lambda: town.fake.hanging == 1)
        assert town.fake.said() == (["exactly once"] if after else [])
        await town.kill()
        await town.start()
        await town.until(lambda: len(town.fake.calls("POST", f"/channels/{CHANNEL}/messages")) == 2)
        await town.answered(await town.fake.says("echo next", mention=True))
        assert town.fake.said() == ["exactly once", "next"]
        keys = {each.body["nonce"] for each in town.fake.calls("POST", f"/channels/{CHANNEL}/messages")[:2]}
        assert len(keys) == 1


async def test_a_thread_that_people_begin_is_a_conversation_beside_the_channel(home: Home, agent: AgentProcess) -> None:
    async with town_of(home, agent) as town:
        fake = town.fake
        thread = await fake.opens_thread("topic")
        await town.answered(await fake.says("ask Which colour?", mention=True, channel=thread))
        await town.answered(await fake.says("echo in the channel", mention=True))
        await town.answered(await fake.says("blue", channel=thread))  # no mention: it is answered there already
        await fake.says("echo to nobody")
        await town.answered(await fake.says("echo at the end", mention=True))
        assert [text.split("\n")[0] for text in fake.said(CHANNEL)] == ["in the channel", "at the end"]
        assert "blue" in fake.said(thread)[-1]


async def test_slash_commands_and_threads(home: Home, agent: AgentProcess) -> None:
    async with town_of(home, agent, "threads = true\n") as town:
        fake = town.fake
        asked = await fake.says("echo in a thread", mention=True)
        await town.answered(asked)
        assert fake.said(asked) == ["in a thread"]
        inside = await fake.says("echo without a mention", channel=asked)
        await town.answered(inside)
        assert fake.said(asked)[1:] == ["without a mention"]
        await fake.commands("status", channel=asked)
        await town.until(lambda: any("Agent: `echo`" in text for text in fake.said(asked)))
        await fake.commands("help")
        await town.until(lambda: any("I understand" in text for text in fake.said()))


async def test_whoever_is_not_listed_is_not_answered(home: Home, agent: AgentProcess) -> None:
    async with town_of(home, agent) as town:
        await town.fake.says("echo no", mention=True, by=99)
        await town.fake.says("echo no", channel=DIRECT, by=99)
        await town.answered(await town.fake.says("echo yes", mention=True))
        assert town.fake.said() == ["yes"]
        assert town.fake.said(DIRECT) == []


async def test_an_operator_looks_at_it_and_says_something_while_it_runs(home: Home, agent: AgentProcess) -> None:
    async with town_of(home, agent) as town:
        status, printed = await town.missive("chat", "doctor", "team")
        assert (status, "#general (200) in Guild" in printed) == (0, True), printed
        status, printed = await town.missive("chat", "test", "team", "--to", str(CHANNEL), "Hello @here")
        assert status == 0, printed
        assert town.fake.said() == ["Hello @\u200bhere"]
        status, printed = await town.missive("chat", "test", "team", "--to", "general", "Hello")
        assert status != 0
        assert "Copy Channel ID" in printed
        await town.answered(await town.fake.says("echo still there", mention=True))
