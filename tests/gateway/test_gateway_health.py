"""What the gateway says of itself over HTTP, asked over a real socket."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
import httpx
import msgspec
import pytest
import uvicorn
from gateway_kit import RUNNING
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette

from missive_host.errors import ValidationError
from missive_host.gateway.health import HealthPaths, health_app
from missive_host.gateway.metrics import Metrics
from missive_host.outputs_gateway import Status


@asynccontextmanager
async def served(app: Starlette) -> AsyncIterator[httpx.AsyncClient]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.serve, [listener])
            base = f"http://127.0.0.1:{listener.getsockname()[1]}"
            async with httpx.AsyncClient(base_url=base, trust_env=False) as client:
                yield client
            server.should_exit = True


class Truth:
    def __init__(self) -> None:
        self.now: Status | Exception = RUNNING

    def __call__(self) -> Status:
        if isinstance(self.now, Exception):
            raise self.now
        return self.now


async def test_the_probes_tell_the_truth() -> None:
    truth = Truth()
    async with served(health_app(truth)) as client:
        assert (await client.get("/healthz")).json() == {"status": "ok"}
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()) == (200, {"status": "ready", "reasons": []})
        assert (await client.head("/readyz")).status_code == 200
        truth.now = msgspec.structs.replace(RUNNING, ready=False, reasons=("the adapter 'drop' is down",))
        ready = await client.get("/readyz")
        assert ready.status_code == 503
        assert ready.json() == {"status": "not_ready", "reasons": ["the adapter 'drop' is down"]}
        assert ready.headers["cache-control"] == "no-store"
        assert (await client.get("/healthz")).status_code == 200
        truth.now = RuntimeError("secret detail")
        ready = await client.get("/readyz")
        assert ready.status_code == 503
        assert "secret" not in ready.text
        assert (await client.get("/healthz")).status_code == 200
        broken = await client.get("/status")
        assert broken.status_code == 500
        assert "secret" not in broken.text


async def test_the_status_is_the_document() -> None:
    async with served(health_app(Truth())) as client:
        answer = await client.get("/status")
        assert msgspec.json.decode(answer.content, type=Status) == RUNNING
        assert answer.json()["queue"]["by_adapter"]["drop"] == {"queued": 1, "ready": 2, "running": 3}
        assert (await client.get("/metrics")).status_code == 404
        wrong = await client.post("/status")
        assert wrong.status_code == 405
        assert wrong.headers["content-type"] == "application/problem+json"
        assert wrong.json() == {"title": "Method Not Allowed", "status": 405}


async def test_beyond_the_machine_a_token_is_asked_for() -> None:
    allowed: Callable[[str], bool] = lambda token: token == "right"  # noqa: E731
    async with served(health_app(Truth(), metrics=Metrics(), allowed=allowed)) as client:
        for path in ("/status", "/metrics"):
            for header in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Basic right"}):
                refused = await client.get(path, headers=header)
                assert refused.status_code == 401
                assert refused.headers["www-authenticate"] == "Bearer"
                assert "default" not in refused.text
            assert (await client.get(path, headers={"authorization": "bearer right"})).status_code == 200
        assert (await client.get("/healthz")).status_code == 200
        assert (await client.get("/readyz")).status_code == 200


async def test_the_paths_can_be_chosen() -> None:
    async with served(health_app(Truth(), paths=HealthPaths(health="/live", status="/a/b"))) as client:
        assert (await client.get("/live")).status_code == 200
        assert (await client.get("/a/b")).status_code == 200
        assert (await client.get("/healthz")).status_code == 404


@pytest.mark.parametrize("path", ["", "/", "healthz", "/a?b", "/{x}", "/readyz"])
def test_what_cannot_be_a_path_is_refused(path: str) -> None:
    with pytest.raises(ValidationError, match=r"not a path|given twice"):
        HealthPaths(health=path)


def values(text: str) -> dict[str, float]:
    return {
        sample.name + "".join(f" {label}={value}" for label, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_prometheus_reads_what_happened_and_how_things_stand() -> None:
    metrics, truth = Metrics(), Truth()
    for seconds in (0.01, 0.2, 3.0):
        metrics.delivered("drop", "done", seconds)
    metrics.delivered("drop", "failed", -1.0)  # the clock was set back
    metrics.agent_error("echo", "transport")
    async with served(health_app(truth, metrics=metrics)) as client:
        answer = await client.get("/metrics")
        assert answer.headers["content-type"].startswith("text/plain; version=")
        found = values(answer.text)
        assert found["missive_deliveries_total adapter=drop outcome=done"] == 3
        assert found["missive_deliveries_total adapter=drop outcome=failed"] == 1
        assert found["missive_delivery_seconds_count adapter=drop"] == 4
        assert found["missive_delivery_seconds_bucket adapter=drop le=0.25"] == 3
        assert found["missive_agent_errors_total agent=echo category=transport"] == 1
        assert found["missive_adapter_up adapter=drop"] == 1
        assert found["missive_adapter_restarts_total adapter=drop"] == 2
        assert found["missive_deliveries_in_flight adapter=drop"] == 3
        assert found["missive_adapter_counter_total adapter=drop counter=late kind=filedrop"] == 4
        assert found["missive_sink_behind sink=audit"] == 8
        assert found["missive_sink_events_dropped_total sink=audit"] == 9
        assert found["missive_sink_up sink=audit"] == 0
        assert found["missive_queue_depth adapter=drop state=ready"] == 2
        assert found["missive_queue_oldest_waiting_seconds"] == 1.5
        assert found["missive_dead_letters"] == 4
        assert found["missive_journal_events"] == 99
        assert found["missive_agent_resting agent=echo"] == 1
        assert found["missive_build_info profile=default version=1.2.3"] == 1
        assert found["missive_ready"] == 1
        # what is gone leaves no series behind, what was counted stays
        truth.now = msgspec.structs.replace(RUNNING, adapters=(), agents=(), ready=False)
        found = values((await client.get("/metrics")).text)
        assert "missive_adapter_up adapter=drop" not in found
        assert found["missive_ready"] == 0
        assert found["missive_deliveries_total adapter=drop outcome=done"] == 3
        openmetrics = await client.get("/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
        assert openmetrics.headers["content-type"].startswith("application/openmetrics-text")
        assert openmetrics.text.endswith("# EOF\n")


def test_two_daemons_in_one_process_count_for_themselves() -> None:
    first, second = Metrics(), Metrics()
    first.delivered("a", "done", 1)
    assert "missive_deliveries_total" in first.render(RUNNING)[0].decode()
    assert 'missive_deliveries_total{adapter="a"' not in second.render(RUNNING)[0].decode()
