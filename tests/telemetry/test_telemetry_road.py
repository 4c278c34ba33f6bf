"""One trace over the whole road: what a collector gets, and what the agents are told."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from support.collector import Collector, GotSpan, seen_by_agent
from support.gateways import GatewayProcess
from support.secrets import planted

from missive_host import commands as c
from missive_host.config.model import Telemetry
from missive_host.core.telemetry import wanted_urls

if TYPE_CHECKING:
    from support.cores import Home

    from missive_host.demo.fleet import AgentProcess

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
GIVEN = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "vendor=value"}
SECRET = planted("otlp")
AGENT_SECRET = planted("agent")
BINDINGS = ("json-rpc", "http+json", "grpc")
CONFIG = """
[qos]
retry_backoff = "10ms"
retry_attempts = 1

[gateway]
drain = "5s"

[adapters.web]
kind = "http"

[adapters.web.settings]
auth = "token"
wait = "20s"

[agents.gone]
base_url = "http://127.0.0.1:1"

[agents.there]
base_url = "{agent}"
binding_preference = ["{binding}"]
auth_ref = "there"

[auth_refs.there]
header = "X-Agent-Key"
secret = "env:AGENT_KEY"

[[groups.team.members]]
agent = "gone"
rank = "1"

[[groups.team.members]]
agent = "there"
rank = "2"

