"""Traces of the command line, and of an adapter by itself."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from support.collector import Collector, seen_by_agent

from missive_host import commands as c

if TYPE_CHECKING:
    from pathlib import Path

    from support.cores import Home

    from missive_host.demo.fleet import AgentProcess

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
CARRIED = {"TRACEPARENT": f"00-{TRACE}-{PARENT}-01", "TRACESTATE": "vendor=value"}


@pytest.fixture
def ready(home: Home, agent: AgentProcess) -> Home:
    async def add() -> None:
        async with home.core() as core:
            core.add("echo", agent)

    asyncio.run(add())
    return home


def missive(
    home: Home, *args: str, stdin: str = "", env: dict[str, str] | None = None, code: str = ""
) -> subprocess.CompletedProcess[str]:
    program = ["-c", code] if code else ["-P", "-m", "missive_host"]
    return subprocess.run(
        [sys.executable, *program, "--config", str(home.config), *args],
        input=stdin, capture_output=True, text=True, timeout=60, cwd=home.folder,
        env={**os.environ, **home.environ, **(env or {})},
    )  # fmt: skip


def told(document: str) -> dict[str, Any]:
    return seen_by_agent(json.loads(document))


def test_a_command_belongs_to_the_trace_in_its_environment(ready: Home) -> None:
    with Collector() as collector:
        env = {**CARRIED, "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_RESOURCE_ATTRIBUTES": "team=mail"}
        done = missive(ready, "send", "echo", "headers", "--json", env=env)
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        root, call = collector.one("missive send"), collector.one("invoke_agent echo")
    assert (root.trace_id, root.parent, root.kind) == (TRACE, PARENT, 1)
    assert (call.trace_id, call.parent) == (TRACE, root.id)
    assert told(done.stdout)["traceparent"] == f"00-{TRACE}-{call.id}-01"
    assert told(done.stdout)["tracestate"] == "vendor=value"
    assert (root.resource["service.name"], root.resource["team"]) == ("missive", "mail")


def test_a_command_that_fails_says_so_in_its_span(ready: Home) -> None:
    with Collector() as collector:
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_SERVICE_NAME": "me"}
        done = missive(ready, "send", "nobody", "hi", env=env)
        assert done.returncode == 64
        root = collector.one("missive send")
    assert root.failed
    assert root.attributes["error.type"] == "validation"
    assert root.parent == ""
    assert root.resource["service.name"] == "me"


def test_without_a_collector_the_trace_in_the_environment_goes_on_as_it_is(ready: Home) -> None:
    done = missive(ready, "send", "echo", "headers", "--json", env=CARRIED)
    assert told(done.stdout)["traceparent"] == CARRIED["TRACEPARENT"]
    assert missive(ready, "agent", "add", "more", "http://127.0.0.1:1", env=CARRIED).returncode == 0
    with ready.store() as store:
        events = store.read(lambda tables: tables.events.list())
    assert {event.metadata["trace_id"] for event in events[-3:]} == {TRACE}
    message = told(done.stdout)["traceparent"] and json.loads(done.stdout)["data"]["persistence"]["request_message_id"]
    shown = json.loads(missive(ready, "trace", message, "--json").stdout)["data"]
    assert shown["trace_ids"] == [TRACE]


def test_a_stream_is_one_call(ready: Home) -> None:
    with Collector() as collector:
        env = {**CARRIED, "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
        done = missive(ready, "stream", "echo", "stream 3", "--ndjson", env=env)
        assert done.returncode == 0, done.stderr
        call = collector.one("invoke_agent echo")
    assert call.attributes["rpc.method"] == "SendStreamingMessage"
    assert call.attributes["missive.task.id"] in done.stdout


@pytest.mark.parametrize(("sampler", "argument", "count"), [("always_off", "", 0), ("traceidratio", "0.0", 0)])
def test_a_sampler_decides_what_is_sent(ready: Home, sampler: str, argument: str, count: int) -> None:
    with Collector() as collector:
        env = {
            **CARRIED,
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_TRACES_SAMPLER": sampler,
            "OTEL_TRACES_SAMPLER_ARG": argument,
        }
        done = missive(ready, "send", "echo", "headers", "--json", env=env)
        assert len(collector.spans) == count
    assert told(done.stdout)["traceparent"] == f"00-{TRACE}-{PARENT}-00"


def test_frames_say_which_trace_they_belong_to(ready: Home) -> None:
    frames = [
        {"id": "1", "command": "send", "agent": "echo", "message": "headers", "traceparent": CARRIED["TRACEPARENT"]},
        {"id": "2", "command": "send", "agent": "echo", "message": "headers"},
        {"id": "3", "command": "send", "agent": "echo", "message": "headers"},
        {"id": "4", "command": "send", "agent": "echo", "message": "headers", "traceparent": "00-1-2-3"},
    ]
    with Collector() as collector:
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
        text = "".join(json.dumps(frame) + "\n" for frame in frames)
        done = missive(ready, "adapter", "stdio", "--mode", "long-running", stdin=text, env=env)
        spans = collector.spans
    answers = {answer["id"]: answer for answer in map(json.loads, done.stdout.splitlines())}
    traces = [told(json.dumps(answers[each]))["traceparent"][3:35] for each in "123"]
    assert traces[0] == TRACE
    assert len(set(traces)) == 3
    assert answers["4"]["ok"] is False
    assert "traceparent" in answers["4"]["error"]["message"]
    doors = {span.trace_id: span for span in spans if span.name == "process missive.stdio.v1"}
    assert set(doors) == set(traces)
    assert doors[TRACE].parent == PARENT
    assert all(doors[span.trace_id].id == span.parent for span in spans if span.name == "invoke_agent echo")


def test_a_header_that_is_set_by_hand_stays(ready: Home) -> None:
    own = f"00-{'9' * 32}-{'8' * 16}-01"
    ready.configure(f'[protocol]\nservice_parameters = {{ traceparent = "{own}" }}\n')
    done = missive(ready, "send", "echo", "headers", "--json", env=CARRIED)
    assert told(done.stdout)["traceparent"] == own
    assert told(done.stdout)["tracestate"] is None


WITHOUT = """
import sys
sys.modules["opentelemetry"] = None
from missive_host.cli import main
sys.argv[0] = "missive"
sys.exit(main())
"""


def test_without_the_extra_the_config_is_refused_and_the_environment_only_said(ready: Home) -> None:
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}
    done = missive(ready, "send", "echo", "hi", code=WITHOUT, env=env)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("missive-host[otel]") == 1
    ready.configure('[telemetry]\nendpoint = "http://127.0.0.1:1"\n')
    refused = missive(ready, "send", "echo", "hi", "--json", code=WITHOUT)
    assert refused.returncode == 78
    error = json.loads(refused.stderr)["data"]
    assert error["help"] == "pip install 'missive-host[otel]'"
    assert "telemetry.endpoint" in error["message"]
    assert missive(ready, "agent", "list", code=WITHOUT).returncode == 0


def test_nothing_of_opentelemetry_is_imported_when_it_is_off(ready: Home, tmp_path: Path) -> None:
    code = """
