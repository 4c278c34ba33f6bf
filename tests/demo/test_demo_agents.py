"""The demo agents as the SDK's own client sees them, over real sockets."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from a2a.client.errors import A2AClientError
from a2a.helpers import get_message_text, new_data_part, new_raw_part, new_url_part
from a2a.types import CancelTaskRequest, GetTaskRequest, SubscribeToTaskRequest, TaskState
from a2a.utils.errors import A2AError, TaskNotCancelableError
from google.protobuf.json_format import MessageToDict
from support.agents import BEARER_TOKEN
from support.sdk import connect, request

from missive_host.demo.behaviours import UNICODE_TEXT, big_bytes, fingerprint

if TYPE_CHECKING:
    from a2a.types import StreamResponse, Task
    from support.sdk import Peer

    from missive_host.demo.fleet import AgentProcess

BINDINGS = ["JSONRPC", "HTTP+JSON", "GRPC"]
every_binding = pytest.mark.parametrize("binding", BINDINGS)


def state(task: Task) -> str:
    return str(TaskState.Name(task.status.state)).removeprefix("TASK_STATE_")


def shape(event: StreamResponse) -> str:
    """Return what an event is: its kind, and the state or the artifact's name."""
    kind = str(event.WhichOneof("payload"))
    if kind == "task":
        return f"task {state(event.task)}"
    if kind == "status_update":
        return "status " + str(TaskState.Name(event.status_update.status.state)).removeprefix("TASK_STATE_")
    return f"artifact {event.artifact_update.artifact.name}" if kind == "artifact_update" else kind


def text_of(answer: StreamResponse) -> str:
    assert answer.WhichOneof("payload") == "message"
    return str(get_message_text(answer.message))


