"""What is tried again, and when."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, strategies as st

from missive_host import errors as e
from missive_host.a2a.faults import http_error
from missive_host.gateway.retrying import LONGEST, LONGEST_ASKED, pause, retryable
from missive_host.protocols import IntakeFullError

if TYPE_CHECKING:
    from support.cores import Home

SAFE = [e.TransportError("x", sent=False), IntakeFullError("x")]
UNSAFE = [
    e.TransportError("x"), e.ValidationError("x"), e.AuthError("x"), e.ProtocolError("x"), e.DeadlineError("x"),
    e.TaskFailedError("x"), e.InputRequiredError("x"), e.StorageError("x"), e.ConfigError("x"), e.PluginError("x"),
    e.IoError("x"), ValueError("x"), KeyboardInterrupt(),
]  # fmt: skip


@pytest.mark.parametrize("error", SAFE, ids=lambda error: type(error).__name__)
def test_what_is_safe_is_tried_again(error: BaseException) -> None:
    assert retryable(error)


@pytest.mark.parametrize("error", UNSAFE, ids=lambda error: type(error).__name__)
def test_nothing_else_is(error: BaseException) -> None:
    assert not retryable(error)


@pytest.mark.parametrize(
    ("status", "again"),
    [(503, True), (429, True), (500, False), (502, False), (504, False), (401, False), (404, False), (400, False)],
)
def test_http_statuses(status: int, again: bool) -> None:
    assert retryable(http_error(status, b"", lambda _: None, where="agent")) is again


async def test_an_agent_that_is_not_there(home: Home) -> None:
    from missive_host import commands as c

    async with home.core() as core:
        core.add("gone", "http://127.0.0.1:9")
        assert retryable(await core.fails(c.Send(agent="gone", message="x"), e.TransportError))


def test_the_pauses_double_up_to_the_longest() -> None:
    assert [pause(number, jitter=lambda: 0.0) for number in range(1, 8)] == [1, 2, 4, 8, 16, 30, 30]
    assert [pause(number, jitter=lambda: 1.0) for number in range(1, 8)] == [0.5, 1, 2, 4, 8, 15, 15]
    assert pause(0, jitter=lambda: 0.0) == 1
    assert pause(10**6, jitter=lambda: 0.0) == LONGEST


def test_an_agent_says_how_long_to_wait() -> None:
    def busy(after: str) -> BaseException:
        return http_error(503, b"", lambda name: after if name == "retry-after" else None, where="agent")

    assert pause(1, busy("90"), jitter=lambda: 0.5) == 90
    assert pause(9, busy("0"), jitter=lambda: 0.0) == LONGEST
    assert pause(1, busy("99999999"), jitter=lambda: 0.0) == LONGEST_ASKED
    assert pause(1, IntakeFullError("x"), jitter=lambda: 1.0) == 1.0


@given(attempts=st.integers(1, 10_000), jitter=st.floats(0, 1))
def test_a_pause_is_never_too_short_or_too_long(attempts: int, jitter: float) -> None:
    assert 0.5 <= pause(attempts, jitter=lambda: jitter) <= LONGEST
    shortest = [pause(number, jitter=lambda: jitter) for number in range(1, 10)]
    assert all(a <= b for a, b in pairwise(shortest))
