"""What is taken in, and what becomes of it if something fails on the way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from missive_host import commands as c
from missive_host.config.model import AdapterBlock
from missive_host.envelopes import STDIO, Envelope, parse_envelope, stored
from missive_host.errors import StorageError
from missive_host.gateway.dispatcher import Dispatcher
from missive_host.gateway.intake import GatewayIntake, Room
from missive_host.gateway.supervisor import Supervised, Supervisor
from missive_host.ids import now
from missive_host.protocols import IntakeFullError
from missive_host.store.rows import WorkRow

if TYPE_CHECKING:
    from support.cores import Home
    from support.misbehaving import Start

    from missive_host.demo.fleet import AgentProcess
    from missive_host.protocols import Delivery, Outcome

LINE = b'{"id": "1", "command": "send", "agent": "echo", "message": "hi", "source": {"resume_name": "talk"}}'


def envelope(line: bytes = LINE) -> Envelope:
    return parse_envelope(line, STDIO, default_source="test")


class Given:
    """A delivery that keeps its outcome."""

    def __init__(self, line: bytes = LINE) -> None:
        self.envelope = envelope(line)
        self.outcome: Outcome | None = None
        self.settled = anyio.Event()

    async def send(self, output: Any) -> None:
        """Take a result."""

    async def settle(self, outcome: Outcome) -> None:
        self.outcome = outcome
        self.settled.set()


class Damaged:
    """An adapter that fails at what it is given back."""

    async def run(self, intake: Any) -> None:
        """Read nothing."""

    def restore(self, envelope: Envelope, reply_to: Any) -> Delivery:
        raise OSError(28, "No space left on device")


def _row(core: Any) -> Any:
    return core.read(lambda tables: tables.work.get("w"))


def dispatcher_of(core: Any) -> Dispatcher:
    return Dispatcher(core, files=lambda _: None, adapter_limit=lambda _: None)


async def test_an_adapter_that_cannot_restore_a_delivery_ends_nobody_else(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        core.add("echo", agent)
        dispatcher = dispatcher_of(core.core)
        plugins: Any = None  # it starts none
        room = Room(lambda: 9, lambda _: None)
        supervisor = Supervisor(dispatcher, room, plugins, listener=None, authenticate=None, data=home.folder)
        supervisor.adapters["pipe"] = adapter = Supervised("pipe", AdapterBlock(kind="stdio"))
        adapter.adapter = Damaged()
        dispatcher.on_unattended = supervisor.attend
        at = now()
        row = WorkRow(
            work_id="w", kind="delivery", adapter="pipe", command="send", request=stored(envelope()), reply_to={},
            max_attempts=5, run_at=at, accepted_at=at,
        )  # fmt: skip
        core.core.store.write(lambda tables: tables.work.put(row))
        async with anyio.create_task_group() as group:
            await group.start(dispatcher.run)
            with anyio.fail_after(20):
                while not _row(core).ended:
                    await anyio.sleep(0.02)
            group.cancel_scope.cancel()
        assert _row(core).state == "done"


async def test_what_could_not_be_taken_in_leaves_its_room(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.configure('[gateway.busy_input]\nmode = "interrupt"\n')
    async with home.core() as core:
        dispatcher = dispatcher_of(core.core)
        intake = GatewayIntake("pipe", dispatcher, Room(lambda: 1, lambda _: None))
        with broken(dispatcher, monkeypatch), pytest.raises(StorageError):
            await intake.submit(Given(), wait=False)
        assert (await intake.submit(Given(), wait=False)).state == "ready"


@contextmanager
def broken(dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Within it, what runs cannot be read."""

    def fail(lane: str) -> None:
        raise StorageError(f"{lane} cannot be read")

    with monkeypatch.context() as patch:
        patch.setattr(dispatcher, "running_in", fail)
        yield


async def test_what_counts_as_an_error_of_an_agent(home: Home, misbehaving: Start) -> None:
    class Counting:
        def __init__(self) -> None:
            self.agents: list[str] = []
            self.outcomes: list[str] = []

        def delivered(self, adapter: str, outcome: str, seconds: float) -> None:
            self.outcomes.append(outcome)

        def agent_error(self, agent: str, category: str) -> None:
            self.agents.append(agent)

    async with home.core() as core:
        core.core.run_local(c.AgentAdd(agent="gone", url="http://127.0.0.1:1"))
        core.core.run_local(c.AgentAdd(agent="slow", url=misbehaving(lambda exchange: exchange.hang()).url))
        counting = Counting()
        dispatcher = Dispatcher(core.core, files=lambda _: None, adapter_limit=lambda _: None, observer=counting)
        intake = GatewayIntake("pipe", dispatcher, Room(lambda: 9, lambda _: None))
        async with anyio.create_task_group() as group:
            await group.start(dispatcher.run)
            with anyio.fail_after(20):
                for name in ("nobody", "gone", "slow"):
                    given = Given(b'{"id": "1", "command": "send", "agent": "%s", "message": "hi"}' % name.encode())
                    receipt = await intake.submit(given)
                    if name == "slow":
                        while receipt.id not in dispatcher.runs:
                            await anyio.sleep(0.01)
                        await dispatcher.interrupt(receipt.id, "something else comes first")
                    await given.settled.wait()
            group.cancel_scope.cancel()
        assert counting.outcomes == ["failed", "failed", "cancelled"]
        assert counting.agents == ["gone"], "not a name that anybody can send, nor what was cut off here"


async def test_room_is_counted_by_delivery() -> None:
    room = Room(lambda: 2, {"small": 1}.get)
    await room.enter("a", "small", "l", depth=5, wait=False)
    with pytest.raises(IntakeFullError, match="as much as it may take in"):
        await room.enter("b", "small", None, depth=5, wait=False)
    await room.enter("b", "big", "l", depth=1, wait=False)
    assert room.waiting("l", running=True) == 1
    with pytest.raises(IntakeFullError):
        await room.enter("c", "big", None, depth=5, wait=False)
    room.leave("a")
    room.leave("a")
    room.leave("never came in")
    with pytest.raises(IntakeFullError, match="0 messages of this session wait already"):
        await room.enter("c", "big", "l", depth=0, wait=False)
    async with anyio.create_task_group() as group:
        group.start_soon(partial(room.enter, "c", "big", "l", depth=0, wait=True))
        await anyio.sleep(0.01)
        room.leave("b")
    assert room.waiting("l", running=False) == 1
