"""``missive events``: what is typed, what is shown, and a reader that follows what other processes write."""

from __future__ import annotations

import csv
import io
import json
import os
import sqlite3
import subprocess
import sys
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest
from cli_kit import build
from storekit import event, task

from missive_host import commands as c
from missive_host.core.journal import is_end, words
from missive_host.errors import ValidationError
from missive_host.ids import after, now

if TYPE_CHECKING:
    from pathlib import Path

    from support.cores import Home

    from missive_host.demo.fleet import AgentProcess
    from missive_host.store import EventRow


def argv(home: Home, *line: str) -> list[str]:
    return [sys.executable, "-P", "-m", "missive_host", "--config", str(home.config), *line]


def missive(home: Home, *line: str, status: int = 0) -> str:
    done = subprocess.run(
        argv(home, *line), env={**os.environ, **home.environ}, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == status, done.stderr
    return done.stdout if status == 0 else done.stderr


def data(home: Home, *line: str) -> Any:
    return json.loads(missive(home, *line, "--json"))["data"]


def put(home: Home, *rows: EventRow) -> None:
    with home.store() as store:
        store.write(lambda tables: [tables.events.append(row) for row in rows])


def numbers(found: Any) -> list[int]:
    return [each["sequence"] for each in found["events"]]


STATUS = {"statusUpdate": {"taskId": "t-1", "status": {"state": "TASK_STATE_COMPLETED"}}}


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("events list", c.EventsList()),
        (
            "events list --agent echo --context c --task t --source core --type a2a.* --type missive.job.* --limit 5",
            c.EventsList(
                agent="echo", context="c", task="t", source="core", types=("a2a.*", "missive.job.*"), limit=5,
            ),
        ),
        ("events list --since 10m --after-sequence 3", c.EventsList(since="10m", after_sequence=3)),
        ("events show 17", c.EventsShow(event="17")),
        ("events tail -f -n 0", c.EventsTail(follow=True, lines=0)),
        (
            "events tail --until-terminal --from-sequence 4 --poll-interval 10ms --timeout 2s",
            c.EventsTail(until_terminal=True, from_sequence=4, poll_interval="10ms", timeout="2s"),
        ),
    ],
)  # fmt: skip
def test_a_line_is_a_command(line: str, command: c.Command) -> None:
    assert build(*line.split(" ")) == command


@pytest.mark.parametrize("line", ["events list --type [a-z]", "events list --limit 0", "events tail --lines -1"])
def test_what_cannot_be_is_refused(line: str) -> None:
    with pytest.raises(ValidationError):
        build(*line.split(" "))


def test_each_selector_selects_and_limit_keeps_the_newest(home: Home) -> None:
    put(
        home,
        event("a2a.send.request", agent_alias="echo", context_id="c-1", timestamp=after(-7200)),
        event("a2a.stream.task", agent_alias="echo", task_id="t-1", source="core", timestamp=after(-7200)),
        event("a2a.stream.status_update", agent_alias="other", task_id="t-1", timestamp=now()),
        event("missive.job.enqueued", timestamp=now()),
    )
    for selectors, found in (
        ((), [1, 2, 3, 4]),
        (("--agent", "echo"), [1, 2]),
        (("--context", "c-1"), [1]),
        (("--task", "t-1"), [2, 3]),
        (("--source", "core"), [2]),
        (("--type", "a2a.stream.*"), [2, 3]),
        (("--type", "a2a.stream.task"), [2]),
        (("--type", "a2a.*", "--type", "missive.job.*", "--limit", "2"), [3, 4]),
        (("--since", "1h"), [3, 4]),
        (("--since", "2000-01-01T00:00:00Z"), [1, 2, 3, 4]),
        (("--after-sequence", "3"), [4]),
        (("--limit", "1"), [4]),
    ):
        listed = data(home, "events", "list", *selectors)
        assert numbers(listed) == found, selectors
        assert listed["count"] == len(found)
    assert data(home, "events", "list", "--type", "a2a.*")["filters"] == {"types": ["a2a.*"]}
    lines = [json.loads(line) for line in missive(home, "events", "list", "--ndjson").splitlines()]
    assert [(line["kind"], line["sequence"]) for line in lines] == [("event_record", number) for number in (1, 2, 3, 4)]
    assert "is not an RFC 3339 time" in missive(home, "events", "list", "--since", "soon", status=64)


def test_one_is_shown_by_number_or_id(home: Home) -> None:
    row = event("a2a.stream.status_update", payload=STATUS, task_id="t-1")
    put(home, row)
    assert data(home, "events", "show", "1") == data(home, "events", "show", row.event_id)
    shown = missive(home, "events", "show", "1")
    assert "TASK_STATE_COMPLETED" in shown
    assert "there is no event '2'" in missive(home, "events", "show", "2", status=64)
    assert "completed" in missive(home, "events", "list")


