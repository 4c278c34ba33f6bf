"""An A2A agent that answers by a script, on a real socket: JSON-RPC as A2A 1.0 has it, by the standard library alone.

It knows nothing of missive and nothing of the SDK: what it sends is written out here, so that the host's real client
is what a test is about.
"""

from __future__ import annotations

import hmac
import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from missive_host.testing.script import Drop, Fail, HttpStatus, Reply, Step, StreamReply, TaskReply, TaskState

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

Json = dict[str, Any]
CARD_PATH = "/.well-known/agent-card.json"
SENDING = ("SendMessage", "SendStreamingMessage")
ENDS = ("completed", "failed", "canceled", "rejected")
NOT_FOUND = Fail("Task not found", -32001)
NO_METHOD = Fail("Method not found", -32601)
NOT_CANCELABLE = Fail("Task cannot be canceled", -32002)
UNSUPPORTED = Fail("This operation is not supported", -32004)
AT_ITS_END = "the script of the fake agent has come to its end"
_STOPPED_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Call:
    """One call that the agent got."""

    method: str
    """A2A's name: ``SendMessage``, ``SendStreamingMessage``, ``GetTask`` …"""
    params: Json
    headers: Mapping[str, str] = field(repr=False)
    """By their names in lower case."""

    @property
    def message(self) -> Json:
        """The message as it came; empty if there is none."""
        found: Json = self.params.get("message", {})
        return found

    @property
    def text(self) -> str:
        """The text parts of the message."""
        return "\n".join(part["text"] for part in self.message.get("parts", ()) if "text" in part)

    @property
    def message_id(self) -> str:
        return str(self.message.get("messageId", ""))

    @property
    def context_id(self) -> str | None:
        return self.message.get("contextId")

    @property
    def task_id(self) -> str | None:
        return self.message.get("taskId") or self.params.get("id")


@dataclass(slots=True)
class RecordedTask:
    """A task of the agent."""

    id: str
    context_id: str
    state: TaskState
    text: str = ""
    data: tuple[Any, ...] = ()

    def document(self) -> Json:
        found: Json = {"id": self.id, "contextId": self.context_id, "status": _status(self.state)}
        parts = _parts(self.text, self.data)
        if parts:
            found["artifacts"] = [{"artifactId": "answer", "parts": parts}]
        return found


Script = Sequence[Step | str] | Callable[[Call], Step | str]