import sys
from missive_host.cli import main
sys.argv[0] = "missive"
try:
    main()
finally:
    print([name for name in sys.modules if name.startswith(("opentelemetry", "requests"))], file=sys.stderr)
"""
    done = missive(ready, "send", "echo", "hi", code=code)
    assert done.stderr.splitlines()[-1] == "[]"


async def test_a_job_goes_on_in_the_trace_of_who_starts_it(ready: Home) -> None:
    done = missive(ready, "job", "start", "send", "echo", "hi", "--json", env=CARRIED)
    assert done.returncode == 0, done.stderr
    job_id = json.loads(done.stdout)["data"]["job"]["job_id"]
    async with ready.core() as core:
        row = core.read(lambda tables: tables.work.get(job_id))
        alone = (await core.one(c.JobStartSend(agent="echo", message="hi"))).job.job_id
        other = core.read(lambda tables: tables.work.get(alone))
    assert row is not None
    assert row.trace is not None
    assert (row.trace.trace_id, row.trace.state) == (TRACE, "vendor=value")
    assert other is not None
    assert other.trace is not None
    assert other.trace.trace_id != TRACE


def test_a_collector_that_is_away_keeps_no_command_from_its_end(ready: Home) -> None:
    done = missive(ready, "send", "echo", "hi", env={"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"})
    assert done.returncode == 0
    assert "the collector does not take spans" in done.stderr or "could be sent" in done.stderr
    assert len(done.stderr.splitlines()) == 1
