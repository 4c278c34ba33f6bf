"""The adapter: frames in, deliveries out, until the input ends.

::

    stdin ─► Input ─► Lines ─► parse_envelope ─► StdioDelivery ─► intake.submit
                                    └─ error ─► FrameWriter ◄─ send, settle ◄─ host
                                                    └─► stdout

How long `StdioAdapter.run` waits, and for what: for a free place (`concurrency`), then for a line, then for the
host (`submit`). So nothing is read that cannot be taken in, and whoever writes to us is slowed by the pipe.
"""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio

from missive_host.envelopes import STDIO, Envelope, FrameError, Frames, parse_envelope
from missive_host.errors import IoError, MissiveError, ValidationError
from missive_host.protocols import Reject
from missive_stdio.delivery import StdioDelivery, ndjson, pretty
from missive_stdio.reader import Input, Lines
from missive_stdio.writer import FrameWriter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from missive_host.protocols import AdapterContext, Intake, Outcome

SOURCE_ID = "stdio"
"""``source.source_id`` of a frame that names none."""


class StdioAdapter:
    """Reads `missive.stdio.v1` frames from one descriptor and writes the answers to another.

    Raises `ValidationError` if the options do not fit together. `threaded` forces the way that Windows needs.
    """

    def __init__(
        self, context: AdapterContext, *, stdin_fd: int = 0, stdout_fd: int = 1, threaded: bool | None = None
    ) -> None:
        options = context.options
        self._single_shot = (options["mode"] or ("long-running" if context.durable else "single-shot")) == "single-shot"
        framing = options["framing"] or ("json" if self._single_shot else "ndjson")
        if framing == "json" and not self._single_shot:
            raise ValidationError(
                "json framing is for single-shot only", help="use ndjson framing: one frame a line, both ways"
            )
        self._concurrency: int = options["concurrency"]
        self._limit: int = options["max_line"]
        self._collect = framing == "json"
        self._encode = pretty if framing == "json" else ndjson
        self._log = context.log
        self._scope: anyio.CancelScope | None = None
        self._exit_code = 0
        extra = {} if threaded is None else {"threaded": threaded}
        self._input = partial(Input, stdin_fd, **extra)
        self._writer = FrameWriter(stdout_fd, on_broken=self._stop, **extra)

    async def run(self, intake: Intake) -> int:
        """Read to the end of input, wait until every delivery is settled, and return the exit status.

        Single-shot: the exit code of the error, or 0. Long-running: 0. When standard output is closed it returns
        0 at once, and what is still in flight is left for the host to cancel: nobody waits for it. Raises
        `IoError` if standard input cannot be read, or standard output cannot be written for another reason.
        """
        slots = anyio.Semaphore(self._concurrency, fast_acquire=True)
        with anyio.CancelScope() as self._scope:
            if self._writer.broken:
                return 0
            source = self._input()
            try:
                if self._single_shot:
                    await self._read_one(source, slots, intake)
                else:
                    await self._read_lines(source, slots, intake)
            except IoError:
                if not self._writer.broken:
                    raise
            finally:
                source.close()
        if self._writer.failure is not None:
            raise self._writer.failure
        if self._writer.broken:
            self._log.debug("standard output was closed")
            return 0
        return self._exit_code if self._single_shot else 0

    def _stop(self) -> None:
        if self._scope is not None:
            self._scope.cancel()

    # --- long-running

    async def _read_lines(self, source: Input, slots: anyio.Semaphore, intake: Intake) -> None:
        lines = Lines(source, self._limit)
        try:
            while True:
                await slots.acquire()
                envelope = await self._next(lines)
                if envelope is None:
                    slots.release()
                    break
                await self._submit(envelope, slots, intake)
        except MissiveError:
            slots.release()
            await self._settled(slots)  # what was taken in before the input broke is answered
            raise
        await self._settled(slots)

    async def _next(self, lines: Lines) -> Envelope | None:
        """Return the next good frame; answer the bad ones on the way. None at the end of input."""
        while (line := await lines.next()) is not None:
            try:
                if line.data is None:
                    raise _too_long("the line", self._limit)
                return parse_envelope(line.data, STDIO, default_source=SOURCE_ID)
            except FrameError as error:
                await self._refuse(error, line.number)
        return None

    async def _settled(self, slots: anyio.Semaphore) -> None:
        """Wait until nothing is in flight: until all places are free."""
        for _ in range(self._concurrency):
            await slots.acquire()

    # --- single-shot

    async def _read_one(self, source: Input, slots: anyio.Semaphore, intake: Intake) -> None:
        data = await source.read_all(self._limit)
        try:
            if data is None:
                raise _too_long("standard input", self._limit)
            envelope = _only_frame(data)
        except FrameError as error:
            self._exit_code = error.exit_code
            await self._refuse(error, _first_line(data or b""))
            return
        await slots.acquire()
        await self._submit(envelope, slots, intake)
        # Nothing is left to read, so there is nothing to stop: the host settles it, and the exit status is its error's.
        with anyio.CancelScope(shield=True) as self._scope:
            await self._settled(slots)

    # --- both

    def restore(self, envelope: Envelope, reply_to: Mapping[str, Any]) -> StdioDelivery:  # noqa: ARG002 - the id says it
        """Return a delivery whose answer is written to our standard output, though another process took it in."""
        return StdioDelivery(envelope, self._writer, self._encode, collect=False, on_settled=lambda _outcome: None)

    async def _submit(self, envelope: Envelope, slots: anyio.Semaphore, intake: Intake) -> None:
        """Hand a frame over; one that the host does not take, such as a key that is used twice, gets its error."""
        delivery = self._delivery(envelope, slots)
        try:
            await intake.submit(delivery, reply_to={})
        except MissiveError as error:
            await delivery.settle(Reject(error.report()))

    def _delivery(self, envelope: Envelope, slots: anyio.Semaphore) -> StdioDelivery:
        def settled(outcome: Outcome) -> None:
            error = getattr(outcome, "error", None)
            self._exit_code = error.exit_code if error is not None else 0
            slots.release()

        return StdioDelivery(envelope, self._writer, self._encode, collect=self._collect, on_settled=settled)

    async def _refuse(self, error: FrameError, line: int) -> None:
        frames = Frames(STDIO, error.frame_id, "stdio")
        await self._writer.write(lambda: self._encode(frames.error(error.report(), {"line": line})))