class FakeAgent:
    """An agent on a free port of the loopback interface, in threads of its own: for tests with any event loop, or none.

    ::

        with FakeAgent(["hello", StreamReply(("a", "b")), HttpStatus(503), "done"]) as agent:
            ...  # missive agent add agent {agent.url}
        assert [call.text for call in agent.calls] == ["hi", …]

    Each message takes one step of the script; a text is a `Reply`. When there is none left, the answer is an error
    that says so. In the place of a list a function may decide on each `Call`; without a script it says what it hears.
    With a `bearer_token` it asks for one. `card` replaces fields of its agent card.
    """

    def __init__(
        self,
        script: Script | None = None,
        *,
        name: str = "agent",
        streaming: bool = True,
        bearer_token: str | None = None,
        card: Mapping[str, Any] | None = None,
    ) -> None:
        self.name = name
        self.calls: list[Call] = []
        """The calls that it got, in order."""
        self.tasks: dict[str, RecordedTask] = {}
        """Its tasks by their ids."""
        self._script = script
        self._taken = 0
        self._streaming = streaming
        self._token = bearer_token
        self._card = dict(card or {})
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    # --- life

    def __enter__(self) -> Self:
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name=f"fake agent {self.name}")
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        assert self._thread is not None
        self._stopping.set()
        self._server.shutdown()
        self._thread.join(_STOPPED_SECONDS)
        self._server.end()

    @property
    def url(self) -> str:
        """Its base URL: what ``missive agent add NAME URL`` takes."""
        assert self._server is not None, "use it as a context manager"
        return f"http://127.0.0.1:{self._server.server_port}"

    # --- for the test

    @property
    def texts(self) -> list[str]:
        """The texts of the messages that it got."""
        return [call.text for call in self.calls if call.method in SENDING]

    def move(self, task_id: str, state: TaskState, text: str = "") -> None:
        """Let a task of its own go on: who asks for it next sees this."""
        with self._lock:
            task = self.tasks[task_id]
            task.state, task.text = state, text or task.text

    # --- for the server

    def card(self) -> Json:
        document: Json = {
            "name": self.name,
            "description": "An agent that answers by a script.",
            "version": "1.0.0",
            "supportedInterfaces": [{"url": f"{self.url}/rpc", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}],
            "capabilities": {"streaming": self._streaming, "pushNotifications": False},
            "defaultInputModes": ["text/plain", "application/json"],
            "defaultOutputModes": ["text/plain", "application/json"],
            "skills": [{"id": "answer", "name": "Answer", "description": "Answers.", "tags": ["test"]}],
        }
        if self._token is not None:
            document["securitySchemes"] = {"bearer": {"httpAuthSecurityScheme": {"scheme": "bearer"}}}
            document["securityRequirements"] = [{"schemes": {"bearer": {"list": []}}}]
        return {**document, **self._card}

    def lets_in(self, headers: Mapping[str, str]) -> bool:
        if self._token is None:
            return True
        given = headers.get("authorization", "").encode()
        return hmac.compare_digest(given, f"Bearer {self._token}".encode())

    def wait(self, seconds: float) -> None:
        """Wait, but not for longer than the agent lives."""
        if seconds > 0:
            self._stopping.wait(seconds)

    def step(self, call: Call) -> Step:
        """Return what is to be done with a call, which is recorded."""
        with self._lock:
            self.calls.append(call)
            if call.method not in SENDING:
                return self._about_tasks(call)
            if callable(self._script):
                made = self._script(call)
            elif self._script is None:
                made = Reply(call.text)
            elif self._taken < len(self._script):
                made = self._script[self._taken]
                self._taken += 1
            else:
                made = Fail(AT_ITS_END)
        return Reply(made) if isinstance(made, str) else made

    def _about_tasks(self, call: Call) -> Step:
        task = self.tasks.get(call.task_id or "")
        if call.method == "ListTasks":
            return NO_METHOD
        if call.method not in ("GetTask", "CancelTask", "SubscribeToTask"):
            return UNSUPPORTED if call.method.endswith(("Config", "Configs", "AgentCard")) else NO_METHOD
        if task is None:
            return NOT_FOUND
        if call.method == "CancelTask":
            if task.state in ENDS:
                return NOT_CANCELABLE
            task.state = "canceled"
        if call.method == "SubscribeToTask" and task.state in ENDS:
            return UNSUPPORTED
        return TaskReply(task.text, task.data, task.state)

    def task_for(self, call: Call, state: TaskState, text: str = "", data: tuple[Any, ...] = ()) -> RecordedTask:
        """Return the task that the call is about, as it is now; a new one if it names none."""
        with self._lock:
            number = len(self.tasks) + 1
            task_id = call.task_id or f"task-{number}"
            context = call.context_id or (self.tasks[task_id].context_id if task_id in self.tasks else f"ctx-{number}")
            task = self.tasks[task_id] = RecordedTask(task_id, context, state, text, data)
            return task


class _Server(ThreadingHTTPServer):
    """One thread a connection; `end` closes those that are open, so that no thread is left."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, agent: FakeAgent) -> None:
        self.agent = agent
        self._open: dict[socket.socket, threading.Thread] = {}
        self._guard = threading.Lock()
        super().__init__(("127.0.0.1", 0), _Handler)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        with self._guard:
            self._open[request] = threading.current_thread()
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._guard:
                self._open.pop(request, None)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A peer that has gone is nothing to tell of."""

    def end(self) -> None:
        self.server_close()
        with self._guard:
            left = dict(self._open)
        for connection in left:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in left.values():
            thread.join(_STOPPED_SECONDS)