def test_tail_shows_the_newest_or_all_from_a_number(home: Home) -> None:
    put(home, *(event(f"test.event{number % 2}") for number in range(30)))
    assert numbers(data(home, "events", "tail")) == list(range(21, 31))
    assert numbers(data(home, "events", "tail", "-n", "2", "--type", "test.event0")) == [27, 29]
    found = data(home, "events", "tail", "--from-sequence", "27")
    assert numbers(found) == [28, 29, 30]
    assert (found["from_sequence"], found["last_seen_sequence"], found["emitted"]) == (27, 30, 3)
    assert numbers(data(home, "events", "tail", "--from-sequence", "0", "--limit", "2")) == [1, 2]
    waited = data(home, "events", "tail", "-n", "0", "--timeout", "50ms")
    assert waited["timed_out"] is True
    assert waited["events"] == []


def test_what_has_ended_is_not_waited_for(home: Home) -> None:
    with home.store() as store:
        store.write(lambda tables: tables.tasks.upsert(task("echo", "t-1", "completed")))
    found = data(home, "events", "tail", "--task", "t-1", "-n", "0", "--until-terminal", "--timeout", "30s")
    assert (found["ended"], found["timed_out"]) == (True, False)


def test_a_tail_follows_what_other_processes_write(home: Home, agent: AgentProcess, tmp_path: Path) -> None:
    missive(home, "agent", "add", "echo", agent.url)
    began = data(home, "events", "tail")["last_seen_sequence"]
    line = ("events", "tail", "--from-sequence", str(began), "--until-terminal", "--poll-interval", "10ms", "--ndjson")
    with (tmp_path / "lines").open("w+b") as out:
        tail = subprocess.Popen(
            argv(home, *line, "--timeout", "50s"), env={**os.environ, **home.environ}, stdout=out, cwd=tmp_path
        )
        try:
            missive(home, "send", "echo", "hello")
            assert tail.wait(60) == 0
        finally:
            tail.kill()
            tail.wait()
    seen = [json.loads(text) for text in (tmp_path / "lines").read_text().splitlines()]
    assert [each["sequence"] for each in seen] == [began + 1, began + 2]
    assert [each["data"]["event_type"] for each in seen] == ["a2a.send.request", "a2a.send.response"]
    assert seen[0]["data"]["message_id"] == seen[1]["data"]["message_id"]


@pytest.mark.parametrize(
    ("kind", "payload", "end", "said"),
    [
        ("a2a.stream.status_update", STATUS, True, "completed"),
        ("a2a.send.request", {"message": {"parts": [{"text": "hi"}, {"data": 1}]}}, False, "hi [data]"),
        ("a2a.send.response", {"message": {"parts": [{"text": "ho"}]}}, True, "ho"),
        ("a2a.send.failed", {"status": "failed", "error": {"message": "gone"}}, True, "gone"),
        (
            "a2a.stream.artifact_update",
            {"artifactUpdate": {"artifact": {"parts": [{"raw": "", "filename": "f"}]}}},
            False,
            "[file f]",
        ),
        ("missive.job.completed", {"job_id": "j", "attempts": 1}, False, "job_id=j attempts=1"),
    ],
)
def test_what_an_event_says(kind: str, payload: Any, end: bool, said: str) -> None:
    assert words(payload) == said
    assert is_end(event(kind, payload=payload)) is end


# --- export

EVIL = '<script>alert(1)</script><img src=x onerror="alert(2)">\u202e\x1b[31m</pre>'


def test_export_as_lines_and_as_a_table(home: Home, tmp_path: Path) -> None:
    put(home, *(event("test.one" if number % 2 else "test.two", payload={"number": number}) for number in range(1200)))
    lines = missive(home, "events", "export").splitlines()
    assert [json.loads(line)["sequence"] for line in lines] == list(range(1, 1201))
    assert lines == [json.dumps(json.loads(line), separators=(",", ":")) for line in lines]
    records = [json.loads(line) for line in missive(home, "events", "export", "--ndjson", "--limit", "2").splitlines()]
    assert [(each["kind"], each["sequence"]) for each in records] == [("event_record", 1199), ("event_record", 1200)]
    file = tmp_path / "events.csv"
    found = data(home, "events", "export", "--format", "csv", "--type", "test.one", "-o", str(file))
    assert (found["count"], found["size"], found["path"]) == (600, file.stat().st_size, str(file))
    assert file.stat().st_mode & 0o777 == 0o600
    rows = list(csv.DictReader(io.StringIO(file.read_bytes().decode(), newline="")))
    assert [int(row["sequence"]) for row in rows] == list(range(2, 1201, 2))
    assert json.loads(rows[0]["payload"]) == {"number": 1}
    before = file.read_bytes()
    assert "it exists" in missive(home, "events", "export", "-o", str(file), status=74)
    assert file.read_bytes() == before
    missive(home, "events", "export", "-o", str(file), "--force")
    assert file.read_text().splitlines() == lines
    assert [each.name for each in tmp_path.iterdir() if each.name.endswith(".part")] == []


