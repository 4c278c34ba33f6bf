"""What every adapter must hold, and what is the pigeons' own."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from carrier_pigeon.adapter import PigeonAdapter
from carrier_pigeon.loft import LIMIT, deliver
from carrier_pigeon.notes import MAX_CHARACTERS, read_note

from missive_host.envelopes import FrameError
from missive_host.errors import TransportError
from missive_host.protocols import AdapterContext, Done
from missive_host.testing import AdapterContract, AdapterRig, Answer, RecordingIntake


def note(ring: str, text: str = "hello", to: str = "echo") -> bytes:
    return f"ring: {ring}\nto: {to}\n\n{text}\n".encode()


class Pigeons(AdapterRig):
    """Somebody with a loft of pigeons."""

    samples = (note("GB-1"), note("GB-2", "two\nlines"), b"ring: GB-3\r\nfrom: north\r\nto: echo\r\n\r\nhello\r\n")
    bad_samples = (
        b"",
        b"\xff\xfe",
        b"hello",
        b"ring: GB-4\n\nto whom?",
        note("GB 5"),
        note("GB-6", to="No Alias"),
        note("GB-7", ""),
        note("GB-8", "x" * (MAX_CHARACTERS + 1)),
        b"x" * (LIMIT + 1),
        b"ring: GB-9\nring: GB-9\nto: echo\n\nhello",
        b"ring: GB-10\ntwo: echo\n\nhello",
    )

    async def open(self) -> None:
        self.loft = self.folder / "loft"
        self.sent = 0
        for name in ("tmp", "new", "cur"):
            (self.loft / name).mkdir(parents=True)

    def options(self) -> Mapping[str, Any]:
        return {"loft": str(self.folder / "loft"), "mode": "watch", "interval": "10ms"}

    async def send(self, sample: bytes) -> None:
        self.sent += 1
        deliver(self.loft, f"{self.sent:03}", sample)

    async def answers(self) -> Sequence[Answer]:
        texts = [path.read_text() for path in sorted((self.loft / ".answers" / "new").glob("*"))]
        return [Answer(text, error="status: failed" in text) for text in texts]


class TestContract(AdapterContract):
    plugin = "pigeon"
    rig = Pigeons
    lacks = frozenset({"end"})  # a loft that is watched has none; `once` is tested below


@pytest.fixture
def loft(tmp_path: Path) -> Path:
    for name in ("tmp", "new", "cur"):
        (tmp_path / "loft" / name).mkdir(parents=True)
    return tmp_path / "loft"


def context(loft: Path, **options: Any) -> AdapterContext:
    settings = {"loft": str(loft), "answers": None, "mode": "once", "interval": 0.01, **options}
    return AdapterContext("north", settings, logging.getLogger("pigeon"), loft.parent)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


pytestmark = pytest.mark.anyio


async def test_once_answers_what_is_there_in_its_order_and_ends(loft: Path) -> None:
    for number in range(5):
        deliver(loft, f"n{number}", note(f"GB-{number}"))
    async with RecordingIntake() as intake:
        await PigeonAdapter(context(loft)).run(intake)
    assert [taken.envelope.id for taken in intake.settled] == [f"GB-{number}" for number in range(5)]
    assert names(loft / "new") == names(loft / "tmp") == []
    assert names(loft / "cur") == [f"n{number}:2,S" for number in range(5)]
    assert (loft / ".answers" / "new" / "n3").read_text() == "ring: GB-3\nfrom: echo\nstatus: done\n\nanswer to GB-3\n"


async def test_what_somebody_had_taken_who_died_is_taken_up(loft: Path) -> None:
    (loft / "cur" / "lost:2,").write_bytes(note("GB-1"))
    (loft / "cur" / "old:2,S").write_bytes(note("GB-2"))
    async with RecordingIntake() as intake:
        await PigeonAdapter(context(loft)).run(intake)
    assert [taken.envelope.id for taken in intake.taken] == ["GB-1"]


async def test_what_was_restored_is_not_taken_up_again(loft: Path) -> None:
    (loft / "cur" / "kept:2,").write_bytes(note("GB-1"))
    adapter = PigeonAdapter(context(loft))
    delivery = adapter.restore(read_note(note("GB-1"), "north", durable=True), {"name": "kept"})
    async with RecordingIntake() as intake:
        await adapter.run(intake)
    assert intake.taken == []
    await delivery.settle(Done())
    assert names(loft / "cur") == ["kept:2,S"]
    assert names(loft / ".answers" / "new") == ["kept"]


async def test_one_loft_has_one_adapter(loft: Path) -> None:
    adapters = [PigeonAdapter(context(loft)) for _ in range(2)]
    adapters[0].loft.enter()
    async with RecordingIntake() as intake:
        with pytest.raises(TransportError, match="somebody else looks after"):
            await adapters[1].run(intake)
        adapters[0].loft.leave()
        await adapters[1].run(intake)


async def test_links_and_pipes_are_no_notes(loft: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(note("GB-1"))
    (loft / "new" / "link").symlink_to(tmp_path / "secret")
    os.mkfifo(loft / "new" / "pipe")
    async with RecordingIntake() as intake:
        await PigeonAdapter(context(loft)).run(intake)
    assert intake.taken == []
    assert names(loft / "cur") == ["link:2,F", "pipe:2,F"]


async def test_an_answer_that_cannot_be_written_leaves_the_note(loft: Path) -> None:
    deliver(loft, "n", note("GB-1"))
    (loft / ".answers" / "new" / "n").mkdir(parents=True)  # something is in the way
    async with RecordingIntake() as intake:
        await PigeonAdapter(context(loft)).run(intake)
    assert len(intake.failures) == 1
    assert names(loft / "cur") == ["n:2,"]


def test_an_error_says_what_to_do() -> None:
    with pytest.raises(FrameError, match="did you mean 'to'") as raised:
        read_note(b"ring: 1\ntwo: echo\n\nhello", "north", durable=False)
    assert raised.value.help
