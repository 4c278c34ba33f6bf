"""Fixtures for all tests."""

from __future__ import annotations

import signal

import pytest
from support.loops import Loop

pytest_plugins = ["support.chat.matrix", "support.agents", "support.cores", "support.misbehaving"]


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    return "asyncio", {"loop_factory": Loop}


def pytest_configure() -> None:
    """Let Ctrl-C mean Ctrl-C in the processes that tests start.

    A shell starts what it puts into the background with SIGINT ignored, and that is inherited by all below it.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