async def ended(peer: Peer, task_id: str) -> Task:
    """Return the task once it has ended."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        task = await peer.client.get_task(GetTaskRequest(id=task_id))
        if state(task) not in {"SUBMITTED", "WORKING"}:
            return task
    raise AssertionError("the task does not end")


def artifact_text(task: Task) -> str:
    (artifact,) = task.artifacts
    return "".join(part.text for part in artifact.parts)


@every_binding
class TestMessages:
    async def test_echo(self, agent: AgentProcess, binding: str) -> None:
        async with connect(agent, binding) as peer:
            assert text_of(await peer.send("echo two  words")) == "two  words"
            assert text_of(await peer.send("whatever this is")) == "whatever this is"
            assert text_of(await peer.send("echo")) == "(nothing to echo)"

    async def test_echo_on_a_stream(self, agent: AgentProcess, binding: str) -> None:
        async with connect(agent, binding, streaming=True) as peer:
            assert [text_of(event) for event in await peer.stream("echo hello")] == ["hello"]

    async def test_echo_parts(self, agent: AgentProcess, binding: str) -> None:
        parts = (
            new_data_part({"a": [1, None, "x"]}, "application/json"),
            new_raw_part(b"\x00\xff", media_type="image/png", filename="dot.png"),
            new_url_part("https://example.org/f.txt", media_type="text/plain", filename="f.txt"),
        )
        sent = request("echo-parts", *parts)
        async with connect(agent, binding) as peer:
            (answer,) = [event async for event in peer.client.send_message(sent)]
        assert list(answer.message.parts) == list(sent.message.parts)

    async def test_context(self, agent: AgentProcess, binding: str) -> None:
        async with connect(agent, binding) as peer:
            answer = await peer.send("context", context_id="ctx-of-mine")
            assert text_of(answer) == answer.message.context_id == "ctx-of-mine"
            assert text_of(await peer.send("context")) not in {"", "ctx-of-mine"}

    async def test_slow(self, agent: AgentProcess, binding: str) -> None:
        async with connect(agent, binding) as peer:
            assert text_of(await peer.send("slow 0.05")) == "Answered after 0.05 s."

    async def test_crash_is_an_error(self, agent: AgentProcess, binding: str) -> None:
        async with connect(agent, binding) as peer:
            with pytest.raises(A2AError):
                await peer.send("crash")


@every_binding
class TestTasks:
    async def test_task(self, agent: AgentProcess, binding: str) -> None:
        async with connect(agent, binding) as peer:
            task = (await peer.send("task 0.05")).task
        assert state(task) == "COMPLETED"
        assert get_message_text(task.status.message) == "Done."
        summary, result, report = task.artifacts
        assert summary.parts[0].text == "Worked for 0.05 s."
        assert MessageToDict(result.parts[0].data) == {"seconds": 0.05, "steps": ["work"], "ok": True}
        file = report.parts[0]
        assert (file.raw, file.filename, file.media_type) == (
            b"step,seconds\r\nwork,0.05\r\n",
            "report.csv",
            "text/csv",
        )

    async def test_task_on_a_stream(self, agent: AgentProcess, binding: str) -> None:
        async with connect(agent, binding, streaming=True) as peer:
            events = await peer.stream("task")
        assert [shape(event) for event in events] == [
            "task SUBMITTED",
            "status WORKING",
            "artifact summary",
            "artifact result",
            "artifact report",
            "status COMPLETED",
        ]

    async def test_choose(self, agent: AgentProcess, binding: str) -> None:
        async with connect(agent, binding) as peer:
            chosen = {
                artifact_text((await peer.send(text)).task) for text in ("choose tea coffee", "CHOOSE coffee tea")
            }
            assert len(chosen) == 1  # an agent sticks to its opinion
            assert chosen < {"tea", "coffee"}
            assert artifact_text((await peer.send("choose")).task) in {"yes", "no"}
            assert artifact_text((await peer.send("choose this")).task) == "this"

    async def test_stream(self, agent: AgentProcess, binding: str) -> None:
        async with connect(agent, binding, streaming=True) as peer:
            events = await peer.stream("stream 4 0.01")
            task = await ended(peer, events[0].task.id)
        assert [shape(event) for event in events] == [
            "task SUBMITTED",
            "status WORKING",
            *["status WORKING", "artifact stream"] * 4,
            "status COMPLETED",
        ]
        chunks = [event.artifact_update for event in events if event.HasField("artifact_update")]
        assert [(chunk.append, chunk.last_chunk) for chunk in chunks] == [
            (False, False),
            (True, False),
            (True, False),
            (True, True),
        ]
        assert artifact_text(task) == "chunk 1\nchunk 2\nchunk 3\nchunk 4\n"

    async def test_ask(self, agent: AgentProcess, binding: str) -> None:
        async with connect(agent, binding) as peer:
            task = (await peer.send("ask Which colour?")).task
            assert (state(task), get_message_text(task.status.message)) == ("INPUT_REQUIRED", "Which colour?")
            # Only the task is named: the context must be inferred from it.
            done = (await peer.send("echo blue", task_id=task.id)).task
        assert (done.id, done.context_id, state(done)) == (task.id, task.context_id, "COMPLETED")
        assert artifact_text(done) == "You answered: echo blue"

    async def test_events_of_a_follow_up_keep_the_context(self, agent: AgentProcess, binding: str) -> None:
        async with connect(agent, binding, streaming=True) as peer:
            first = (await peer.stream("ask"))[0].task
            events = await peer.stream("blue", task_id=first.id)
        assert [shape(event) for event in events] == ["status WORKING", "artifact answer", "status COMPLETED"]
        updates = [getattr(event, str(event.WhichOneof("payload"))) for event in events]
        assert {update.context_id for update in updates} == {first.context_id}

    async def test_auth(self, agent: AgentProcess, binding: str) -> None:
        async with connect(agent, binding) as peer:
            task = (await peer.send("auth")).task
            assert state(task) == "AUTH_REQUIRED"
            assert state((await peer.send("done", task_id=task.id)).task) == "COMPLETED"

    @pytest.mark.parametrize(
        ("text", "expected", "said"),
        [
            ("fail", "FAILED", "This task was told to fail."),
            ("reject", "REJECTED", "This agent does not do that."),
        ],
    )
    async def test_bad_ends(self, agent: AgentProcess, binding: str, text: str, expected: str, said: str) -> None:
        async with connect(agent, binding) as peer:
            task = (await peer.send(text)).task
        assert (state(task), get_message_text(task.status.message)) == (expected, said)

    async def test_a_task_that_has_ended_takes_no_message(self, agent: AgentProcess, binding: str) -> None:
        async with connect(agent, binding) as peer:
            task = (await peer.send("task")).task
            with pytest.raises(A2AError):
                await peer.send("one more", task_id=task.id)

    async def test_sleep_completes(self, agent: AgentProcess, binding: str) -> None:
        async with connect(agent, binding) as peer:
            assert state((await peer.send("sleep 0.05")).task) == "COMPLETED"

    async def test_sleep_can_be_cancelled(self, agent: AgentProcess, binding: str) -> None:
        sent = request("sleep 600")
        sent.configuration.return_immediately = True
        async with connect(agent, binding) as peer:
            (answer,) = [event async for event in peer.client.send_message(sent)]
            cancelled = await peer.client.cancel_task(CancelTaskRequest(id=answer.task.id))
            assert state(cancelled) == "CANCELED"
            with pytest.raises(TaskNotCancelableError):
                await peer.client.cancel_task(CancelTaskRequest(id=answer.task.id))

    async def test_big(self, agent: AgentProcess, binding: str) -> None:
        async with connect(agent, binding) as peer:
            task = (await peer.send("big")).task
        (file,) = task.artifacts[0].parts
        assert (file.filename, len(file.raw)) == ("big.bin", 5 << 20)
        assert file.raw == big_bytes(5)

    async def test_unicode(self, agent: AgentProcess, binding: str) -> None:
        async with connect(agent, binding) as peer:
            task = (await peer.send("unicode")).task
        assert artifact_text(task) == get_message_text(task.status.message) == UNICODE_TEXT


class TestBrokenStreams:
    EVENTS = ("task SUBMITTED", "status WORKING")

    @every_binding
    async def test_break(self, agent: AgentProcess, binding: str) -> None:
        events: list[StreamResponse] = []

        async def collect(peer: Peer) -> None:
            async for event in peer.client.send_message(request("break 0.05")):
                events.append(event)  # noqa: PERF401 - what came before the break is wanted

        async with connect(agent, binding, streaming=True) as peer:
            with pytest.raises(A2AClientError):
                await collect(peer)
            task = await ended(peer, events[0].task.id)
        assert [shape(event) for event in events] == [*self.EVENTS, "artifact break"]
        assert state(task) == "COMPLETED"
        assert artifact_text(task) == "first half, second half"

    @every_binding
    async def test_cut(self, agent: AgentProcess, binding: str) -> None:
        async with connect(agent, binding, streaming=True) as peer:
            events = await peer.stream("cut 0.05")
            task = await ended(peer, events[0].task.id)
        assert [shape(event) for event in events] == [*self.EVENTS, "artifact cut"]
        assert state(task) == "COMPLETED"
        assert artifact_text(task) == "first half, second half"

    @every_binding
    async def test_the_task_can_be_taken_up_again(self, agent: AgentProcess, binding: str) -> None:
        async with connect(agent, binding, streaming=True) as peer:
            task_id = (await peer.stream("cut 600"))[0].task.id
            shapes = []
            async for event in peer.client.subscribe(SubscribeToTaskRequest(id=task_id)):
                shapes.append(shape(event))
                if len(shapes) == 1:
                    await peer.client.cancel_task(CancelTaskRequest(id=task_id))
        assert shapes == ["task WORKING", "status CANCELED"]

    @pytest.mark.parametrize("word", ["break", "cut"])
    async def test_a_blocking_send_is_not_concerned(self, agent: AgentProcess, word: str) -> None:
        async with connect(agent, "JSONRPC") as peer:
            assert state((await peer.send(f"{word} 0.05")).task) == "COMPLETED"

    async def test_break_cuts_the_tcp_connection(self, agent: AgentProcess) -> None:
        message = {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "break 0"}]}
        call = {"jsonrpc": "2.0", "id": 1, "method": "SendStreamingMessage", "params": {"message": message}}
        async with httpx.AsyncClient(trust_env=False, headers={"A2A-Version": "1.0"}) as http:
            with pytest.raises(httpx.RemoteProtocolError, match="incomplete chunked read"):
                await http.post(agent.interfaces["JSONRPC"], json=call)


@every_binding
class TestHeaders:
    async def headers(self, agent: AgentProcess, binding: str, **headers: str) -> dict[str, Any]:
        from a2a.client.client import ClientCallContext

        call = ClientCallContext(service_parameters=headers)
        async with connect(agent, binding) as peer:
            (answer,) = [event async for event in peer.client.send_message(request("headers"), context=call)]
        seen: dict[str, Any] = MessageToDict(answer.message.parts[1].data)
        return seen

    async def test_they_are_listed(self, agent: AgentProcess, binding: str) -> None:
        seen = await self.headers(agent, binding, **{"A2A-Extensions": "https://example.org/x", "X-Mine": "secret"})
        assert seen["a2a-version"] == "1.0"
        assert seen["a2a-extensions"] == "https://example.org/x"
        assert "x-mine" in seen["names"]
        assert "secret" not in str(seen)
        assert seen["authorization"] is None

    async def test_the_authorization_is_only_hashed(self, bearer_agent: AgentProcess, binding: str) -> None:
        seen = await self.headers(bearer_agent, binding, Authorization=f"Bearer {BEARER_TOKEN}")
        assert seen["authorization"] == fingerprint(f"Bearer {BEARER_TOKEN}")
        assert BEARER_TOKEN not in str(seen)

    @pytest.mark.parametrize("value", [None, "Bearer wrong", f"Basic {BEARER_TOKEN}"])
    async def test_a_wrong_token_is_refused(self, bearer_agent: AgentProcess, binding: str, value: str | None) -> None:
        headers = {} if value is None else {"Authorization": value}
        with pytest.raises(A2AClientError, match=r"401|UNAUTHENTICATED|bearer token"):
            await self.headers(bearer_agent, binding, **headers)


class TestCards:
    async def card(self, agent: AgentProcess, **headers: str) -> httpx.Response:
        async with httpx.AsyncClient(trust_env=False) as http:
            return await http.get(agent.url + "/.well-known/agent-card.json", headers=headers)

    async def test_1_0(self, agent: AgentProcess) -> None:
        answer = await self.card(agent)
        card = answer.json()
        assert [each["protocolBinding"] for each in card["supportedInterfaces"]] == BINDINGS
        assert [each["url"] for each in card["supportedInterfaces"]] == list(agent.interfaces.values())
        assert {each["protocolVersion"] for each in card["supportedInterfaces"]} == {"1.0"}
        assert card["capabilities"]["streaming"] is True
        assert {skill["id"] for skill in card["skills"]} == {"echo", "task", "ask", "choose", "trouble"}
        assert answer.headers["cache-control"] == "public, max-age=60"

    async def test_0_3(self, agent_03: AgentProcess) -> None:
        card = (await self.card(agent_03)).json()
        assert "supportedInterfaces" not in card
        assert (card["protocolVersion"], card["preferredTransport"]) == ("0.3.0", "JSONRPC")
        assert card["url"] == agent_03.interfaces["JSONRPC"]
        assert [each["transport"] for each in card["additionalInterfaces"]] == ["HTTP+JSON", "GRPC"]

    @pytest.mark.parametrize("which", ["agent", "agent_03"])
    async def test_it_can_be_revalidated(self, which: str, request: pytest.FixtureRequest) -> None:
        agent: AgentProcess = request.getfixturevalue(which)
        etag = (await self.card(agent)).headers["etag"]
        again = await self.card(agent, **{"If-None-Match": etag})
        assert (again.status_code, again.content) == (304, b"")
        assert (await self.card(agent, **{"If-None-Match": '"other"'})).status_code == 200

    async def test_the_bearer_scheme_is_declared(self, bearer_agent: AgentProcess) -> None:
        card = (await self.card(bearer_agent)).json()
        assert card["securitySchemes"]["bearer"]["httpAuthSecurityScheme"]["scheme"] == "bearer"
        assert [list(each["schemes"]) for each in card["securityRequirements"]] == [["bearer"]]

    async def test_refusal_names_the_scheme(self, bearer_agent: AgentProcess) -> None:
        async with httpx.AsyncClient(trust_env=False) as http:
            answer = await http.post(bearer_agent.interfaces["JSONRPC"], json={})
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, 'Bearer realm="missive demo"')


class TestProtocol03:
    @every_binding
    async def test_message_and_task(self, agent_03: AgentProcess, binding: str) -> None:
        async with connect(agent_03, binding) as peer:
            assert text_of(await peer.send("echo hello")) == "hello"
            task = (await peer.send("task")).task
            assert [artifact.name for artifact in task.artifacts] == ["summary", "result", "report"]
            waiting = (await peer.send("ask")).task
            assert state(waiting) == "INPUT_REQUIRED"
            done = (await peer.send("blue", task_id=waiting.id)).task
            assert (state(done), done.context_id) == ("COMPLETED", waiting.context_id)

    @every_binding
    async def test_stream(self, agent_03: AgentProcess, binding: str) -> None:
        async with connect(agent_03, binding, streaming=True) as peer:
            events = await peer.stream("stream 2")
        assert [shape(event) for event in events][-3:] == ["status WORKING", "artifact stream", "status COMPLETED"]

    @every_binding
    async def test_cut(self, agent_03: AgentProcess, binding: str) -> None:
        async with connect(agent_03, binding, streaming=True) as peer:
            events = await peer.stream("cut 0.05")
            assert shape(events[-1]) == "artifact cut"
            assert state(await ended(peer, events[0].task.id)) == "COMPLETED"

    async def test_it_does_not_speak_1_0(self, agent_03: AgentProcess) -> None:
        message = {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "echo hello"}]}
        call = {"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": {"message": message}}
        async with httpx.AsyncClient(trust_env=False, headers={"A2A-Version": "1.0"}) as http:
            rpc = (await http.post(agent_03.interfaces["JSONRPC"], json=call)).json()
            rest = await http.post(agent_03.interfaces["HTTP+JSON"] + "/message:send", json=call["params"])
        assert "error" in rpc
        assert rest.status_code == 404


@pytest.mark.parametrize("binding", ["JSONRPC", "HTTP+JSON"])
class TestJavaScriptAgent:
    async def test_echo(self, js_agent: AgentProcess, binding: str) -> None:
        async with connect(js_agent, binding) as peer:
            assert text_of(await peer.send("echo two  words")) == "two  words"

    async def test_task(self, js_agent: AgentProcess, binding: str) -> None:
        async with connect(js_agent, binding) as peer:
            task = (await peer.send("task")).task
        assert state(task) == "COMPLETED"
        summary, result, report = (artifact.parts[0] for artifact in task.artifacts)
        assert (summary.text, MessageToDict(result.data)) == ("Worked.", {"ok": True})
        assert (report.raw, report.filename) == (b"step,seconds\r\nwork,0\r\n", "report.csv")

    async def test_stream(self, js_agent: AgentProcess, binding: str) -> None:
        async with connect(js_agent, binding, streaming=True) as peer:
            shapes = [shape(event) for event in await peer.stream("stream 2")]
        assert shapes == [
            "task SUBMITTED",
            "status WORKING",
            *["status WORKING", "artifact stream"] * 2,
            "status COMPLETED",
        ]

    async def test_ask(self, js_agent: AgentProcess, binding: str) -> None:
        async with connect(js_agent, binding) as peer:
            task = (await peer.send("ask Which colour?")).task
            assert (state(task), get_message_text(task.status.message)) == ("INPUT_REQUIRED", "Which colour?")
            done = (await peer.send("blue", task_id=task.id, context_id=task.context_id)).task
            assert (done.id, state(done), artifact_text(done)) == (task.id, "COMPLETED", "You answered: blue")
            waiting = (await peer.send("ask")).task
            cancelled = await peer.client.cancel_task(CancelTaskRequest(id=waiting.id))
            assert (state(cancelled), cancelled.context_id) == ("CANCELED", waiting.context_id)