[groups.team]
routing_policy = "fallback"
"""
TELEMETRY = """
[telemetry]
endpoint = "{url}"
service_name = "missive-test"
headers = {{ Authorization = {{ secret = "env:OTLP_KEY" }} }}
"""


def configured(home: Home, agent: AgentProcess, binding: str, url: str | None = None) -> str:
    """Configure a gateway with a door for HTTP and a group whose first member is gone; return a token."""
    text = CONFIG.replace("{agent}", agent.url).replace("{binding}", binding)
    home.configure(text + ("" if url is None else TELEMETRY.format(url=url)))

    async def made() -> str:
        async with home.core() as core:
            secret: str = core.local(c.TokenCreate(name="t")).secret
            return secret

    return asyncio.run(made())


def gateway(home: Home, **env: str) -> GatewayProcess:
    environ = {"OTLP_KEY": SECRET, "AGENT_KEY": AGENT_SECRET, "OTEL_METRIC_EXPORT_INTERVAL": "200", **env}
    return GatewayProcess(home, env=environ)


def asked(running: GatewayProcess, token: str, frame: dict[str, Any], **headers: str) -> Any:
    """Send a frame, and return the data of its answer."""
    answer = httpx.post(
        f"{running.url}/adapter/http/v1/messages",
        json={"id": "1", **frame},
        headers={"Authorization": f"Bearer {token}", **headers},
        timeout=60,
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize("binding", BINDINGS)
def test_one_request_is_one_trace_at_the_collector_and_at_the_agent(
    home: Home, agent: AgentProcess, binding: str
) -> None:
    with Collector() as collector:
        token = configured(home, agent, binding, collector.url)
        with gateway(home) as running:
            running.ready()
            answer = asked(running, token, {"command": "send", "group": "team", "message": "headers"}, **GIVEN)
            spans = collector.until("settle", "POST /adapter/http")
            assert running.stop() == 0
    told = seen_by_agent(answer)
    by_name = {span.name: span for span in spans}
    ours = [span for span in spans if span.trace_id == TRACE]
    assert {span.trace_id for span in spans} == {TRACE}, spans
    assert by_name["POST /adapter/http"].parent == PARENT
    for child, parent in (
        ("receive web", "POST /adapter/http"),
        ("queue web", "receive web"),
        ("process web", "receive web"),
        ("route team", "process web"),
        ("plan", "route team"),
        ("attempt gone", "route team"),
        ("attempt there", "route team"),
        ("invoke_agent there", "attempt there"),
        ("settle", "receive web"),
    ):
        assert by_name[child].parent == by_name[parent].id, (child, ours)
    assert told["traceparent"] == f"00-{TRACE}-{by_name['invoke_agent there'].id}-01"
    assert told["tracestate"] == "vendor=value"
    cards = [span for span in spans if span.name == "card gone"]  # the plan asks for it, too
    assert {span.attributes["error.type"] for span in cards} == {"transport"}
    assert by_name["attempt gone"].id in {span.parent for span in cards}
    assert by_name["attempt gone"].failed
    assert by_name["attempt gone"].attributes["error.type"] == "transport"
    assert not by_name["attempt there"].failed
    call = by_name["invoke_agent there"]
    assert call.kind == 3  # CLIENT
    assert call.attributes["gen_ai.agent.name"] == "there"
    assert call.attributes["rpc.method"] == "SendMessage"
    assert call.attributes["rpc.system.name"] == {"json-rpc": "jsonrpc"}.get(binding, binding)
    served = by_name["POST /adapter/http"]
    assert (served.kind, served.attributes["http.response.status_code"]) == (2, 200)
    assert served.state == "vendor=value"
    assert served.resource["service.name"] == "missive-test"
    assert all(_within(span, by_name["process web"]) for span in spans if span.parent == by_name["process web"].id)
    assert collector.headers[0]["authorization"] == SECRET
    for body in collector.bodies:
        for secret in (SECRET, AGENT_SECRET, token):
            assert secret.encode() not in body


def _within(span: GotSpan, parent: GotSpan) -> bool:
    return parent.begun <= span.begun <= span.ended <= parent.ended


def test_without_a_collector_the_trace_that_comes_in_goes_on_as_it_is(home: Home, agent: AgentProcess) -> None:
    token = configured(home, agent, "json-rpc")
    with gateway(home) as running:
        running.ready()
        told = seen_by_agent(
            asked(running, token, {"command": "send", "agent": "there", "message": "headers"}, **GIVEN)
        )
        assert {name: told[name] for name in GIVEN} == GIVEN
        bad = {"traceparent": f"00-{'0' * 32}-{PARENT}-01"}
        anew = seen_by_agent(asked(running, token, {"command": "send", "agent": "there", "message": "headers"}, **bad))
        assert anew["traceparent"][3:35] not in (TRACE, "0" * 32)
        assert anew["tracestate"] is None
        frame = {"command": "send", "agent": "there", "message": "headers", "traceparent": f"00-{'1' * 32}-{PARENT}-00"}
        told = seen_by_agent(asked(running, token, frame, **GIVEN))
        assert told["traceparent"] == frame["traceparent"]
        assert running.stop() == 0
    with home.store() as store:
        events = store.read(lambda tables: tables.events.list(types=("a2a.send.request",)))
    assert [event.metadata["trace_id"] for event in events] == [TRACE, anew["traceparent"][3:35], "1" * 32]


def test_a_killed_gateway_goes_on_in_the_same_trace(home: Home, agent: AgentProcess) -> None:
    with Collector() as collector:
        token = configured(home, agent, "json-rpc", collector.url)
        with gateway(home) as running:
            running.ready()
            frame = {"id": "1", "command": "send", "agent": "there", "message": "slow 3"}
            taken = httpx.post(
                f"{running.url}/adapter/http/v1/messages",
                json=frame,
                headers={"Authorization": f"Bearer {token}", "Prefer": "respond-async", **GIVEN},
                timeout=30,
            )
            assert taken.status_code == 202, taken.text
            running.kill()
        with gateway(home) as running:
            running.ready()
            spans = collector.until("process web", "invoke_agent there")
            assert running.stop() == 0
    assert {span.trace_id for span in spans} == {TRACE}
    with home.store() as store:
        events = store.read(lambda tables: tables.events.list(agent="there"))
    assert {event.metadata["trace_id"] for event in events} == {TRACE}


@pytest.mark.parametrize("fault", ["away", "refusing", "slow"])
def test_a_collector_that_takes_nothing_costs_nothing_and_is_said_once(
    home: Home, agent: AgentProcess, fault: str
) -> None:
    with Collector(status=400, slow=600 if fault == "slow" else 0) as collector:
        url = "http://127.0.0.1:1" if fault == "away" else collector.url
        token = configured(home, agent, "json-rpc", url)
        with gateway(home, OTEL_EXPORTER_OTLP_TIMEOUT="1", OTEL_METRICS_EXPORTER="none") as running:
            running.ready()
            lost = 0.0
            for _ in range(3):
                answer = asked(running, token, {"command": "send", "agent": "there", "message": "echo hi"})
                assert answer["ok"] is True
                lost = _until_more_are_lost(running, lost)
            assert running.stop() == 0
    assert running.errors.count("the collector does not take spans") == 1, running.errors
    assert "opentelemetry" not in running.errors


def _until_more_are_lost(running: GatewayProcess, before: float) -> float:
    deadline = time.monotonic() + 30
    while True:
        _, body = running.get("/metrics")
        line = next(line for line in body.decode().splitlines() if 'telemetry_spans_total{outcome="lost"}' in line)
        lost = float(line.rpartition(" ")[2])
        if lost > before:
            return lost
        assert time.monotonic() < deadline, line
        time.sleep(0.05)


def test_the_collector_gets_the_metrics_that_prometheus_reads(home: Home, agent: AgentProcess) -> None:
    with Collector() as collector:
        token = configured(home, agent, "json-rpc", collector.url)
        with gateway(home) as running:
            running.ready()
            asked(running, token, {"command": "send", "group": "team", "message": "echo hi"})
            _, scraped = running.get("/metrics")
            assert running.stop() == 0
    last = {metric.name: metric for metric in collector.metrics}
    samples = {line.partition("{")[0].partition(" ")[0] for line in scraped.decode().splitlines() if line[0] != "#"}
    read = {name.removesuffix("_total") for name in samples if not name.endswith(("_bucket", "_sum", "_created"))}
    read = {name.removesuffix("_count") for name in read} - {"rpc_client_call_duration_seconds"}
    assert "missive_delivery_seconds" in read
    assert read <= set(last)
    calls = last["rpc.client.call.duration"]
    assert calls.unit == "s"
    (there,) = [
        point
        for point in calls.histogram.data_points
        if {item.key: item.value.string_value for item in point.attributes}
        == {"gen_ai.agent.name": "there", "rpc.system.name": "jsonrpc", "rpc.method": "SendMessage"}
    ]
    assert there.count == sum(there.bucket_counts) == 1
    assert len(there.bucket_counts) == len(there.explicit_bounds) + 1
    line = next(
        line
        for line in scraped.decode().splitlines()
        if line.startswith("rpc_client_call_duration_seconds_count") and 'agent="there"' in line
    )
    assert line.endswith(" 1.0")
    deliveries = last["missive_deliveries"].sum
    assert [point.as_double for point in deliveries.data_points] == [1.0]
    assert deliveries.is_monotonic


def test_what_is_sent_and_where_to() -> None:
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}
    assert wanted_urls(Telemetry(), {}) == {}
    assert wanted_urls(Telemetry(), env) == {"traces": None, "metrics": None}
    assert wanted_urls(Telemetry(enabled=False), env) == {}
    assert wanted_urls(Telemetry(), {**env, "OTEL_SDK_DISABLED": "TRUE"}) == {}
    assert wanted_urls(Telemetry(), {**env, "OTEL_TRACES_EXPORTER": "none"}) == {"metrics": None}
    block = Telemetry(endpoint="http://c:4318/")
    assert wanted_urls(block, {})["traces"] == "http://c:4318/v1/traces"
    assert wanted_urls(block, {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://d/x"}) == {
        "traces": None,
        "metrics": "http://c:4318/v1/metrics",
    }