def test_a_spreadsheet_runs_nothing(home: Home) -> None:
    put(home, event("a2a.send.request", task_id="=1+1", payload={"message": {"parts": [{"text": '=HYPERLINK("x")'}]}}))
    (row,) = csv.DictReader(io.StringIO(missive(home, "events", "export", "--format", "csv")))
    assert (row["task_id"], row["says"]) == ("'=1+1", '\'=HYPERLINK("x")')


class Page(HTMLParser):
    """What a browser finds in a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.policy = ""
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        if ("http-equiv", "Content-Security-Policy") in attrs:
            self.policy = str(dict(attrs)["content"])

    def handle_data(self, data: str) -> None:
        self.text += data


def test_a_page_of_a_conversation_runs_nothing(home: Home, agent: AgentProcess, tmp_path: Path) -> None:
    missive(home, "agent", "add", "echo", agent.url)
    missive(home, "context", "create", "--name", "trip<b>", "--id", "trip")
    missive(home, "send", "echo", EVIL.replace("\x1b", ""), "--context", "trip")
    missive(home, "stream", "echo", "stream 2", "--context", "trip")
    file = tmp_path / "trip.html"
    missive(home, "events", "export", "--context", "trip", "--format", "html", "-o", str(file))
    page = Page(file.read_text())
    assert set(page.tags) == {
        "html", "head", "meta", "title", "style", "body", "header", "h1", "p", "main", "article", "small", "pre",
    }  # fmt: skip
    assert page.attributes == {"lang", "charset", "http-equiv", "content", "name", "class", "dir"}
    assert page.policy.startswith("default-src 'none'; style-src 'sha256-")
    assert page.text.count("<script>alert(1)</script>") == 2  # asked, and echoed
    assert "trip<b>" in page.text
    assert "completed" in page.text
    assert "\u202e" not in page.text
    assert "--context" in missive(home, "events", "export", "--format", "html", status=64)
    assert "limit" in missive(
        home, "events", "export", "--format", "html", "--context", "trip", "--limit", "2", status=64
    )


# --- replay


def change(home: Home, statement: str) -> None:
    """Change a table behind the store's back."""
    with sqlite3.connect(home.settings().paths.database) as connection:
        assert connection.execute(statement).rowcount == 1
    connection.close()


def test_replay_rebuilds_the_state_and_finds_what_is_false(home: Home, agent: AgentProcess) -> None:
    missive(home, "agent", "add", "echo", agent.url)
    missive(home, "context", "create", "--id", "unused")
    missive(home, "send", "echo", "hello", "--context", "trip")
    missive(home, "context", "close", "trip")
    missive(home, "stream", "echo", "stream 2", "--context", "tour")
    missive(home, "agent", "rename", "echo", "parrot")
    found = data(home, "events", "replay")
    contexts = {each["context_id"]: each for each in found["contexts"]}
    states = {"unused": "open", "trip": "closed", "tour": "open"}
    assert {key: each["state"] for key, each in contexts.items()} == states
    (task_,) = found["tasks"]
    assert (task_["agent"], task_["state"], task_["context_id"]) == ("parrot", "completed", "tour")
    assert contexts["tour"]["event_count"] == task_["event_count"] + 1  # the request knew no task yet
    assert found["event_count"] == sum(found["event_types"].values()) == len(data(home, "events", "list")["events"])
    verified = data(home, "events", "replay", "--verify")
    assert (verified["verified"], verified["differences"]) == (True, [])
    assert "exclude each other" in missive(home, "events", "replay", "--verify", "--agent", "echo", status=64)

    for statement, table, journal, stored in (
        ("UPDATE tasks SET state = 'working'", "tasks", "completed", "working"),
        ("UPDATE tasks SET state = 'completed', context_id = 'trip'", "tasks", "tour", "trip"),
        ("UPDATE tasks SET task_id = 'x', context_id = 'tour'", "tasks", "missing", "completed"),
    ):
        change(home, statement)
        assert "do not say the same" in missive(home, "events", "replay", "--verify", status=75)
        wrong = differences(home)
        assert (table, journal, stored) in wrong
    change(home, f"UPDATE tasks SET task_id = '{task_['task_id']}'")
    assert differences(home) == []
    change(home, "UPDATE contexts SET state = 'open' WHERE context_id = 'trip'")
    assert differences(home) == [("contexts", "closed", "open")]
    change(home, "UPDATE contexts SET state = 'closed' WHERE context_id = 'unused'")
    assert ("contexts", "open", "closed") in differences(home)


def differences(home: Home) -> list[tuple[str, str, str]]:
    done = subprocess.run(
        argv(home, "events", "replay", "--verify", "--json"),
        env={**os.environ, **home.environ}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    found = json.loads(done.stdout)["data"]["differences"]
    assert done.returncode == (75 if found else 0)
    return [(each["table"], each["journal"], each["stored"]) for each in found]
