"""Reducers that call out: an agent, and a program."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import anyio
import msgspec

from missive_host import commands as c
from missive_host.a2a.parts import build_request
from missive_host.a2a.shapes import SETTLED, Json, payload
from missive_host.collectives.answers import Answer, Content, content_of
from missive_host.core.recorder import Exchange, context_created
from missive_host.errors import (
    AuthRequiredError,
    InputRequiredError,
    MissiveError,
    OrchestrationError,
    TaskCancelledError,
    TaskFailedError,
    TransportError,
    ValidationError,
)
from missive_host.ids import new_id, now
from missive_host.store.rows import ContextRow

if TYPE_CHECKING:
    from anyio.abc import Process

    from missive_host.a2a.client import AgentClient
    from missive_host.collectives.members import Crew
    from missive_host.core.core import Core
    from missive_host.store import Tables

INTERVAL = 0.1
MAX_INTERVAL = 2.0
"""Seconds between two questions about a task: the first pause, and what it grows to."""
MAX_OUTPUT = 1024 * 1024
"""Bytes that a program may write."""
MAX_COMPLAINT = 4096
"""Bytes of its standard error that are kept, to say why it failed."""


class Reply(msgspec.Struct, frozen=True):
    """What the agent made of the prompt."""

    text: str
    data: Any = None
    task_id: str | None = None


async def ask_agent(
    core: Core,
    crew: Crew,
    agent: str,
    prompt: str,
    *,
    metadata: dict[str, Any],
    accepted_output_modes: tuple[str, ...],
) -> Reply:
    """Send the prompt to an agent and wait for its task to end. Raises `MissiveError`.

    An agent that is a member itself gets it in a fork of the context: what it makes of all answers must not be taken
    for its own.
    """
    core.agents.learn_secrets(agent)  # before anything is written down
    exchange = Exchange(
        agent=agent,
        message_id=core.message_id(agent, "reduce"),
        work_id=None if core.work is None else core.work.work_id,
        is_all=False,
    )
    await core.commit(lambda tables: _place(tables, crew, exchange))
    request = build_request(
        c.Send(
            agent=agent,
            message=prompt,
            mime=("text/plain",),
            metadata=metadata,
            accepted_output_modes=accepted_output_modes,
        ),
        message_id=exchange.message_id,
        context_id=exchange.remote_context_id,
        task_id=None,
        max_bytes=core.settings.config.qos.request_bytes,
        files=None,
    )

    async def call(client: AgentClient) -> Json:
        exchange.attempted = True
        return await client.send(request.body)

    await core.recorder.request(exchange, request, "send")
    try:
        with exchange.about():
            answer, client = await core.agents.calling(agent, call)
    except BaseException as error:
        with anyio.CancelScope(shield=True):
            await core.recorder.failed(exchange, "send", error if isinstance(error, MissiveError) else None)
        raise
    with anyio.CancelScope(shield=True):
        await core.recorder.answered(exchange, answer, client.interface)
    if payload(answer)[0] == "task":
        await _until_settled(core, agent, exchange.task_id or "")
    return core.store.read(lambda tables: _reply(tables, agent, exchange, answer))


def _place(tables: Tables, crew: Crew, exchange: Exchange) -> None:
    """Find the conversation in which the agent is asked."""
    if all(member.agent != exchange.agent for member in crew.members):
        exchange.context_id = crew.context_id
        exchange.remote_context_id = tables.contexts.remote_of(crew.context_id, exchange.agent)
        return
    at = now()
    fork = ContextRow(
        context_id=new_id(),
        agent_alias=exchange.agent,
        summary=f"reduction for the group '{crew.group}'",
        metadata={"missive.collective": "reduce", "missive.group": crew.group},
        created_at=at,
        updated_at=at,
    )
    fork = tables.contexts.fork(crew.context_id, fork)
    tables.events.append(context_created(fork))
    exchange.context_id = fork.context_id


async def _until_settled(core: Core, agent: str, task_id: str) -> None:
    """Ask for the task until it has ended or waits for us."""
    interval = INTERVAL
    while True:
        row = core.store.read(lambda tables: tables.tasks.find(agent, task_id))
        if row is not None and row.state in SETTLED:
            return
        await anyio.sleep(interval)
        interval = min(interval * 1.5, MAX_INTERVAL)
        try:
            task, client = await core.agents.calling(agent, lambda client: client.get_task(task_id))
        except TransportError:
            continue  # until the time is up
        await core.recorder.observed(agent, task, client.interface, observed_by="reduce")


def _reply(tables: Tables, agent: str, exchange: Exchange, answer: Json) -> Reply:
    name, value = payload(answer)
    if name == "message":
        message = tables.messages.find(agent, value["messageId"], "response")
        return _said(agent, content_of(tables, Answer(message=message)), None)
    task = tables.tasks.find(agent, exchange.task_id or "")
    assert task is not None
    content = content_of(tables, Answer(task=task))
    if task.state != "completed":
        raise _unfinished(agent, task.task_id, task.state, content.text)
    return _said(agent, content, task.task_id)


def _said(agent: str, content: Content, task_id: str | None) -> Reply:
    data = content.data[0] if len(content.data) == 1 else (list(content.data) or None)
    text = content.text
    if not text and data is not None:
        text = msgspec.json.format(msgspec.json.encode(data), indent=2).decode()
    if not text:
        raise OrchestrationError(
            f"the reducing agent '{agent}' gave neither text nor data",
            help=f"`missive task get {task_id} --agent {agent}` shows what it gave" if task_id else None,
        )
    return Reply(text, data, task_id)


def _unfinished(agent: str, task_id: str, state: str, text: str | None) -> OrchestrationError:
    kinds: dict[str, tuple[type[OrchestrationError], str]] = {
        "cancelled": (TaskCancelledError, "was cancelled"),
        "input_required": (InputRequiredError, "waits for an answer"),
        "auth_required": (AuthRequiredError, "waits for an authorisation"),
        "rejected": (TaskFailedError, "was rejected"),
    }
    error, what = kinds.get(state, (TaskFailedError, "failed"))
    return error(
        f"task {task_id} of the reducing agent '{agent}' {what}",
        help=f"`missive task get {task_id} --agent {agent}` shows it",
        sources=(text,) if text else (),
    )


# --- a program


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """How a program ended."""

    name: str
    exit_code: int
    stdout: bytes
    complaint: str

    @property
    def stdout_bytes(self) -> int:
        return len(self.stdout)

    def text(self) -> str:
        """Return what it wrote, without white space at the end. Raises `OrchestrationError` if that is no answer."""
        sources = (self.complaint.strip(),) if self.complaint.strip() else ()
        if self.exit_code:
            raise OrchestrationError(f"the reducing program '{self.name}' ended with {self.exit_code}", sources=sources)
        try:
            text = self.stdout.decode().rstrip()
        except UnicodeDecodeError as error:
            raise OrchestrationError(
                f"the reducing program '{self.name}' wrote something that is not UTF-8, at byte {error.start}"
            ) from None
        if not text:
            raise OrchestrationError(f"the reducing program '{self.name}' wrote nothing", sources=sources)
        return text


async def run_program(argv: Sequence[str], prompt: str) -> Done:
    """Run a program with the prompt on its standard input; no shell.

    It is killed, with what it has started, when this is cancelled or it writes more than `MAX_OUTPUT` bytes.
    Raises `ValidationError` if it cannot be started, and `OrchestrationError`.
    """
    name = argv[0]
    try:
        process = await anyio.open_process([*argv], start_new_session=os.name == "posix")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ValidationError(f"the reducing program '{name}' cannot be started: {reason.lower()}") from None
    talk = _Talk(process)
    try:
        await talk.run(prompt.encode())
        code = await process.wait()
        if talk.too_much:
            raise OrchestrationError(
                f"the reducing program '{name}' wrote more than {MAX_OUTPUT} bytes", help="let it write less"
            )
    except BaseException:
        _kill(process)
        raise
    finally:
        with anyio.CancelScope(shield=True):
            await process.aclose()
    return Done(name=name, exit_code=code, stdout=bytes(talk.stdout), complaint=talk.complaint.decode(errors="replace"))


class _Talk:
    """What is said to a program and by it."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self.stdout = bytearray()
        self.complaint = bytearray()
        self.too_much = False

    async def run(self, prompt: bytes) -> None:
        """Until both of its outputs have ended, or it has written too much."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._feed, prompt)
            group.start_soon(self._listen_to_errors)
            assert self._process.stdout is not None
            async for chunk in self._process.stdout:
                self.stdout += chunk
                if len(self.stdout) > MAX_OUTPUT:
                    self.too_much = True
                    _kill(self._process)
                    break

    async def _feed(self, prompt: bytes) -> None:
        assert self._process.stdin is not None
        # A program need not read it all.
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError, ConnectionError):
            await self._process.stdin.send(prompt)
        await self._process.stdin.aclose()

    async def _listen_to_errors(self) -> None:
        assert self._process.stderr is not None
        async for chunk in self._process.stderr:
            self.complaint += chunk[: MAX_COMPLAINT - len(self.complaint)]


def _kill(process: Process) -> None:
    with suppress(ProcessLookupError, PermissionError):
        if os.name == "posix":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
