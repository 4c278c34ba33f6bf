"""Commands that call an agent: a real one, as a process, through a real command line."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest
from support.secrets import planted

if TYPE_CHECKING:
    from missive_host.demo.fleet import AgentProcess


@pytest.fixture
def registered(missive, agent: AgentProcess):  # type: ignore[no-untyped-def]
    missive.ok("agent", "add", "demo", agent.url)
    return missive


def on_terminal(missive, *words: str) -> str:  # type: ignore[no-untyped-def]
    """Run with a terminal of 80 columns for stdin, stdout and stderr, and return what it shows."""
    ours, theirs = pty.openpty()
    missive.env["COLUMNS"] = "80"
    with missive.start(*words, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        shown = b""
        try:
            while chunk := os.read(ours, 65536):
                shown += chunk
        except OSError:
            pass
        assert process.wait(60) == 0, shown
    os.close(ours)
    return shown.decode().replace("\r\n", "\n")


def test_send_for_people_is_the_answer(registered) -> None:  # type: ignore[no-untyped-def]
    done = registered.run("send", "demo", "echo hello")
    assert (done.returncode, done.stdout, done.stderr) == (0, "hello\n", "")


def test_send_in_json_and_ndjson_is_the_same_document(registered) -> None:  # type: ignore[no-untyped-def]
    document = json.loads(registered.ok("send", "demo", "echo hello", "--json"))
    line = json.loads(registered.ok("send", "demo", "echo hello", "--ndjson"))
    assert line.pop("sequence") == 0
    assert (document["kind"], set(document), set(document["data"])) == ("send_result", set(line), set(line["data"]))


def test_parts_come_in_the_order_of_the_reference(registered) -> None:  # type: ignore[no-untyped-def]
    (registered.home / "f.txt").write_text("file")
    data = json.loads(
        registered.ok(
            *("send", "demo", "echo-parts", "--stdin", "--file", "f.txt", "--file-bytes", "f.txt"),
            *("--json-part", '{"a":1}', "--part", "text=last", "--json"),
            stdin="piped",
        )
    )["data"]
    assert [part["kind"] for part in data["request"]["parts"]] == [
        *("text", "text", "file_reference", "file_bytes", "data", "text")
    ]
    assert data["request"]["parts"][1]["local_bytes"] == 5


def test_a_stream_in_json_is_one_document_with_its_events(registered) -> None:  # type: ignore[no-untyped-def]
    data = registered.json("stream", "demo", "stream 2")
    assert data["event_count"] == len(data["events"]) > 2
    assert [event["sequence"] for event in data["events"]] == list(range(len(data["events"])))


def test_a_stream_in_ndjson_is_a_line_an_event(registered) -> None:  # type: ignore[no-untyped-def]
    lines = [json.loads(line) for line in registered.ok("stream", "demo", "stream 2", "--ndjson").splitlines()]
    assert {line["kind"] for line in lines[:-1]} == {"stream_event"}
    assert lines[-1]["kind"] == "stream_result"
    assert [line["sequence"] for line in lines] == list(range(len(lines)))
    assert lines[-1]["data"]["events"] == []


def test_a_stream_into_a_file_is_the_text(registered) -> None:  # type: ignore[no-untyped-def]
    done = registered.run("stream", "demo", "stream 2")
    assert done.stdout == "chunk 1\nchunk 2\n"
    assert "working: step 1 of 2" in done.stderr


def test_a_stream_on_a_terminal_is_live(registered) -> None:  # type: ignore[no-untyped-def]
    shown = on_terminal(registered, "stream", "demo", "stream 2")
    assert "\x1b[2mworking: step 1 of 2\x1b[0m\r\x1b[2Kchunk 1\n" in shown
    assert "\x1b[32mcompleted: Done.\x1b[0m\n" in shown


def test_an_artifact_is_saved_with_a_progress_bar(registered) -> None:  # type: ignore[no-untyped-def]
    task = registered.json("send", "demo", "big 3")["response"]["task_id"]
    shown = on_terminal(registered, "task", "artifact", "export", task, "-o", "out")
    assert "100%" in shown
    (saved,) = (registered.home / "out").iterdir()
    assert saved.stat().st_size == 3 * 2**20
    quiet = registered.run("task", "artifact", "export", task, "-o", "again")
    assert "%" not in quiet.stderr


def test_a_deadline_is_82(registered) -> None:  # type: ignore[no-untyped-def]
    assert registered.error("send", "demo", "sleep 30", "--timeout", "300ms")["exit_code"] == 82


def test_a_result_and_then_an_error(registered) -> None:  # type: ignore[no-untyped-def]
    """The task failed: its document is on stdout all the same, and the error on stderr."""
    task = registered.json("send", "demo", "fail")["response"]["task_id"]
    done = registered.run("task", "wait", task, "--json")
    assert done.returncode == 80
    assert json.loads(done.stdout)["data"]["status"] == "failed"
    assert json.loads(done.stderr)["data"]["exit_code"] == 80


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_cancels_cleanly(registered, number: signal.Signals, code: int) -> None:  # type: ignore[no-untyped-def]
    with registered.start("stream", "demo", "stream 1000 0.02") as process:
        assert process.stdout.readline() == b"chunk 1\n"
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert out == b"" or out.endswith(b"\n")
    assert err.endswith(b"error: interrupted\n")
    assert b"Traceback" not in err


def test_a_stream_nobody_reads_any_more_ends_quietly(registered) -> None:  # type: ignore[no-untyped-def]
    with registered.start("stream", "demo", "stream 1000 0.02", "--ndjson") as process:
        process.stdout.readline()
        process.stdout.close()
        assert (process.stderr.read(), process.wait(60)) == (b"", 141)


def test_the_log_is_on_stderr_and_may_be_json(registered) -> None:  # type: ignore[no-untyped-def]
    done = registered.run("send", "demo", "echo hi", "-vvv", MISSIVE_LOG_FORMAT="json")
    assert done.stdout == "hi\n"
    records = [json.loads(line) for line in done.stderr.splitlines()]
    assert records
    assert all({"timestamp", "level", "target", "message"} <= set(record) for record in records)


def test_a_secret_header_is_nowhere_in_what_is_shown(registered) -> None:  # type: ignore[no-untyped-def]
    secret = planted("header")
    done = registered.run("send", "demo", "crash", "--header", f"X-Api-Key: {secret}", "-vvv", "--trace", "--json")
    assert done.returncode != 0
    assert secret not in done.stdout + done.stderr


def test_a_frame_through_the_adapter(registered) -> None:  # type: ignore[no-untyped-def]
    frame = '{"schema_version":"missive.stdio.v1","id":"req-1","command":"send","agent":"demo","message":"echo hi"}\n'
    done = registered.run("adapter", "stdio", "--mode", "single-shot", "--framing", "json", stdin=frame)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["data"]["data"]["response"]["text"] == "hi"


def test_a_command_line_without_a_terminal_or_streams(registered) -> None:  # type: ignore[no-untyped-def]
    command = subprocess.list2cmdline(registered.argv("send", "demo", "--stdin"))
    done = subprocess.run(
        ["sh", "-c", f"{command} <&-"],
        env=registered.env,
        cwd=registered.home,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 64
    assert "error: " in done.stderr
