"""A channel talks to an agent: a gateway process, a chat server on a socket, and demo agents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.chat.bridges import bridge_of

if TYPE_CHECKING:
    from support.cores import Home

    from missive_host.demo.fleet import AgentProcess


async def test_a_mention_is_answered_in_its_thread(home: Home, agent: AgentProcess) -> None:
    async with bridge_of(home, agent) as town:
        asked = town.say("@bot echo good morning")
        await town.until(lambda: town.texts() == ["good morning"])
        assert town.messages[0]["thread"] == asked
        await town.until(lambda: town.reactions(asked) == ["done"])
