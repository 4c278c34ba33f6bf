"""Fixtures for the tests of the file-drop door."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from filedrop_kit import LOGGING_AGENT, Drop

from missive_host.demo.fleet import AgentSpec, Fleet

if TYPE_CHECKING:
    from missive_host.demo.fleet import AgentProcess


@pytest.fixture
def drop(tmp_path: Path) -> Drop:
    return Drop(tmp_path)


@pytest.fixture
def echo(drop: Drop, agent: AgentProcess) -> Drop:
    """A drop whose home knows the agent ``echo``."""
    drop.add(agent.url)
    return drop


@pytest.fixture
def logged(drop: Drop) -> Iterator[Callable[[], list[str]]]:
    """The agent ``echo`` of the drop's home, and the texts of all messages that it got so far."""
    file = drop.folder / "messages"
    spec = AgentSpec("logging", command=(sys.executable, "-P", str(LOGGING_AGENT), str(file)))
    with Fleet([spec]) as fleet:
        drop.add(fleet["logging"].url)
        yield lambda: [line.partition("\t")[2] for line in file.read_text().splitlines()] if file.exists() else []
