"""A gateway process, a demo agent and the Bot API: nothing is lost, whatever happens to the process."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from support.chat.fake_telegram import ANN, BOB, GROUP, TOKEN, WRONG_TOKEN
from support.chat.telegram_bridge import telegram_bridge
from support.gateways import GatewayProcess

if TYPE_CHECKING:
    from support.cores import Home

    from missive_host.demo.fleet import AgentProcess

IN_GROUP = f'users = ["77", "78"]\nchannels = ["{GROUP}"]\napprovers = ["78"]\n'


async def test_a_message_is_seen_answered_and_marked_as_done(home: Home, agent: AgentProcess) -> None:
    async with telegram_bridge(home, agent) as town:
        asked = town.telegram.say("echo **good** morning")
        where = (77, asked["message_id"])
        await town.until(lambda: town.telegram.texts() == ["good morning"])
        await town.until(lambda: town.telegram.reactions.get(where) == ["👍"])
        assert {"help", "new"} <= set(town.telegram.commands)
        town.telegram.say("/start")
        await town.until(lambda: "/help" in town.telegram.texts()[-1])


async def test_what_waits_at_telegram_is_answered_after_a_restart(home: Home, agent: AgentProcess) -> None:
    async with telegram_bridge(home, agent) as town:
        town.telegram.say("echo before")
        await town.until(lambda: town.telegram.texts() == ["before"])
        await town.settled(1)  # else it may be there twice
        await town.kill()
        for number in range(3):
            town.telegram.say(f"echo waiting {number}")
        await town.start()
        await town.until(lambda: len(town.telegram.texts()) == 4)
        await town.settled(4)
        assert town.telegram.texts() == ["before", "waiting 0", "waiting 1", "waiting 2"]


async def test_an_answer_beyond_the_limit_with_emoji(home: Home, agent: AgentProcess) -> None:
    """Three thousand emoji are six thousand units: two messages, nothing cut within a sign, nothing lost."""
    words = " ".join("😀" * 29 + f"{number:02}" for number in range(100))
    async with telegram_bridge(home, agent) as town:
        town.telegram.say(f"echo {words}")
        await town.until(lambda: " ".join("\n".join(town.telegram.texts()).split()) == words)
        assert len(town.telegram.sent()) == 2
        assert all(len(text.encode("utf-16-le")) // 2 <= 4096 for text in town.telegram.texts())


async def test_a_question_in_a_topic_is_answered_on_the_same_task(home: Home, agent: AgentProcess) -> None:
    topic = {"chat": GROUP, "message_thread_id": 9, "is_topic_message": True}
    async with telegram_bridge(home, agent, IN_GROUP) as town:
        town.telegram.say("@robin_bot ask What is your name?", **topic)
        (question,) = await town.until(lambda: town.telegram.sent(GROUP))
        assert question["text"] == "What is your name?"
        assert question["message_thread_id"] == 9
        town.telegram.say("nobody asked the bot", **topic)
        town.telegram.say("@robin_bot echo another topic", chat=GROUP)
        await town.until(lambda: "another topic" in town.telegram.texts(GROUP))
        await town.settled(3)  # else it may be there twice
        await town.again()
        town.telegram.say("Ann", reply_to_message=question, **topic)
        await town.until(lambda: any("You answered" in text for text in town.telegram.texts(GROUP)))
        await town.settled(4)
        answer = town.telegram.sent(GROUP)[-1]
        assert answer["text"].startswith("You answered: Ann")
        assert answer["message_thread_id"] == 9
        assert len(town.telegram.sent(GROUP)) == 3


async def test_leave_is_given_by_a_button_by_who_may_once(home: Home, agent: AgentProcess) -> None:
    async with telegram_bridge(home, agent, IN_GROUP) as town:
        telegram = town.telegram
        telegram.say("@robin_bot auth", chat=GROUP)
        await town.until(lambda: any("reply_markup" in each for each in telegram.sent(GROUP)))
        (question,) = (each for each in telegram.sent(GROUP) if "reply_markup" in each)
        ((yes, no),) = question["reply_markup"]["inline_keyboard"]
        assert re.fullmatch(r"a:\w+:y", yes["callback_data"])
        first = telegram.press(question, yes["callback_data"], ANN)
        await town.until(lambda: any("not listed" in text for text in telegram.texts(GROUP)))
        second = telegram.press(question, yes["callback_data"], BOB)
        third = telegram.press(question, no["callback_data"], BOB)
        await town.until(lambda: any("You answered" in text for text in telegram.texts(GROUP)))
        await town.until(lambda: not any("reply_markup" in each for each in telegram.sent(GROUP)))
        await town.settled(4)
        assert telegram.answered == [first, second, third]
        assert sum("You answered" in text for text in telegram.texts(GROUP)) == 1
        assert any("Approved by Bob" in text for text in telegram.texts(GROUP))
        assert any("approved already" in text for text in telegram.texts(GROUP))


async def test_a_limit_in_the_middle_of_five_messages(home: Home, agent: AgentProcess) -> None:
    words = " ".join(f"word-{number:04}" for number in range(1900))
    async with telegram_bridge(home, agent, 'users = ["77"]\nstream = false\n') as town:
        town.telegram.limits["sendMessage"] = [0, 0, 1, 0, 1]
        town.telegram.say(f"echo {words}")
        await town.until(lambda: len(town.telegram.texts()) == 5)
        await town.settled(1)
        assert " ".join(" ".join(town.telegram.texts()).split()) == words
        assert not town.telegram.limits["sendMessage"]


async def test_a_kill_between_the_answer_and_the_sending(home: Home, agent: AgentProcess) -> None:
    """Telegram has no key by which it would know a message again: once at least, twice at most, never not at all."""
    async with telegram_bridge(home, agent) as town:
        town.telegram.hangs.add("sendMessage")
        town.telegram.say("echo at least once")
        await town.until(town.telegram.texts)
        await town.kill()
        town.telegram.hangs.clear()
        await town.start()
        await town.until(lambda: town.count("SELECT count(*) FROM outbox WHERE state = 'sent'") == 1)
        await town.settled(1)
        assert town.telegram.texts() == ["at least once"] * 2


async def test_a_kill_before_anything_was_sent(home: Home, agent: AgentProcess) -> None:
    async with telegram_bridge(home, agent) as town:
        town.telegram.limits["sendMessage"] = [30]
        town.telegram.say("echo exactly once")
        await town.until(lambda: not town.telegram.limits["sendMessage"])
        await town.again()
        await town.until(town.telegram.texts)
        await town.settled(1)
        assert town.telegram.texts() == ["exactly once"]


async def test_a_stream_is_one_message_at_the_end_whole(home: Home, agent: AgentProcess) -> None:
    async with telegram_bridge(home, agent) as town:
        asked = town.telegram.say("stream 6 0.3")
        await town.until(lambda: town.telegram.reactions.get((77, asked["message_id"])) == ["👍"])
        await town.settled(1)
        (text,) = town.telegram.texts()
        assert [text.count(f"chunk {number}") for number in range(1, 7)] == [1] * 6


async def test_a_backlog_of_two_days(home: Home, agent: AgentProcess) -> None:
    """What is older than `max_age` is taken from Telegram, and not answered; what is new is."""
    async with telegram_bridge(home, agent, start=False) as town:
        for number in range(5):
            town.telegram.say(f"echo old {number}", date=int(time.time()) - 2 * 86400)
        town.telegram.say("echo fresh")
        await town.start()
        await town.until(town.telegram.texts)
        await town.settled(6)
        assert town.telegram.texts() == ["fresh"]
        await town.until(lambda: not town.telegram.updates)


async def test_files_go_both_ways(home: Home, agent: AgentProcess) -> None:
    content = b"\x89PNG" + bytes(range(256)) * 40
    async with telegram_bridge(home, agent) as town:
        town.telegram.say("echo-parts", document=town.telegram.document("a pic.bin", content, "application/x-pic"))
        await town.until(lambda: any("document" in each for each in town.telegram.sent()))
        await town.settled(1)
        (sent,) = (each for each in town.telegram.sent() if "document" in each)
        assert town.telegram.files[sent["document"]["file_id"]] == content
        assert sent["document"]["file_name"].endswith("pic.bin")


async def test_the_commands_of_an_operator_are_in_nobodys_way(home: Home, agent: AgentProcess) -> None:
    """They log in beside a gateway that runs, and ask for no update."""
    async with telegram_bridge(home, agent, IN_GROUP) as town:
        town.telegram.say("echo before")
        await town.until(lambda: town.telegram.texts() == ["before"])
        looked = await town.missive("chat", "doctor", "team")
        assert looked.returncode == 0, looked.stderr
        assert "it is the token of @robin_bot" in looked.stdout
        assert "'The group', where the bot is a member" in looked.stdout
        sent = await town.missive("chat", "test", "team", "--to", "77", "it **works**")
        assert sent.returncode == 0, sent.stderr
        wrong = await town.missive("chat", "test", "team", "--to", "@ann", "hello")
        assert wrong.returncode != 0
        assert "ids are numbers" in wrong.stderr
        town.telegram.say("echo after")
        await town.until(lambda: town.telegram.texts() == ["before", "it works", "after"])
        assert not [text for done in (looked, sent, wrong) for text in (done.stdout, done.stderr) if TOKEN in text]
        assert town.gateway is not None
        assert "Conflict" not in town.gateway.errors


async def test_a_stranger_gets_no_answer(home: Home, agent: AgentProcess) -> None:
    async with telegram_bridge(home, agent) as town:
        town.telegram.say("echo let me in", chat=99, user={"id": 99, "is_bot": False, "first_name": "Eve"})
        town.telegram.say("echo me", chat=77)
        await town.until(town.telegram.texts)
        await town.settled(2)
        assert town.telegram.texts() == ["me"]


async def test_a_wrong_token_is_told_at_once_and_shown_nowhere(home: Home, agent: AgentProcess) -> None:
    async with telegram_bridge(home, agent, start=False) as town:
        with GatewayProcess(home, env={"TELEGRAM_TOKEN": WRONG_TOKEN}) as gateway:
            await town.until(lambda: "Telegram does not take the token: Unauthorized" in gateway.errors)
            assert WRONG_TOKEN not in gateway.errors
            assert WRONG_TOKEN.partition(":")[2] not in gateway.errors
            assert TOKEN not in gateway.errors
