"""`FakeAgent`, as the real client sees it over real sockets, and `run_host`."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.secrets import planted

from missive_host.errors import AuthError, MissiveError, ProtocolError, TransportError
from missive_host.testing import (
    Call,
    Drop,
    Fail,
    FakeAgent,
    HttpStatus,
    Reply,
    RunningHost,
    Step,
    StreamReply,
    TaskReply,
    run_host,
)

TOKEN = planted("agent")

pytestmark = pytest.mark.anyio
QUICK = '[qos]\nretry_backoff = "10ms"\nmax_attempts = 1\n'


async def said(host: RunningHost, text: str = "hi", command: str = "send", **fields: Any) -> dict[str, Any]:
    """Say something to the agent, and return the data of the last result."""
    data: dict[str, Any] = (await host.ask(command, agent="agent", message=text, **fields))[-1]["data"]
    return data


async def test_without_a_script_it_says_what_it_hears() -> None:
    with FakeAgent() as agent:
        async with run_host(agent=agent) as host:
            assert (await said(host, "is there anybody?"))["response"]["text"] == "is there anybody?"
    (call,) = agent.calls
    assert (call.method, call.text) == ("SendMessage", "is there anybody?")
    assert call.message_id
    assert call.headers["a2a-version"] == "1.0"


async def test_each_message_takes_a_step() -> None:
    script: list[Step | str] = [
        "one",
        Reply("two", data=({"n": 2},)),
        TaskReply("three"),
        TaskReply(state="input_required"),
    ]
    with FakeAgent(script) as agent:
        async with run_host(agent=agent) as host:
            assert (await said(host))["response"]["text"] == "one"
            two = (await said(host))["response"]
            assert "two" in json.dumps(two)
            assert '"n": 2' in json.dumps(two)
            three = (await said(host))["response"]
            assert (three["state"], three["text"]) == ("completed", "three")
            assert (await said(host))["response"]["state"] == "input_required"
            with pytest.raises(ProtocolError, match="the script of the fake agent has come to its end"):
                await said(host)
    assert agent.texts == ["hi"] * 5


async def test_a_stream_comes_piece_by_piece() -> None:
    with FakeAgent([StreamReply(("one ", "two"), pause=0.01)]) as agent:
        async with run_host(agent=agent) as host:
            documents = await host.ask("stream", agent="agent", message="go")
    kinds = [document["kind"] for document in documents]
    assert kinds == ["stream_event"] * 4 + ["stream_result"]
    events = [document["data"]["event_type"] for document in documents[:-1]]
    assert events == ["task", "artifact_update", "artifact_update", "status_update"]
    assert documents[3]["data"]["state"] == "completed"
    assert agent.calls[0].method == "SendStreamingMessage"


async def test_who_wants_no_stream_gets_the_task() -> None:
    with FakeAgent([StreamReply(("one ", "two"))]) as agent:
        async with run_host(agent=agent) as host:
            assert (await said(host))["response"]["text"] == "one two"


@pytest.mark.parametrize(
    ("step", "error", "words"),
    [
        (Fail("no such thing", -32601), ProtocolError, "no such thing"),
        (HttpStatus(503, retry_after=1), TransportError, "503"),
        (HttpStatus(401), AuthError, "401"),
        (Drop(), TransportError, "agent"),
    ],
)
async def test_errors_are_those_of_the_wire(step: Any, error: type[MissiveError], words: str) -> None:
    def always(_call: Call) -> Any:
        return step

    with FakeAgent(always) as agent:
        async with run_host('[qos]\nretry_backoff = "10ms"\n', agent=agent) as host:
            with pytest.raises(error) as failed:
                await said(host)
    report = failed.value.report()
    assert words in f"{report.message} {report.sources} {report.help}"


async def test_a_stream_that_breaks_is_taken_up_again() -> None:
    """The client asks for the task it was about; its state is what `move` says."""

    def script(call: Call) -> Any:
        return StreamReply(("half",), cut=True)

    with FakeAgent(script) as agent:
        async with run_host('[qos]\nretry_backoff = "10ms"\n', agent=agent) as host:
            with pytest.raises(MissiveError):
                await host.ask("stream", agent="agent", message="go", timeout="1s")
    assert {"SendStreamingMessage", "SubscribeToTask"} <= {call.method for call in agent.calls}


async def test_tasks_can_be_asked_for_and_cancelled() -> None:
    with FakeAgent([TaskReply(state="working"), TaskReply(state="working")]) as agent:
        async with run_host(agent=agent) as host:
            first = (await said(host))["response"]["task_id"]
            second = (await said(host))["response"]["task_id"]
            agent.move(first, "completed", "at last")
            got = await host.ask("task_get", agent="agent", task_id=first, remote=True)
            assert "at last" in json.dumps(got)
            cancelled = await host.ask("task_cancel", agent="agent", task_id=second)
            assert "cancelled" in json.dumps(cancelled)
            with pytest.raises(MissiveError):
                await host.ask("task_cancel", agent="agent", task_id=first)
    assert agent.tasks[second].state == "canceled"


async def test_a_token_is_asked_for() -> None:
    config = """
    [auth_refs.token]
    env = "AGENT_TOKEN"
    [agents.agent]
    base_url = "{url}"
    auth_ref = "token"
    """
    with FakeAgent(["in"], bearer_token=TOKEN) as agent:
        async with run_host(agent=agent) as host:
            with pytest.raises(AuthError):
                await said(host)
        with_token = config.replace("{url}", agent.url)
        async with run_host(with_token, environ={"AGENT_TOKEN": TOKEN}) as host:
            assert (await said(host))["response"]["text"] == "in"
    assert TOKEN not in repr(agent.calls)


def test_it_leaves_no_thread_and_no_port() -> None:
    before = set(threading.enumerate())
    with FakeAgent(["x"]) as agent:
        url = agent.url
        import urllib.request

        with urllib.request.urlopen(f"{url}/.well-known/agent-card.json") as answer:
            assert json.load(answer)["name"] == "agent"
    assert set(threading.enumerate()) == before
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(url)


def test_the_fixture_stops_it(fake_agent: Callable[..., FakeAgent], missive_home: Path) -> None:
    agent = fake_agent(["hello from the fixture"])
    for words in (["agent", "add", "it", agent.url], ["send", "it", "hi"]):
        done = subprocess.run([sys.executable, "-m", "missive_host", *words], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "hello from the fixture"
    assert missive_home.is_dir()


async def test_a_host_runs_adapters_and_says_how_it_is(tmp_path: Path) -> None:
    config = {"adapters": {"drop": {"kind": "file-drop", "settings": {"inbox": "in", "outbox": "out"}}}}
    (tmp_path / "in").mkdir()
    with FakeAgent(["hello file"]) as agent:
        async with run_host(config, agent=agent, folder=tmp_path) as host:
            assert host.status()["ready"] is True
            assert host.url.startswith("http://127.0.0.1:")
            frame = {"id": "a", "command": "send", "agent": "agent", "message": "from a file"}
            (tmp_path / "in" / "part").write_text(json.dumps(frame))
            (tmp_path / "in" / "part").rename(tmp_path / "in" / "a.json")
            import anyio

            with anyio.fail_after(20):
                while not (found := list((tmp_path / "out").glob("a*.json"))):
                    await anyio.sleep(0.02)
            assert "hello file" in found[0].read_text()
    assert agent.texts == ["from a file"]


async def test_a_config_that_cannot_be_used_is_said() -> None:
    with pytest.raises(MissiveError, match="kind: is missing"):
        async with run_host('[adapters.x]\nkinds = "file-drop"\n'):
            pass
    with pytest.raises(MissiveError, match="file-dropp"):
        async with run_host('[adapters.x]\nkind = "file-dropp"\n'):
            pass