class _Handler(BaseHTTPRequestHandler):
    """The wire."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        if self.path == CARD_PATH:
            self._answer(200, self.server.agent.card())
        else:
            self._answer(404, {"title": "Not Found"})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        if not self.server.agent.lets_in(headers):
            self._answer(401, {"title": "Unauthorized"}, {"WWW-Authenticate": "Bearer"})
            return
        try:
            request = json.loads(body)
            call = Call(request["method"], request.get("params") or {}, headers)
        except (ValueError, KeyError, TypeError):
            self._answer(200, {"jsonrpc": "2.0", "id": None, "error": {"code": -32700, "message": "Parse error"}})
            return
        step = self.server.agent.step(call)
        self.server.agent.wait(step.delay)
        match step:
            case Drop():
                self._break()
            case HttpStatus():
                more = {} if step.retry_after is None else {"Retry-After": str(step.retry_after)}
                self._answer(step.status, step.body, more)
            case Fail():
                error = {"code": step.code, "message": step.message}
                if step.data is not None:
                    error["data"] = step.data
                self._answer(200, {"jsonrpc": "2.0", "id": request.get("id"), "error": error})
            case _ if call.method in ("SendStreamingMessage", "SubscribeToTask"):
                self._stream(request.get("id"), step, self._events(call, step))
            case _:
                self._answer(200, {"jsonrpc": "2.0", "id": request.get("id"), "result": self._result(call, step)})

    def _result(self, call: Call, step: Reply | TaskReply | StreamReply) -> Json:
        agent = self.server.agent
        if isinstance(step, Reply):
            return {"message": _message(call, step)}
        if isinstance(step, TaskReply):
            task = agent.task_for(call, step.state, step.text, step.data).document()
        else:
            agent.wait(step.pause * len(step.chunks))
            task = agent.task_for(call, step.state, "".join(step.chunks)).document()
        return {"task": task} if call.method in SENDING else task

    def _events(self, call: Call, step: Reply | TaskReply | StreamReply) -> Iterator[Json]:
        if not isinstance(step, StreamReply):
            result = self._result(call, step)
            yield result if call.method in SENDING else {"task": result}
            return
        agent = self.server.agent
        task = agent.task_for(call, "working")
        about = {"taskId": task.id, "contextId": task.context_id}
        yield {"task": task.document()}
        for number, chunk in enumerate(step.chunks):
            agent.wait(step.pause)
            task.text += chunk
            artifact = {"artifactId": "answer", "parts": [{"text": chunk}]}
            yield {"artifactUpdate": {**about, "artifact": artifact, "append": number > 0}}
        if not step.cut:
            task.state = step.state
            yield {"statusUpdate": {**about, "status": _status(step.state)}}

    def _stream(self, request_id: Any, step: Step, events: Iterator[Json]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for event in events:
            text = json.dumps({"jsonrpc": "2.0", "id": request_id, "result": event})
            data = f"data: {text}\n\n".encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
            self.wfile.flush()
        if isinstance(step, StreamReply) and step.cut:
            self._break()
        else:
            self.wfile.write(b"0\r\n\r\n")

    def _answer(self, status: int, document: Json | str, headers: Mapping[str, str] | None = None) -> None:
        body = document.encode() if isinstance(document, str) else json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain" if isinstance(document, str) else "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _break(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name of the base class
        """Say nothing: what was called is in `FakeAgent.calls`."""


def _message(call: Call, step: Reply) -> Json:
    found: Json = {"messageId": f"reply-to-{call.message_id}", "role": "ROLE_AGENT"}
    found["parts"] = _parts(step.text, step.data) or [{"text": ""}]
    if call.context_id:
        found["contextId"] = call.context_id
    return found


def _parts(text: str, data: tuple[Any, ...]) -> list[Json]:
    return [*([{"text": text}] if text else []), *({"data": value} for value in data)]


def _status(state: TaskState) -> Json:
    return {"state": f"TASK_STATE_{state.upper()}"}
