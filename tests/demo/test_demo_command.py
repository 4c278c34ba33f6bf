"""``missive demo`` and ``missive demo serve``, as a person and as a program start them."""

from __future__ import annotations

import contextlib
import copy
import fcntl
import json
import os
import pty
import re
import shlex
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from missive_host.cli.demo import program
from missive_host.cli.demo_view import abridged, wrapped
from missive_host.cli.screen import width
from missive_host.demo.steps import STEPS, UnexpectedError
from missive_host.demo.tour import PORTS, is_free, serve_specs

MISSIVE = Path(sys.executable).with_name("missive")
ADAPTER = "missive adapter stdio --mode long-running"
Document = dict[str, Any]


class Person:
    """Somebody with an empty home, who types ``missive``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.temporary = folder / "tmp"
        self.home = folder / "home"
        for each in (self.temporary, self.home):
            each.mkdir(parents=True)

    def environment(self, more: Mapping[str, str] = {}) -> dict[str, str]:
        path = f"{MISSIVE.parent}{os.pathsep}{os.environ['PATH']}"
        return {"PATH": path, "HOME": str(self.home), "TMPDIR": str(self.temporary), "TERM": "xterm", **more}

    def types(self, command: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            shlex.split(command),
            env=self.environment(more),
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )

    @contextlib.contextmanager
    def starts(self, command: str) -> Iterator[subprocess.Popen[str]]:
        """A process group of its own, as a shell makes one for each command."""
        with subprocess.Popen(
            shlex.split(command),
            env=self.environment(),
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as process:
            try:
                yield process
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)

    def sees(self, command: str, columns: int, **more: str) -> str:
        """Return what a terminal of so many columns gets."""
        leader, follower = pty.openpty()
        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        with subprocess.Popen(
            shlex.split(command), env=self.environment(more), cwd=self.folder, stdout=follower, stderr=follower
        ) as process:
            os.close(follower)
            shown = b""
            with contextlib.suppress(OSError):  # how Linux says that the other side is closed
                while piece := os.read(leader, 65536):
                    shown += piece
            os.close(leader)
        assert process.returncode == 0, shown.decode()
        return shown.decode().replace("\r\n", "\n")

    def left_behind(self) -> list[str]:
        return [path.name for path in (*self.temporary.iterdir(), *self.home.iterdir())]


@pytest.fixture
def person(tmp_path: Path) -> Person:
    return Person(tmp_path / "person")


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Document:
    """What ``missive demo --json`` prints."""
    someone = Person(tmp_path_factory.mktemp("demo") / "person")
    done = someone.types("missive demo --json")
    assert (done.returncode, done.stderr) == (0, "")
    assert someone.left_behind() == []
    parsed: Document = json.loads(done.stdout)
    return parsed


def gone(process: subprocess.Popen[str]) -> bool:
    """True once no process of the group is left."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


def read_until(process: subprocess.Popen[str], text: str) -> str:
    assert process.stdout is not None
    seen = ""
    for line in process.stdout:
        seen += line
        if text in line:
            return seen
    raise AssertionError(f"it ended without {text!r}: {seen}")


# --- for programs


def test_the_document(document: Document) -> None:
    assert (document["schema_version"], document["ok"], document["kind"]) == ("missive.output.v1", True, "demo")
    data = document["data"]
    assert data["passed"] is True
    assert data["adapter"] == ADAPTER
    assert [agent["agent"] for agent in data["agents"]] == ["echo", "worker", "asker"]
    assert len({agent["url"] for agent in data["agents"]}) == 3
    assert [step["request"]["command"] for step in data["steps"]] == [
        "send",
        "stream",
        "send",
        "send",
        "task_list",
        "allreduce",
    ]
    for step in data["steps"]:
        assert {frame["id"] for frame in step["responses"]} == {step["request"]["id"]}
        assert {frame["schema_version"] for frame in step["responses"]} == {"missive.stdio.v1"}
        assert len(step["seconds"]) == len(step["responses"])
        assert "problem" not in step


def test_the_answer_names_the_task_that_asked(document: Document) -> None:
    asked, answered = document["data"]["steps"][2:4]
    response = asked["responses"][-1]["data"]["data"]["response"]
    assert response["state"] == "input_required"
    assert answered["request"]["task"] == response["task_id"]
    assert answered["responses"][-1]["data"]["data"]["response"]["task_id"] == response["task_id"]


