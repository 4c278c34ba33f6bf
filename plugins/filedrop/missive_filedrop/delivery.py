"""One request on its way: its results become one file."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import msgspec

from missive_filedrop.attachments import carried
from missive_host.envelopes import FILE_DROP, STDIO, Envelope, Frames, ResultFile
from missive_host.protocols import Done, Outcome, Retry

if TYPE_CHECKING:
    from missive_filedrop.answers import Answered, Answers
    from missive_filedrop.names import Claim
    from missive_host.errors import ErrorReport
    from missive_host.outputs import Output


class FileDropDelivery:
    """A `missive_host.protocols.Delivery`. It may be settled again, by any process: see `Answers`."""

    def __init__(
        self,
        envelope: Envelope,
        claim: Claim,
        answers: Answers,
        *,
        on_settled: Callable[[FileDropDelivery, Outcome, Answered | None], None],
        on_failed: Callable[[FileDropDelivery, Outcome, OSError], None],
        again: bool,
    ) -> None:
        self.envelope = envelope
        self.claim = claim
        self.output_count = 0
        self._answers = answers
        self._frames = Frames(STDIO, envelope.id, "stdio")
        self._outputs: list[msgspec.Raw] = []
        self.on_settled = on_settled
        self._on_failed = on_failed
        self._again = again
        """True if somebody else may have answered it already."""

    async def send(self, output: Output) -> None:
        """Keep one result for the answer: as text, which is smaller than what it was made from."""
        self._outputs.append(msgspec.Raw(msgspec.json.encode(self._frames.output(output))))
        self.output_count += 1

    async def settle(self, outcome: Outcome) -> None:
        """Write the answer, and put the request away; a `Retry` leaves both.

        If it cannot be written, ``on_failed`` says what is to become of it.
        """
        try:
            answered = None if isinstance(outcome, Retry) else await self.write(outcome)
        except OSError as error:
            self._on_failed(self, outcome, error)
        else:
            self.on_settled(self, outcome, answered)

    async def write(self, outcome: Outcome) -> Answered | None:
        """Write the answer; None if it was written before. Raises `OSError`."""
        error = None if isinstance(outcome, Done) else outcome.error
        return await anyio.to_thread.run_sync(
            partial(
                self._answers.give,
                self.claim,
                ok=error is None,
                document=partial(
                    answer, self.claim.name, frame_id=self.envelope.id, outputs=tuple(self._outputs), error=error
                ),
                carried=carried(self.envelope.command),
                again=self._again,
            )
        )


def answer(
    input_file: str,
    archived_file: str | None,
    *,
    frame_id: str | None,
    outputs: tuple[msgspec.Raw, ...] = (),
    error: ErrorReport | None = None,
) -> bytes:
    """Return the answer to a request, as people read it."""
    frames: Any = outputs  # already as JSON, which goes into it as it is
    result = ResultFile(
        schema_version=FILE_DROP,
        id=frame_id if frame_id is not None else msgspec.UNSET,
        ok=error is None,
        kind="file_drop_result" if error is None else "file_drop_error",
        input_file=input_file,
        archived_file=archived_file if archived_file is not None else msgspec.UNSET,
        outputs=frames or msgspec.UNSET,
        error=error if error is not None else msgspec.UNSET,
    )
    return msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n"
