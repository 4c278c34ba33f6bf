"""``missive events export`` to standard output and as log records, and what is selected and followed by other means."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from google.protobuf import json_format
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, LogsData
from route_kit import document, run
from storekit import event

from missive_host.ids import after, now

if TYPE_CHECKING:
    from pathlib import Path

    from support.cores import Home

    from missive_host.demo.fleet import AgentProcess
    from missive_host.store import EventRow


def put(home: Home, *rows: EventRow) -> None:
    with home.store() as store:
        store.write(lambda tables: [tables.events.append(row) for row in rows])


def argv(home: Home, *line: str) -> list[str]:
    return [sys.executable, "-P", "-m", "missive_host", "--config", str(home.config), *line]


# --- log records


def records(text: str) -> list[LogRecord]:
    """Read lines as a collector does, which refuses what the protocol does not know."""
    found: list[LogRecord] = []
    for line in filter(None, text.split("\n")):
        data = json_format.Parse(line, LogsData())
        (resource,) = data.resource_logs
        assert {each.key: each.value.string_value for each in resource.resource.attributes} == {
            "service.name": "missive"
        }
        (scope,) = resource.scope_logs
        assert scope.scope.name == "missive.journal"
        found += scope.log_records
    return found


def test_events_as_log_records_of_opentelemetry(home: Home, tmp_path: Path) -> None:
    rejected = {"statusUpdate": {"taskId": "t", "status": {"state": "TASK_STATE_REJECTED"}}}
    put(
        home,
        event(
            "a2a.send.request", agent_alias="echo", context_id="c", task_id="t", message_id="m", work_id="w",
            payload={"text": "a\u2028\x07 \"b\" 💡", "number": 1.5, "none": None, "list": [1, "a", None]},
            timestamp="2026-02-03T04:05:06.000007Z",
        ),
        event("a2a.send.failed"),
        event("a2a.stream.status_update", payload=rejected),
        *(event("test.more") for _ in range(1000)),
    )  # fmt: skip
    text = run(home, "events", "export", "--format", "otlp").stdout
    found = records(text)
    assert text.count("\n") == 11, "a line is a batch"
    assert len(found) == 1003
    first = found[0]
    assert first.time_unix_nano == first.observed_time_unix_nano == 1770091506_000007000
    assert (first.severity_text, first.severity_number) == ("INFO", 9)
    assert [each.severity_text for each in found[1:4]] == ["WARN", "WARN", "INFO"]
    assert first.event_name == "a2a.send.request"
    assert json.loads(first.body.string_value)["list"] == [1, "a", None]
    about = {each.key: each.value for each in first.attributes}
    assert about["missive.event.position"].int_value == 1
    assert {name: value.string_value for name, value in about.items() if name.endswith((".id", "agent"))} == {
        "missive.event.id": about["missive.event.id"].string_value,
        "missive.agent": "echo",
        "missive.context.id": "c",
        "missive.task.id": "t",
        "missive.message.id": "m",
        "missive.work.id": "w",
    }
    file = tmp_path / "events.jsonl"
    found_in = document(home, "events", "export", "--format", "otlp", "--type", "a2a.*", "-o", str(file))
    assert (found_in["count"], found_in["format"]) == (3, "otlp")
    assert len(records(file.read_text())) == 3
    assert run(home, "events", "export", "--format", "otlp", "--type", "no.such").stdout == ""


# --- to standard output

PEAK = """
import resource, subprocess, sys
done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL)
unit = 1 if sys.platform == "darwin" else 1024
print(done.returncode, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit)
"""


def test_a_long_journal_needs_little_memory(home: Home) -> None:
    def peak(*line: str) -> int:
        done = subprocess.run(
            [sys.executable, "-c", PEAK, *argv(home, "events", "export", *line)],
            env={**os.environ, **home.environ}, capture_output=True, text=True, check=True, timeout=110,
        )  # fmt: skip
        code, size = done.stdout.split()
        assert code == "0", done.stderr
        return int(size)

    put(home, *(event("test.big", payload={"text": "x" * 20_000, "n": number}) for number in range(1500)))
    one = peak("--limit", "1")
    for line in (("--format", "ndjson"), ("--format", "csv"), ("--format", "otlp"), ("--ndjson",)):
        assert peak(*line) - one < 25_000_000, line  # all of it is 30 MB, and more as objects
    # What it writes is what it would write at once.
    lines = run(home, "events", "export", "--limit", "2").stdout.splitlines()
    assert [json.loads(line)["payload"]["n"] for line in lines] == [1498, 1499]


def test_whoever_has_seen_enough_may_go(home: Home) -> None:
    put(home, *(event("test.big", payload={"text": "x" * 2000}) for _ in range(3000)))
    for options in ((), ("--format", "csv"), ("--ndjson",)):
        with subprocess.Popen(
            argv(home, "events", "export", *options),
            env={**os.environ, **home.environ}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        ) as process:  # fmt: skip
            assert process.stdout is not None
            assert process.stderr is not None
            assert process.stdout.readline()
            process.stdout.close()
            assert process.stderr.read() == b""


# --- selecting


def test_by_message_by_work_and_up_to_a_time(home: Home) -> None:
    put(
        home,
        event(message_id="m", timestamp=after(-7200)),
        event(message_id="m", work_id="w", timestamp=after(-3600)),
        event(message_id="n", work_id="w", timestamp=now()),
    )
    for selectors, wanted in (
        (("--message", "m"), [1, 2]),
        (("--work", "w"), [2, 3]),
        (("--message", "m", "--work", "w"), [2]),
        (("--until", "30m"), [1, 2]),
        (("--until", "90m"), [1]),
        (("--since", "90m", "--until", "30m"), [2]),
        (("--until", "2000-01-01T00:00:00Z"), []),
    ):
        listed = document(home, "events", "list", *selectors)
        assert [each["sequence"] for each in listed["events"]] == wanted, selectors
        assert listed["count"] == len(wanted)
        assert document(home, "events", "tail", *selectors)["emitted"] == len(wanted)


# --- following

WRITER = """
import sys
from pathlib import Path
sys.path[:0] = [sys.argv[2]]
from missive_host.store import Store
from storekit import event
with Store.open(Path(sys.argv[1])) as store:
    for number in range(int(sys.argv[4])):
        store.write(lambda tables: tables.events.append(event(f"test.{sys.argv[3]}", payload={"number": number})))