def test_the_second_act_is_a_vote(document: Document) -> None:
    group = document["data"]["group"]
    result = document["data"]["steps"][5]["responses"][-1]["data"]["data"]
    assert (group["group"], group["strategy"]) == (result["group"], result["strategy"]) == ("crew", "vote")
    seen = [(each["rank"], each["agent"], each["state"], each["text"]) for each in group["members"]]
    assert seen == [
        ("1", "echo", "completed", "tea"),
        ("2", "worker", "completed", "coffee"),
        ("3", "asker", "completed", "tea"),
    ]
    assert [each["duration_ms"] for each in group["members"]] == [
        each["duration_ms"] for each in result["bcast"]["members"]
    ]
    assert group["elapsed_ms"] == result["elapsed_ms"]
    assert group["reduced_text"] == result["reduced_text"]
    assert group["reduced_text"].startswith('Vote result: "tea" received 2 of 3')


def test_one_line(person: Person) -> None:
    (line,) = person.types("missive demo --ndjson").stdout.splitlines()
    assert json.loads(line)["kind"] == "demo"


# --- for people


def test_what_a_person_reads(person: Person) -> None:
    broken = person.home / "broken.toml"
    broken.write_text("[plugins]\ndisabled = ['stdio']\n")
    done = person.types("missive demo", MISSIVE_CONFIG=str(broken), MISSIVE_PLUGINS_DISABLED="stdio")
    assert (done.returncode, done.stderr) == (0, "")  # the user's own configuration has no part in it
    text = done.stdout
    assert "\x1b" not in text
    headings = re.findall(r"^\d\. (.+)$", text, re.MULTILINE)
    assert headings == [step.title for step in STEPS]
    assert ADAPTER in text
    asked = [json.loads(line) for line in re.findall(r"^  → (.+)$", text, re.MULTILINE)]
    assert [frame["id"] for frame in asked] == [f"req-{number}" for number in range(1, len(STEPS) + 1)]
    answers = re.findall(r"^  ← +[\d.]+ s  (.+)$", text, re.MULTILINE)
    assert '"text":"hello"' in answers[0]
    assert [answer for answer in answers if '"text":"step 3 of 4"' in answer]
    assert [answer for answer in answers if '"input_required"' in answer and '"What is your name?"' in answer]
    assert '"text":"You answered: Ada"' in answers[-3]
    assert '{"agent":"asker"…"state":"completed"…}' in answers[-2]
    assert '"allreduce_result"…"status":"succeeded"' in answers[-1]
    first, second = text.partition("Second act: ")[::2]
    assert "First act: " in first
    table = re.search(r"^  RANK .+?\n\n", second, re.MULTILINE | re.DOTALL)
    assert table is not None
    heading, *rows = (line.split() for line in table[0].splitlines() if line)
    assert heading == ["RANK", "AGENT", "STATE", "ANSWER", "MS"]
    assert [row[:-1] for row in rows] == [
        ["1", "echo", "completed", "tea"],
        ["2", "worker", "completed", "coffee"],
        ["3", "asker", "completed", "tea"],
    ]
    assert all(row[-1].isdecimal() for row in rows)
    assert 'Vote result: "tea" received 2 of 3 vote(s).' in second
    assert "It all came out as expected" in text
    assert person.left_behind() == ["broken.toml"]


def test_a_narrow_terminal_with_colour_and_without(person: Person) -> None:
    coloured = person.sees("missive demo", 80)
    plain = re.sub(r"\x1b\[\d+m", "", coloured)
    assert coloured != plain
    assert "\x1b" not in plain
    assert [line for line in plain.splitlines() if width(line) > 80 and "missive " not in line] == []
    assert "…" in plain
    assert '"text":"step 4 of 4"' in plain
    sent = plain.partition('  → {"id":"req-6"')[2].partition("  ← ")[0]
    assert '"message":"choose tea coffee","strategy":"vote"}\n' in sent  # what goes in is wrapped, not cut
    assert "\x1b" not in person.sees("missive demo", 80, NO_COLOR="1")


@pytest.mark.parametrize("room", [20, 40, 60, 80, 120, None])
def test_frames_are_shortened_to_the_room_there_is(document: Document, room: int | None) -> None:
    frames = [frame for step in document["data"]["steps"] for frame in step["responses"]]
    shown = [abridged(frame, room) for frame in frames]
    assert all(room is None or width(text) <= room for text in shown)
    if room is None or room >= 80:
        assert any('"text":"What is your name?"' in text for text in shown)


