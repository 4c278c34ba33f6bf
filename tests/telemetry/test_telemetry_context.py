"""The trace that a call belongs to: W3C Trace Context in and out, and what tasks inherit."""

from __future__ import annotations

import anyio
import pytest
from hypothesis import given, strategies as st

from missive_host.telemetry import TraceContext, about, current_fields, current_trace, new_trace, parse_traceparent

GIVEN = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_a_traceparent_is_read_and_written() -> None:
    trace = parse_traceparent(GIVEN)
    assert trace == TraceContext("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", sampled=True)
    assert trace.traceparent == GIVEN


@pytest.mark.parametrize(
    "text",
    [
        "",
        "00-" + "0" * 32 + "-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-" + "0" * 16 + "-01",
        GIVEN.upper(),
        GIVEN + "-more",
        "ff" + GIVEN[2:],
        GIVEN[:-1],
        GIVEN + "\n",
    ],
)
def test_what_is_no_traceparent_is_ignored(text: str) -> None:
    assert parse_traceparent(text) is None


def test_a_later_version_is_read_as_far_as_it_is_known() -> None:
    later = parse_traceparent("01" + GIVEN[2:] + "-what-comes")
    assert later is not None
    assert later.traceparent == GIVEN


@given(st.text())
def test_no_text_is_an_error(text: str) -> None:
    trace = parse_traceparent(text)
    assert trace is None or parse_traceparent(trace.traceparent) == trace


def test_a_child_has_a_span_of_its_own_in_the_same_trace() -> None:
    trace = new_trace()
    child = trace.child()
    assert child.trace_id == trace.trace_id
    assert child.span_id != trace.span_id


@pytest.mark.anyio
async def test_tasks_inherit_what_they_are_about() -> None:
    seen: list[tuple[TraceContext | None, dict[str, str]]] = []

    async def look() -> None:
        await anyio.lowlevel.checkpoint()
        seen.append((current_trace(), dict(current_fields())))

    trace = new_trace()
    async with anyio.create_task_group() as group:
        with about(trace, work_id="w-1", agent=None):
            with about(agent="echo"):
                group.start_soon(look)
            group.start_soon(look)
        group.start_soon(look)
    assert seen == [(trace, {"work_id": "w-1", "agent": "echo"}), (trace, {"work_id": "w-1"}), (None, {})]
