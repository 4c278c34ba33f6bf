"""The gateway as a process among processes: signals, readers that do not read, agents that take their time, poison."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from crash.harness import no_room
from support.gateways import GatewayProcess

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.cores import Home
    from support.misbehaving import Exchange, Start

    from missive_host.demo.fleet import AgentProcess

CONFIG = """
[qos]
retry_backoff = "10ms"

[gateway]
drain = "{drain}"
max_attempts = 2

[agents.echo]
base_url = "{echo}"

[agents.slow]
base_url = "{slow}"

[adapters.pipe]
kind = "stdio"
settings = {{ mode = "long-running", concurrency = 256 }}

[adapters.files]
kind = "file-drop"
settings = {{ inbox = "{folder}/in", outbox = "{folder}/out", any_order = true, poll_interval = "100ms" }}

[adapters.web]
kind = "http"
"""
FILES = 1000
STREAMS = 1000


class Holding:
    """An agent that keeps its tasks, and what it was sent, until `release` is called."""

    def __init__(self, misbehaving: Start) -> None:
        self.got: list[str] = []
        self._done = threading.Event()
        self.url = misbehaving(self._handle).url

    def release(self) -> None:
        self._done.set()

    def _task(self, task_id: str) -> dict[str, Any]:
        done = self._done.is_set()
        state = "TASK_STATE_COMPLETED" if done else "TASK_STATE_WORKING"
        task: dict[str, Any] = {"id": task_id, "contextId": f"c-{task_id}", "status": {"state": state}}
        return {**task, "artifacts": [{"artifactId": "a", "parts": [{"text": "done"}]}]} if done else task

    def _handle(self, exchange: Exchange) -> None:
        request = exchange.request.json()
        method, params = request["method"], request["params"]
        if method == "SendMessage":
            self.got.append(params["message"]["messageId"])
            exchange.result({"task": self._task(f"t-{params['message']['messageId']}")})
        elif method == "GetTask":
            exchange.result(self._task(params["id"]))
        else:  # it does not stream
            error = {"jsonrpc": "2.0", "id": request["id"], "error": {"code": -32004, "message": "no"}}
            exchange.reply(200, error)


@pytest.fixture
def slow(misbehaving: Start) -> Holding:
    return Holding(misbehaving)


@pytest.fixture
def configured(home: Home, agent: AgentProcess, slow: Holding) -> Callable[..., Home]:
    def configure(*, drain: str = "10s") -> Home:
        home.configure(CONFIG.format(echo=agent.url, slow=slow.url, folder=home.folder, drain=drain))
        for name in ("in", "out"):
            (home.folder / name).mkdir(exist_ok=True)
        return home

    return configure


def frame(name: str, agent: str, message: str = "x", **fields: Any) -> dict[str, Any]:
    source = {"source_id": name}
    return {"id": name, "command": "send", "agent": agent, "message": message, "source": source, **fields}


def ended(gateway: GatewayProcess) -> dict[str, dict[str, Any]]:
    return {doc["id"]: doc for doc in gateway.documents if doc.get("schema_version") == "missive.stdio.v1"}


def text(document: dict[str, Any]) -> str:
    return str(document["data"]["data"]["response"]["text"])


def rows(home: Home) -> Any:
    with home.store() as store:
        return store.read(lambda tables: tables.work.list())


def until(condition: Callable[[], Any], seconds: float = 30) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def post(gateway: GatewayProcess, document: dict[str, Any], **headers: str) -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection(gateway.url.removeprefix("http://"), timeout=30)
    try:
        sent = {"Content-Type": "application/json", **headers}
        connection.request("POST", "/adapter/http/v1/messages", json.dumps(document), sent)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def drop(folder: Path, name: str, document: dict[str, Any]) -> None:
    staged = folder / f"{name}.staged"
    staged.write_text(json.dumps(document))
    staged.rename(folder / "in" / f"{name}.json")


# --- signals


def test_what_does_not_fit_into_the_drain_is_done_by_the_next_gateway(
    configured: Callable[..., Home], slow: Holding
) -> None:
    home = configured(drain="300ms")
    drop(home.folder, "file", frame("file", "slow"))
    with GatewayProcess(home, stdin=True) as gateway:
        gateway.ready()
        gateway.put(frame("pipe", "slow"))
        until(lambda: [row.task_id is not None for row in rows(home)] == [True, True])
        assert gateway.stop() == 0
        assert ended(gateway) == {}
    assert [(row.state, row.attempts) for row in rows(home)] == [("ready", 0), ("ready", 0)], "it is not their fault"
    slow.release()
    with GatewayProcess(home, stdin=True) as gateway:
        assert text(gateway.until(lambda _: ended(gateway).get("pipe"))) == "done"
        until((home.folder / "out" / "file.result.json").exists)
        assert gateway.stop() == 0
    assert len(slow.got) == 2, "the agent has it already: its task is followed"


def test_a_second_signal_cuts_off(configured: Callable[..., Home], slow: Holding) -> None:
    home = configured(drain="10m")
    with GatewayProcess(home, stdin=True) as gateway:
        gateway.ready()
        gateway.put(frame("pipe", "slow"))
        until(lambda: slow.got)
        gateway.process.send_signal(signal.SIGTERM)
        until(lambda: gateway.status()["state"] == "draining")
        assert gateway.stop(20) == 0
    slow.release()
    with GatewayProcess(home, stdin=True) as gateway:
        assert text(gateway.until(lambda _: ended(gateway).get("pipe"))) == "done"
    assert len(set(slow.got)) == 1


def test_answers_are_delivered_before_it_stops(configured: Callable[..., Home]) -> None:
    home = configured()
    big = "x" * 4000
    with GatewayProcess(home, stdin=True, deaf=True) as gateway:
        gateway.ready()
        gateway.put(*(frame(f"pipe-{number}", "echo", f"echo {big}") for number in range(100)))
        until(lambda: Counter(row.state for row in rows(home))["done"] == 100)
        gateway.process.send_signal(signal.SIGTERM)
        time.sleep(1)  # without anybody to wait for, it would have stopped by now
        gateway.listen()
        assert gateway.wait() == 0
        assert len(ended(gateway)) == 100
    assert all(row.delivered_at for row in rows(home))


def test_a_full_disk_is_told_and_nothing_is_lost(configured: Callable[..., Home], slow: Holding) -> None:
    home = configured(drain="1s")
    with GatewayProcess(home, stdin=True) as gateway:
        gateway.ready()
        gateway.put(frame("slow", "slow"))
        until(lambda: [row.task_id is not None for row in rows(home)] == [True])
        with no_room(gateway):
            status, problem = post(gateway, frame("post", "echo", "echo hi"))
            assert (status, problem["error"]["category"]) == (503, "storage")
            gateway.put(frame("pipe", "echo", "echo hi"))
            assert gateway.until(lambda _: ended(gateway).get("pipe"))["error"]["category"] == "storage"
            drop(home.folder, "file", frame("file", "echo", "echo hi"))
            assert gateway.get("/readyz")[0] == 503
            assert gateway.get("/healthz")[0] == 200
            slow.release()
            assert gateway.stop() == 0
    with GatewayProcess(home, stdin=True) as gateway:
        assert text(gateway.until(lambda _: ended(gateway).get("slow"))) == "done"
        until((home.folder / "out" / "file.result.json").exists)
        assert gateway.ready().stop() == 0
    assert len(slow.got) == 1
    assert sorted(row.request["id"] for row in rows(home)) == ["file", "slow"]


def test_a_store_that_takes_something_again_is_found_out(configured: Callable[..., Home], slow: Holding) -> None:
    home = configured()
    with GatewayProcess(home, stdin=True) as gateway:
        gateway.ready()
        gateway.put(frame("slow", "slow"))
        until(lambda: slow.got)
        with no_room(gateway):
            slow.release()
            until(lambda: gateway.get("/readyz")[0] == 503)
        assert text(gateway.until(lambda _: ended(gateway).get("slow"))) == "done"
        assert gateway.ready().stop() == 0
    assert len(set(slow.got)) == 1


# --- those who are slow


def test_an_output_that_is_not_read_holds_up_nobody(configured: Callable[..., Home]) -> None:
    home = configured()
    big = "x" * 4000
    with GatewayProcess(home, stdin=True, deaf=True) as gateway:
        gateway.ready()
        gateway.put(*(frame(f"pipe-{number}", "echo", f"echo {big}") for number in range(200)))
        until(lambda: Counter(row.state for row in rows(home))["done"] == 200)
        drop(home.folder, "file", frame("file", "echo", "echo hi"))
        assert post(gateway, frame("post", "echo", "echo hi"))[0] == 200
        until((home.folder / "out" / "file.result.json").exists)
        assert gateway.get("/readyz")[0] == 200
        gateway.listen()
        found = gateway.until(lambda _: len(ended(gateway)) == 200 and ended(gateway))
        assert {text(doc) for doc in found.values()} == {big}
        assert gateway.stop() == 0
    assert all(row.delivered_at for row in rows(home))


def test_an_event_stream_that_is_not_read_holds_up_nobody(configured: Callable[..., Home]) -> None:
    home = configured()
    request = {**frame("stream", "echo", "big 6"), "command": "stream"}
    body = json.dumps(request).encode()
    with GatewayProcess(home, stdin=True) as gateway, socket.socket() as client:
        host, _, port = gateway.ready().url.removeprefix("http://").rpartition(":")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect((host, int(port)))
        client.sendall(
            b"POST /adapter/http/v1/messages HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            b"Accept: text/event-stream\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
        )
        until(lambda: rows(home))
        assert post(gateway, frame("post", "echo", "echo hi"))[0] == 200
        until(lambda: [row.state for row in rows(home)] == ["done", "done"], 90)
        assert gateway.get("/readyz")[0] == 200
        assert gateway.stop() == 0, "a client that does not read does not keep it"


def test_a_thousand_idle_event_streams_hold_up_nobody(configured: Callable[..., Home], slow: Holding) -> None:
    home = configured()
    with GatewayProcess(home, stdin=True) as gateway, ExitStack() as clients:
        host, _, port = gateway.ready().url.removeprefix("http://").rpartition(":")
        status, answer = post(gateway, frame("open", "slow"), Prefer="wait=0")
        assert status == 202
        request = (
            f"GET {answer['location']} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n"
        ).encode()
        idle = [clients.enter_context(socket.create_connection((host, int(port)))) for _ in range(STREAMS)]
        for each in idle:
            each.sendall(request)
        for each in idle:
            each.settimeout(30)
            assert each.recv(12) == b"HTTP/1.1 200"
        assert post(gateway, frame("post", "echo", "echo hi"))[0] == 200
        assert gateway.get("/readyz")[0] == 200
        slow.release()
        for each in idle:
            seen = b""
            while b"event: result" not in seen and (chunk := each.recv(65536)):
                seen += chunk
            assert b"event: result" in seen
        assert gateway.stop() == 0


def test_a_slow_agent_holds_up_no_other(configured: Callable[..., Home], slow: Holding) -> None:
    home = configured()
    with GatewayProcess(home, stdin=True) as gateway:
        gateway.ready()
        gateway.put(*(frame(f"slow-{number}", "slow") for number in range(200)))
        until(lambda: len(slow.got) == 64)
        gateway.put(frame("fast", "echo", "echo hi"))
        assert text(gateway.until(lambda _: ended(gateway).get("fast"))) == "hi"
        assert len(slow.got) == 64, "so many it has at the same time, and no more"
        slow.release()
        gateway.until(lambda _: len(ended(gateway)) == 201, 60)
        assert gateway.stop() == 0
    assert len(slow.got) == len(set(slow.got)) == 200


def test_many_files_at_once_are_all_done(configured: Callable[..., Home]) -> None:
    home = configured()
    for number in range(FILES):
        drop(home.folder, f"{number:05}", frame(f"f{number}", "echo", f"echo {number}"))
    out = home.folder / "out"
    with GatewayProcess(home, stdin=True) as gateway:
        gateway.ready()
        until(lambda: sum(file.name[0] != "." for file in out.iterdir()) == FILES, 90)
        assert gateway.stop() == 0
    for number in range(FILES):
        document = json.loads((out / f"{number:05}.result.json").read_text())
        assert text(document["outputs"][0]) == str(number)
    assert {row.attempts for row in rows(home)} == {1}


def test_a_task_whose_agent_goes_away_is_followed_when_it_is_back(
    configured: Callable[..., Home], misbehaving: Start
) -> None:
    """The agent says that it cannot be subscribed to, and is gone before it is asked for the task."""
    home = configured()
    asked: Counter[str] = Counter()

    def handle(exchange: Exchange) -> None:
        request = exchange.request.json()
        asked[request["method"]] += 1
        state = "TASK_STATE_WORKING" if request["method"] == "SendMessage" else "TASK_STATE_COMPLETED"
        task = {"id": "t", "contextId": "c", "status": {"state": state}}
        if request["method"] == "SendMessage":
            exchange.result({"task": task})
        elif request["method"] == "SubscribeToTask":
            error = {"jsonrpc": "2.0", "id": request["id"], "error": {"code": -32004, "message": "it has ended"}}
            exchange.reply(200, error)
        elif asked["GetTask"] <= 3:
            exchange.close()
        else:
            exchange.result(task)

    home.config.write_text(home.config.read_text() + f'\n[agents.gone]\nbase_url = "{misbehaving(handle).url}"\n')
    with GatewayProcess(home, stdin=True) as gateway:
        gateway.ready()
        gateway.put(frame("pipe", "gone"))
        answer = gateway.until(lambda _: ended(gateway).get("pipe"))
        assert answer["ok"], answer
    assert asked["SendMessage"] == 1


# --- poison


def test_what_ends_the_gateway_again_and_again_is_a_dead_letter(
    configured: Callable[..., Home], misbehaving: Start
) -> None:
    home = configured()
    killed: list[str] = []
    harmless = threading.Event()

    def poison(exchange: Exchange) -> None:
        message_id = exchange.request.json()["params"]["message"]["messageId"]
        killed.append(message_id)
        if not harmless.is_set():
            os.kill(gateway.process.pid, signal.SIGKILL)
            exchange.close()
        else:
            exchange.result(
                {"message": {"messageId": f"a-{message_id}", "role": "ROLE_AGENT", "parts": [{"text": "yes"}]}}
            )

    poisoned = misbehaving(poison).url
    home.config.write_text(home.config.read_text() + f'\n[agents.poison]\nbase_url = "{poisoned}"\n')
    for attempt in (1, 2):
        with GatewayProcess(home, stdin=True) as gateway:
            if attempt == 1:
                gateway.ready()
                gateway.put(frame("bad", "poison"))
            gateway.process.wait(30)
    with GatewayProcess(home, stdin=True) as gateway:
        error = gateway.until(lambda _: ended(gateway).get("bad"))["error"]
        assert "the gateway ended while it worked on this" in error["message"]
        gateway.put(frame("good", "echo", "echo hi"))
        assert text(gateway.until(lambda _: ended(gateway).get("good"))) == "hi"
        assert gateway.status()["queue"]["dead"] == 1
        (dead,) = missive(home, "intake", "list")["data"]["deliveries"]
        harmless.set()
        missive(home, "intake", "retry", dead["receipt_id"])
        answer = gateway.until(lambda _: (found := ended(gateway)["bad"])["ok"] and found)
        assert text(answer) == "yes"
        assert gateway.status()["queue"]["dead"] == 0
    assert len(killed) == 3
    assert len(set(killed)) == 1, "the same messageId"


def test_a_dead_letter_that_was_a_file_gets_a_second_answer(configured: Callable[..., Home], slow: Holding) -> None:
    home = configured()
    drop(home.folder, "bad", frame("bad", "slow"))
    for times in (1, 2):
        with GatewayProcess(home, stdin=True) as gateway:
            until(lambda times=times: [row.begun == times and row.state == "running" for row in rows(home)] == [True])  # type: ignore[misc]
            gateway.kill()
    with GatewayProcess(home, stdin=True) as gateway:
        until((home.folder / "out" / "bad.error.json").exists)
        (dead,) = missive(home, "intake", "list")["data"]["deliveries"]
        slow.release()
        missive(home, "intake", "retry", dead["receipt_id"])
        until((home.folder / "out" / "bad.result.json").exists)
        document = json.loads((home.folder / "out" / "bad.result.json").read_text())
        assert text(document["outputs"][0]) == "done"
        until(lambda: rows(home)[0].delivered_at)


def missive(home: Home, *arguments: str) -> Any:
    environ = {**os.environ, **home.environ, "MISSIVE_CONFIG": str(home.config)}
    command = [sys.executable, "-P", "-m", "missive_host", *arguments, "--json"]
    done = subprocess.run(command, env=environ, capture_output=True, check=True, timeout=60)
    return json.loads(done.stdout)
