"""Nothing is lost, and nothing is said twice: repeated events, kills, limits, dropped connections."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest
from support.chat.bridges import bridge_of

if TYPE_CHECKING:
    from support.chat.bridges import Town
    from support.cores import Home

    from missive_host.demo.fleet import AgentProcess

DM = "@ann"
DIRECT = 'agent = "echo"\nusers = ["ann"]\n'


async def test_a_repeated_event_is_answered_once_before_and_after_a_restart(home: Home, agent: AgentProcess) -> None:
    async with bridge_of(home, agent, settings=DIRECT) as town:
        town.say("echo once", room=DM)
        event = town.server.events[0]
        town.server.redeliver()
        await town.until(town.texts)
        town.server.again(event)
        await town.quiet()
        await town.again()
        town.server.again(event)
        await town.quiet()
        assert town.texts() == ["once"]


async def test_an_event_is_on_the_disk_when_it_is_acknowledged(home: Home, agent: AgentProcess) -> None:
    async with bridge_of(home, agent, settings=DIRECT) as town:
        town.say("slow 1", room=DM)
        await town.until(lambda: town.server.reactions)
        await town.again()
        await town.until(town.texts, 40)
        await town.quiet()
        assert len(town.texts()) == 1


@pytest.mark.parametrize("can", ["idempotent", "can be asked", "neither"])
async def test_a_kill_between_sending_and_knowing_it(home: Home, agent: AgentProcess, can: str) -> None:
    """The server has taken the message and says so to nobody: the process is killed while it waits."""
    capabilities = {"idempotent_send": can == "idempotent", "can_find": can == "can be asked", "edits": False}
    async with bridge_of(home, agent, settings=DIRECT, capabilities=capabilities) as town:
        town.server.forgets_keys = can != "idempotent"
        town.server.hangs_after_say = True
        town.say("echo exactly once", room=DM)
        await town.until(town.texts)
        await town.kill()
        town.server.hangs_after_say = False
        await town.start()
        await town.until(lambda: _sent(town) == 1)
        await town.quiet()
        assert town.texts() == ["exactly once"] * (2 if can == "neither" else 1)


def _sent(town: Town) -> int:
    state = town.state()
    try:
        return int(state.value("SELECT count(*) FROM outbox WHERE state = 'sent'"))
    finally:
        state.close()


async def test_kills_in_the_middle_of_a_stream(home: Home, agent: AgentProcess) -> None:
    async with bridge_of(home, agent, settings=DIRECT) as town:
        asked = town.say("stream 6 0.3", room=DM)
        for _ in range(3):
            await asyncio.sleep(0.5)
            await town.again()
        await town.until(lambda: town.reactions(asked) == ["done"], 60)
        await town.quiet()
        assert len(town.messages) == 1
        assert town.texts()[0].count("chunk 6") == 1


async def test_the_limit_in_the_middle_of_five_chunks(home: Home, agent: AgentProcess) -> None:
    async with bridge_of(home, agent, settings=DIRECT, capabilities={"edits": False}) as town:
        words = " ".join(f"word-{number:04}" for number in range(180))
        town.server.limit_after = (3, 1.5)
        begun = time.monotonic()
        town.say(f"echo {words}", room=DM)
        await town.until(lambda: len(town.texts()) == 5)
        assert time.monotonic() - begun >= 1.5
        assert " ".join(" ".join(town.texts()).split()) == words


async def test_a_dropped_connection_is_made_anew_without_a_loss(home: Home, agent: AgentProcess) -> None:
    async with bridge_of(home, agent, settings=DIRECT) as town:
        town.say("echo 1", room=DM)
        await town.until(lambda: town.texts() == ["1"])
        await town.server.drop()
        town.say("echo 2", room=DM)
        await town.until(lambda: town.texts() == ["1", "2"])
        assert len(town.server.listeners) == 1


async def test_an_answer_survives_a_long_way_back(home: Home, agent: AgentProcess) -> None:
    """It is ready while nobody is connected, and the first tries to connect again fail."""
    async with bridge_of(home, agent, settings=DIRECT) as town:
        town.say("sleep 2", room=DM)
        await town.until(lambda: town.server.typing)
        town.server.is_away = True
        await town.server.drop()
        state = town.state()
        await town.until(lambda: state.value("SELECT count(*) FROM settled"))
        state.close()
        tried = town.server.away_for
        await town.until(lambda: town.server.away_for >= tried + 3)
        town.server.is_away = False
        await town.until(lambda: any("Awake" in text for text in town.texts()))


@pytest.mark.parametrize("can", ["idempotent", "can be asked"])
async def test_a_beginning_whose_sending_is_in_doubt_still_becomes_the_whole_answer(
    home: Home, agent: AgentProcess, can: str
) -> None:
    """The platform has the first words, and takes or finds the message by its key: those are not the answer."""
    capabilities = {"idempotent_send": can == "idempotent", "can_find": can == "can be asked"}
    async with bridge_of(home, agent, settings=DIRECT, capabilities=capabilities) as town:
        town.server.forgets_keys = can != "idempotent"
        town.server.loses_answer = True
        town.say("stream 4 0.1", room=DM)
        await town.until(lambda: _sent(town) == 1)
        await town.quiet()
        assert len(town.messages) == 1
        assert "chunk 4" in town.texts()[0]


async def test_a_doubt_is_not_forgotten_when_the_platform_cannot_be_asked_just_now(
    home: Home, agent: AgentProcess
) -> None:
    capabilities = {"idempotent_send": False, "can_find": True, "edits": False}
    async with bridge_of(home, agent, settings=DIRECT, capabilities=capabilities) as town:
        town.server.forgets_keys = town.server.loses_answer = True
        town.server.fails_once = {"find"}
        town.say("echo exactly once", room=DM)
        await town.until(lambda: _sent(town) == 1)
        await town.quiet()
        assert town.texts() == ["exactly once"]


async def test_a_burst_of_200_messages(home: Home, agent: AgentProcess) -> None:
    settings = DIRECT + "rate = 1000\nreactions = false\n"
    async with bridge_of(home, agent, settings=settings, capabilities={"edits": False, "burst": 1000}) as town:
        for number in range(200):
            town.say(f"echo number {number}", room=DM)
        await town.until(lambda: len(town.texts()) == 200, 90)
        assert town.texts() == [f"number {number}" for number in range(200)]


async def test_too_many_messages_of_one_person_get_a_polite_word_once(home: Home, agent: AgentProcess) -> None:
    async with bridge_of(home, agent, settings=DIRECT + "rate = 3\n") as town:
        for number in range(8):
            town.say(f"echo {number}", room=DM)
        await town.until(lambda: len(town.texts()) == 4)
        await town.quiet()
        assert sum("too much at once" in text for text in town.texts()) == 1
        assert {"0", "1", "2"} <= set(town.texts())


async def test_what_is_too_old_is_not_answered(home: Home, agent: AgentProcess) -> None:
    async with bridge_of(home, agent, settings=DIRECT, start=False) as town:
        old: dict[str, Any] = {"at": time.time() - 2 * 86400}
        for number in range(5):
            town.server.events.append(
                {"n": number + 1, "what": "said", "id": f"o{number}", "who": "ann", "room": DM, "text": "hi", **old}
            )
        town.say("echo fresh", room=DM)
        await town.start()
        await town.until(town.texts)
        await town.quiet()
        assert town.texts() == ["fresh"]


async def test_two_gateways_do_not_share_an_account(home: Home, agent: AgentProcess, tmp_path: Any) -> None:
    from support.cores import Home as OtherHome

    async with bridge_of(home, agent, settings=DIRECT) as town:
        (tmp_path / "other").mkdir(exist_ok=True)
        other = OtherHome(tmp_path / "other")
        other.config.write_text(home.config.read_text())
        from support.chat.bridges import ENV
        from support.gateways import GatewayProcess

        with GatewayProcess(other, "--plugin", str(home.folder / "line_plugin.py"), env=ENV) as second:
            await town.until(lambda: "is in use by another process" in second.errors)
            town.say("echo one", room=DM)
            await town.until(town.texts)
            await town.quiet()
        assert town.texts() == ["one"]


async def test_a_wrong_token_is_told_at_once(home: Home, agent: AgentProcess) -> None:
    from support.chat.bridges import ENV
    from support.chat.line_server import WRONG_TOKEN
    from support.gateways import GatewayProcess

    async with bridge_of(home, agent, settings=DIRECT, start=False) as town:
        wrong = {**ENV, "LINE_TOKEN": WRONG_TOKEN}
        with GatewayProcess(home, "--plugin", str(home.folder / "line_plugin.py"), env=wrong) as gateway:
            await town.until(lambda: "the server says: who are you?" in gateway.errors)
            assert WRONG_TOKEN not in gateway.errors


async def test_a_fault_of_a_platform_does_not_hold_up_the_others(home: Home, agent: AgentProcess) -> None:
    """A file of an answer that is gone when it is to be sent: told in words, and what comes after it is sent."""
    async with bridge_of(home, agent, settings=DIRECT, capabilities={"edits": False}) as town:
        town.server.limit_after = (1, 1.0)
        town.say("task", room=DM)
        await town.until(town.texts)
        for path in (home.settings().paths.data / "adapters" / "team" / "out").rglob("*.csv"):
            path.unlink()
        town.say("echo still here", room=DM)
        await town.until(lambda: "still here" in town.texts(), 40)
        assert any("could not be sent: FileNotFoundError" in text for text in town.texts())


async def test_what_an_operator_has_tried_again_is_answered(home: Home, agent: AgentProcess) -> None:
    from missive_host import commands as c

    async with bridge_of(home, agent, settings=DIRECT, capabilities={"edits": False}, more="max_attempts = 1") as town:
        town.say("slow 2", room=DM)
        await town.until(lambda: town.server.typing)
        await asyncio.sleep(0.3)
        await town.again()
        await town.until(town.texts)
        assert "(code `" in town.texts()[0]
        code = town.texts()[0].rpartition("(code `")[2].partition("`")[0]
        async with home.core() as core:
            core.local(c.IntakeRetry(receipts=(core.local(c.IntakeShow(receipt=code)).delivery.receipt_id,)))
        await town.until(lambda: len(town.texts()) == 2)
        assert "⚠️" not in town.texts()[1]
