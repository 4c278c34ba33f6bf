"""The event sinks that come with missive: real files, a real collector."""

from __future__ import annotations

import gzip
import json
import logging
import os
import resource
import signal
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from missive_sinks import missive_event_sinks
from missive_sinks.jsonl import JsonLinesSink
from missive_sinks.log import LogSink
from missive_sinks.otel import OtelSink
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from support.secrets import planted, secrets_of

from missive_host.adapter_options import configured_options
from missive_host.errors import ConfigError, IoError, TransportError
from missive_host.protocols import EventSink, JournalEvent, SinkContext

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SPECS = {spec.name: spec for spec in missive_event_sinks()}


def context(kind: str, folder: Path, **settings: Any) -> SinkContext:
    options = configured_options(SPECS[kind], "s", settings, folder / "missive.toml", secrets_of(dict(os.environ)))
    return SinkContext("s", kind, options, logging.getLogger("missive.sinks.s"), folder, "default")


def event(number: int, kind: str = "missive.job.completed", **payload: Any) -> JournalEvent:
    return JournalEvent(
        number, kind, "2026-01-02T03:04:05.678901Z", payload, agent="echo", id=f"evt/{kind}/{number}", source="core"
    )


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


# --- jsonl


async def test_an_event_is_a_line(tmp_path: Path) -> None:
    sink = JsonLinesSink(context("jsonl", tmp_path, path="logs/a.jsonl"))
    assert isinstance(sink, EventSink)
    await sink.write([event(1, text="grüß\ndich"), event(2, lone="\ud800")])
    await sink.write([event(3)])
    await sink.aclose()
    file = tmp_path / "logs" / "a.jsonl"
    first, second, third = lines(file)
    assert first == {
        "id": "evt/missive.job.completed/1",
        "position": 1,
        "at": "2026-01-02T03:04:05.678901Z",
        "type": "missive.job.completed",
        "profile": "default",
        "source": "core",
        "agent": "echo",
        "payload": {"text": "grüß\ndich"},
    }
    assert (second["payload"], third["position"]) == ({"lone": "?"}, 3)
    assert file.stat().st_mode & 0o777 == 0o600


