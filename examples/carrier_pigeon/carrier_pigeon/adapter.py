"""The door: a note becomes an envelope, the envelope a delivery, and what comes of it a note of its own.

Looking into a folder, reading a note and writing one takes no time worth a thread, so it is done in place.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

from carrier_pigeon.loft import Loft, deliver, make_maildir
from carrier_pigeon.notes import read_note, write_answer
from missive_host.envelopes import Envelope
from missive_host.errors import MissiveError, ValidationError
from missive_host.protocols import AdapterContext, Done, Intake, Outcome, Reject, Retry

if TYPE_CHECKING:
    from missive_host.outputs import Output


class PigeonAdapter:
    """Takes notes out of a loft, one after the other, and answers each with a note of the same name."""

    def __init__(self, context: AdapterContext) -> None:
        options = context.options
        loft = Path(options["loft"]).expanduser()
        self.answers = Path(options["answers"]).expanduser() if options["answers"] else loft / ".answers"
        self.loft = Loft(loft)
        self._account = context.name
        self._durable = context.durable
        self._once = (options["mode"] or ("watch" if context.durable else "once")) == "once"
        self._interval: float = options["interval"]
        self._log = context.log
        self._restored: set[str] = set()
        self._left: set[str] = set()
        self._under_way: set[Pigeon] = set()
        self._all_home = anyio.Event()

    async def run(self, intake: Intake) -> None:
        """Work until the loft is empty, or for ever. Raises `IoError` if it cannot be used."""
        self.loft.enter()
        try:
            make_maildir(self.answers)
            self.loft.recover(self._restored)
            while True:
                while (name := self.loft.take(self._left)) is not None:
                    await self._fly(name, intake)
                if self._once:
                    break
                await anyio.sleep(self._interval)
            while self._under_way:
                self._all_home = anyio.Event()
                await self._all_home.wait()
        finally:
            self.loft.leave()

    def restore(self, envelope: Envelope, reply_to: Mapping[str, Any]) -> Pigeon:
        """Return a delivery for a note that another process took in, and whose answer is still to be written."""
        self._restored.add(reply_to["name"])
        return Pigeon(envelope, reply_to["name"], self)

    async def _fly(self, name: str, intake: Intake) -> None:
        try:
            envelope = read_note(self.loft.read(name), self._account, durable=self._durable)
        except ValidationError as error:
            ring = getattr(error, "frame_id", None)
            self.answer(name, write_answer(ring, None, "", error.report()), ok=False)
            return
        pigeon = Pigeon(envelope, name, self)
        self.loft.enter()
        self._under_way.add(pigeon)
        try:
            await intake.submit(pigeon, reply_to={"name": name})
        except ValidationError as error:  # the ring of another note
            await pigeon.settle(Reject(error.report()))
        except BaseException as error:
            self.loft.give_back(name)
            self.landed(pigeon)
            if not isinstance(error, MissiveError):
                raise
            self._log.warning("%s: cannot be taken in: %s", name, error)
            await anyio.sleep(self._interval)

    def answer(self, name: str, answer: bytes, *, ok: bool) -> None:
        """Leave an answer, and put the note away. Done twice it does no harm."""
        deliver(self.answers, name, answer)
        self.loft.put_away(name, ok=ok)

    def give_back(self, name: str) -> None:
        """Leave a note for the next start: the host is stopping, or was interrupted."""
        self._left.add(name)
        self.loft.give_back(name)

    def landed(self, pigeon: Pigeon) -> None:
        if pigeon in self._under_way:
            self._under_way.remove(pigeon)
            self.loft.leave()
            if not self._under_way:
                self._all_home.set()


class Pigeon:
    """One delivery."""

    def __init__(self, envelope: Envelope, name: str, adapter: PigeonAdapter) -> None:
        self.envelope = envelope
        self._name, self._adapter = name, adapter
        self._said: list[str] = []

    async def send(self, output: Output) -> None:
        """Keep what the agent said, until the answer can be written as a whole."""
        data: Any = output.data
        self._said.append(getattr(getattr(data, "response", None), "text", None) or data.message)

    async def settle(self, outcome: Outcome) -> None:
        """Write the answer. If it cannot be written, the note stays taken: it is answered after the next start."""
        try:
            if isinstance(outcome, Retry):
                self._adapter.give_back(self._name)
            else:
                error = None if isinstance(outcome, Done) else outcome.error
                agent = getattr(self.envelope.command, "agent", None)
                answer = write_answer(self.envelope.id, agent, "\n".join(self._said), error)
                self._adapter.answer(self._name, answer, ok=error is None)
        finally:
            self._adapter.landed(self)
