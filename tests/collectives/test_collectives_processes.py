"""Collectives from the command line and through a door: exit codes, pipes, signals, SIGKILL in between."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import httpx
import msgspec
import pytest
from collectives_kit import write_plugin

from missive_host.errors import StorageError
from missive_host.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from missive_host.demo.fleet import AgentProcess


class Missive:
    """Runs ``missive`` with a home of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        keep = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
        self.env = {**keep, "MISSIVE_HOME": str(home / "missive"), "HOME": str(home), "TERM": "xterm"}

    def argv(self, *words: str) -> list[str]:
        return [sys.executable, "-P", "-m", "missive_host", *words]

    def run(self, *words: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.argv(*words),
            env=self.env,
            cwd=self.home,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def ok(self, *words: str, stdin: str | None = None) -> str:
        done = self.run(*words, stdin=stdin)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def json(self, *words: str, status: int = 0, stdin: str | None = None) -> dict[str, Any]:
        """Run with ``--json``, expect an exit code and one document on stdout, and return its ``data``."""
        done = self.run(*words, "--json", stdin=stdin)
        assert done.returncode == status, done.stderr
        document = json.loads(done.stdout)
        if status:
            assert json.loads(done.stderr)["data"]["exit_code"] == status
        data: dict[str, Any] = document["data"]
        return data

    def start(self, *words: str, **streams: Any) -> subprocess.Popen[bytes]:
        given = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams}
        return subprocess.Popen(self.argv(*words), env=self.env, cwd=self.home, **given)

    def store(self) -> Store:
        return Store.open(self.home / "missive" / "state" / "profiles" / "default" / "missive.sqlite3", create=False)


@pytest.fixture
def missive(tmp_path: Path, agent: AgentProcess, agent_03: AgentProcess) -> Missive:
    """A home with the group `crew`: a (JSON-RPC), b (HTTP+JSON), old (protocol 0.3)."""
    config = tmp_path / ".config" / "missive" / "config.toml"
    config.parent.mkdir(parents=True)
    plugin = write_plugin(tmp_path)
    config.write_text(
        f"""[qos]
retry_backoff = "10ms"
[plugins]
files = ["{plugin}"]
[agents.a]
base_url = "{agent.url}"
[agents.b]
base_url = "{agent.url}"
binding_preference = ["http+json"]
[agents.old]
base_url = "{agent_03.url}"
[groups.crew]
members = [{{ agent = "a", rank = "1" }}, {{ agent = "b", rank = "2" }}, {{ agent = "old", rank = "3" }}]
"""
    )
    return Missive(tmp_path)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_from_a_broadcast_to_one_answer(missive: Missive, tmp_path: Path) -> None:
    sent = missive.json("bcast", "crew", "task 0.2", "--async")
    (tmp_path / "sent.json").write_text(json.dumps({"kind": "bcast_result", "data": sent}))
    waited = missive.json("barrier", "crew", "--from-bcast", "sent.json", "--interval", "50ms")
    assert (waited["status"], waited["broadcast"]) == ("succeeded", sent["operation_id"])
    context = sent["request"]["context_id"]
    gathered = missive.json("gather", "crew", "--context", context, "-o", "out")
    assert gathered["gathered_count"] == 3
    assert len(list((tmp_path / "out").iterdir())) == 9
    reduced = missive.json("reduce", "crew", "--context", context, "--strategy", "tally", "--setting", 'mark=" "')
    assert reduced["reduced_text"] == "1/a Worked for 0.2 s.; 2/b Worked for 0.2 s.; 3/old Worked for 0.2 s."
    counted = missive.json("reduce", "crew", "--context", context, "--command", f"{sys.executable} -c 'print(6 * 7)'")
    assert (counted["reduced_text"], counted["reducer"]["command"]["command"][1:]) == ("42", ["-c", "print(6 * 7)"])
    same = missive.json(
        "reduce", "crew", "--context", context, "--command", sys.executable, "--command", "-c", "--command", "print(1)"
    )
    assert same["reduced_text"] == "1"


