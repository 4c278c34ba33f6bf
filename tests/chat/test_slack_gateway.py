"""A workspace talks to an agent: a gateway process, the real client, a Slack on loopback, demo agents."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from support.chat.fake_slack import BOT_USER, buttons
from support.chat.slack_towns import SECRETS, SlackTown, slack_town
from support.gateways import GatewayProcess
from support.secrets import planted

if TYPE_CHECKING:
    from support.cores import Home

    from missive_host.demo.fleet import AgentProcess

WRONG_TOKEN = "xoxb-" + planted("wrong")

BOT = f"<@{BOT_USER}>"
ASKS = 'approvers = ["U2"]\n'


async def test_a_mention_is_answered_once_in_its_thread(home: Home, agent: AgentProcess) -> None:
    async with slack_town(home, agent) as town:
        asked = await town.slack.say(f"{BOT} echo good *morning* &amp; more")
        await town.until(lambda: town.texts("C1", asked) == ["good **morning** & more"])
        await town.until(lambda: town.reactions(asked) == {"white_check_mark"})
        await town.slack.say("echo not for you", channel="C1")
        await town.quiet()
        assert town.texts("C1") == ["good **morning** & more"]


async def test_an_answer_streams_and_is_whole_at_the_end(home: Home, agent: AgentProcess) -> None:
    async with slack_town(home, agent) as town:
        asked = await town.slack.say(f"{BOT} stream 5 0.5")
        await town.until(lambda: town.reactions(asked) == {"white_check_mark"})
        await town.quiet()
        (text,) = town.texts("C1", asked)
        assert [text.count(f"chunk {number}") for number in range(1, 6)] == [1] * 5
        assert len(town.slack.called("chat.startStream")) == 1
        assert len(town.slack.called("chat.appendStream")) >= 1
        assert not town.slack.of("C1")[0]["streaming"]


async def test_without_streams_it_grows_by_edits(home: Home, agent: AgentProcess) -> None:
    async with slack_town(home, agent, settings="native_streams = false\n") as town:
        asked = await town.slack.say("stream 5 0.5", channel="D1")
        await town.until(lambda: town.reactions(asked) == {"white_check_mark"})
        await town.quiet()
        (text,) = town.texts("D1")
        assert [text.count(f"chunk {number}") for number in range(1, 6)] == [1] * 5
        assert len(town.slack.called("chat.update")) >= 2
        assert town.slack.called("chat.startStream") == []


async def test_an_event_that_comes_again_is_answered_once_also_after_a_restart(home: Home, agent: AgentProcess) -> None:
    async with slack_town(home, agent) as town:
        body = town.slack.event(town.slack.spoken("echo once", channel="D1"))
        await town.slack.attempt("events_api", body)
        await town.slack.attempt("events_api", body, attempt=1)
        await town.until(lambda: town.texts() == ["once"])
        await town.again()
        await town.until(lambda: town.slack.sockets)
        await town.slack.attempt("events_api", body, attempt=2)
        await town.quiet()
        assert town.texts() == ["once"]


async def test_it_is_acknowledged_while_the_agent_still_works(home: Home, agent: AgentProcess) -> None:
    async with slack_town(home, agent) as town:
        body = town.slack.event(town.slack.spoken("sleep 5", channel="D1"))
        assert await town.slack.attempt("events_api", body), "within the three seconds that Slack gives"
        assert town.texts() == []
        await town.until(town.texts)


async def test_a_question_is_answered_by_the_next_message_of_its_thread(home: Home, agent: AgentProcess) -> None:
    async with slack_town(home, agent) as town:
        asked = await town.slack.say(f"{BOT} ask What is your name?")
        await town.until(lambda: town.texts("C1", asked) == ["What is your name?"])
        await town.slack.say("Ann", thread=asked)
        await town.until(lambda: town.texts("C1", asked)[1:] == ["You answered: Ann"])


async def approval(town: SlackTown) -> tuple[str, str, list[str]]:
    """Let the agent ask for leave; return the thread, the question and the values of its buttons."""
    asked = await town.slack.say(f"{BOT} auth")
    (question,) = await town.until(lambda: [m for m in town.slack.of("C1", asked) if buttons(m)])
    return asked, question["ts"], buttons(question)


async def test_an_approval_by_who_may_and_once(home: Home, agent: AgentProcess) -> None:
    async with slack_town(home, agent, settings=ASKS) as town:
        asked, question, (yes, no) = await approval(town)
        may = town.slack.pressed("C1", question, yes, user="U2")
        not_again = town.slack.pressed("C1", question, no, user="U2")
        await town.slack.press("C1", question, yes, user="U1")
        await town.until(lambda: any("not listed" in text for text in town.texts("C1", asked)))
        assert not any("You answered" in text for text in town.texts("C1", asked))
        await town.slack.deliver("interactive", may)
        await town.slack.deliver("interactive", may)  # Slack sends it again
        await town.until(lambda: any("You answered" in text for text in town.texts("C1", asked)))
        await town.until(lambda: not buttons(town.slack.messages["C1", question]))
        await town.slack.deliver("interactive", not_again)
        await town.until(lambda: any("approved already" in text for text in town.texts("C1", asked)))
        await town.quiet()
        assert sum("You answered" in text for text in town.texts("C1", asked)) == 1


async def test_an_approval_that_comes_too_late(home: Home, agent: AgentProcess) -> None:
    async with slack_town(home, agent, settings=ASKS + 'approval_expiry = "1s"\n') as town:
        asked, question, (yes, _) = await approval(town)
        late = town.slack.pressed("C1", question, yes, user="U2")
        await town.until(lambda: not buttons(town.slack.messages["C1", question]))
        await town.slack.deliver("interactive", late)
        await town.until(lambda: any("expired already" in text for text in town.texts("C1", asked)))
        assert not any("You answered" in text for text in town.texts("C1", asked))


async def test_three_artifacts_appear_once_each_and_files_are_uploaded(home: Home, agent: AgentProcess) -> None:
    async with slack_town(home, agent) as town:
        asked = await town.slack.say(f"{BOT} task")
        await town.until(lambda: any(m.get("files") for m in town.slack.of("C1", asked)))
        await town.until(lambda: town.reactions(asked) == {"white_check_mark"})
        await town.quiet()
        text = town.texts("C1", asked)[0]
        assert text.count("**summary**") == text.count("**result**") == 1
        assert text.index("**summary**") < text.index("**result**")
        (with_file,) = [m for m in town.slack.of("C1", asked) if m.get("files")]
        assert town.slack.files[with_file["files"][0]["id"]]["content"].startswith(b"step")


async def test_files_go_to_the_agent_and_back(home: Home, agent: AgentProcess) -> None:
    async with slack_town(home, agent) as town:
        content = b"\x89PNG " + bytes(range(256))
        await town.slack.say(
            "echo-parts", channel="D1", files=[town.slack.add_file("../a pic.png", content, mimetype="image/png")]
        )
        message = await town.until(lambda: next((m for m in town.slack.of("D1") if m.get("files")), None))
        assert town.slack.files[message["files"][0]["id"]]["content"] == content


@pytest.mark.parametrize("method", ["chat.postMessage", "chat.startStream", "files.completeUploadExternal"])
async def test_a_kill_between_sending_and_knowing_it(home: Home, agent: AgentProcess, method: str) -> None:
    """Slack has taken the message and says so to nobody; the process dies while it waits."""
    async with slack_town(home, agent) as town:
        town.slack.hold(method)
        text, channel, last = {
            "chat.postMessage": ("echo exactly once", "D1", "exactly once"),
            "chat.startStream": (f"{BOT} stream 3 0.3", "C1", "chunk 3"),
            "files.completeUploadExternal": (f"{BOT} task", "C1", "result"),
        }[method]

        def files() -> list[int]:
            return [len(message.get("files", ())) for message in town.slack.of(channel)]

        asked = await town.slack.say(text, channel=channel)
        await town.until(lambda: 1 in files() if "Upload" in method else town.texts(channel))
        await town.kill()
        town.slack.let_go()
        await town.start()
        await town.until(lambda: any(last in shown for shown in town.texts(channel)), 60)
        await town.until(lambda: town.reactions(asked) == {"white_check_mark"})
        await town.quiet()
        if "Upload" in method:
            assert files() == [0, 1]
        else:
            (shown,) = town.texts(channel)
            assert shown.count(last) == 1
        assert not any(m.get("streaming") for m in town.slack.of(channel))


async def test_kills_in_the_middle_of_a_stream(home: Home, agent: AgentProcess) -> None:
    async with slack_town(home, agent) as town:
        asked = await town.slack.say(f"{BOT} stream 6 0.4")
        for _ in range(2):
            await asyncio.sleep(0.8)
            await town.again()
        await town.until(lambda: any("chunk 6" in text for text in town.texts("C1", asked)), 60)
        await town.quiet()
        (text,) = town.texts("C1", asked)
        assert [text.count(f"chunk {number}") for number in range(1, 7)] == [1] * 6


async def test_a_limit_in_the_middle_of_five_chunks(home: Home, agent: AgentProcess) -> None:
    async with slack_town(home, agent, settings="stream = false\n") as town:
        words = " ".join(f"word-{number:04}" for number in range(1900))
        town.slack.limit("chat.postMessage", skip=2, after=1, times=2)
        await town.slack.say(f"echo {words}", channel="D1")
        await town.until(lambda: len(town.texts()) == 5)
        await town.quiet()
        assert " ".join(" ".join(town.texts()).split()) == words
        assert len(town.slack.called("chat.postMessage")) == 7


async def test_a_socket_that_breaks_and_one_that_freezes_lose_nothing(home: Home, agent: AgentProcess) -> None:
    async with slack_town(home, agent, ack_timeout=1) as town:
        await town.slack.say("echo 1", channel="D1")
        await town.until(lambda: town.texts() == ["1"])
        town.slack.cut()
        await town.slack.deliver("events_api", town.slack.event(town.slack.spoken("echo 2", channel="D1")), attempts=9)
        await town.until(lambda: town.texts() == ["1", "2"])
        town.slack.frozen = True
        before = town.slack.opened
        await town.until(lambda: town.slack.opened > before)
        town.slack.frozen = False
        await town.slack.deliver("events_api", town.slack.event(town.slack.spoken("echo 3", channel="D1")), attempts=9)
        await town.until(lambda: town.texts() == ["1", "2", "3"])
        await town.slack.disconnect("refresh_requested")
        await town.slack.say("echo 4", channel="D1")
        await town.until(lambda: town.texts() == ["1", "2", "3", "4"])
        await town.quiet()
        assert town.texts() == ["1", "2", "3", "4"]


async def test_what_was_said_while_it_was_away_is_answered(home: Home, agent: AgentProcess) -> None:
    async with slack_town(home, agent) as town:
        await town.slack.say("echo before", channel="D1")
        await town.until(lambda: town.texts() == ["before"])
        await town.quiet()
        await town.kill()
        town.slack.spoken("echo meanwhile", channel="D1")
        old = "1000000000.000001"
        town.slack.messages["D1", old] = {"type": "message", "user": "U1", "text": "echo old", "ts": old, "team": "T1"}
        await town.start()
        await town.until(lambda: town.texts() == ["before", "meanwhile"])
        await town.quiet()
        assert town.texts() == ["before", "meanwhile"]


async def test_two_hundred_messages_at_once_are_each_answered_once(home: Home, agent: AgentProcess) -> None:
    async with slack_town(home, agent, settings="rate = 1000\nreactions = false\nstream = false\n") as town:
        said = await asyncio.gather(*(town.slack.say(f"{BOT} echo number {number}") for number in range(200)))
        await town.until(lambda: len(town.texts("C1")) >= 200, 90)
        await town.quiet()
        for number, ts in enumerate(said):
            assert town.texts("C1", ts) == [f"number {number}"]


async def test_nobody_is_pinged(home: Home, agent: AgentProcess) -> None:
    async with slack_town(home, agent) as town:
        await town.slack.say("echo wake up &lt;!channel&gt; &lt;@U123ABC&gt; @everyone", channel="D1")
        await town.until(town.texts)
        await town.quiet()
        for message in town.slack.of("D1"):
            for text in (message["text"], *town.texts()):
                assert "<!channel>" not in text
                assert "<@U123ABC>" not in text
                assert "@everyone" not in text


async def test_slash_commands_and_who_may(home: Home, agent: AgentProcess) -> None:
    async with slack_town(home, agent, who='agent = "echo"\nusers = ["U1"]\n') as town:
        await town.slack.slash("/missive", "help", channel="D1")
        await town.until(lambda: any("!stop" in text for text in town.texts()))
        await town.slack.say("echo let me in", channel="D2", user="U9")
        await town.slack.say(f"{BOT} echo let me in", channel="C2", user="U1")
        await town.quiet()
        assert town.texts("D2") == town.texts("C2") == []


async def test_signed_requests_instead_of_a_socket(home: Home, agent: AgentProcess) -> None:
    async with slack_town(home, agent, settings='mode = "events"\n') as town:
        assert town.gateway is not None
        town.slack.request_url = f"{town.gateway.url}/chat/team"
        asked = await town.slack.say(f"{BOT} echo over http")
        await town.until(lambda: town.texts("C1", asked) == ["over http"])
        assert town.slack.opened == 0


async def run(town: SlackTown, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "missive_host", "--config", str(town.home.config), *words]
    env = {**os.environ, **town.home.environ, **town.env}
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, env=env, timeout=60)
    assert not any(secret in done.stdout + done.stderr for secret in SECRETS)
    return done


async def test_the_doctor_looks_and_a_test_message_arrives(home: Home, agent: AgentProcess) -> None:
    async with slack_town(home, agent) as town:
        done = await run(town, "chat", "doctor", "team")
        assert done.returncode == 0, done.stderr
        for word in ("token", "scopes", "clock", "socket"):
            assert word in done.stdout
        done = await run(town, "chat", "test", "team", "--to", "C1", "hello from here")
        assert done.returncode == 0, done.stderr
        assert town.texts("C1") == ["hello from here"]
        await town.slack.say("echo still here", channel="D1")
        await town.until(lambda: town.texts() == ["still here"])


async def test_wrong_tokens_are_told_at_once(home: Home, agent: AgentProcess) -> None:
    async with slack_town(home, agent, start=False) as town:
        for name, method in (("SLACK_BOT_TOKEN", "auth.test"), ("SLACK_APP_TOKEN", "apps.connections.open")):
            env: dict[str, Any] = {**town.env, name: WRONG_TOKEN}
            with GatewayProcess(home, env=env) as gateway:
                await town.until(partial(_says, gateway, f"{method}: invalid_auth"))
                assert WRONG_TOKEN not in gateway.errors
                assert WRONG_TOKEN not in json.dumps(gateway.documents)
        assert town.slack.opened == 0


def _says(gateway: GatewayProcess, words: str) -> bool:
    return words in gateway.errors
