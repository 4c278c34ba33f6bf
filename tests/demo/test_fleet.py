"""Agents as processes: they start together, end together, and leave no orphan."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from missive_host.demo.agents import available_bindings, parse_bindings
from missive_host.demo.fleet import DEMO_AGENTS, AgentSpec, Fleet
from missive_host.demo.server import listen
from missive_host.errors import TransportError, ValidationError

if TYPE_CHECKING:
    from collections.abc import Iterator

SERVER = [sys.executable, "-m", "missive_host.demo.server"]


def gone(pid: int) -> bool:
    """Return True once the process has ended; one that nobody has waited for yet counts as ended."""
    stat = Path(f"/proc/{pid}/stat")
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
            if stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.02)
    return False


def card_name(url: str) -> str:
    answer = httpx.get(url + "/.well-known/agent-card.json", trust_env=False)
    return str(answer.raise_for_status().json()["name"])


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


class TestFleet:
    def test_the_demo_agents(self) -> None:
        with Fleet(DEMO_AGENTS) as fleet:
            names = {agent.name: card_name(agent.url) for agent in fleet}
            pids = [agent.pid for agent in fleet]
            assert fleet["echo"].bindings == ("JSONRPC", "HTTP+JSON")
            assert fleet["worker"].bindings == available_bindings()
            assert fleet.exited() == {}
        assert names == {"echo": "echo", "worker": "worker", "asker": "asker"}
        assert all(gone(pid) for pid in pids)

    def test_bindings_and_tenant_are_passed_on(self) -> None:
        with Fleet([AgentSpec("one", bindings=("http+json", "json-rpc"), tenant="acme", fast=True)]) as fleet:
            assert fleet["one"].bindings == ("HTTP+JSON", "JSONRPC")
            call = {"message": {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "headers"}]}}
            answer = httpx.post(
                fleet["one"].interfaces["HTTP+JSON"] + "/acme/message:send",
                json=call,
                headers={"A2A-Version": "1.0"},
                trust_env=False,
            )
        assert answer.json()["message"]["parts"][1]["data"]["tenant"] == "acme"

    def test_an_agent_that_died_is_named(self) -> None:
        with Fleet([AgentSpec("one", bindings=("json-rpc",))]) as fleet:
            os.kill(fleet["one"].pid, signal.SIGKILL)
            deadline = time.monotonic() + 10
            while not fleet.exited() and time.monotonic() < deadline:
                time.sleep(0.02)
            assert fleet.exited() == {"one": -signal.SIGKILL}

    def test_what_a_failing_agent_said_is_in_the_error(self) -> None:
        specs = [
            AgentSpec("good", bindings=("json-rpc",)),
            AgentSpec("bad", bearer_env="MISSIVE_TEST_NO_SUCH_VARIABLE"),
        ]
        with pytest.raises(TransportError, match="'bad' ended before it was ready") as caught, Fleet(specs):
            pytest.fail("it must not start")
        assert caught.value.sources == ("error: the variable MISSIVE_TEST_NO_SUCH_VARIABLE is empty or not set",)

    def test_an_agent_that_says_nothing_is_given_up(self, tmp_path: Path) -> None:
        mark = tmp_path / "pid"
        command = ("sh", "-c", 'echo $$ > "$0"; exec sleep 600', str(mark))
        fleet = Fleet([AgentSpec("mute", command=command)], start_timeout=1.0)
        with pytest.raises(TransportError, match=r"'mute' was not ready after 1 s"), fleet:
            pytest.fail("it must not start")
        assert gone(int(mark.read_text()))

    def test_a_wrong_ready_line_is_an_error(self) -> None:
        fleet = Fleet([AgentSpec("odd", command=python("print('hello')"))])
        with pytest.raises(TransportError, match="'odd' printed no ready line: hello"), fleet:
            pytest.fail("it must not start")

    def test_a_missing_program_is_an_error(self) -> None:
        fleet = Fleet([AgentSpec("none", command=("/no/such/program",))])
        with pytest.raises(TransportError, match="'none' could not be started"), fleet:
            pytest.fail("it must not start")

    def test_an_agent_that_will_not_leave_is_killed(self) -> None:
        ready = {"url": "http://127.0.0.1:1", "pid": 0, "protocol": "1.0", "bindings": [], "interfaces": []}
        code = (
            "import json, os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
            f"ready = {ready!r}; ready['pid'] = os.getpid(); print(json.dumps(ready), flush=True); time.sleep(600)"
        )
        with Fleet([AgentSpec("stubborn", command=python(code))], stop_timeout=0.2) as fleet:
            pid = fleet["stubborn"].pid
        assert gone(pid)

    def test_names_must_differ(self) -> None:
        with pytest.raises(ValueError, match="same name"):
            Fleet([AgentSpec("one"), AgentSpec("one")])


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    command = [*SERVER, "--bindings", "json-rpc", "--exit-with-stdin"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        yield running
        running.kill()


def ready_line(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    assert process.stdout is not None
    line: dict[str, Any] = json.loads(process.stdout.readline())
    return line


class TestServerProcess:
    def test_the_ready_line(self, process: subprocess.Popen[bytes]) -> None:
        ready = ready_line(process)
        url = ready["url"]
        assert ready == {
            "name": "demo",
            "url": url,
            "pid": process.pid,
            "protocol": "1.0",
            "bindings": ["JSONRPC"],
            "interfaces": [{"binding": "JSONRPC", "url": url + "/rpc"}],
        }

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_a_signal_ends_it_cleanly(self, process: subprocess.Popen[bytes], number: signal.Signals) -> None:
        ready_line(process)
        process.send_signal(number)
        assert process.wait(10) == 0
        assert process.stderr is not None
        assert process.stderr.read() == b""

    def test_a_signal_ends_it_in_the_middle_of_a_stream(self, process: subprocess.Popen[bytes]) -> None:
        url = ready_line(process)["interfaces"][0]["url"]
        message = {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "sleep 600"}]}
        call = {"jsonrpc": "2.0", "id": 1, "method": "SendStreamingMessage", "params": {"message": message}}
        with (
            httpx.Client(trust_env=False, headers={"A2A-Version": "1.0"}, timeout=20) as http,
            http.stream("POST", url, json=call) as answer,
        ):
            lines = answer.iter_lines()
            assert '"task"' in next(lines)
            process.terminate()
            assert process.wait(10) == 0

    def test_the_end_of_stdin_ends_it(self, process: subprocess.Popen[bytes]) -> None:
        ready_line(process)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(10) == 0

    def test_no_orphan_remains_when_its_parent_is_killed(self) -> None:
        code = (
            "import time\nfrom missive_host.demo.fleet import *\n"
            "with Fleet([AgentSpec('one', bindings=('json-rpc',))]) as fleet:\n"
            "    print(fleet['one'].pid, flush=True)\n    time.sleep(600)"
        )
        with subprocess.Popen(python(code), stdout=subprocess.PIPE) as parent:
            assert parent.stdout is not None
            pid = int(parent.stdout.readline())
            parent.kill()
        assert gone(pid)

    @pytest.mark.parametrize(
        ("arguments", "reason"),
        [
            (["--bindings", "smoke"], "error: 'smoke' is no binding"),
            (["--require-bearer-env", "MISSIVE_TEST_NO_SUCH_VARIABLE"], "error: the variable MISSIVE_TEST_NO_SUCH"),
        ],
    )
    def test_what_it_cannot_do_it_says(self, arguments: list[str], reason: str) -> None:
        ended = subprocess.run([*SERVER, *arguments], capture_output=True, text=True, timeout=20)
        assert (ended.returncode, ended.stdout) == (2, "")
        assert ended.stderr.startswith(reason)

    def test_a_port_that_is_taken(self, process: subprocess.Popen[bytes]) -> None:
        port = ready_line(process)["url"].rpartition(":")[2]
        ended = subprocess.run([*SERVER, "--port", port], capture_output=True, text=True, timeout=20)
        assert ended.returncode == 2
        assert ended.stderr.startswith(f"error: cannot listen on port {port}: ")


def test_answers_do_not_wait_for_acknowledgements() -> None:
    # asyncio sets TCP_NODELAY on the connections of a listener only if this names the protocol.
    with listen(0) as sock:
        assert sock.proto == socket.IPPROTO_TCP


class TestBindings:
    def test_spellings_and_order(self) -> None:
        assert parse_bindings("HTTP+JSON, jsonrpc") == ("HTTP+JSON", "JSONRPC")

    def test_all_that_are_installed(self) -> None:
        assert available_bindings()[:2] == ("JSONRPC", "HTTP+JSON")
        assert ("GRPC" in available_bindings()) == (find_spec("grpc") is not None)

    @pytest.mark.parametrize("text", ["", "json-rpc,", "json-rpc,jsonrpc", "soap"])
    def test_refused(self, text: str) -> None:
        with pytest.raises(ValidationError):
            parse_bindings(text)