def test_the_result_of_a_broadcast_goes_through_a_pipe(missive: Missive) -> None:
    for mode in ("--json", "--ndjson"):
        sent = missive.ok("bcast", "crew", "echo hi", mode)
        assert missive.json("barrier", "crew", "--from-bcast", "-", stdin=sent)["reached_count"] == 3


BROADCAST = (
    '{"kind": "bcast_result", "data": {"group": "%s", "operation_id": "bcast/1", "request": {"context_id": "x"}}}'
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no result of a broadcast"),
        ("{}", "no result of a broadcast"),
        ("no json", "neither JSON nor NDJSON"),
        ('{"kind": "bcast_result", "data": {}}', "not complete"),
        (BROADCAST % "other", "of the group 'other'"),
        (BROADCAST % "crew", "no context has the id or name 'x'"),
    ],
)
def test_what_is_no_broadcast_is_refused(missive: Missive, text: str, words: str) -> None:
    done = missive.run("barrier", "crew", "--from-bcast", "-", stdin=text)
    assert done.returncode == 64
    assert words in done.stderr


def test_exit_codes(missive: Missive) -> None:
    three = ("--part", "echo x", "--part", "{}", "--part", "echo x")
    for part, status, code in (("fail", "failed", 80), ("ask", "input_required", 83), ("auth", "auth_required", 84)):
        sent = missive.json("scatter", "crew", *(word.format(part) for word in three))
        context = sent["request"]["context_id"]
        assert missive.json("barrier", "crew", "--context", context, status=code)["status"] == status
        done = missive.json("barrier", "crew", "--context", context, "--required", "2", "--failure-policy", "continue")
        assert done["reached_count"] == 2
    sent = missive.json("bcast", "crew", "slow 20", "--timeout", "500ms", status=82)
    assert sent["status"] == "timeout"
    assert missive.run("bcast", "nobody", "hi").returncode == 64
    assert missive.run("barrier", "crew").returncode == 64
    assert missive.run("reduce", "crew", "--context", sent["request"]["context_id"]).returncode == 64


def test_all_in_one_for_people(missive: Missive) -> None:
    done = missive.run("allreduce", "crew", "echo yes", "--strategy", "tally", "--timeout", "30s")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["RANK", "AGENT", "STATUS", "TIME", "ANSWER"]
    assert [line.split()[1:3] for line in lines[1:4]] == [["a", "satisfied"], ["b", "satisfied"], ["old", "satisfied"]]
    assert lines[-1] == "1/a=yes; 2/b=yes; 3/old=yes"
    assert "succeeded: 3 of 3 members" in done.stderr


def test_answers_are_markdown_for_people(missive: Missive) -> None:
    context = missive.json("bcast", "crew", "task")["request"]["context_id"]
    shown = missive.ok("gather", "crew", "--context", context)
    assert shown.startswith("# Answers of crew\n\n## 1 (a)\n\nWorked for 0 s.\n```json\n{\n")
    assert "Files: report.csv" in shown
    assert missive.ok("reduce", "crew", "--context", context, "--strategy", "tally").startswith("1/a=Worked for 0 s.;")
    assert missive.ok("barrier", "crew", "--context", context).splitlines()[1].split()[:3] == ["1", "a", "satisfied"]


# --- streams of several agents


def test_lines_of_several_agents_are_tagged(missive: Missive) -> None:
    done = missive.run("bcast", "crew", "stream 2 0.05", "--stream")
    assert done.returncode == 0, done.stderr
    for agent in ("a", "b", "old"):
        said = [line for line in done.stdout.splitlines() if line.startswith(f"[{agent}] ")]
        assert said == [f"[{agent}] chunk 1", f"[{agent}] chunk 2"]
        assert f"[{agent}] working: step 1 of 2" in done.stderr
    assert "RANK" in done.stdout


