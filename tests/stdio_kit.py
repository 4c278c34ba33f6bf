"""Drives the stdio adapter in tests: real descriptors on both sides, and an intake that records."""

from __future__ import annotations

import json
import logging
import os
import select
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
from missive_stdio.adapter import StdioAdapter

from missive_host.errors import MissiveError, OrchestrationError
from missive_host.outputs import (
    CommandStatus,
    Output,
    Persistence,
    SelectedInterface,
    StreamCapability,
    StreamEvent,
    StreamResult,
)
from missive_host.protocols import (
    AdapterContext,
    Delivery,
    Done,
    Outcome,
    Receipt,
    Reject,
    Retry,
    UnknownReceiptError,
    Viewer,
)

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

Handler = Callable[[Delivery], Awaitable[None]]
LINE_LIMIT = 8 * 1024 * 1024


def options(**changed: Any) -> dict[str, Any]:
    """The options as the host hands them over, with defaults."""
    return {"mode": "long-running", "framing": None, "concurrency": 4, "max_line": LINE_LIMIT, **changed}


def adapter(stdin_fd: int, stdout_fd: int, *, threaded: bool | None = None, **changed: Any) -> StdioAdapter:
    context = AdapterContext("stdio", options(**changed), logging.getLogger("missive.stdio"), Path.cwd())
    return StdioAdapter(context, stdin_fd=stdin_fd, stdout_fd=stdout_fd, threaded=threaded)


class Pipe:
    """A pipe whose ends may be closed twice."""

    def __init__(self) -> None:
        self.r, self.w = os.pipe()
        self._open = {self.r, self.w}
        self._buffer = b""

    def put(self, data: bytes) -> None:
        """Write everything; blocks while the pipe is full."""
        while data:
            data = data[os.write(self.w, data) :]

    def fill(self) -> int:
        """Write until the pipe takes no more, and return how many bytes it took."""
        taken = 0
        while select.select([], [self.w], [], 0)[1]:
            taken += os.write(self.w, b"\n" * select.PIPE_BUF)
        return taken

    def close_r(self) -> None:
        self._close(self.r)

    def close_w(self) -> None:
        self._close(self.w)

    def _close(self, fd: int) -> None:
        if fd in self._open:
            self._open.remove(fd)
            os.close(fd)

    def __enter__(self) -> Pipe:
        return self

    def __exit__(self, *_: object) -> None:
        self.close_r()
        self.close_w()

    async def line(self) -> Any:
        """Wait for one whole line on the read end and return it as JSON."""
        while b"\n" not in self._buffer:
            await anyio.wait_readable(self.r)
            chunk = os.read(self.r, 65536)
            assert chunk, f"the pipe ended within {self._buffer!r}"
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        return json.loads(line)

    def holds(self) -> bool:
        """True: there is something to read, right now."""
        return bool(select.select([self.r], [], [], 0)[0])


class Drain(threading.Thread):
    """Reads a descriptor to its end."""

    def __init__(self, fd: int) -> None:
        super().__init__(daemon=True)
        self.fd = fd
        self.data = bytearray()
        self.start()

    def run(self) -> None:
        while chunk := os.read(self.fd, 65536):
            self.data += chunk


