"""Which trace the things belong to that come in, begin by themselves, or go to several agents."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from support.collector import Collector
from support.gateways import GatewayProcess
from support.misbehaving import Start, reply

from missive_host import commands as c
from missive_host.core.jobs import JobRequest, enqueue
from missive_host.core.recorder import Exchange
from missive_host.envelopes import STDIO, FrameError, parse_envelope, stored
from missive_host.errors import TransportError
from missive_host.gateway.dispatcher import Dispatcher
from missive_host.gateway.push import PUSH
from missive_host.ids import now
from missive_host.store.rows import WorkRow
from missive_host.telemetry import TraceContext, about, current_trace, given_trace
from missive_host.telemetry.otlp import QUEUE, SpanExport, Target
from missive_host.telemetry.sampling import Sampler, named_sampler
from missive_host.telemetry.spans import CLIENT, INTERNAL, NoSpan, Span, entering, recording, span

if TYPE_CHECKING:
    from support.cores import Home

    from missive_host.demo.fleet import AgentProcess
    from missive_host.store import Tables

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
GIVEN = TraceContext(TRACE, PARENT)


class Kept:
    """A recorder that keeps what it gets."""

    def __init__(self, sampler: Sampler | None = None) -> None:
        self.spans: list[Span] = []
        self.samples = (sampler or Sampler()).samples

    def take(self, span: Span) -> None:
        self.spans.append(span)


def test_nobody_records_and_nothing_is_made() -> None:
    with about(GIVEN):
        one, two = span("a"), span("b", CLIENT, {"x": 1})
        assert one is two
        assert type(one) is NoSpan
        with one as entered:
            entered.note("x", 1)
            entered.fail(ValueError())
            assert current_trace() is GIVEN
    with entering("a", INTERNAL, None):
        assert current_trace() is not None
    assert current_trace() is None


def test_spans_lie_within_each_other() -> None:
    kept = Kept()
    with recording(kept), entering("outer", INTERNAL, GIVEN, {"none": None, "one": 1}):
        with pytest.raises(ValueError, match="text of somebody"), span("inner", CLIENT):
            raise ValueError("text of somebody")
        outer = current_trace()
    inner, last = kept.spans
    assert (last.parent, last.trace, last.attributes) == (PARENT, outer, {"one": 1})
    assert inner.parent == last.trace.span_id
    assert inner.error == "ValueError"
    assert "text of somebody" not in repr(inner)
    assert last.begun <= inner.begun <= inner.ended <= last.ended


def test_what_comes_in_another_trace_than_its_request_is_linked_to_it() -> None:
    kept = Kept()
    other = TraceContext("1" * 32, "2" * 16)
    with recording(kept), entering("receive", INTERNAL, GIVEN, link=other):
        assert current_trace() != other
    with recording(kept), entering("receive", INTERNAL, GIVEN, link=GIVEN):
        assert current_trace() != GIVEN
    assert [each.links for each in kept.spans] == [(other,), ()]


@pytest.mark.parametrize(
    ("name", "argument", "low", "high", "off"),
    [
        ("always_on", "", True, True, True),
        ("always_off", "", False, False, False),
        ("parentbased_always_on", "", True, True, False),
        ("parentbased_always_off", "", True, True, False),
        ("traceidratio", "0.5", True, False, True),
        ("parentbased_traceidratio", "0.5", True, True, False),
    ],
)
def test_samplers_of_opentelemetry(name: str, argument: str, low: bool, high: bool, off: bool) -> None:
    """Of a trace that came in: one with a low id, one with a high id, one that the caller does not sample."""
    sampler = named_sampler(name, argument)
    assert sampler is not None
    few, many = TraceContext("0" * 31 + "1", PARENT), TraceContext("f" * 32, PARENT)
    assert sampler.samples(few, new=False) is low
    assert sampler.samples(many, new=False) is high
    assert sampler.samples(TraceContext("0" * 31 + "1", PARENT, sampled=False), new=False) is off
    assert sampler.samples(few, new=True) is (sampler.ratio > 0)


@pytest.mark.parametrize(("name", "argument"), [("sometimes", ""), ("traceidratio", "2"), ("traceidratio", "half")])
def test_what_is_no_sampler(name: str, argument: str) -> None:
    assert named_sampler(name, argument) is None


def test_a_trace_that_is_not_sampled_is_carried_on_all_the_same() -> None:
    kept = Kept(Sampler(0.0))
    with recording(kept), entering("a", INTERNAL, None), span("b"):
        trace = current_trace()
        assert trace is not None
        assert not trace.sampled
        assert trace.traceparent.endswith("-00")
    assert kept.spans == []


@pytest.mark.parametrize(
    ("state", "kept"),
    [("a=1,b=2", "a=1,b=2"), (" a=1 ", "a=1"), ("", ""), ("x" * 513, ""), ("a=\x7f", ""), ("ä=1", "")],
)
def test_a_tracestate_is_passed_on_or_dropped_as_a_whole(state: str, kept: str) -> None:
    trace = given_trace(GIVEN.traceparent, state)
    assert trace is not None
    assert trace.state == kept
    assert trace.child().state == kept


@pytest.mark.parametrize("text", ["00-1-2-3", GIVEN.traceparent.upper(), "01" + GIVEN.traceparent[2:], 7, "x\n"])
def test_a_frame_with_a_bad_traceparent_is_refused(text: Any) -> None:
    frame = {"id": "1", "command": "agent_list", "traceparent": text}
    with pytest.raises(FrameError, match="field `traceparent`") as caught:
        parse_envelope(json.dumps(frame).encode(), STDIO, default_source="s")
    assert caught.value.frame_id == "1"


async def test_each_run_of_a_schedule_begins_a_trace(home: Home, agent: AgentProcess) -> None:
    request = JobRequest.of(c.Send(agent="echo", message="hi"), c.JobOptions(), None)
    async with home.core() as core:
        core.add("echo", agent)
        rows = []
        for number in range(2):
            at = now()
            own_id = f"run-{number}"
            rows.append(
                await core.core.store.commit(lambda tables: enqueue(tables, request, own_id=own_id, at=at))  # noqa: B023
            )
        events = core.read(lambda tables: tables.events.list(types=("missive.job.enqueued",)))
    traces = [row.trace.trace_id for row in rows if row.trace is not None]
    assert len(set(traces)) == 2
    assert [event.metadata["trace_id"] for event in events] == traces


async def test_a_job_lies_below_the_span_that_has_made_it(home: Home) -> None:
    request = JobRequest.of(c.Send(agent="echo", message="hi"), c.JobOptions(), None)
    kept = Kept()
    async with home.core() as core:
        with recording(kept):
            row = await core.core.store.commit(lambda tables: enqueue(tables, request, own_id="one", at=now()))
    (made,) = kept.spans
    assert row.trace == made.trace
    assert made.parent is None
    assert made.attributes["messaging.message.id"] == row.work_id


async def test_a_dead_letter_of_a_gateway_that_was_killed_is_in_the_trace_of_its_delivery(home: Home) -> None:
    frame = {"id": "f", "command": "send", "agent": "echo", "message": "hi", "traceparent": GIVEN.traceparent}
    envelope = parse_envelope(json.dumps(frame).encode(), STDIO, default_source="pipe")
    async with home.core() as core:

        def begun(tables: Tables) -> None:
            at = now()
            tables.work.put(
                WorkRow(
                    work_id="w-1", kind="delivery", adapter="pipe", command="send", agent_alias="echo",
                    request=stored(envelope), max_attempts=1, run_at=at, accepted_at=at, reply_to={},
                )
            )  # fmt: skip
            tables.work.claim("somebody who is gone", at=now(), limit=1)

        core.core.store.write(begun)
        dispatcher = Dispatcher(core.core, files=lambda _: None, adapter_limit=lambda _: None)
        assert await dispatcher.reclaim(dead=lambda _: True) == 1
        (event,) = core.read(lambda tables: tables.events.list(types=("missive.gateway.dead_letter",)))
    assert event.metadata["trace_id"] == TRACE


async def test_an_update_that_is_for_the_journal_alone_keeps_its_trace(home: Home, agent: AgentProcess) -> None:
    artifact = {"artifactId": "a", "parts": [{"text": "x"}]}
    update = {"artifactUpdate": {"taskId": "t-1", "contextId": "c-1", "artifact": artifact}}
    async with home.core() as core:
        core.add("echo", agent)
        recorder = core.core.recorder
        with about(GIVEN):
            core.core.store.write(
                lambda tables: recorder.store_received(
                    tables, Exchange(agent="echo", message_id=""), update, PUSH, version="1.0", whole=False
                )
            )
        (event,) = core.read(lambda tables: tables.events.list(types=("a2a.push.*",)))
    assert event.metadata["trace_id"] == TRACE
    assert event.metadata["kept"] is False


async def test_all_members_of_a_broadcast_are_in_one_trace(home: Home, agent: AgentProcess) -> None:
    kept = Kept()
    async with home.core() as core:
        for alias in ("one", "two", "three"):
            core.add(alias, agent)
        core.local(c.GroupCreate(group="team"))
        for rank, alias in enumerate(("one", "two", "three")):
            core.local(c.GroupAdd(group="team", agent=alias, rank=str(rank)))
        with recording(kept), entering("bcast", INTERNAL, GIVEN):
            await core.all(c.Bcast(group="team", message="hi"))
        events = core.events()
    calls = [each for each in kept.spans if each.name.startswith("invoke_agent")]
    assert {each.attributes["gen_ai.agent.name"] for each in calls} == {"one", "two", "three"}
    assert {each.trace.trace_id for each in kept.spans} == {TRACE}
    assert {event.metadata["trace_id"] for event in events} == {TRACE}


async def test_a_call_that_is_tried_again_is_several(home: Home, misbehaving: Start) -> None:
    server = misbehaving(reply(503, b"busy"))
    kept = Kept()
    async with home.core() as core:
        core.add("busy", server.url)
        with recording(kept), entering("send", INTERNAL, GIVEN), pytest.raises(TransportError, match="503"):
            await core.all(c.Send(agent="busy", message="hi"))
    calls = [each for each in kept.spans if each.name == "invoke_agent busy"]
    assert len(calls) == 3
    assert {each.attributes["http.response.status_code"] for each in calls} == {503}
    assert {each.error for each in calls} == {"transport"}
    assert len({each.trace.span_id for each in calls}) == 3


def test_a_full_queue_drops_and_counts(caplog: pytest.LogCaptureFixture) -> None:
    taken: list[int] = []

    class Stuck:
        def export(self, spans: list[Any]) -> Any:
            taken.append(len(spans))
            raise OSError

        def shutdown(self) -> None:
            """Nothing is open."""

    export = SpanExport(Target(urls={"traces": None}), Sampler(), make=Stuck)  # type: ignore[arg-type]
    export._thread = object()  # type: ignore[assignment] # nobody sends as yet
    for _ in range(QUEUE + 10):
        export.take(Span("a", INTERNAL, GIVEN, None, 1, 2))
    assert export.lost == 10
    export._thread = None
    with caplog.at_level(logging.WARNING):
        export.close(30)
    assert export.lost == QUEUE + 10
    assert sum(taken) == QUEUE
    assert caplog.text.count("does not take spans") == 1


def test_a_push_notification_is_in_the_trace_of_its_request(home: Home) -> None:
    with Collector() as collector:
        home.configure(f'[gateway]\n[telemetry]\nendpoint = "{collector.url}"\n')
        with GatewayProcess(home) as running:
            running.ready()
            httpx.post(f"{running.url}/a2a/push/x", json={}, headers={"traceparent": GIVEN.traceparent})
            assert running.stop() == 0
        (served,) = collector.spans
    assert (served.trace_id, served.parent, served.kind) == (TRACE, PARENT, 2)
    assert served.attributes["http.response.status_code"] >= 400
    with home.store() as store:
        events = store.read(lambda tables: tables.events.list(types=("a2a.push.rejected",)))
    assert [event.metadata["trace_id"] for event in events] == [TRACE]
