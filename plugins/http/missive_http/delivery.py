"""Those who take the answers of a request: one that waits for all of it, one that hands it on as it comes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread

from missive_host.protocols import Reject, Retry
from missive_http import documents

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from missive_host.envelopes import Envelope
    from missive_host.outputs import Output
    from missive_host.protocols import Outcome
    from missive_http.documents import Json
    from missive_http.uploads import Uploads


class Waiting:
    """Those who wait, to be told that there is no more time."""

    def __init__(self) -> None:
        self._calls: set[Callable[[], None]] = set()
        self._over = False

    @contextmanager
    def until(self, call: Callable[[], None]) -> Iterator[None]:
        """Within it, `call` is called when there is no more time."""
        self._calls.add(call)
        try:
            if self._over:
                call()
            yield
        finally:
            self._calls.discard(call)

    def end(self) -> None:
        """The gateway stops: who waits gets a receipt, and streams end."""
        self._over = True
        for call in tuple(self._calls):
            call()


class Answer:
    """A `missive_host.protocols.Viewer` that keeps the results until it is settled."""

    def __init__(self) -> None:
        self.outputs: list[Json] = []
        self.outcome: Outcome | None = None
        self._settled = anyio.Event()
        self._left = False

    async def send(self, output: Output) -> None:
        if not self._left:
            self.outputs.append(output.document(sequence=True))

    async def settle(self, outcome: Outcome) -> None:
        self.outcome = outcome
        self._settled.set()

    async def wait(self, seconds: float, waiting: Waiting) -> Outcome | None:
        """Return what became of it; None if that is not known in time: then nothing is kept any more."""
        with anyio.move_on_after(seconds), waiting.until(self._settled.set):
            await self._settled.wait()
        if self.outcome is None or isinstance(self.outcome, Retry):
            self.leave()
            return None
        return self.outcome

    def leave(self) -> None:
        """Nobody waits any more: the host has the results."""
        self._left = True
        self.outputs = []


class HttpDelivery(Answer):
    """A `missive_host.protocols.Delivery`. It is delivered when it has ended: the answer lies under its receipt.

    Its files, if it has some, are in `folder` of `uploads` until then.
    """

    def __init__(self, envelope: Envelope, uploads: Uploads | None = None, folder: str | None = None) -> None:
        super().__init__()
        self.envelope = envelope
        self.folder = folder
        self._uploads = uploads

    async def settle(self, outcome: Outcome) -> None:
        await super().settle(outcome)
        if not isinstance(outcome, Retry):
            await self.forget_files(keep=isinstance(outcome, Reject) and outcome.dead)

    async def forget_files(self, *, keep: bool = False) -> None:
        """Remove the files; with `keep` let them lie for a while: it may be tried again."""
        folder, self.folder = self.folder, None
        if folder is not None and self._uploads is not None:
            await anyio.to_thread.run_sync(partial(self._uploads.release, folder, keep=keep))


def ended(frame_id: str, receipt_id: str, outcome: Outcome, outputs: list[Json] | None, **line: Any) -> Json:
    """Return the document of a request that has ended: ``http_result`` or ``http_error``."""
    if isinstance(outcome, Reject):
        status = documents.STATUS_OF.get(outcome.error.exit_code, 500)
        return documents.problem(
            status, outcome.error, frame_id=frame_id, receipt_id=receipt_id, outputs=outputs, **line
        )
    return documents.result(frame_id, receipt_id, outputs, **line)


class Stream:
    """A `missive_host.protocols.Viewer` that writes each result as it comes, and the end.

    `write` gets a document and the number of results up to it, which is where one can go on from. It may wait: that
    holds up this viewer, and nobody else.
    """

    def __init__(
        self, frame_id: str, receipt_id: str, write: Callable[[Json, int], Awaitable[None]], *, after: int = 0
    ) -> None:
        self._id = frame_id
        self._receipt = receipt_id
        self._write = write
        self._position = after

    async def send(self, output: Output) -> None:
        sequence = self._position
        self._position += 1
        data = output.document(sequence=True)
        await self._write(documents.output(self._id, self._receipt, sequence, data), self._position)

    async def settle(self, outcome: Outcome) -> None:
        if not isinstance(outcome, Retry):
            await self._write(ended(self._id, self._receipt, outcome, None), self._position)
