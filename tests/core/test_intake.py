"""The host's side of the doors: order, bounds, and settling exactly once."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from msgspec.structs import replace
from support.cores import assert_journal_agrees
from support.doors import Delivery
from support.misbehaving import Exchange, reply

from missive_host import commands as c
from missive_host.core.intake import Intake
from missive_host.errors import IoError
from missive_host.protocols import Done, IntakeFullError, Reject, Retry

if TYPE_CHECKING:
    from support.cores import Home
    from support.misbehaving import Start

    from missive_host.demo.fleet import AgentProcess
    from missive_host.outputs import Output


def text_of(exchange: Exchange) -> str:
    text: str = exchange.request.json()["params"]["message"]["parts"][0]["text"]
    return text


def answer(exchange: Exchange) -> None:
    message = {"messageId": f"re-{text_of(exchange)}", "role": "ROLE_AGENT", "parts": [{"text": text_of(exchange)}]}
    exchange.result({"message": message})


def send(text: str, **fields: Any) -> c.Send:
    return c.Send(agent="a", message=text, **fields)


async def until(condition: Any) -> None:
    with anyio.fail_after(20):
        while not condition():
            await anyio.sleep(0.005)


async def test_order_within_a_session(home: Home, misbehaving: Start) -> None:
    running: list[int] = []

    def one_by_one(exchange: Exchange) -> None:
        running.append(1)
        assert len(running) == 1
        exchange.wait(0.01)
        running.pop()
        answer(exchange)

    server = misbehaving(one_by_one)
    async with home.core() as core:
        core.add("a", server.url)
        deliveries = [Delivery(send(str(number)), frame_id=str(number)) for number in range(20)]
        async with Intake(core.core, limit=100) as intake:
            for delivery in deliveries:
                await intake.submit(delivery)
        assert [text["params"]["message"]["parts"][0]["text"] for text in (r.json() for r in server.requests)] == [
            str(number) for number in range(20)
        ]
        assert all(delivery.outcome == Done() for delivery in deliveries)
        assert [delivery.sent[0].data.response.text for delivery in deliveries] == [  # type: ignore[attr-defined]
            str(number) for number in range(20)
        ]
        core.read(assert_journal_agrees)


async def test_sessions_side_by_side(home: Home, misbehaving: Start) -> None:
    """Each call waits for all the others to be there, too."""
    import threading

    together = threading.Barrier(8)

    def meet(exchange: Exchange) -> None:
        together.wait(20)
        answer(exchange)

    server = misbehaving(meet)
    async with home.core() as core:
        core.add("a", server.url)
        deliveries = [Delivery(send("x"), session=str(number)) for number in range(8)]
        async with Intake(core.core, limit=8) as intake:
            for delivery in deliveries:
                await intake.submit(delivery)
        assert all(delivery.outcome == Done() for delivery in deliveries)


async def test_one_session_does_not_hold_up_another(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        core.add("a", agent)
        slow = Delivery(send("sleep 60"), session="slow")
        behind = Delivery(send("echo behind"), session="slow")
        quick = [Delivery(send("echo quick"), session="quick") for _ in range(3)]
        async with Intake(core.core, limit=10) as intake:
            for delivery in (slow, behind, *quick):
                await intake.submit(delivery)
            for delivery in quick:
                with anyio.fail_after(20):
                    await delivery.settled.wait()
            assert slow.outcomes == behind.outcomes == []
            intake.cancel()
        assert isinstance(slow.outcome, Retry)
        assert isinstance(behind.outcome, Retry)
        assert intake.unfinished == 2
        assert len(core.requests()) == 4, "what had not begun was not begun"
        core.read(assert_journal_agrees)


async def test_no_more_than_the_limit_is_taken_in(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        core.add("a", agent)
        gate = anyio.Event()
        deliveries = [
            Delivery(send("echo x"), session=str(number), on_send=lambda _output: gate.wait()) for number in range(4)
        ]
        accepted: list[int] = []

        async with Intake(core.core, limit=2) as intake, anyio.create_task_group() as group:

            async def submit() -> None:
                for number, delivery in enumerate(deliveries[:3]):
                    await intake.submit(delivery)
                    accepted.append(number)

            group.start_soon(submit)
            await until(lambda: len(core.events()) == 4)
            assert accepted == [0, 1]
            with pytest.raises(IntakeFullError):
                await intake.submit(deliveries[3], wait=False)
            gate.set()
            await until(lambda: accepted == [0, 1, 2])
            await deliveries[2].settled.wait()
            await until(lambda: not deliveries[3].outcomes)
            await intake.submit(deliveries[3], wait=False)
        assert all(delivery.outcome == Done() for delivery in deliveries)


async def test_a_command_that_fails_is_rejected(home: Home, misbehaving: Start) -> None:
    server = misbehaving(reply(500))
    async with home.core() as core:
        core.add("a", server.url)
        cases = [
            (Delivery(c.Send(agent="nobody", message="x"), session="1"), 64),
            (Delivery(send("x"), session="2"), 69),
            (Delivery(c.TaskGet(task_id="t"), session="3"), 64),
            (Delivery(c.Send(agent="a"), session="4"), 64),
        ]
        async with Intake(core.core, limit=10) as intake:
            for delivery, _ in cases:
                await intake.submit(delivery)
        for delivery, code in cases:
            assert isinstance(delivery.outcome, Reject)
            assert delivery.outcome.error.exit_code == code
            assert delivery.sent == []
        assert intake.unfinished == 0


async def test_a_deadline_is_rejected_after_what_was_sent(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        core.add("a", agent)
        delivery = Delivery(c.Stream(agent="a", message="sleep 60", timeout="400ms"))
        async with Intake(core.core, limit=1) as intake:
            await intake.submit(delivery)
        assert isinstance(delivery.outcome, Reject)
        assert delivery.outcome.error.exit_code == 82
        assert [output.kind for output in delivery.sent] == ["stream_event", "stream_event"]


@pytest.mark.parametrize(
    "error", [RuntimeError("gone"), OSError("gone"), IoError("gone"), ExceptionGroup("x", [ValueError()])]
)
async def test_a_door_that_fails_gets_it_again(home: Home, agent: AgentProcess, error: Exception) -> None:
    """The answer did not get through, so it is not done; that the command could do nothing for it is no rejection."""

    def fail(_output: Output) -> None:
        raise error

    async with home.core() as core:
        core.add("a", agent)
        broken = Delivery(send("echo x"), on_send=fail)
        after = Delivery(send("echo y"))
        async with Intake(core.core, limit=10) as intake:
            await intake.submit(broken)
            await intake.submit(after)
        assert isinstance(broken.outcome, Retry)
        assert after.outcome == Done()
        assert intake.unfinished == 1
        core.read(assert_journal_agrees)


@pytest.mark.parametrize("how", ["raises", "hangs"])
async def test_a_door_that_cannot_settle_frees_its_place(
    home: Home, agent: AgentProcess, how: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("missive_host.core.intake.SETTLE_SECONDS", 0.1)

    def settle() -> Any:
        if how == "raises":
            raise RuntimeError("cannot")
        return anyio.sleep_forever()

    async with home.core() as core:
        core.add("a", agent)
        bad = Delivery(send("echo x"), on_settle=settle, frame_id="bad-one")
        good = [Delivery(send("echo y"), session=session) for session in ("s", "t")]
        with caplog.at_level(logging.WARNING):
            async with Intake(core.core, limit=1) as intake:
                for delivery in (bad, *good):
                    await intake.submit(delivery)
        assert bad.outcome == Done()
        assert [delivery.outcome for delivery in good] == [Done(), Done()]
        assert "bad-one" in caplog.text


async def test_something_unforeseen_ends_one_delivery_only(
    home: Home, agent: AgentProcess, caplog: pytest.LogCaptureFixture
) -> None:
    async with home.core() as core:
        core.add("a", agent)
        odd = Delivery("this is no command")  # type: ignore[arg-type]
        good = Delivery(send("echo y"))
        async with Intake(core.core, limit=10) as intake:
            await intake.submit(odd)
            await intake.submit(good)
        assert isinstance(odd.outcome, Reject)
        assert "fault in missive" in (odd.outcome.error.help or "")
        assert good.outcome == Done()
        assert "unexpected" in caplog.text


async def test_cancelling_settles_everything_as_retry(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        core.add("a", agent)
        await core.one(send("echo warm"))
        deliveries = [Delivery(send("sleep 60"), session=str(number % 3)) for number in range(9)]
        with anyio.fail_after(20):
            async with Intake(core.core, limit=20) as intake:
                for delivery in deliveries:
                    await intake.submit(delivery)
                await until(lambda: len(core.messages(status="pending")) == 3)
                intake.cancel()
        for delivery in deliveries:
            assert isinstance(delivery.outcome, Retry)
            assert "stopped" in delivery.outcome.error.message
        assert intake.unfinished == 9
        # What was under way is written down; it may have arrived, or have been cut off just before.
        assert len(core.requests()) == 4
        assert core.messages(status="pending") == ()
        core.read(assert_journal_agrees)


async def test_what_was_not_begun_is_settled_side_by_side(home: Home, agent: AgentProcess) -> None:
    """Each settlement waits for the other: one after another, both would be given up."""
    together = [anyio.Event(), anyio.Event()]

    def meet(own: int) -> Any:
        async def wait() -> None:
            together[own].set()
            await together[1 - own].wait()

        return wait

    async with home.core() as core:
        core.add("a", agent)
        running = Delivery(send("sleep 60"))
        waiting = [Delivery(send("echo x"), on_settle=lambda own=own: meet(own)()) for own in range(2)]  # type: ignore[misc]
        async with Intake(core.core, limit=5) as intake:
            for delivery in (running, *waiting):
                await intake.submit(delivery)
            await until(lambda: core.messages(status="pending"))
            intake.cancel()
        assert all(delivery.settled.is_set() for delivery in (running, *waiting))


@pytest.mark.parametrize("moment", range(12))
async def test_a_cancel_at_any_moment_leaves_no_loose_end(home: Home, agent: AgentProcess, moment: int) -> None:
    """Whatever step it hits: settled once, no row left pending, journal and rows agree."""
    async with home.core() as core:
        core.add("a", agent)
        await core.one(send("echo warm"))
        deliveries = [
            Delivery(send("echo x") if number % 2 else c.Stream(agent="a", message="stream 2"), session=str(number))
            for number in range(6)
        ]
        async with Intake(core.core, limit=20) as intake:
            for delivery in deliveries:
                await intake.submit(delivery)
            for _ in range(moment * moment):
                await anyio.sleep(0)
            intake.cancel()
        for delivery in deliveries:
            assert isinstance(delivery.outcome, Done | Retry)
        assert core.messages(status="pending") == ()
        core.read(assert_journal_agrees)


async def test_leaving_waits_for_what_was_taken_in(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        core.add("a", agent)
        delivery = Delivery(send("slow 0.3"))
        async with Intake(core.core, limit=1) as intake:
            await intake.submit(delivery)
        assert delivery.outcome == Done()
        assert delivery.sent[0].data.response.text == "Answered after 0.3 s."  # type: ignore[attr-defined]


async def test_a_slow_door_slows_the_agents_stream(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        core.add("a", agent)
        gate = anyio.Event()
        delivery = Delivery(c.Stream(agent="a", message="stream 5"), on_send=lambda _output: gate.wait())
        async with Intake(core.core, limit=1) as intake:
            await intake.submit(delivery)
            await until(lambda: len(core.events()) == 2)
            await anyio.sleep(0.05)
            assert len(core.events()) == 2, "one event is on its way to the door, none is read ahead"
            gate.set()
        assert delivery.outcome == Done()
        assert len(delivery.sent) == 14


async def test_a_frame_for_another_profile_is_refused(home: Home) -> None:
    """It would otherwise be answered from the wrong store, in silence."""
    delivery = Delivery(c.AgentList())
    delivery.envelope = replace(delivery.envelope, source=replace(delivery.envelope.source, profile="other"))
    async with home.core() as core, Intake(core.core, limit=4) as intake:
        await intake.submit(delivery)
    (outcome,) = delivery.outcomes
    assert isinstance(outcome, Reject)
    assert "this process works in the profile 'default', not 'other'" in outcome.error.message
