"""The daemon as a process: it takes frames in, is killed, and nothing is lost."""

from __future__ import annotations

import json
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from support.gateways import GatewayProcess
from support.misbehaving import Exchange

from missive_host import commands as c
from missive_host.errors import ValidationError
from missive_host.gateway.control import ask

if TYPE_CHECKING:
    from support.cores import Home
    from support.misbehaving import Start

    from missive_host.demo.fleet import AgentProcess

PIPE = """
[qos]
retry_backoff = "10ms"

[adapters.pipe]
kind = "stdio"
settings = { mode = "long-running", concurrency = 64 }
"""


def frame(number: int, message: str, **fields: Any) -> dict[str, Any]:
    return {
        "id": f"r{number}",
        "command": "send",
        "agent": "echo",
        "message": message,
        "source": {"source_id": f"s{number}"},
        **fields,
    }


def answers(documents: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the last frame of each request that has ended."""
    return {
        doc["id"]: doc
        for doc in documents
        if doc.get("schema_version") == "missive.stdio.v1" and (not doc["ok"] or doc["data"]["kind"] != "stream_event")
    }


def text(document: dict[str, Any]) -> str:
    return str(document["data"]["data"]["response"]["text"])


class Agent:
    """Notes each messageId. A message makes a task that ends when `release` is called; ids are remembered."""

    def __init__(self, misbehaving: Start) -> None:
        self.got: list[str] = []
        self.asked: list[str] = []
        self._done = threading.Event()
        self._changed = threading.Condition()
        self.server = misbehaving(self._handle)

    @property
    def url(self) -> str:
        return self.server.url

    def release(self) -> None:
        self._done.set()

    def wait_for(self, count: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.got) >= count, 30), self.got

    def _task(self, task_id: str) -> dict[str, Any]:
        done = self._done.is_set()
        state = "TASK_STATE_COMPLETED" if done else "TASK_STATE_WORKING"
        task: dict[str, Any] = {"id": task_id, "contextId": f"c-{task_id}", "status": {"state": state}}
        return {**task, "artifacts": [{"artifactId": "a", "parts": [{"text": "done"}]}]} if done else task

    def _handle(self, exchange: Exchange) -> None:
        request = exchange.request.json()
        method, params = request["method"], request["params"]
        with self._changed:
            if method in ("SendMessage", "SendStreamingMessage"):
                message_id = params["message"]["messageId"]
                self.got.append(message_id)
                exchange.result({"task": self._task(f"t-{message_id}")})
            else:
                self.asked.append(method)
            self._changed.notify_all()
        if method == "SubscribeToTask":
            exchange.start_stream()
            exchange.event({"jsonrpc": "2.0", "id": 1, "result": {"task": self._task(params["id"])}})
            exchange.end_stream()
        elif method == "GetTask":
            exchange.result(self._task(params["id"]))


@pytest.fixture
def home(home: Home) -> Home:
    home.configure(PIPE)
    return home


async def add(home: Home, alias: str, url: str) -> None:
    async with home.core() as core:
        core.core.run_local(c.AgentAdd(agent=alias, url=url))


async def test_frames_are_answered_and_the_end_is_clean(home: Home, agent: AgentProcess) -> None:
    await add(home, "echo", agent.url)
    with GatewayProcess(home, stdin=True) as gateway:
        gateway.ready()
        gateway.put(*(frame(number, f"echo {number}") for number in range(20)))
        found = gateway.until(lambda docs: len(answers(docs)) == 20 and answers(docs))
        assert {key: text(doc) for key, doc in found.items()} == {f"r{n}": str(n) for n in range(20)}
        assert gateway.stop() == 0
        assert all(doc["schema_version"] == "missive.stdio.v1" for doc in gateway.documents), "stdout is the adapter's"
    async with home.core() as core:
        rows = core.read(lambda tables: tables.work.list())
        assert {row.state for row in rows} == {"done"}
        assert all(row.delivered_at for row in rows)
        assert core.read(lambda tables: tables.work.owners()) == ()


async def test_without_a_mode_it_reads_frames_as_they_come(home: Home, agent: AgentProcess) -> None:
    home.configure("[adapters.pipe]\nkind = 'stdio'\n")
    await add(home, "echo", agent.url)
    with GatewayProcess(home, stdin=True) as gateway:
        gateway.ready()
        gateway.put(frame(1, "echo one"))
        assert text(gateway.until(answers)["r1"]) == "one"


async def test_health_and_status(home: Home) -> None:
    with GatewayProcess(home, stdin=True) as gateway:
        gateway.ready()
        assert gateway.get("/healthz")[0] == 200
        assert gateway.get("/readyz")[0] == 200
        code, body = gateway.get("/status")
        status = json.loads(body)
        assert (code, status["state"], status["ready"]) == (200, "running", True)
        assert [(each["name"], each["state"]) for each in status["adapters"]] == [("pipe", "running")]
        code, body = gateway.get("/metrics")
        assert code == 200
        assert b"missive_ready 1.0" in body


async def test_status_while_work_is_under_way(home: Home, misbehaving: Start) -> None:
    agent = Agent(misbehaving)
    await add(home, "echo", agent.url)
    with GatewayProcess(home, stdin=True) as gateway:
        gateway.ready()
        gateway.put(frame(1, "one"))
        agent.wait_for(1)
        assert gateway.status()["queue"]["by_adapter"] == {"pipe": {"queued": 0, "ready": 0, "running": 1}}
        assert gateway.get("/readyz")[0] == 200
        agent.release()
        gateway.until(answers)


async def test_a_second_gateway_of_the_home_is_refused(home: Home) -> None:
    with GatewayProcess(home, stdin=True) as gateway:
        gateway.ready()
        with GatewayProcess(home, stdin=True) as other:
            assert other.wait() == 75
            assert f"process {gateway.process.pid}" in other.errors
        assert gateway.status()["ready"]


async def test_a_task_that_was_accepted_is_followed_after_a_kill(home: Home, misbehaving: Start) -> None:
    agent = Agent(misbehaving)
    await add(home, "echo", agent.url)
    with GatewayProcess(home, stdin=True) as gateway:
        gateway.ready()
        gateway.put(frame(1, "one"), frame(2, "two"))
        agent.wait_for(2)
        deadline = time.monotonic() + 10
        while len([each for each in _rows(home) if each.task_id]) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        gateway.kill()
    agent.release()
    with GatewayProcess(home, stdin=True) as gateway:
        found = gateway.until(lambda docs: len(answers(docs)) == 2 and answers(docs))
        assert {text(doc) for doc in found.values()} == {"done"}
        assert gateway.stop() == 0
    assert len(agent.got) == 2, "nothing was sent again"
    assert "SubscribeToTask" in agent.asked


async def test_what_was_taken_in_is_sent_with_its_message_id_after_a_kill(home: Home, misbehaving: Start) -> None:
    got: list[str] = []
    reached = threading.Event()
    answer = threading.Event()

    def handle(exchange: Exchange) -> None:
        message_id = exchange.request.json()["params"]["message"]["messageId"]
        got.append(message_id)
        reached.set()
        while not answer.is_set():
            exchange.wait(0.02)
        exchange.result({"message": {"messageId": f"a-{message_id}", "role": "ROLE_AGENT", "parts": [{"text": "yes"}]}})

    await add(home, "echo", misbehaving(handle).url)
    with GatewayProcess(home, stdin=True) as gateway:
        gateway.ready()
        gateway.put(frame(1, "one"))
        assert reached.wait(20)
        gateway.kill()
    answer.set()
    with GatewayProcess(home, stdin=True) as gateway:
        found = gateway.until(answers)
        assert text(found["r1"]) == "yes"
        assert gateway.stop() == 0
    assert len(got) == 2
    assert len(set(got)) == 1, "the same messageId"


async def test_an_answer_that_was_not_delivered_is_delivered_after_a_kill(home: Home, agent: AgentProcess) -> None:
    await add(home, "echo", agent.url)
    with GatewayProcess(home, stdin=True) as gateway:
        gateway.ready()
        gateway.process.send_signal(signal.SIGSTOP)
        gateway.put(frame(1, "echo hi"))
        gateway.process.send_signal(signal.SIGCONT)
        gateway.until(answers)
        gateway.kill()
    async with home.core() as core:
        await core.core.store.commit(lambda tables: tables.work._execute("UPDATE work SET delivered_at = NULL"))
    with GatewayProcess(home, stdin=True) as gateway:
        assert text(gateway.until(answers)["r1"]) == "hi"
    (row,) = _rows(home)
    assert row.attempts == 1


async def test_an_idempotency_key_gives_the_recorded_answer(home: Home, agent: AgentProcess) -> None:
    await add(home, "echo", agent.url)
    with GatewayProcess(home, stdin=True) as gateway:
        gateway.ready()
        gateway.put(frame(1, "echo hi", idempotency_key="k"))
        gateway.until(answers)
        gateway.put({**frame(1, "echo hi", idempotency_key="k"), "id": "again"})
        assert text(gateway.until(lambda docs: answers(docs).get("again"))) == "hi"
        gateway.put({**frame(1, "echo other", idempotency_key="k"), "id": "other"})
        refused = gateway.until(lambda docs: answers(docs).get("other"))
        assert "idempotency_key" in refused["error"]["message"]
    assert len(_rows(home)) == 1
    async with home.core() as core:
        assert len(core.requests()) == 1


async def test_order_is_kept_within_a_session(home: Home, agent: AgentProcess) -> None:
    await add(home, "echo", agent.url)
    with GatewayProcess(home, stdin=True) as gateway:
        gateway.ready()
        frames = [frame(number, f"echo {number}", source={"source_id": "one"}) for number in range(30)]
        gateway.put(*frames)
        gateway.until(lambda docs: len(answers(docs)) == 30)
        assert [doc["id"] for doc in gateway.documents] == [f"r{number}" for number in range(30)]


async def test_reload_starts_what_is_new_and_keeps_what_cannot_be_used(home: Home) -> None:
    with GatewayProcess(home, stdin=True) as gateway:
        gateway.ready()
        home.configure(
            PIPE
            + "\n[adapters.other]\nkind = 'stdio'\nenabled = false\n[agents.new]\nbase_url = 'http://127.0.0.1:1'\n"
        )
        gateway.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 10
        while "new" not in [row.alias for row in _agents(home)]:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        home.configure(PIPE + "\n[adapters.bad]\nkind = 'nothing'\n")
        gateway.process.send_signal(signal.SIGHUP)
        while "stays as it was" not in gateway.errors:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert gateway.status()["ready"]


async def test_an_adapter_that_has_come_to_its_end_is_not_started_anew_for_nothing(home: Home) -> None:
    with GatewayProcess(home, stdin=True) as gateway:
        gateway.ready()
        gateway.end_input()
        deadline = time.monotonic() + 10
        while gateway.status()["adapters"][0]["state"] != "finished":
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert ask(home.settings().paths, {"command": "reload"})["changed"] == []
        home.configure(PIPE.replace("64", "32"))
        assert ask(home.settings().paths, {"command": "reload"})["changed"] == ["adapter 'pipe' started anew"]


async def test_only_one_adapter_reads_standard_input(home: Home) -> None:
    home.configure(PIPE + "\n[adapters.second]\nkind = 'stdio'\n")
    with GatewayProcess(home, stdin=True) as gateway:
        assert gateway.wait() == 78
        assert "adapters.second: standard input is read by the adapter 'pipe' already" in gateway.errors


async def test_a_gateway_that_stops_does_not_reload(home: Home, misbehaving: Start) -> None:
    agent = Agent(misbehaving)
    await add(home, "echo", agent.url)
    with GatewayProcess(home, stdin=True) as gateway:
        gateway.ready()
        gateway.put(frame(1, "one"))
        agent.wait_for(1)
        gateway.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + 10
        while gateway.status()["state"] != "draining":
            assert time.monotonic() < deadline
            time.sleep(0.02)
        with pytest.raises(ValidationError, match="the gateway stops"):
            ask(home.settings().paths, {"command": "reload"})
        gateway.process.send_signal(signal.SIGHUP)
        time.sleep(0.3)
        assert [each["state"] for each in gateway.status()["adapters"]] == ["stopped"]
        agent.release()
        assert gateway.wait() == 0
        assert answers(gateway.documents)["r1"]["ok"]


def _rows(home: Home) -> Any:
    return _read(home, lambda tables: tables.work.list())


def _agents(home: Home) -> Any:
    return _read(home, lambda tables: tables.agents.list())


def _read(home: Home, fn: Any) -> Any:
    with home.store() as store:
        return store.read(fn)
