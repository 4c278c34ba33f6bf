"""Fixtures for all tests."""

from __future__ import annotations

import os
import signal

import pytest
from hypothesis import settings
from support.loops import Loop

pytest_plugins = [
    "missive_host.testing.pytest_plugin",
    "support.secret_scan",
    "support.chat.matrix",
    "support.agents",
    "support.cores",
    "support.misbehaving",
]


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    return "asyncio", {"loop_factory": Loop}


settings.register_profile("missive", deadline=None)  # how long an example takes is the machine's matter
settings.load_profile("missive")

ABSENT = frozenset(os.environ.get("MISSIVE_TEST_WITHOUT", "").split())
"""Servers that cannot be had on this machine, said by whoever runs the tests. A server that is absent and not named
here is an error."""


def pytest_report_header() -> str | None:
    return f"NOT TESTED, because MISSIVE_TEST_WITHOUT says so: {', '.join(sorted(ABSENT))}" if ABSENT else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the modules that need (``NEEDS``) what is said to be absent."""
    if ABSENT:
        out = [item for item in items if ABSENT & set(getattr(getattr(item, "module", None), "NEEDS", ()))]
        config.hook.pytest_deselected(items=out)
        items[:] = [item for item in items if item not in out]


def pytest_configure() -> None:
    """Let Ctrl-C mean Ctrl-C in the processes that tests start.

    A shell starts what it puts into the background with SIGINT ignored, and that is inherited by all below it.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
