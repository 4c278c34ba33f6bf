"""What `journal_door` declares."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio

from missive_host.envelopes import STDIO, Envelope, FrameError, parse_envelope
from missive_host.errors import ConfigError, MissiveError, nearest
from missive_host.protocols import AdapterContext, Delivery, Done, Intake, Outcome, Reject, Summary
from missive_host.specs import ContractSpec

END = "the end"


class Journal:
    """One method for each thing that can be got wrong."""

    contract: str | ContractSpec = STDIO

    def __init__(self, context: AdapterContext) -> None:
        self.context = context
        self.source, self.target = Path(context.options["source"]), Path(context.options["target"])
        self.check(context.options["colours"] or {})
        self.busy = 0
        self.count = 0

    def __repr__(self) -> str:
        return f"<Journal {self.source}>"

    def check(self, colours: Mapping[str, Any]) -> None:
        for name in colours:
            if name not in ("ok", "error"):
                raise ConfigError(f"colours: unknown key {name}{nearest(name, ['ok', 'error'])}")

    async def run(self, intake: Intake) -> int | None:
        read = 0
        while True:
            lines = self.lines()
            for line in lines[read:]:
                read += 1
                if line == END:
                    await self.finish()
                    return 0
                await self.take(line, intake)
            await anyio.sleep(0.005)

    def lines(self) -> list[str]:
        data = self.source.read_bytes() if self.source.exists() else b""
        whole = data[: data.rfind(b"\n") + 1]
        return [line.decode(errors="surrogateescape") for line in whole.split(b"\n")[:-1]]

    async def finish(self) -> None:
        while self.busy:
            await anyio.sleep(0.005)

    async def take(self, line: str, intake: Intake) -> None:
        try:
            envelope = self.envelope(line)
        except FrameError as error:
            self.refuse(error)
            return
        self.context.log.debug("frame %s", envelope.id)
        await self.submit(Answering(self, envelope), intake)

    def envelope(self, line: str) -> Envelope:
        return parse_envelope(line.encode(errors="surrogateescape"), self.contract, default_source="journal")

    def refuse(self, error: FrameError) -> None:
        self.write(error.report().message, error=True)

    async def submit(self, delivery: Answering, intake: Intake) -> None:
        self.busy += 1
        self.count += 1
        try:
            await intake.submit(delivery, reply_to=self.reply_to(delivery))
        except MissiveError as error:
            await delivery.settle(Reject(error.report()))

    def reply_to(self, delivery: Answering) -> dict[str, Any] | None:
        return {}

    def restore(self, envelope: Envelope, reply_to: Mapping[str, Any]) -> Delivery:
        self.busy += 1
        return Answering(self, envelope)

    def write(self, text: str, *, error: bool = False) -> None:
        with self.target.open("a") as target:
            target.write(json.dumps({"text": text, "error": error}) + "\n")

    def summary(self) -> Summary:
        return Summary("journal", {"count": self.count})


class Answering:
    """A delivery."""

    def __init__(self, journal: Journal, envelope: Envelope) -> None:
        self.journal = journal
        self.envelope = envelope

    async def send(self, output: Any) -> None:
        self.journal.write(output.data.response.text)

    async def settle(self, outcome: Outcome) -> None:
        if isinstance(outcome, Reject):
            self.journal.write(outcome.error.message, error=True)
        elif isinstance(outcome, Done):
            self.journal.write("done")
        self.journal.busy -= 1