def _too_long(what: str, limit: int) -> FrameError:
    return FrameError(
        f"{what} is longer than {limit} bytes", help="raise --max-line, or send big content by reference with `files`"
    )


def _first_line(data: bytes) -> int:
    """Return the number of the line in which the frame begins."""
    return 1 + data[: len(data) - len(data.lstrip())].count(b"\n") if data.strip() else 1


def _only_frame(data: bytes) -> Envelope:
    """Parse the whole input as one frame. Raises `FrameError`."""
    if not data.strip():
        raise FrameError("standard input is empty", help="single-shot reads one frame, which is a JSON object")
    try:
        return parse_envelope(data, STDIO, default_source=SOURCE_ID)
    except FrameError as error:
        first = _first_of_several(data)
        if first is None:
            raise
        raise FrameError(
            "there is more on standard input than one JSON value",
            frame_id=_id_of(first),
            help="single-shot reads one frame; --mode long-running reads one a line",
            sources=error.sources,
        ) from None


def _first_of_several(data: bytes) -> bytes | None:
    """Return the first JSON value of the input if something follows it."""
    try:
        text = data.decode().strip()
        _, end = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return None
    return text[:end].encode() if end < len(text) else None


def _id_of(frame: bytes) -> str | None:
    try:
        return parse_envelope(frame, STDIO, default_source=SOURCE_ID).id
    except FrameError as error:
        return error.frame_id
