"""The log of this process, set up by a test and put back after it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
from logs_kit import Log

from missive_host.logs.setup import install

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Log]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield Log(tmp_path, capsys)
    install(0, as_json=False)  # closes the file, and takes back the levels
    for name in ("missive", "missive_host"):
        logging.getLogger(name).setLevel(logging.NOTSET)
    root.handlers[:] = handlers
    root.setLevel(level)
