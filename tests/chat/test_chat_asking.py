"""An agent asks back: for an answer, and for leave."""

from __future__ import annotations

import os
import re
import signal
from typing import TYPE_CHECKING

from missive_chat import conversations
from support.chat.bridges import bridge_of

from missive_host.demo.fleet import AgentSpec, Fleet

if TYPE_CHECKING:
    from support.chat.bridges import Town
    from support.cores import Home

    from missive_host.demo.fleet import AgentProcess

DM = "@ann"
DIRECT = 'agent = "echo"\nusers = ["ann", "bob"]\nchannels = ["lobby"]\n'
ASKS = DIRECT + 'approvers = ["bob"]\n'


async def asked(town: Town) -> tuple[str, str]:
    """Let the agent ask for leave in the lobby; return the thread and the code."""
    thread = town.say("@bot auth")
    await town.until(lambda: any("!approve" in text for text in town.texts()))
    found = re.search(r"!approve (\w+)", "\n".join(town.texts()))
    assert found
    return thread, found[1]


def decisions(home: Home) -> str:
    """Return what the journal has of decisions."""
    import sqlite3

    path = home.settings().paths.database
    with sqlite3.connect(path) as db:
        return "\n".join(str(row) for row in db.execute("SELECT * FROM events WHERE payload_json LIKE '%decision%'"))


async def test_the_next_message_in_the_thread_answers_on_the_same_task(home: Home, agent: AgentProcess) -> None:
    async with bridge_of(home, agent, settings=DIRECT) as town:
        thread = town.say("@bot ask What is your name?")
        await town.until(lambda: town.texts() == ["What is your name?"])
        town.say("@bot echo another thread")
        await town.until(lambda: len(town.texts()) == 2)
        assert town.texts()[1] == "another thread"
        town.say("Ann", thread=thread)
        await town.until(lambda: len(town.texts()) == 3)
        assert town.texts()[2] == "You answered: Ann"
        town.say("echo over", thread=thread)
        await town.until(lambda: len(town.texts()) == 4)
        assert town.texts()[3] == "over"


async def test_the_question_is_still_open_after_a_kill(home: Home, agent: AgentProcess) -> None:
    async with bridge_of(home, agent, settings=DIRECT) as town:
        town.say("ask Who?", room=DM)
        await town.until(town.texts)
        await town.again()
        town.say("Me", room=DM)
        await town.until(lambda: len(town.texts()) == 2)
        assert town.texts()[1] == "You answered: Me"


async def test_a_question_stands_if_its_answer_cannot_be_delivered(home: Home) -> None:
    with Fleet([AgentSpec("fleeting")]) as fleet:
        async with bridge_of(home, fleet["fleeting"], settings=DIRECT) as town:
            town.say("ask Who?", room=DM)
            await town.until(lambda: town.texts() == ["Who?"])
            os.kill(fleet["fleeting"].pid, signal.SIGKILL)
            town.say("Me", room=DM)
            await town.until(lambda: len(town.texts()) == 2)
            assert "has not heard your answer" in town.texts()[1]
            conversation = conversations.find(town.state(), "direct:@ann")
            assert (conversation.task_agent, conversation.task_state) == ("echo", "input_required")


async def test_a_question_waits_for_its_answer_while_older_messages_are_answered(
    home: Home, agent: AgentProcess
) -> None:
    async with bridge_of(home, agent, settings=DIRECT) as town:
        town.say("sleep 1", room=DM)
        town.say("ask Who?", room=DM)
        town.say("echo of before the question", room=DM)
        await town.until(lambda: len(town.texts()) == 3)
        assert town.texts()[1:] == ["Who?", "of before the question"]
        town.say("Me", room=DM)
        await town.until(lambda: len(town.texts()) == 4)
        assert town.texts()[3] == "You answered: Me"


async def test_an_approver_approves_by_button_once(home: Home, agent: AgentProcess) -> None:
    async with bridge_of(home, agent, settings=ASKS) as town:
        _thread, code = await asked(town)
        question = town.messages[0]
        assert question["buttons"] == [f"a:{code}:y", f"a:{code}:n"]
        town.server.press(question["id"], f"a:{code}:y", who="ann")
        await town.until(lambda: len(town.texts()) == 2)
        assert "ann, you are not listed" in town.texts()[1]
        town.server.press(question["id"], f"a:{code}:y", who="bob")
        await town.until(lambda: any("You answered" in text for text in town.texts()))
        await town.until(lambda: town.messages[0]["buttons"] == [])
        assert "Approved by bob at 20" in town.texts()[0]
        town.server.press(question["id"], f"a:{code}:n", who="bob")
        await town.until(lambda: any("approved already" in text for text in town.texts()))
        assert sum("You answered" in text for text in town.texts()) == 1
        assert '"decision": "approve"' in decisions(home) or '"decision":"approve"' in decisions(home)
        assert "bob" in decisions(home)


