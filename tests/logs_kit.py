"""For the tests of the log: the log of this process, in a file and on stderr."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from missive_host.config.model import Logging
from missive_host.logs.setup import install

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest


class Log:
    """The log, in a file and on stderr."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.path = folder / "logs" / "gateway.log"
        self._capsys = capsys

    def open(
        self,
        verbosity: int = 0,
        *,
        as_json: bool = False,
        redact: Callable[[str], str] | None = None,
        **block: Any,
    ) -> None:
        install(verbosity, as_json=as_json, redact=redact, block=Logging(**block), path=self.path)

    def records(self) -> list[dict[str, Any]]:
        """What is in the file: each line is an object."""
        return [json.loads(line) for line in self.path.read_bytes().splitlines()]

    def messages(self) -> list[str]:
        return [str(record["message"]) for record in self.records()]

    def stderr(self) -> str:
        """What has come on stderr since the last call."""
        return self._capsys.readouterr().err