def test_what_goes_in_is_wrapped_behind_commas() -> None:
    frame = '{"id":"a","message":"one,two","more":1}'
    assert wrapped(frame, None) == [frame]
    assert wrapped(frame, len(frame)) == [frame]
    assert wrapped(frame, 30) == ['{"id":"a","message":"one,two",', '"more":1}']
    assert wrapped(frame, 12) == ['{"id":"a",', '"message":"…', '"more":1}']


def test_an_error_frame_shows_its_message() -> None:
    frame = {"id": "a", "ok": False, "error": {"message": "no such thing", "help": "look"}}
    assert abridged(frame, None) == '{"id":"a"…"message":"no such thing"…}'


# --- when it does not come out


@pytest.mark.parametrize("number", range(len(STEPS)))
def test_each_step_sees_that_its_answer_is_another(document: Document, number: int) -> None:
    step = STEPS[number]
    right = document["data"]["steps"][number]["responses"]
    assert step.outcome(right)
    error = {"ok": False, "id": right[-1]["id"], "error": {"message": "it is broken"}}
    with pytest.raises(UnexpectedError, match="it is broken"):
        step.outcome([*right[:-1], error])
    other = document["data"]["steps"][(number + 1) % len(STEPS)]["responses"]
    with pytest.raises(UnexpectedError):
        step.outcome(other)


WRONG_SCRIPT = """
import sys
from missive_host.demo import steps
frame = {"id": "req-1", "command": "send", "agent": "nobody", "message": "hello"}
steps.STEPS = (steps.Step("Send a message", "why", lambda _: frame, steps.STEPS[0].outcome), *steps.STEPS[1:])
from missive_host.cli.root import run
sys.exit(run(sys.argv[1:]))
"""


def test_a_step_that_goes_wrong_ends_it(person: Person) -> None:
    command = shlex.join([sys.executable, "-c", WRONG_SCRIPT, "demo"])
    done = person.types(command)
    assert done.returncode == 70
    assert "not as expected: " in done.stdout
    assert "nobody" in done.stdout
    assert "Three commands" not in done.stdout
    assert "2. " not in done.stdout
    assert done.stderr.startswith("error: step 1 of the demo, 'Send a message', did not come out as expected")
    done = person.types(command + " --json")
    data = json.loads(done.stdout)["data"]
    assert (done.returncode, data["passed"], len(data["steps"])) == (70, False, 1)
    assert "nobody" in data["steps"][0]["problem"]
    assert person.left_behind() == []


@pytest.mark.parametrize(
    ("member", "problem"),
    [({"state": "failed"}, "'failed'"), ({"state": None}, "None")],
)
def test_a_member_that_fails_is_seen(document: Document, member: Document, problem: str) -> None:
    frames = copy.deepcopy(document["data"]["steps"][5]["responses"])
    frames[-1]["data"]["data"]["barrier"]["members"][1].update(member)
    with pytest.raises(UnexpectedError, match=problem):
        STEPS[5].outcome(frames)


OTHER_OPINION = """
import sys
from missive_host.demo import steps
steps.QUESTION = "choose this"
from missive_host.cli.root import run
sys.exit(run(sys.argv[1:]))
"""


def test_another_vote_shows_no_table(person: Person) -> None:
    command = shlex.join([sys.executable, "-c", OTHER_OPINION, "demo"])
    done = person.types(command)
    assert done.returncode == 70
    assert "what the members answered is" in done.stderr
    assert "RANK" not in done.stdout
    data = json.loads(person.types(command + " --json").stdout)["data"]
    assert "group" not in data
    assert [len(data["steps"]), data["passed"]] == [len(STEPS), False]


def test_an_adapter_that_does_not_start_says_why(person: Person) -> None:
    info = person.folder / "site" / "other-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[missive.plugins]\nstdio = other\n")
    done = person.types("missive demo", PYTHONPATH=str(info.parent))
    assert done.returncode == 69
    assert "error: the adapter ended with status 78 before it had answered" in done.stderr
    assert "claimed by missive-host" in done.stderr
    assert person.left_behind() == []