async def test_whoever_may_not_decide_is_told_so_once_however_often_the_button_is_pressed(
    home: Home, agent: AgentProcess
) -> None:
    async with bridge_of(home, agent, settings=ASKS) as town:
        _, code = await asked(town)
        for _ in range(20):
            town.server.press(town.messages[0]["id"], f"a:{code}:y", who="mallory")
        await town.until(lambda: len(town.texts()) == 2)
        await town.quiet()
        assert len(town.texts()) == 2


async def test_how_a_question_ends_is_told_where_it_would_be_too_long_with_it(home: Home, agent: AgentProcess) -> None:
    async with bridge_of(home, agent, settings=ASKS, capabilities={"max_text": 130}) as town:
        town.server.limit = 130
        _, code = await asked(town)
        await town.until(lambda: town.messages[-1]["buttons"])
        question = town.messages[-1]
        town.server.press(question["id"], f"a:{code}:n", who="bob")
        await town.until(lambda: "Refused by bob" in question["text"])
        assert question["buttons"] == []


async def test_refusing_by_a_word(home: Home, agent: AgentProcess) -> None:
    async with bridge_of(home, agent, settings=ASKS) as town:
        _, code = await asked(town)
        town.say(f"!refuse {code.lower()}", room="@bob", who="bob")
        await town.until(lambda: "Refused by bob" in town.texts()[0])
        await town.until(lambda: any("You answered" in text for text in town.texts()))
        assert "refuse" in decisions(home)


async def test_a_message_is_no_approval(home: Home, agent: AgentProcess) -> None:
    async with bridge_of(home, agent, settings=ASKS) as town:
        thread, _ = await asked(town)
        town.say("echo go ahead", thread=thread)
        await town.until(lambda: len(town.texts()) == 2)
        assert town.texts()[1] == "go ahead"
        assert "!approve" in town.texts()[0]


async def test_it_expires(home: Home, agent: AgentProcess) -> None:
    async with bridge_of(home, agent, settings=ASKS + 'approval_expiry = "1s"\n') as town:
        _, code = await asked(town)
        await town.until(lambda: "Nobody has answered in time" in town.texts()[0])
        town.server.press(town.messages[0]["id"], f"a:{code}:y", who="bob")
        await town.until(lambda: len(town.texts()) == 2)
        assert "expired already" in town.texts()[1]
        assert decisions(home) == ""


async def test_without_approvers_nobody_may(home: Home, agent: AgentProcess) -> None:
    async with bridge_of(home, agent, settings=DIRECT) as town:
        town.say("@bot auth")
        await town.until(town.texts)
        assert "Nobody is listed" in town.texts()[0]
        assert town.messages[0]["buttons"] == []
        state = town.state()
        code = state.value("SELECT code FROM approvals")
        state.close()
        town.say(f"!approve {code}", room=DM)
        await town.until(lambda: len(town.texts()) == 2)
        assert "not listed" in town.texts()[1]


async def test_a_decision_reaches_the_agent_after_a_kill(home: Home, agent: AgentProcess) -> None:
    async with bridge_of(home, agent, settings=ASKS) as town:
        _, code = await asked(town)
        await town.kill()
        town.server.press(town.messages[0]["id"], f"a:{code}:y", who="bob")
        await town.start()
        await town.until(lambda: any("You answered" in text for text in town.texts()))


async def test_a_message_while_the_agent_works_interrupts_it_where_that_is_wanted(
    home: Home, agent: AgentProcess
) -> None:
    more = '[gateway.busy_input]\nmode = "interrupt"\n'
    async with bridge_of(home, agent, settings=DIRECT, more=more) as town:
        slow = town.say("sleep 60", room=DM)
        await town.until(lambda: any("Sleeping" in text for text in town.texts()))
        town.say("echo rather this", room=DM)
        await town.until(lambda: "rather this" in town.texts())
        await town.until(lambda: town.reactions(slow) == ["failed"])
        await town.until(lambda: any("interrupted by a newer message" in text for text in town.texts()))


async def test_a_message_while_the_agent_works_steers_it_where_that_is_wanted(home: Home, agent: AgentProcess) -> None:
    more = '[gateway.busy_input]\nmode = "steer"\n'
    async with bridge_of(home, agent, settings=DIRECT, more=more) as town:
        town.say("sleep 3", room=DM)
        await town.until(lambda: any("Sleeping" in text for text in town.texts()))
        state = town.state()
        town.say("echo faster", room=DM)
        await town.until(lambda: state.value("SELECT count(*) FROM inbox WHERE verdict = 'accepted'") == 2)
        state.close()
        await town.quiet(4)
        assert len(town.texts()) == 2
        async with home.core() as core:
            events = core.core.store.read(lambda tables: tables.events.list())
        assert "missive.session.busy" in {event.event_type for event in events}
