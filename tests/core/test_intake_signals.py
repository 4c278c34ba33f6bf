"""Stopping a door by signals: what is in flight is answered, or cut off and told so."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from support.cores import assert_journal_agrees
from support.doors import StdioProcess, frame
from support.misbehaving import Exchange

if TYPE_CHECKING:
    from support.cores import Home
    from support.misbehaving import Misbehaving, Start


class Gate:
    """An agent that answers when it is let. A text that begins with ``stream`` gets its first event at once."""

    def __init__(self, misbehaving: Start) -> None:
        self._open = threading.Event()
        self._arrived = threading.Semaphore(0)
        self.server: Misbehaving = misbehaving(self._handle)

    def _handle(self, exchange: Exchange) -> None:
        self._arrived.release()
        request = exchange.request.json()
        streaming = request["method"] == "SendStreamingMessage"
        task = {"id": request["params"]["message"]["messageId"], "contextId": "c"}
        if streaming:
            exchange.start_stream()
            working = {"task": {**task, "status": {"state": "TASK_STATE_WORKING"}}}
            exchange.event({"jsonrpc": "2.0", "id": 1, "result": working})
        for _ in range(1200):
            if self._open.is_set():
                break
            exchange.wait(0.025)
        done: dict[str, Any] = {"task": {**task, "status": {"state": "TASK_STATE_COMPLETED"}}}
        if streaming:
            exchange.event({"jsonrpc": "2.0", "id": 1, "result": done})
            exchange.end_stream()
        else:
            exchange.result(done)

    def arrived(self, count: int) -> None:
        """Wait for so many requests."""
        for _ in range(count):
            assert self._arrived.acquire(timeout=20)

    def open(self) -> None:
        self._open.set()


async def register(home: Home, url: str) -> None:
    async with home.core() as core:
        core.add("a", url)


async def reading_stops(door: StdioProcess) -> None:
    """Write empty lines until nobody takes them any more."""
    assert door.process.stdin is not None
    descriptor = door.process.stdin.fileno()
    os.set_blocking(descriptor, False)
    full = 0
    with anyio.fail_after(20):
        while full < 5:
            try:
                os.write(descriptor, b"\n" * 4096)
                full = 0
            except BlockingIOError:
                full += 1
                await anyio.sleep(0.02)


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
async def test_the_first_signal_lets_what_runs_be_answered(
    home: Home, misbehaving: Start, sent: signal.Signals
) -> None:
    gate = Gate(misbehaving)
    await register(home, gate.server.url)
    with StdioProcess(home, "--concurrency", "8") as door:
        door.put(*(frame(f"f{number}", "send", agent="a", message="x") for number in range(3)))
        door.put(frame("s", "stream", agent="a", message="stream"))
        # Two of one session: the second one was taken in, too, but not begun.
        door.put(frame("q0", "send", session="q", agent="a", message="x"))
        door.put(frame("q1", "send", session="q", agent="a", message="x"))
        gate.arrived(5)
        door.until(lambda frames: any(each["id"] == "s" for each in frames))
        door.process.send_signal(sent)
        await reading_stops(door)
        assert door.process.poll() is None
        gate.open()
        assert await anyio.to_thread.run_sync(door.finished) == 0
        last = {each["id"]: each for each in door.frames}
        assert set(last) == {"f0", "f1", "f2", "s", "q0", "q1"}
        assert all(each["ok"] for each in door.frames)
        assert last["s"]["data"]["data"]["final_state"] == "completed"
        assert door.rest == b""
    async with home.core() as core:
        assert {row.status for row in core.requests()} == {"sent"}
        core.read(assert_journal_agrees)


@pytest.mark.parametrize("sent", [(signal.SIGTERM, signal.SIGTERM), (signal.SIGINT, signal.SIGTERM)])
async def test_the_second_signal_cuts_off_and_says_so(
    home: Home, misbehaving: Start, sent: tuple[signal.Signals, signal.Signals]
) -> None:
    gate = Gate(misbehaving)
    await register(home, gate.server.url)
    with StdioProcess(home, "--concurrency", "8") as door:
        door.put(*(frame(f"f{number}", "send", agent="a", message="x") for number in range(2)))
        door.put(frame("s", "stream", agent="a", message="stream"))
        door.put(*(frame(f"q{number}", "send", session="q", agent="a", message="x") for number in range(2)))
        gate.arrived(4)
        door.until(lambda frames: any(each["id"] == "s" for each in frames))
        for number in sent:
            door.process.send_signal(number)
            await anyio.sleep(0.2)
        assert await anyio.to_thread.run_sync(door.finished) == 128 + sent[0]
        failed = {each["id"]: each for each in door.frames if not each["ok"]}
        assert set(failed) == {"f0", "f1", "s", "q0", "q1"}
        for each in failed.values():
            assert each["kind"] == "stdio_error"
            assert each["error"]["category"] == "orchestration"
            assert "stopped before it was done" in each["error"]["message"]
        assert [each["sequence"] for each in door.frames if each["id"] == "s"] == [0, 1]
        assert b"Traceback" not in door.errors
    async with home.core() as core:
        statuses = sorted(row.status for row in core.requests())
        assert statuses == ["sent", "unknown", "unknown", "unknown"], "what had not begun leaves no trace"
        core.read(assert_journal_agrees)


async def test_a_signal_while_nothing_runs(home: Home, misbehaving: Start) -> None:
    gate = Gate(misbehaving)
    await register(home, gate.server.url)
    with StdioProcess(home) as door:
        door.put(frame("one", "task_list"))
        door.until(lambda frames: len(frames) == 1)
        door.process.send_signal(signal.SIGTERM)
        assert await anyio.to_thread.run_sync(door.finished) == 0


async def test_the_end_of_input_waits_for_what_runs(home: Home, misbehaving: Start) -> None:
    gate = Gate(misbehaving)
    await register(home, gate.server.url)
    with StdioProcess(home, "--concurrency", "8") as door:
        door.put(*(frame(f"f{number}", "send", agent="a", message="x") for number in range(5)))
        door.end()
        gate.arrived(5)
        assert door.process.poll() is None
        gate.open()
        assert await anyio.to_thread.run_sync(door.finished) == 0
        assert sorted(each["id"] for each in door.frames if each["ok"]) == [f"f{number}" for number in range(5)]