async def test_files_are_rotated_and_no_line_is_cut(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    sink = JsonLinesSink(context("jsonl", tmp_path, path="a.jsonl", max_size=500, keep=2))
    await sink.write([event(number) for number in range(9)])
    for number in range(9, 13):
        await sink.write([event(number)])
    names = sorted(each.name for each in tmp_path.iterdir())
    assert names == ["a.jsonl", "a.jsonl.1", "a.jsonl.2"]
    kept = [line["position"] for name in reversed(names) for line in lines(tmp_path / name)]
    assert kept == list(range(kept[0], 13))
    assert all((tmp_path / name).stat().st_size <= 500 for name in names)
    await sink.write([event(99, text="x" * 1000)])  # bigger than a file may be: it has one for itself
    assert [line["position"] for line in lines(file)] == [99]


async def test_without_old_files_the_file_begins_anew(tmp_path: Path) -> None:
    sink = JsonLinesSink(context("jsonl", tmp_path, path="a.jsonl", max_size=500, keep=0))
    await sink.write([event(number) for number in range(20)])
    assert [each.name for each in tmp_path.iterdir()] == ["a.jsonl"]
    assert lines(tmp_path / "a.jsonl")[-1]["position"] == 19


async def test_a_file_that_was_moved_is_made_anew(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    sink = JsonLinesSink(context("jsonl", tmp_path, path="a.jsonl"))
    await sink.write([event(1)])
    file.rename(tmp_path / "away")
    await sink.write([event(2)])
    assert [line["position"] for line in lines(file)] == [2]


@pytest.mark.parametrize("half", ['{"id":"evt/missive', '{"i', "{"])
async def test_half_a_line_of_a_crash_is_taken_away(tmp_path: Path, half: str) -> None:
    file = tmp_path / "a.jsonl"
    await JsonLinesSink(context("jsonl", tmp_path, path="a.jsonl")).write([event(1)])
    with file.open("a") as stream:
        stream.write(half)
    await JsonLinesSink(context("jsonl", tmp_path, path="a.jsonl")).write([event(2)])
    assert [line["position"] for line in lines(file)] == [1, 2]


async def test_what_is_not_ours_stays(tmp_path: Path) -> None:
    file = tmp_path / "notes"
    file.write_text("shopping: milk")
    await JsonLinesSink(context("jsonl", tmp_path, path="notes")).write([event(1)])
    assert file.read_text().splitlines()[0] == "shopping: milk"
    assert json.loads(file.read_text().splitlines()[1])["position"] == 1


async def test_a_full_disk_leaves_whole_lines(tmp_path: Path) -> None:
    """A limit of the size of files is what a full disk is: some bytes are written, then no more."""
    file = tmp_path / "a.jsonl"
    sink = JsonLinesSink(context("jsonl", tmp_path, path="a.jsonl"))
    await sink.write([event(1)])
    before, size = resource.getrlimit(resource.RLIMIT_FSIZE), file.stat().st_size
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20, before[1]))
    try:
        with pytest.raises(IoError, match=r"a\.jsonl"):
            await sink.write([event(2)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert file.stat().st_size == size
    await sink.write([event(2)])
    assert [line["position"] for line in lines(file)] == [1, 2]


async def test_a_folder_in_the_place_of_the_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").mkdir()
    with pytest.raises(IoError, match=r"while writing .*a\.jsonl"):
        await JsonLinesSink(context("jsonl", tmp_path, path="a.jsonl")).write([event(1)])


# --- log


async def test_lines_of_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    sink = LogSink(context("log", tmp_path))
    assert isinstance(sink, EventSink)
    failed = {"statusUpdate": {"taskId": "t", "status": {"state": "TASK_STATE_FAILED"}}}
    await sink.write([event(1, text="a\nb"), event(2, "missive.job.failed"), event(3, "a2a.stream.x", **failed)])
    await sink.write([event(4, text="x" * 5000)])
    levels = [record.levelname for record in caplog.records]
    assert levels == ["INFO", "WARNING", "WARNING", "INFO"]
    assert caplog.records[0].getMessage() == 'missive.job.completed agent=echo {"text":"a\\nb"}'
    assert len(caplog.records[3].getMessage()) < 2100
    caplog.clear()
    await LogSink(context("log", tmp_path, payload=False, level="debug")).write([event(1, text="said")])
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("DEBUG", "missive.job.completed agent=echo")
    ]


# --- otel


class Collector:
    """A collector of OpenTelemetry on a real socket."""

    def __init__(self) -> None:
        self.requests: list[ExportLogsServiceRequest] = []
        self.headers: list[dict[str, str]] = []
        self.status = 200

    @property
    def records(self) -> list[Any]:
        return [
            record
            for request in self.requests
            for resource_logs in request.resource_logs
            for scope_logs in resource_logs.scope_logs
            for record in scope_logs.log_records
        ]


@contextmanager
def collecting() -> Iterator[tuple[Collector, str]]:
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            collector.headers.append({name.lower(): value for name, value in self.headers.items()})
            if collector.status == 200:
                collector.requests.append(ExportLogsServiceRequest.FromString(body))
            self.send_response(collector.status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield collector, f"http://127.0.0.1:{server.server_port}/v1/logs"
        finally:
            server.shutdown()
            thread.join()


async def test_events_are_log_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTLP", "Bearer " + planted("otlp"))
    with collecting() as (collector, url):
        headers = {"Authorization": {"secret": "env:OTLP"}, "X-Tenant": "blue"}
        sink = OtelSink(context("otel", tmp_path, endpoint=url, headers=headers))
        assert isinstance(sink, EventSink)
        await sink.write([event(1, text="grüß", none=None), event(2, "missive.job.failed")])
        await sink.aclose()
    first, second = collector.records
    assert collector.headers[0]["authorization"] == "Bearer " + planted("otlp")
    assert collector.headers[0]["x-tenant"] == "blue"
    names = {each.key: each.value.string_value for each in collector.requests[0].resource_logs[0].resource.attributes}
    assert names["service.name"] == "missive"
    attributes = {each.key: each.value for each in first.attributes}
    assert attributes["missive.event.id"].string_value == "evt/missive.job.completed/1"
    assert attributes["missive.event.position"].int_value == 1
    assert attributes["missive.agent"].string_value == "echo"
    assert "missive.task.id" not in attributes
    assert (first.event_name, first.severity_text, second.severity_text) == ("missive.job.completed", "INFO", "WARN")
    assert json.loads(first.body.string_value) == {"text": "grüß", "none": None}
    assert first.time_unix_nano == 1767323045678901000


async def test_what_the_collector_does_not_take_is_an_error(tmp_path: Path) -> None:
    with collecting() as (collector, url):
        collector.status = 400
        sink = OtelSink(context("otel", tmp_path, endpoint=url))
        with pytest.raises(TransportError, match="did not take 1 log records"):
            await sink.write([event(1)])
        collector.status = 200
        await sink.write([event(1)])
        await sink.aclose()
    assert len(collector.records) == 1


async def test_the_usual_variables_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with collecting() as (collector, url):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url.removesuffix("/v1/logs"))
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
        sink = OtelSink(context("otel", tmp_path))
        await sink.write([event(1)])
        await sink.aclose()
    assert len(collector.records) == 1


def test_settings_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"sinks\.s\.settings\.endpoint: expected an http"):
        OtelSink(context("otel", tmp_path, endpoint="localhost:4317"))
    with pytest.raises(ConfigError, match=r"sinks\.s\.settings\.headers\.A: expected text"):
        OtelSink(context("otel", tmp_path, headers={"A": 1}))