class RecordingIntake:
    """Hands every delivery to `handler` in a task of its own, settles it, and remembers."""

    def __init__(self, group: TaskGroup, handler: Handler, *, room: float = float("inf")) -> None:
        self.deliveries: list[Delivery] = []
        self.outcomes: list[Outcome] = []
        self._group = group
        self._handler = handler
        self.room = anyio.CapacityLimiter(room)

    @property
    def ids(self) -> list[str]:
        return [delivery.envelope.id for delivery in self.deliveries]

    async def submit(self, delivery: Delivery, *, reply_to: Any = None, wait: bool = True) -> Receipt:
        await self.room.acquire_on_behalf_of(delivery)
        self.deliveries.append(delivery)
        self._group.start_soon(self._run, delivery)
        return await self.receipt(str(len(self.deliveries)))

    async def follow(self, receipt_id: str, viewer: Viewer, *, after: int = 0) -> None:
        raise UnknownReceiptError(f"nothing is kept of {receipt_id}")

    async def receipt(self, receipt_id: str) -> Receipt:
        return Receipt(receipt_id, adapter="stdio", state="running", accepted_at="")

    async def _run(self, delivery: Delivery) -> None:
        outcome: Outcome = Retry(OrchestrationError("stopped before it was done").report())
        try:
            await self._handler(delivery)
            outcome = Done()
        except MissiveError as error:
            outcome = Reject(error.report())
        finally:
            with anyio.CancelScope(shield=True):
                await delivery.settle(outcome)
                self.outcomes.append(outcome)
            self.room.release_on_behalf_of(delivery)


async def answer(delivery: Delivery) -> None:
    """The simplest handler: one output that says which command it was."""
    command = delivery.envelope.command
    await delivery.send(status(str(command.__struct_config__.tag)))


async def run(data: bytes, handler: Handler = answer, **changed: Any) -> tuple[int, list[dict[str, Any]]]:
    """Run an adapter over real pipes on `data`; return its exit status and its frames."""
    code, written = await run_raw(data, handler, **changed)
    return code, frames(written)


async def run_raw(data: bytes, handler: Handler = answer, **changed: Any) -> tuple[int, bytes]:
    with Pipe() as stdin, Pipe() as stdout:
        drain = Drain(stdout.r)
        feeder = threading.Thread(target=_feed, args=(stdin, data), daemon=True)
        feeder.start()
        async with anyio.create_task_group() as group:
            code = await adapter(stdin.r, stdout.w, **changed).run(RecordingIntake(group, handler))
        stdin.close_r()
        stdout.close_w()
        feeder.join()
        drain.join()
    return code, bytes(drain.data)


def _feed(stdin: Pipe, data: bytes) -> None:
    with suppress(BrokenPipeError):
        stdin.put(data)
    stdin.close_w()


def frames(written: bytes) -> list[dict[str, Any]]:
    """The JSON documents in what was written, in either framing."""
    decoder = json.JSONDecoder()
    text = written.decode().strip()
    found = []
    while text:
        frame, end = decoder.raw_decode(text)
        found.append(frame)
        text = text[end:].lstrip()
    return found


def status(command: str, message: str = "done") -> Output:
    return Output(CommandStatus(command=command, status="ok", implemented=True, message=message))


def stream_event(sequence: int, text: str = "…") -> Output:
    event = StreamEvent(
        profile="default", agent="echo", sequence=sequence, event_type="status_update", raw={},
        persistence=Persistence(), message="an update", text=text,
    )  # fmt: skip
    return Output(event, sequence)


def stream_result(count: int) -> Output:
    result = StreamResult(
        profile="default", agent="echo",
        selected_interface=SelectedInterface(
            binding="json-rpc", protocol_binding="JSONRPC", url="http://127.0.0.1:1/", protocol_version="1.0",
            source="agent_card",
        ),
        capability=StreamCapability(advertised_streaming=True, forced=False), event_count=count,
        status_update_count=count, artifact_update_count=0, resumed=0, events=(), persistence=Persistence(),
        message="the stream has ended",
    )  # fmt: skip
    return Output(result, count)


def request(frame_id: str, command: str = "task_list", **fields: Any) -> bytes:
    """One request line."""
    return json.dumps({"id": frame_id, "command": command, **fields}).encode() + b"\n"


async def until(condition: Callable[[], bool]) -> None:
    """Let other tasks run until it is so; the test's time limit catches what never comes."""
    while not condition():
        await anyio.sleep(0.001)


async def idle() -> None:
    """Let everything that can run now run, several times over: for showing that something does *not* happen."""
    for _ in range(50):
        await anyio.sleep(0.001)