def test_programs_get_the_events_of_all_as_they_happen(missive: Missive) -> None:
    lines = [
        json.loads(line) for line in missive.ok("bcast", "crew", "stream 2 0.05", "--stream", "--ndjson").splitlines()
    ]
    assert {line["kind"] for line in lines[:-1]} == {"stream_event"}
    assert {line["data"]["agent"] for line in lines[:-1]} == {"a", "b", "old"}
    assert (lines[-1]["kind"], lines[-1]["data"]["success_count"]) == ("bcast_result", 3)


def test_on_a_terminal_the_rows_move(missive: Missive) -> None:
    master, slave = pty.openpty()
    process = missive.start("bcast", "crew", "stream 3 0.2", "--stream", stdout=slave, stderr=slave)
    os.close(slave)
    shown = b""
    while select.select([master], [], [], 30)[0]:
        try:
            piece = os.read(master, 65536)
        except OSError:  # Linux: the other side is closed
            break
        if not piece:
            break
        shown += piece
    os.close(master)
    assert process.wait(30) == 0
    text = shown.decode()
    assert "\x1b[3A" in text  # back to the first of three rows
    before, _, after = text.rpartition("\x1b[0J")
    assert "working" in before
    assert "[a]" not in text
    assert "RANK" in after
    assert "succeeded" in after


# --- interrupted, killed


def test_an_interrupted_broadcast_prints_what_has_arrived(missive: Missive) -> None:
    process = missive.start(
        "scatter", "crew", "--part", "echo here", "--part", "slow 30", "--part", "slow 30", "--json"
    )
    wait_for_store(missive)
    with missive.store() as store:
        wait_for(lambda: any(m.status == "sent" for m in store.read(lambda tables: tables.messages.list())))
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        assert process.returncode == 130
        data = json.loads(out)["data"]
        assert [(m["status"], m.get("text")) for m in data["members"]] == [
            ("succeeded", "here"), ("interrupted", None), ("interrupted", None),
        ]  # fmt: skip
        assert json.loads(err)["data"]["exit_code"] == 130
        operation = store.read(lambda tables: tables.operations.get(data["operation_id"]))
        assert operation.status == "interrupted"
        assert operation.document == msgspec.json.decode(out)


def wait_for_store(missive: Missive) -> None:
    """Wait until the process that was started has made the store."""

    def made() -> bool:
        try:
            missive.store().close()
        except StorageError:
            return False
        return True

    wait_for(made)


def test_a_barrier_goes_on_after_missive_was_killed_in_the_broadcast(missive: Missive, agent: AgentProcess) -> None:
    process = missive.start("bcast", "crew", "task 4", "--context", "ctx")
    wait_for_store(missive)
    with missive.store() as store:
        wait_for(lambda: len(store.read(lambda tables: tables.messages.list(status="pending"))) == 3)
        sent = {m.message_id for m in store.read(lambda tables: tables.messages.list()) if m.agent_alias in ("a", "b")}
        wait_for(lambda: sent <= at_work_on(agent))
        process.kill()
        process.communicate(timeout=30)
        operation = store.read(lambda tables: tables.operations.latest("crew", "ctx"))
        assert operation is not None
        assert operation.status == "running"
        assert store.read(lambda tables: tables.tasks.list()).total == 0
    # The agent of 0.3 cannot list its tasks: its answer cannot be found again.
    waited = missive.json(
        "barrier", "crew", "--context", "ctx", "--required", "2", "--failure-policy", "continue", "--interval", "50ms"
    )
    assert [(m["agent"], m["status"]) for m in waited["members"]][:2] == [("a", "satisfied"), ("b", "satisfied")]
    gathered = missive.json("gather", "crew", "--context", "ctx")
    assert [m.get("text") for m in gathered["members"]] == ["Worked for 4 s.", "Worked for 4 s.", None]
    reduced = missive.json("reduce", "crew", "--context", "ctx", "--strategy", "tally")
    assert (reduced["status"], reduced["notes"]) == ("partial", ["without old"])


