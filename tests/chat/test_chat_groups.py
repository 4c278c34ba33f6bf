"""A channel talks to a group of agents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.chat.bridges import bridge_of

if TYPE_CHECKING:
    from support.cores import Home

    from missive_host.demo.fleet import AgentProcess

DM = "@ann"
GROUP = 'group = "all"\nusers = ["ann"]\n'


async def test_each_member_answers_under_its_name_then_all_together(
    home: Home, agent: AgentProcess, agent_03: AgentProcess
) -> None:
    async with bridge_of(home, agent, agent_03, settings=GROUP) as town:
        town.say("echo ready", room=DM)
        await town.until(town.texts)
        await town.quiet()
        text = "\n".join(town.texts())
        assert text.index("**echo**\nready") < text.index("**echo2**\nready") < text.index("**All together**\n")


async def test_without_a_reducer_there_are_the_answers_alone(
    home: Home, agent: AgentProcess, agent_03: AgentProcess
) -> None:
    async with bridge_of(home, agent, agent_03, settings=GROUP + 'reducer = "none"\n') as town:
        town.say("echo ready", room=DM)
        await town.until(town.texts)
        assert town.texts() == ["**echo**\nready\n\n**echo2**\nready"]


async def test_a_policy_chooses_one(home: Home, agent: AgentProcess, agent_03: AgentProcess) -> None:
    async with bridge_of(home, agent, agent_03, settings=GROUP + 'policy = "round-robin"\n') as town:
        town.say("ask Who?", room=DM)
        await town.until(town.texts)
        assert town.texts() == ["Who?"]
        town.say("Me", room=DM)
        await town.until(lambda: len(town.texts()) == 2)
        assert town.texts()[1] == "You answered: Me"


async def test_a_member_that_fails_does_not_hide_the_others(
    home: Home, agent: AgentProcess, agent_03: AgentProcess
) -> None:
    async with bridge_of(home, agent, agent_03, settings=GROUP) as town:
        town.say("crash", room=DM)
        await town.until(town.texts)
        text = "\n".join(town.texts())
        assert "**echo**\n⚠️" in text
        assert "**echo2**\n⚠️" in text
