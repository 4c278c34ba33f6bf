"""One request on its way: its answers become frames."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec

from missive_host.envelopes import STDIO, Envelope, Frames, ResponseFrame
from missive_host.errors import IoError
from missive_host.protocols import Done, Outcome

if TYPE_CHECKING:
    from missive_host.outputs import Output
    from missive_stdio.writer import FrameWriter

Encode = Callable[[ResponseFrame], bytes]


def ndjson(frame: ResponseFrame) -> bytes:
    """Return the frame as one line. JSON escapes line ends in strings, so there is only the one at the end."""
    return msgspec.json.encode(frame) + b"\n"


def pretty(frame: ResponseFrame) -> bytes:
    """Return the frame indented by two, as people read it."""
    return msgspec.json.format(msgspec.json.encode(frame), indent=2) + b"\n"


class StdioDelivery:
    """A `missive_host.protocols.Delivery`. It depends on nothing but the writer, so it outlives the reader.

    With `collect`, the events of a stream are kept and go out inside its ``stream_result``: one command, one
    frame. If the stream fails before its result, they go out as frames of their own before the error.
    """

    def __init__(
        self,
        envelope: Envelope,
        writer: FrameWriter,
        encode: Encode,
        *,
        collect: bool,
        on_settled: Callable[[Outcome], None],
    ) -> None:
        self.envelope = envelope
        self._frames = Frames(STDIO, envelope.id, "stdio")
        self._writer = writer
        self._encode = encode
        self._collect = collect
        self._events: list[Output] = []
        self._on_settled = on_settled

    async def send(self, output: Output) -> None:
        """Write one frame. Waits while standard output is not read. Raises `IoError` when it is closed."""
        if self._collect:
            if output.kind == "stream_event":
                self._events.append(output)
                return
            if output.kind == "stream_result":
                output = self._filled(output)
        await self._write(output)

    async def settle(self, outcome: Outcome) -> None:
        """Write the error frame if there is one to write. It is never an error that nobody reads it any more."""
        try:
            with suppress(IoError):  # run() ends because of it, and says why if the reader did not simply go away
                for event in self._events:
                    await self._write(event)
                if isinstance(outcome, Done):
                    await self._writer.flush()
                else:
                    error = outcome.error
                    await self._writer.write(lambda: self._encode(self._frames.error(error)))
        finally:
            self._on_settled(outcome)

    async def _write(self, output: Output) -> None:
        await self._writer.write(lambda: self._encode(self._frames.output(output)))

    def _filled(self, output: Output) -> Output:
        """Return the ``stream_result`` with the events that were kept. (`outputs` is for typing only in a plugin.)"""
        data: Any = msgspec.structs.replace(output.data, events=tuple(event.data for event in self._events))
        self._events.clear()
        return msgspec.structs.replace(output, data=data)