def at_work_on(agent: AgentProcess) -> set[str]:
    """Return the ids of the messages that an agent has made tasks of."""
    query = {"jsonrpc": "2.0", "id": 1, "method": "ListTasks", "params": {"pageSize": 50, "historyLength": 1}}
    answer = httpx.post(agent.interfaces["JSONRPC"], json=query, headers={"A2A-Version": "1.0"}, trust_env=False)
    tasks = answer.json()["result"].get("tasks", [])
    return {message["messageId"] for task in tasks for message in task.get("history", ())}


def test_barrier_and_gather_go_on_after_missive_was_killed_in_the_barrier(missive: Missive) -> None:
    missive.json("bcast", "crew", "task 1", "--async", "--context", "ctx")
    process = missive.start("barrier", "crew", "--context", "ctx", "--interval", "50ms")
    with missive.store() as store:
        wait_for(lambda: store.read(lambda tables: tables.operations.latest("crew", "ctx", "barrier")) is not None)
        process.kill()
        process.communicate(timeout=30)
    assert missive.json("barrier", "crew", "--context", "ctx", "--interval", "50ms")["reached_count"] == 3
    assert missive.json("gather", "crew", "--context", "ctx")["gathered_count"] == 3


# --- a door


def frames(missive: Missive, *requests: dict[str, Any]) -> list[dict[str, Any]]:
    lines = "".join(json.dumps({"id": str(i), **request}) + "\n" for i, request in enumerate(requests))
    done = missive.run("adapter", "stdio", "--mode", "long-running", stdin=lines)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_frame_may_ask_for_a_broadcast_and_all_that_follows(missive: Missive) -> None:
    answers = frames(
        missive,
        {"command": "bcast", "group": "crew", "message": "echo hi", "context": "ctx"},
        {"command": "barrier", "group": "crew", "context": "ctx"},
        {"command": "gather", "group": "crew", "context": "ctx", "refresh": True},
        {"command": "reduce", "group": "crew", "context": "ctx", "strategy": "tally"},
        {"command": "scatter", "group": "crew", "template": "echo {{agent}}"},
        {"command": "allreduce", "group": "crew", "message": "echo all", "strategy": "tally", "timeout": "30s"},
    )
    assert [(frame["id"], frame["ok"], frame["data"]["kind"]) for frame in answers] == [
        ("0", True, "bcast_result"),
        ("1", True, "barrier_result"),
        ("2", True, "gather_result"),
        ("3", True, "reduce_result"),
        ("4", True, "scatter_result"),
        ("5", True, "allreduce_result"),
    ]
    assert answers[3]["data"]["data"]["reduced_text"] == "1/a=hi; 2/b=hi; 3/old=hi"
    assert [m["text"] for m in answers[4]["data"]["data"]["members"]] == ["a", "b", "old"]


def test_a_frame_that_fails_gets_its_result_and_then_the_error(missive: Missive) -> None:
    answers = frames(missive, {"command": "bcast", "group": "crew", "message": "slow 20", "timeout": "500ms"})
    assert [(frame["sequence"], frame["ok"]) for frame in answers] == [(0, True), (1, False)]
    assert answers[0]["data"]["data"]["status"] == "timeout"
    assert answers[1]["error"]["exit_code"] == 82


def test_a_frame_may_ask_for_the_updates_of_all_members(missive: Missive) -> None:
    *events, last = frames(missive, {"command": "bcast", "group": "crew", "message": "stream 1", "stream": True})
    assert {frame["data"]["kind"] for frame in events} == {"stream_event"}
    assert {frame["data"]["data"]["agent"] for frame in events} == {"a", "b", "old"}
    assert [frame["sequence"] for frame in (*events, last)] == list(range(len(events) + 1))
    assert last["data"]["data"]["success_count"] == 3


def test_a_frame_may_not_run_programs_or_write_files(missive: Missive) -> None:
    answers = frames(
        missive,
        {"command": "reduce", "group": "crew", "context": "ctx", "reducer_command": ["id"]},
        {"command": "gather", "group": "crew", "context": "ctx", "output_dir": "."},
        {"command": "bcast", "group": "crew", "files": ["x"]},
    )
    assert [frame["ok"] for frame in answers] == [False, False, False]
    assert {frame["error"]["exit_code"] for frame in answers} == {64}
