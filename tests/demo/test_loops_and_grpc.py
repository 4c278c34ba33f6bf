"""What a test leaves of its gRPC calls does not make the next one fail."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from support.loops import Loop
from support.sdk import connect

if TYPE_CHECKING:
    from collections.abc import Callable

    from missive_host.demo.fleet import AgentProcess


def late_events(agent: AgentProcess, make: Callable[[], asyncio.AbstractEventLoop]) -> list[Any]:
    """Leave a stream before its end, in many loops one after another; return what went wrong in one of them."""
    wrong: list[Any] = []

    async def answered_with_a_message() -> None:
        async with connect(agent, "GRPC", streaming=True) as peer:
            await peer.stream("echo hello")

    for _ in range(80):
        loop = make()
        loop.set_exception_handler(lambda _, context: wrong.append(context["exception"]))
        loop.run_until_complete(answered_with_a_message())
        loop.close()  # at once: whoever tidies up before gives gRPC the moment that it needs
    return wrong


def test_a_loop_that_is_closed_takes_what_comes_too_late(agent: AgentProcess) -> None:
    assert late_events(agent, Loop) == []


def test_everything_else_is_refused_as_ever() -> None:
    loop = Loop()
    loop.close()
    with pytest.raises(RuntimeError, match="closed"):
        loop.call_soon_threadsafe(print)
