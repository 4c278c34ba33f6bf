"""Fixtures for all tests."""

from __future__ import annotations

import pytest

pytest_plugins = ["support.agents", "support.cores", "support.misbehaving"]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
