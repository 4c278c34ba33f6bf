"""Fixtures for tests of plugins. Name it in ``conftest.py``; nothing of it acts by itself::

    pytest_plugins = ["missive_host.testing.pytest_plugin"]

===============  ======================================================================================
`fake_agent`     makes a `FakeAgent` of a script; it is stopped at the end of the test
`missive_home`   a folder that ``missive`` keeps everything in, for this test and the processes it starts
===============  ======================================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from missive_host.testing.agent import FakeAgent

pytest.register_assert_rewrite(*(f"missive_host.testing.{part}" for part in ("adapters", "declared", "running")))
pytest.register_assert_rewrite("missive_host.testing.policies", "missive_host.testing.reducers")


@pytest.fixture
def fake_agent() -> Iterator[Callable[..., FakeAgent]]:
    """Return what makes a `FakeAgent`: ``agent = fake_agent(["hello"])``."""
    from missive_host.testing.agent import FakeAgent

    with ExitStack() as stack:

        def make(*script: Any, **settings: Any) -> FakeAgent:
            return stack.enter_context(FakeAgent(*script, **settings))

        yield make


@pytest.fixture
def missive_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty folder that is ``MISSIVE_HOME``."""
    home = tmp_path / "missive-home"
    monkeypatch.setenv("MISSIVE_HOME", str(home))
    monkeypatch.delenv("MISSIVE_CONFIG", raising=False)
    return home