def test_the_deadline(person: Person) -> None:
    done = person.types("missive demo --timeout 1ms")
    assert done.returncode == 69
    assert "was not ready after 0.001 s" in done.stderr
    assert person.types("missive demo --timeout soon").returncode == 64


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_nothing_behind(person: Person, number: signal.Signals, status: int) -> None:
    with person.starts("missive demo") as process:
        read_until(process, "step 1 of 4")
        os.killpg(process.pid, number)  # as a terminal does: to all of the group
        _, said = process.communicate(timeout=20)
        assert (process.returncode, said) == (status, "error: interrupted\n")
        assert gone(process)
    assert person.left_behind() == []


def test_a_signal_to_the_command_alone_ends_the_others_too(person: Person) -> None:
    with person.starts("missive demo") as process:
        read_until(process, "step 1 of 4")
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 143
        assert gone(process)
    assert person.left_behind() == []


# --- what to try next


def test_the_three_commands_do_what_they_say(person: Person) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # an earlier test may have used it
        with contextlib.suppress(OSError):  # somebody else has it: as good
            taken.bind(("127.0.0.1", PORTS[0]))
            taken.listen()
        shown = person.types("missive demo").stdout
        serve, add, send = re.findall(
            r"^  (missive .+)$", shown.partition("Three commands to try next")[2], re.MULTILINE
        )
        assert re.fullmatch(r"missive demo serve --port \d+", serve)
        with person.starts(serve) as process:
            read_until(process, "missive agent add asker")
            added, sent = person.types(add), person.types(send)
            assert (added.returncode, sent.returncode) == (0, 0), added.stderr + sent.stderr
            assert sent.stdout == "hello\n"
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 0
            assert gone(process)


def test_which_ports_are_used() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert not is_free(port)
    assert is_free(port)
    assert [spec.port for spec in serve_specs((port, 5))] == [port, 5, 0]
    assert all(spec.port in (port, 0) for spec, port in zip(serve_specs(), PORTS, strict=True))


def served(process: subprocess.Popen[str]) -> Document:
    """Return the data of the document that ``missive demo serve --json`` prints while it runs."""
    assert process.stdout is not None
    text = ""
    for line in process.stdout:
        text += line
        if line == "}\n":
            break
    document: Document = json.loads(text)
    assert document["kind"] == "demo_serve"
    data: Document = document["data"]
    return data


def test_serve_for_programs(person: Person) -> None:
    with person.starts("missive demo serve --json --port 0 --port 0") as process:
        data = served(process)
        agents = {agent["agent"]: agent["url"] for agent in data["agents"]}
        assert list(agents) == ["echo", "worker", "asker"]
        for command in data["next_commands"]:
            assert person.types(command).returncode == 0
        for command in data["group_commands"]:
            done = person.types(command)
            assert done.returncode == 0, done.stderr
        assert 'Vote result: "tea" received 2 of 3 vote(s).' in done.stdout
        assert person.types("missive send asker 'ask What now?'").stdout == "What now?\n"
        process.terminate()
        _, said = process.communicate(timeout=20)
        assert (process.returncode, said) == (0, "the agents have been stopped\n")
        assert gone(process)


def test_serve_ends_when_an_agent_has_died(person: Person) -> None:
    with person.starts("missive demo serve --json --port 0 --port 0 --port 0") as process:
        agents = {agent["agent"]: agent["pid"] for agent in served(process)["agents"]}
        os.kill(agents["worker"], signal.SIGKILL)
        _, said = process.communicate(timeout=20)
        assert process.returncode == 69
        error = json.loads(said)["data"]
        assert error["message"] == "transport error: the agent 'worker' has ended with status -9"
        assert gone(process)


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ("serve --port 1 --port 2 --port 3 --port 4", 2, "there are 3 agents, not 4"),
        ("serve --port 65536", 2, "'--port'"),
        ("servve", 2, "did you mean 'serve'?"),
    ],
)
def test_refused(person: Person, arguments: str, status: int, message: str) -> None:
    done = person.types(f"missive demo {arguments}")
    assert done.returncode == status
    assert message in done.stderr


def test_a_port_that_is_taken(person: Person) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = person.types(f"missive demo serve --port {taken.getsockname()[1]}")
    assert done.returncode == 69
    assert "cannot listen on port" in done.stderr


def test_how_to_call_missive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(MISSIVE.parent))
    assert program(str(MISSIVE)) == "missive"
    assert program("/somewhere/missive_host/__main__.py") == "missive"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert program(".venv/bin/missive") == ".venv/bin/missive"
    assert program("/with space/missive") == "'/with space/missive'"
    assert program("/a/script.py") == f"{shlex.quote(sys.executable)} -m missive_host"
