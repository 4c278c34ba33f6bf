"""Agents by others: protocol 0.3 on its three bindings, and the JavaScript SDK."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from support.cores import BINDINGS, assert_journal_agrees

from missive_host import commands as c
from missive_host.demo.behaviours import UNICODE_TEXT, big_bytes
from missive_host.errors import ProtocolError

if TYPE_CHECKING:
    from pathlib import Path

    from support.cores import Commands, Home

    from missive_host.demo.fleet import AgentProcess

ROADS = [("0.3", binding) for binding in BINDINGS] + [("js", binding) for binding in ("json-rpc", "http+json")]
roads = pytest.mark.parametrize(("kind", "binding"), ROADS)


@pytest.fixture
def peer(kind: str, request: pytest.FixtureRequest) -> AgentProcess:
    agent: AgentProcess = request.getfixturevalue("agent_03" if kind == "0.3" else "js_agent")
    return agent


async def last(core: Commands, command: c.Command) -> Any:
    return (await core.all(command))[-1].data


@roads
async def test_messages_and_tasks(home: Home, peer: AgentProcess, kind: str, binding: str) -> None:
    async with home.core() as core:
        core.add("p", peer, binding)
        echo = await core.one(c.Send(agent="p", message="echo grüß 📨"))
        assert (echo.response.shape, echo.response.text) == ("message", "grüß 📨")
        assert echo.selected_interface.binding == binding
        assert echo.selected_interface.protocol_version.startswith("0.3" if kind == "0.3" else "1.0")
        task = await core.one(c.Send(agent="p", message="task", metadata={"k": {"n": 1}}))
        assert task.response.state == "completed"
        stored = core.read(lambda tables: tables.artifacts.list(agent="p", task=task.response.task_id))
        assert [(row.artifact_id, row.kind) for row in stored] == [
            ("summary", "text"), ("result", "json"), ("report", "bytes"),
        ]  # fmt: skip
        assert stored[2].content["parts"][0]["filename"] == "report.csv"
        assert stored[1].content["parts"][0]["data"]["ok"] is True
        got = await core.one(c.TaskGet(task_id=task.response.task_id, remote=True))
        assert got.task.state == "completed"
        assert got.task.raw_task["history"][0]["metadata"] == {"k": {"n": 1}}
        assert got.task.raw_task["history"][0]["messageId"] == task.request.message_id
        core.read(assert_journal_agrees)


@roads
async def test_streams(home: Home, peer: AgentProcess, kind: str, binding: str) -> None:
    async with home.core() as core:
        core.add("p", peer, binding)
        outputs = await core.all(c.Stream(agent="p", message="stream 3"))
        result: Any = outputs[-1].data
        assert (result.final_state, result.resumed, result.artifact_update_count) == ("completed", 0, 3)
        (artifact,) = core.read(lambda tables: tables.artifacts.list(agent="p", task=result.final_task_id))
        assert "".join(part["text"] for part in artifact.content["parts"]) == "chunk 1\nchunk 2\nchunk 3\n"
        message = (await core.data(c.Stream(agent="p", message="echo one")))[0]
        assert (message.event_type, message.text) == ("message", "one")
        assert (await last(core, c.Stream(agent="p", message="echo-it"))).event_count == 1
        core.read(assert_journal_agrees)


@roads
async def test_a_task_that_asks(home: Home, peer: AgentProcess, kind: str, binding: str) -> None:
    async with home.core() as core:
        core.add("p", peer, binding)
        for by_stream in (False, True):
            asked = await core.one(c.Send(agent="p", message="ask Name?"))
            task_id = asked.response.task_id
            assert (asked.response.state, asked.response.text) == ("input_required", "Name?")
            if by_stream:
                done = await last(core, c.Stream(agent="p", message="Ada", task=task_id))
                assert (done.final_state, done.final_task_id) == ("completed", task_id)
            else:
                answered = await core.one(c.Send(agent="p", message="Ada", task=task_id))
                assert answered.response.state == "completed"
            assert (await core.one(c.TaskWait(task_id=task_id))).status == "completed"
            (artifact,) = core.artifacts(agent="p", task=task_id)
            assert artifact.content["parts"][0]["text"] == "You answered: Ada"
        core.read(assert_journal_agrees)


@roads
async def test_what_is_not_there(home: Home, peer: AgentProcess, kind: str, binding: str) -> None:
    async with home.core() as core:
        core.add("p", peer, binding)
        error = await core.fails(c.TaskGet(task_id="nope", agent="p", remote=True), ProtocolError)
        assert error.a2a is not None
        # What stands for it in 0.3 over HTTP+JSON is a bare 404, which has no name of its own.
        assert error.a2a.name == "TaskNotFoundError"
        task = await core.one(c.Send(agent="p", message="task"))
        ended = await last(core, c.TaskSubscribe(task_id=task.response.task_id))
        assert ended.final_state == "completed"


@pytest.mark.parametrize("binding", BINDINGS)
async def test_0_3_has_no_list(home: Home, agent_03: AgentProcess, binding: str) -> None:
    async with home.core() as core:
        core.add("old", agent_03, binding)
        error = await core.fails(c.TaskList(agent="old", remote=True), ProtocolError)
        assert "0.3" in error.message
        assert error.help
        assert (await core.one(c.TaskList(agent="old"))).tasks == ()


@pytest.mark.parametrize("binding", ["json-rpc", "http+json"])
async def test_the_javascript_agent_lists_its_tasks(home: Home, js_agent: AgentProcess, binding: str) -> None:
    async with home.core() as core:
        core.add("js", js_agent, binding)
        task = await core.one(c.Send(agent="js", message="task", context="talk"))
        listed = await core.one(c.TaskList(agent="js", remote=True, context="talk"))
        assert [view.task_id for view in listed.tasks] == [task.response.task_id]


@pytest.mark.parametrize("binding", BINDINGS)
class TestOld:
    """What only the 0.3 agent of ours can do."""

    async def test_states(self, home: Home, agent_03: AgentProcess, binding: str) -> None:
        async with home.core() as core:
            core.add("old", agent_03, binding)
            for text, state in (("fail", "failed"), ("reject", "rejected"), ("auth", "auth_required")):
                assert (await core.one(c.Send(agent="old", message=text))).response.state == state
                assert (await last(core, c.Stream(agent="old", message=text))).final_state == state

    async def test_async_wait_and_cancel(self, home: Home, agent_03: AgentProcess, binding: str) -> None:
        async with home.core() as core:
            core.add("old", agent_03, binding)
            task_id = (
                await core.one(c.Send(agent="old", message="sleep 0.3", return_immediately=True))
            ).response.task_id
            assert (await core.one(c.TaskWait(task_id=task_id, interval="50ms"))).status == "completed"
            task_id = (
                await core.one(c.Send(agent="old", message="sleep 60", return_immediately=True))
            ).response.task_id
            assert (await core.one(c.TaskCancel(task_id=task_id))).task.state == "cancelled"

    async def test_broken_streams_are_taken_up_again(self, home: Home, agent_03: AgentProcess, binding: str) -> None:
        async with home.core() as core:
            core.add("old", agent_03, binding)
            for text in ("break 0.3", "cut 0.3"):
                result = await last(core, c.Stream(agent="old", message=text))
                assert result.final_state == "completed"
                assert result.resumed >= 1
                (artifact,) = core.artifacts(agent="old", task=result.final_task_id)
                assert "".join(part["text"] for part in artifact.content["parts"]) == "first half, second half"

    async def test_odd_and_big_content(self, home: Home, agent_03: AgentProcess, binding: str, tmp_path: Path) -> None:
        async with home.core() as core:
            core.add("old", agent_03, binding)
            *events, result = await core.data(c.Stream(agent="old", message="unicode"))
            assert UNICODE_TEXT in [event.text for event in events]
            assert result.final_state == "completed"
            task = await core.one(c.Send(agent="old", message="big 5"))
            core.local(c.ArtifactExport(task_id=task.response.task_id, output_dir=str(tmp_path / "out")))
            assert (tmp_path / "out" / "big.bin").read_bytes() == big_bytes(5)

    async def test_contexts(self, home: Home, agent_03: AgentProcess, binding: str) -> None:
        async with home.core() as core:
            core.add("old", agent_03, binding)
            first = await core.one(c.Send(agent="old", message="context", context="talk"))
            second = await core.one(c.Send(agent="old", message="context", context="talk"))
            assert first.response.text == second.response.text == second.request.context_id
