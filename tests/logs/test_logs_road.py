"""One request through the whole gateway: each line of the log about it says which one it is about."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import pytest
from support.gateways import GatewayProcess

from missive_host import commands as c
from missive_host.telemetry import TraceContext

if TYPE_CHECKING:
    from support.cores import Home

    from missive_host.demo.fleet import AgentProcess

HTTP = """
[logging]
level = "debug"

[adapters.web]
kind = "http"
"""
MESSAGES = "/adapter/http/v1/messages"
TRACE = TraceContext("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7")


def records(home: Home) -> list[dict[str, Any]]:
    return [json.loads(line) for line in home.settings().log_file.read_text().splitlines()]


def frame(frame_id: str, message: str) -> dict[str, Any]:
    return {
        "schema_version": "missive.http.v1",
        "id": frame_id,
        "command": "send",
        "agent": "echo",
        "message": message,
    }


async def post(gateway: GatewayProcess, document: dict[str, Any]) -> dict[str, Any]:
    async with httpx.AsyncClient(base_url=gateway.url, timeout=30) as client:
        answer = await client.post(MESSAGES, json=document, headers={"traceparent": TRACE.traceparent})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@pytest.fixture
async def served(home: Home, agent: AgentProcess) -> Home:
    home.configure(HTTP)
    async with home.core() as core:
        core.core.run_local(c.AgentAdd(agent="echo", url=agent.url))
    return home


async def test_every_line_about_a_request_has_its_id(served: Home) -> None:
    with GatewayProcess(served, "-v") as gateway:
        gateway.ready()
        answer = await post(gateway, frame("f-1", "echo hi"))
        assert gateway.stop() == 0
    lines = records(served)
    about = [line for line in lines if line.get("frame_id") == "f-1" or line.get("work_id")]
    work_ids = {line["work_id"] for line in about}
    assert len(work_ids) == 1
    assert answer["receipt_id"] in work_ids
    said = " ".join(line["message"] for line in about)
    for part in (
        "send is taken in",
        "begins, attempt 1",
        "agent 'echo' is called",
        "is done",
        "the answer is delivered",
    ):
        assert part in said, said
    assert {line["adapter"] for line in about} == {"web"}
    assert {line["agent"] for line in about} == {"echo"}
    assert {line["trace_id"] for line in about} == {TRACE.trace_id}
    call = next(line for line in about if "is called" in line["message"])
    assert call["message_id"]
    assert all("work_id" not in line for line in lines if "the gateway" in line["message"])
    assert f"work={work_ids.pop()}" in gateway.errors  # and so do people read it, with -vv


async def test_two_requests_side_by_side_never_mix(served: Home) -> None:
    with GatewayProcess(served) as gateway:
        gateway.ready()
        done: dict[str, dict[str, Any]] = {}

        def ask(number: int) -> None:
            with httpx.Client(base_url=gateway.url, timeout=60) as client:
                for turn in range(4):
                    name = f"f-{number}-{turn}"
                    done[name] = client.post(MESSAGES, json=frame(name, f"slow 0.05 {number}")).json()

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert gateway.stop() == 0
    work_of = {name: answer["receipt_id"] for name, answer in done.items()}
    assert len(set(work_of.values())) == 16
    message_ids: dict[str, set[str]] = {}
    traces: dict[str, set[str]] = {}
    for line in records(served):
        if "frame_id" in line:
            assert line["work_id"] == work_of[line["frame_id"]], line
        if "work_id" in line:
            traces.setdefault(line["work_id"], set()).add(line["trace_id"])
        if "message_id" in line:
            message_ids.setdefault(line["work_id"], set()).add(line["message_id"])
    for ids in (message_ids, traces):
        assert all(len(each) == 1 for each in ids.values())
        assert len({next(iter(each)) for each in ids.values()}) == 16


async def test_members_jobs_and_schedules_have_theirs(served: Home, agent: AgentProcess) -> None:
    async with served.core() as core:
        core.core.run_local(c.AgentAdd(agent="other", url=agent.url))
        core.core.run_local(c.GroupCreate(group="both", routing_policy="first-success"))
        for rank, alias in enumerate(("echo", "other")):
            core.core.run_local(c.GroupAdd(group="both", agent=alias, rank=str(rank)))
    with GatewayProcess(served) as gateway:
        gateway.ready()
        ids = {}
        for name, more in (
            ("bcast", {"command": "bcast", "group": "both", "message": "echo all"}),
            ("route", {"command": "send", "group": "both", "message": "echo one"}),
        ):
            document = {"schema_version": "missive.http.v1", "id": name, **more}
            ids[name] = (await post(gateway, document))["receipt_id"]
        async with served.core() as core:
            await core.one(c.JobStartSend(agent="echo", message="echo job", options=c.JobOptions(every="1s")))
        with anyio.fail_after(60):
            while not (jobs := {line["work_id"] for line in records(served) if "by its schedule" in line["message"]}):
                await anyio.sleep(0.1)
            while not any(line.get("work_id") in jobs and "is done" in line["message"] for line in records(served)):
                await anyio.sleep(0.1)
        assert gateway.stop() == 0
    called = [line for line in records(served) if "is called" in line["message"]]
    for name, wanted in (("bcast", {"echo", "other"}), ("route", {"echo"})):
        agents = {line["agent"]: line["message_id"] for line in called if line["work_id"] == ids[name]}
        assert set(agents) >= wanted
        assert len(set(agents.values())) == len(agents)
    for job in jobs:
        about = [line for line in records(served) if line.get("work_id") == job]
        assert {line.get("adapter") for line in about} == {None}
        assert {line["agent"] for line in about if "agent" in line} == {"echo"}
