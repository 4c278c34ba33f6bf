"""`task_get`, `task_list`, `task_wait`, `task_cancel`, `task_subscribe` on real agents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest
from msgspec import UNSET
from support.cores import BINDINGS, assert_journal_agrees
from support.misbehaving import in_turn, reply

from missive_host import commands as c
from missive_host.errors import (
    AuthRequiredError,
    DeadlineError,
    InputRequiredError,
    MissiveError,
    OrchestrationError,
    ProtocolError,
    TaskCancelledError,
    TaskFailedError,
    TransportError,
    ValidationError,
)

if TYPE_CHECKING:
    from support.cores import Commands, Home
    from support.misbehaving import Exchange, Start

    from missive_host.demo.fleet import AgentProcess


async def started(core: Commands, agent: str, text: str) -> str:
    """Begin a task and return its id."""
    answer = await core.one(c.Send(agent=agent, message=text, return_immediately=True))
    assert isinstance(answer.response.task_id, str)
    return answer.response.task_id


# --- get


@pytest.mark.parametrize("binding", BINDINGS)
async def test_get_what_is_known_and_what_the_agent_says(home: Home, agent: AgentProcess, binding: str) -> None:
    async with home.core() as core:
        core.add("worker", agent, binding)
        task_id = await started(core, "worker", "task 0.3")
        here = await core.one(c.TaskGet(task_id=task_id))
        assert (here.source, here.selected_interface) == ("local", UNSET)
        assert here.task.state in {"submitted", "working"}
        with anyio.fail_after(20):
            while (there := await core.one(c.TaskGet(task_id=task_id, remote=True))).task.state != "completed":
                await anyio.sleep(0.05)
        assert there.source == "remote"
        assert there.selected_interface.binding == binding
        assert there.task.artifact_count == 3
        assert [view.kind for view in there.task.artifacts] == ["text", "json", "bytes"]
        assert there.task.raw_task["artifacts"][2]["parts"][0]["filename"] == "report.csv"
        assert there.task.text == "Done."
        assert there.task.history_count == len(there.task.raw_task["history"]) >= 1
        # Now it is known here, too, and the journal says when that was seen.
        again = await core.one(c.TaskGet(task_id=task_id))
        assert again.task == there.task
        updated = core.events(types=("a2a.task.updated",))
        assert {row.task_id for row in updated} == {task_id}
        assert updated[-1].payload["task"]["status"]["state"] == "TASK_STATE_COMPLETED"
        # Asking again changes nothing, and writes nothing.
        await core.one(c.TaskGet(task_id=task_id, remote=True))
        assert len(core.events(types=("a2a.task.updated",))) == len(updated)
        core.read(assert_journal_agrees)


@pytest.mark.parametrize("binding", BINDINGS)
async def test_history_length(home: Home, agent: AgentProcess, binding: str) -> None:
    async with home.core() as core:
        core.add("worker", agent, binding)
        answer = await core.one(c.Send(agent="worker", message="task"))
        for length in (0, 1, 2):
            view = await core.one(c.TaskGet(task_id=answer.response.task_id, remote=True, history_length=length))
            assert len(view.task.raw_task.get("history", [])) == length
        whole = await core.one(c.TaskGet(task_id=answer.response.task_id))
        assert len(whole.task.raw_task["history"]) >= 2, "asking for less does not forget what is known"


async def test_a_task_that_another_program_began(home: Home, agent: AgentProcess, tmp_path: Any) -> None:
    async with home.core() as core:
        core.add("worker", agent)
        task_id = (await core.one(c.Send(agent="worker", message="task"))).response.task_id
    other = type(home)(tmp_path / "other") if (tmp_path / "other").mkdir() is None else home
    async with other.core() as core:
        core.add("worker", agent)
        await core.fails(c.TaskGet(task_id=task_id), ValidationError)
        await core.fails(c.TaskGet(task_id=task_id, remote=True), ValidationError)
        view = await core.one(c.TaskGet(task_id=task_id, agent="worker", remote=True))
        assert view.task.state == "completed"
        assert view.task.context_id != view.task.remote_context_id
        assert core.local(c.ContextShow(context=view.task.context_id)).context.remote_contexts == {
            "worker": view.task.remote_context_id
        }
        assert len(core.local(c.ArtifactList(task_id=task_id)).artifacts) == 3


@pytest.mark.parametrize("binding", BINDINGS)
async def test_a_task_that_the_agent_does_not_know(home: Home, agent: AgentProcess, binding: str) -> None:
    async with home.core() as core:
        core.add("worker", agent, binding)
        for command in (
            c.TaskGet(task_id="né?#%2F", agent="worker", remote=True),
            c.TaskCancel(task_id="nope", agent="worker"),
            c.TaskSubscribe(task_id="nope", agent="worker"),
            c.TaskWait(task_id="nope", agent="worker"),
        ):
            error = await core.fails(command, ProtocolError)
            assert error.exit_code == 76
            assert error.a2a is not None
            assert error.a2a.name == "TaskNotFoundError"


# --- list


@pytest.mark.parametrize("binding", BINDINGS)
async def test_list_what_the_agent_has(home: Home, agent: AgentProcess, binding: str) -> None:
    async with home.core() as core:
        core.add("worker", agent, binding)
        ids = [(await core.one(c.Send(agent="worker", message=text, context="talk"))).response.task_id
               for text in ("task", "fail", "task")]  # fmt: skip
        listed = await core.one(c.TaskList(agent="worker", remote=True, context="talk", include_artifacts=True))
        assert {view.task_id for view in listed.tasks} == set(ids)
        assert (listed.source, listed.count, listed.total_size) == ("remote", 3, 3)
        assert listed.filters == {"agent": "worker", "context": "talk"}
        assert sorted(view.artifact_count for view in listed.tasks) == [0, 3, 3]
        failed = await core.one(c.TaskList(agent="worker", remote=True, context="talk", state="failed"))
        assert [view.task_id for view in failed.tasks] == [ids[1]]
        seen: list[str] = []
        token = None
        for _ in range(3):
            page = await core.one(
                c.TaskList(agent="worker", remote=True, context="talk", page_size=1, page_token=token)
            )
            seen += [view.task_id for view in page.tasks]
            token = None if page.next_page_token is UNSET else page.next_page_token
        assert token is None
        assert sorted(seen) == sorted(ids)
        old = await core.one(
            c.TaskList(agent="worker", remote=True, context="talk", updated_after="2100-01-01T00:00:00Z")
        )
        assert old.tasks == ()


async def test_list_what_is_known_here(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        core.add("one", agent)
        core.add("two", agent)
        assert (await core.one(c.TaskList())).tasks == ()
        for name, text in (("one", "task"), ("two", "fail"), ("one", "ask")):
            await core.one(c.Send(agent=name, message=text))

        async def states(**filters: Any) -> list[str]:
            return [view.state for view in (await core.one(c.TaskList(**filters))).tasks]

        assert await states() == ["input_required", "failed", "completed"]
        assert await states(agent="one") == ["input_required", "completed"]
        assert await states(state="failed") == ["failed"]
        assert await states(task_source="gateway") == []
        assert await states(updated_after="2100-01-01T00:00:00Z") == []
        page = await core.one(c.TaskList(page_size=2))
        rest = await core.one(c.TaskList(page_size=2, page_token=page.next_page_token))
        assert [view.state for view in (*page.tasks, *rest.tasks)] == ["input_required", "failed", "completed"]
        assert (page.total_size, rest.next_page_token) == (3, UNSET)
        await core.fails(c.TaskList(remote=True), ValidationError)
        await core.fails(c.TaskList(updated_after="yesterday"), ValidationError)
        await core.fails(c.TaskList(page_token="rubbish"), ValidationError)


# --- wait


@pytest.mark.parametrize("binding", BINDINGS)
async def test_wait_until_it_is_done(home: Home, agent: AgentProcess, binding: str) -> None:
    async with home.core() as core:
        core.add("worker", agent, binding)
        task_id = await started(core, "worker", "sleep 0.5")
        waited = await core.one(c.TaskWait(task_id=task_id, interval="50ms"))
        assert (waited.status, waited.timed_out, waited.agent) == ("completed", False, "worker")
        assert waited.attempts >= 2
        assert (waited.timeout_ms, waited.interval_ms) == (30_000, 50)
        assert waited.task.state == "completed"
        assert waited.selected_interface.binding == binding
        assert (await core.one(c.TaskWait(task_id=task_id, local=True))).status == "completed"
        core.read(assert_journal_agrees)


@pytest.mark.parametrize(
    ("text", "status", "error", "code"),
    [
        ("fail", "failed", TaskFailedError, 80),
        ("reject", "rejected", TaskFailedError, 80),
        ("cancelled", "cancelled", TaskCancelledError, 81),
        ("sleep 60", "timeout", DeadlineError, 82),
        ("ask", "input_required", InputRequiredError, 83),
        ("auth", "auth_required", AuthRequiredError, 84),
    ],
)
async def test_how_a_wait_can_end(
    home: Home, agent: AgentProcess, text: str, status: str, error: type[OrchestrationError], code: int
) -> None:
    async with home.core() as core:
        core.add("worker", agent)
        task_id = await started(core, "worker", "sleep 60" if text == "cancelled" else text)
        if text == "cancelled":
            await core.one(c.TaskCancel(task_id=task_id))
        for local in (False, True):
            seen: list[Any] = []

            async def emit(output: Any, seen: list[Any] = seen) -> None:
                seen.append(output.data)

            with pytest.raises(OrchestrationError) as caught:
                await core.core.run(c.TaskWait(task_id=task_id, timeout="300ms", interval="50ms", local=local), emit)
            assert type(caught.value) is error
            assert caught.value.exit_code == code
            assert caught.value.help
            # The result document comes first, the error after it.
            (result,) = seen
            assert (result.status, result.timed_out) == (status, status == "timeout")
            assert result.task.state == ("working" if status == "timeout" else status)


async def test_an_interval_is_at_most_five_seconds(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        core.add("worker", agent)
        task_id = (await core.one(c.Send(agent="worker", message="task"))).response.task_id
        assert (await core.one(c.TaskWait(task_id=task_id, interval="1h"))).interval_ms == 5000


def _result(state: str) -> Any:
    def handle(exchange: Exchange) -> None:
        exchange.result({"id": "t", "contextId": "c", "status": {"state": f"TASK_STATE_{state}"}})

    return handle


def _sent(exchange: Exchange) -> None:
    exchange.result({"task": {"id": "t", "contextId": "c", "status": {"state": "TASK_STATE_WORKING"}}})


def _drop(exchange: Exchange) -> None:
    exchange.close()


async def test_a_wait_survives_an_agent_that_is_down_for_a_while(home: Home, misbehaving: Start) -> None:
    trouble = [reply(503), reply(502, "<html>"), *[_drop] * 8, reply(500)]
    server = misbehaving(in_turn(_sent, _result("WORKING"), *trouble, _result("COMPLETED")))
    async with home.core() as core:
        core.add("shaky", server.url)
        await core.one(c.Send(agent="shaky", message="hi"))
        waited = await core.one(c.TaskWait(task_id="t", interval="20ms"))
        assert waited.status == "completed"


async def test_a_wait_for_an_agent_that_stays_away(home: Home, misbehaving: Start) -> None:
    server = misbehaving(in_turn(_sent, _drop))
    async with home.core() as core:
        core.add("shaky", server.url)
        await core.one(c.Send(agent="shaky", message="hi"))
        error = await core.fails(c.TaskWait(task_id="t", timeout="300ms", interval="20ms"), DeadlineError, "task_wait")
        assert error.sources, "why the last try failed is told"


async def test_a_wait_ends_at_once_when_trying_again_is_useless(home: Home, misbehaving: Start) -> None:
    server = misbehaving(in_turn(_sent, reply(200, "<html>", content_type="text/html")))
    async with home.core() as core:
        core.add("html", server.url)
        await core.one(c.Send(agent="html", message="hi"))
        await core.fails(c.TaskWait(task_id="t"), ProtocolError)
        await core.fails(c.TaskWait(task_id="unheard-of"), ValidationError)


# --- cancel


@pytest.mark.parametrize("binding", BINDINGS)
async def test_cancel(home: Home, agent: AgentProcess, binding: str) -> None:
    async with home.core() as core:
        core.add("worker", agent, binding)
        task_id = await started(core, "worker", "sleep 60")
        cancelled = await core.one(c.TaskCancel(task_id=task_id))
        assert (cancelled.task.state, cancelled.agent) == ("cancelled", "worker")
        assert cancelled.selected_interface.binding == binding
        assert core.read(lambda tables: tables.tasks.get(task_id)).completed_at is not None
        error = await core.fails(c.TaskCancel(task_id=task_id), ProtocolError)
        assert error.a2a is not None
        assert error.a2a.name == "TaskNotCancelableError"
        core.read(assert_journal_agrees)


# --- subscribe


@pytest.mark.parametrize("binding", BINDINGS)
async def test_subscribe_to_a_task_that_runs(home: Home, agent: AgentProcess, binding: str) -> None:
    async with home.core() as core:
        core.add("worker", agent, binding)
        task_id = await started(core, "worker", "stream 3 0.15")
        outputs = await core.all(c.TaskSubscribe(task_id=task_id))
        *events, result = [output.data for output in outputs]
        assert events[0].event_type == "task"  # type: ignore[attr-defined]
        assert {event.task_id for event in events} == {task_id}  # type: ignore[attr-defined]
        assert result.final_state == "completed"  # type: ignore[attr-defined]
        assert result.request is UNSET  # type: ignore[attr-defined]
        (artifact,) = core.read(lambda tables: tables.artifacts.list(agent="worker", task=task_id))
        text = "".join(part["text"] for part in artifact.content["parts"])
        assert text == "chunk 1\nchunk 2\nchunk 3\n"
        core.read(assert_journal_agrees)


@pytest.mark.parametrize("binding", BINDINGS)
@pytest.mark.parametrize(("text", "state"), [("task", "completed"), ("ask", "input_required"), ("fail", "failed")])
async def test_subscribe_to_a_task_that_has_ended_or_waits(
    home: Home, agent: AgentProcess, binding: str, text: str, state: str
) -> None:
    async with home.core() as core:
        core.add("worker", agent, binding)
        task_id = (await core.one(c.Send(agent="worker", message=text))).response.task_id
        event, result = await core.data(c.TaskSubscribe(task_id=task_id))
        assert (event.event_type, event.state, result.final_state) == ("task", state, state)


@pytest.mark.parametrize(
    "refusal",
    [
        {"jsonrpc": "2.0", "id": 1, "error": {"code": -32004, "message": "no"}},
        {"jsonrpc": "2.0", "id": 1, "error": {"code": -32601, "message": "no"}},
        404,
    ],
)
async def test_an_agent_that_cannot_be_subscribed_to_is_asked_again_and_again(
    home: Home, misbehaving: Start, refusal: int | dict[str, Any]
) -> None:
    no = reply(refusal) if isinstance(refusal, int) else reply(200, refusal)
    server = misbehaving(in_turn(_sent, no, _result("WORKING"), _result("WORKING"), _result("COMPLETED")))
    async with home.core() as core:
        core.add("plain", server.url)
        await core.one(c.Send(agent="plain", message="hi"))
        *events, result = await core.data(c.TaskSubscribe(task_id="t"))
        assert [event.state for event in events] == ["working", "completed"]
        assert result.final_state == "completed"


@pytest.mark.parametrize(
    ("handler", "error"), [(_drop, TransportError), (reply(200, "<html>"), ProtocolError), (reply(500), TransportError)]
)
async def test_subscribing_to_an_agent_in_trouble_is_an_error_soon(
    home: Home, misbehaving: Start, handler: Any, error: type[MissiveError]
) -> None:
    server = misbehaving(in_turn(_sent, handler))
    async with home.core() as core:
        core.add("bad", server.url)
        await core.one(c.Send(agent="bad", message="hi"))
        await core.fails(c.TaskSubscribe(task_id="t"), error)
        assert len(server.requests) <= 9
