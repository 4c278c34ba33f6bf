"""An agent behind a Unix socket: everything that can be done with an agent by HTTP."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from support.lines import LineAgent

from missive_host import commands as c
from missive_host.errors import ProtocolError, TransportError, ValidationError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.cores import Home

    from missive_host.demo.fleet import AgentProcess


@pytest.fixture
def front(tmp_path: Path, agent: AgentProcess) -> Iterator[LineAgent]:
    with LineAgent(tmp_path / "a.sock", agent) as front:
        yield front


async def test_a_message_is_sent_and_answered(home: Home, front: LineAgent) -> None:
    async with home.core(service_params=["X-Region=eu"]) as core:
        core.add("far", front.url)
        answer = await core.one(c.Send(agent="far", message="hello by line"))
        assert answer.response.text == "hello by line"
        assert answer.selected_interface.binding == "unix"
        assert answer.selected_interface.url == front.url
    assert front.methods() == ["GetExtendedAgentCard", "SendMessage"]


async def test_headers_travel_as_service_parameters(home: Home, front: LineAgent) -> None:
    heard: list[Any] = []
    answer = front.answer

    def listen(request: dict[str, Any], out: Any) -> None:
        heard.append(dict(request["serviceParameters"]))
        answer(request, out)

    front.answer = listen  # type: ignore[method-assign]
    async with home.core(service_params=["X-Region=eu"], headers=["Authorization: Bearer s3cr3t-and-l0ng"]) as core:
        core.add("far", front.url)
        await core.one(c.Send(agent="far", message="hello"))
        assert "s3cr3t" not in json.dumps([event.payload for event in core.events()])
    assert heard[-1]["A2A-Version"] == "1.0"
    assert heard[-1]["X-Region"] == "eu"
    assert heard[-1]["Authorization"] == "Bearer s3cr3t-and-l0ng"


async def test_a_stream_comes_event_by_event(home: Home, front: LineAgent) -> None:
    async with home.core() as core:
        core.add("far", front.url)
        *events, last = await core.all(c.Stream(agent="far", message="stream 3"))
        assert len(events) >= 3
        assert last.kind == "stream_result"
    assert "SendStreamingMessage" in front.methods()


async def test_a_stream_that_breaks_off_is_taken_up_again(home: Home, front: LineAgent) -> None:
    async with home.core() as core:
        core.add("far", front.url)
        front.cut = 2
        *_, last = await core.data(c.Stream(agent="far", message="stream 4 0.2"))
        assert last.final_state == "completed"
        assert last.resumed >= 1
    assert front.methods()[1] == "SendStreamingMessage"
    assert {"SubscribeToTask", "GetTask"} & set(front.methods()[2:])


async def test_tasks_are_looked_at_and_cancelled(home: Home, front: LineAgent) -> None:
    async with home.core() as core:
        core.add("far", front.url)
        sent = await core.one(c.Send(agent="far", message="sleep 30", return_immediately=True))
        task_id = sent.response.task_id
        got = await core.one(c.TaskGet(agent="far", task_id=task_id, remote=True))
        assert got.task.task_id == task_id
        cancelled = await core.one(c.TaskCancel(agent="far", task_id=task_id))
        assert cancelled.task.state == "cancelled"
        error = await core.fails(c.TaskGet(agent="far", task_id="nobody-knows", remote=True), ProtocolError)
        assert error.a2a is not None
        assert error.a2a.name == "TaskNotFoundError"


async def test_nobody_there(home: Home, tmp_path: Path) -> None:
    async with home.core() as core:
        core.add("far", f"unix://{tmp_path}/none.sock")
        error = await core.fails(c.Send(agent="far", message="x"), TransportError)
        assert "none.sock: no such file or directory" in error.message
        assert error.sent is False
        core.add("nowhere", "unix://host/path")
        await core.fails(c.Send(agent="nowhere", message="x"), ValidationError)


@pytest.mark.parametrize(
    ("says", "error", "text"),
    [
        (b"", TransportError, "hung up without an answer"),
        (b'{"jsonrpc": "2.0", "res', TransportError, "broke off in the middle of a line"),
        (b"hello\n", ProtocolError, "a line that is not JSON"),
        (b"[1]\n", ProtocolError, "not A2A"),
        (b'{"jsonrpc": "2.0", "id": 1}\n', ProtocolError, "not A2A"),
        (b'{"jsonrpc": "2.0", "error": {"code": -32601, "message": "what?"}}\n', ProtocolError, "MethodNotFoundError"),
        (b'{"jsonrpc": "2.0", "result": {"no": "card"}}\n', ProtocolError, "no Agent Card"),
    ],
)
async def test_what_is_no_answer(
    home: Home, front: LineAgent, says: bytes, error: type[TransportError | ProtocolError], text: str
) -> None:
    front.says = says
    async with home.core() as core:
        core.add("far", front.url)
        assert text in (await core.fails(c.Send(agent="far", message="x"), error)).message


async def test_there_is_no_binding_to_choose(home: Home, front: LineAgent) -> None:
    async with home.core() as core:
        core.add("far", front.url)
        await core.fails(c.Send(agent="far", message="x", binding="grpc"), ValidationError)
        assert (await core.one(c.Send(agent="far", message="x"))).response.text == "x"


def missive(home: Home, *words: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, **home.environ, "MISSIVE_CONFIG": str(home.config)}
    return subprocess.run(
        [sys.executable, "-P", "-m", "missive_host", *words],
        env=environ, cwd=home.folder, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def said(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    return str(json.loads(done.stdout)["data"]["response"]["text"])


def test_on_the_command_line_and_in_the_config(home: Home, front: LineAgent) -> None:
    assert missive(home, "agent", "add", "far", front.url).returncode == 0
    assert said(missive(home, "send", "far", "hello", "--json")) == "hello"
    home.configure(f'[agents.near]\nbase_url = "{front.url}"\n')
    assert said(missive(home, "send", "near", "hi", "--json")) == "hi"
    unknown = missive(home, "agent", "add", "odd", "unixx:///a")
    assert unknown.returncode == 64
    assert "for which there is a transport" in unknown.stderr
    disabled = missive(home, "--no-plugin", "transports", "send", "far", "hello")
    assert disabled.returncode == 78
    assert "no agent transport `unix`" in disabled.stderr


STRANGER = '''
import json
from contextlib import asynccontextmanager
from pathlib import Path

from missive_host.hookspecs import hookimpl
from missive_host.specs import TransportSpec

CARD = {"name": "Owl", "description": "", "version": "1", "supportedInterfaces": [], "capabilities": {},
        "defaultInputModes": [], "defaultOutputModes": [], "skills": []}


@hookimpl
def missive_agent_transports():
    yield TransportSpec("owl", f"{__name__}:Owl", "By owl.")


class Owl:
    """Echoes, and writes down when it is let go."""

    def __init__(self, context):
        assert (context.name, context.connect_timeout) == ("owl", 10.0)

    @asynccontextmanager
    async def exchange(self, url, request, headers):
        if "hurt" in url:
            raise RuntimeError("a broken wing")
        yield Answer(request)

    async def aclose(self):
        Path("released").touch()


class Answer:
    def __init__(self, request):
        self.request = request

    async def receive(self):
        if self.request["method"] == "GetExtendedAgentCard":
            return {"jsonrpc": "2.0", "id": 1, "result": CARD}
        text = self.request["params"]["message"]["parts"][0]["text"]
        message = {"messageId": "m", "role": "ROLE_AGENT", "parts": [{"text": "hoo " + text}]}
        return {"jsonrpc": "2.0", "id": 1, "result": {"message": message}}
'''


def test_a_strangers_transport(home: Home) -> None:
    (home.folder / "owls.py").write_text(STRANGER)
    home.configure('[plugins]\nfiles = ["owls.py"]\n')
    shown = json.loads(missive(home, "plugin", "show", "owls", "--json").stdout)["data"]
    assert [each["name"] for each in shown["agent_transports"]] == ["owl"]
    assert missive(home, "agent", "add", "owl", "owl://barn").returncode == 0
    assert said(missive(home, "send", "owl", "there", "--json")) == "hoo there"
    assert (home.folder / "released").exists()
    missive(home, "agent", "add", "hurt", "owl://hurt")
    failed = missive(home, "send", "hurt", "x")
    assert failed.returncode == 69
    assert "the transport to agent 'hurt' has failed: RuntimeError" in failed.stderr


@pytest.mark.parametrize("name", ["http", "file", "my_net"])
def test_schemes_that_cannot_be_are_refused(home: Home, name: str) -> None:
    (home.folder / "bad.py").write_text(STRANGER.replace('"owl", f', f'"{name}", f'))
    checked = missive(home, "plugin", "check", "--plugin", "bad.py")
    assert checked.returncode == 1
    assert "its name is the scheme of URLs" in checked.stdout
