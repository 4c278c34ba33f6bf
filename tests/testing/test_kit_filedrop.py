"""The door ``file-drop`` holds what every adapter must, over a real folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from missive_host.testing import AdapterContract, AdapterRig, Answer


class FileDropRig(AdapterRig):
    samples = tuple(
        {"id": f"frame-{number}", "command": "task_list", "source": {"source_id": f"s-{number}"}} for number in range(4)
    )
    bad_samples = (
        b"no JSON",
        b"\xff\xfe",
        {"id": "x"},
        {"id": "x", "command": "sent"},
        {"id": "x", "command": "task_list", "schema_version": "missive.file_drop.v9"},
        {"id": "x", "command": "task_list", "colour": 1},
    )

    async def open(self) -> None:
        self.inbox, self.outbox = self.folder / "in", self.folder / "out"
        self.inbox.mkdir()
        self.dropped = 0

    def options(self) -> dict[str, Any]:
        return {"inbox": str(self.folder / "in"), "outbox": str(self.folder / "out"), "poll_interval": "20ms"}

    async def send(self, sample: Any) -> None:
        data = sample if isinstance(sample, bytes) else json.dumps(sample).encode()
        self.dropped += 1
        hidden = self.inbox / f".{self.dropped}.part"
        hidden.write_bytes(data)
        hidden.rename(self.inbox / f"{self.dropped:03}.json")

    async def answers(self) -> Sequence[Answer]:
        files = sorted(self.outbox.glob("[0-9]*.json")) if self.outbox.is_dir() else []
        return [Answer(file.read_text(), error=".error." in file.name) for file in files]


class TestFileDrop(AdapterContract):
    plugin = "filedrop"
    rig = FileDropRig
    lacks = frozenset({"end"})