"""


def test_a_tail_sees_all_of_what_several_processes_write_once_and_in_order(home: Home) -> None:
    writers, each = 4, 60
    put(home, event("test.first"))
    folder = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120
    line = ("events", "tail", "--from-sequence", "0", "--limit", str(1 + writers * each), "--poll-interval", "10ms")
    env = {**os.environ, **home.environ}
    with subprocess.Popen(
        argv(home, *line, "--follow", "--ndjson", "--timeout", "100s"), env=env, stdout=subprocess.PIPE, text=True
    ) as tail:
        database = str(home.settings().paths.database)
        processes = [
            subprocess.Popen([sys.executable, "-c", WRITER, database, folder, str(number), str(each)], env=env)
            for number in range(writers)
        ]
        assert [process.wait(60) for process in processes] == [0] * writers
        assert tail.stdout is not None
        seen: list[Any] = [json.loads(text) for text in tail.stdout]
    assert [found["sequence"] for found in seen] == list(range(1, 2 + writers * each))
    for number in range(writers):
        of_one = [
            found["data"]["payload"]["number"] for found in seen if found["data"]["event_type"] == f"test.{number}"
        ]
        assert of_one == list(range(each))


def test_a_tail_of_a_task_ends_with_the_task(home: Home, agent: AgentProcess) -> None:
    assert run(home, "agent", "add", "echo", agent.url).returncode == 0
    line = ("events", "tail", "--follow", "--until-terminal", "--type", "a2a.stream.*", "-n", "0", "--ndjson")
    env = {**os.environ, **home.environ}
    with subprocess.Popen(
        argv(home, *line, "--poll-interval", "10ms", "--timeout", "100s"), env=env, stdout=subprocess.PIPE, text=True
    ) as tail:
        while tail.poll() is None:  # until it is there, what was streamed before it is not its business
            assert run(home, "stream", "echo", "stream 2").returncode == 0
        assert tail.wait(60) == 0
        assert tail.stdout is not None
        seen = [json.loads(text)["data"] for text in tail.stdout]
    assert seen[-1]["payload"]["statusUpdate"]["status"]["state"] == "TASK_STATE_COMPLETED"
    assert all("TASK_STATE_COMPLETED" not in json.dumps(found) for found in seen[:-1])
