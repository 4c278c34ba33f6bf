"""What the demo agents do: the first word of the text chooses.

==================  ==================================================================================
first word          behaviour
==================  ==================================================================================
``echo TEXT``       a direct Message with TEXT; an unknown first word echoes the whole text
``task [S]``        a task: submitted, working for S seconds (0), three artifacts (``summary``: text,
                    ``result``: data, ``report``: the file ``report.csv`` as raw bytes), completed
``stream [N] [S]``  a task: N (3) times a status update and a chunk of the one artifact ``stream``,
                    S seconds (0) before each
``ask [QUESTION]``  a task: input-required with QUESTION; the follow-up completes it, answer echoed
``auth``            a task: auth-required; the follow-up completes it
``fail``            a task: working, then failed
``reject``          a task: rejected
``crash``           an agent with a fault in it: an exception instead of an answer
``sleep [S]``       a task: working, completed after S seconds (1); can be cancelled meanwhile
``big [MIB]``       a task with one file of MIB mebibytes (5), bytes 0 to 255 over and over
``break [S]``       a task whose stream breaks off after three events (task, working, first chunk): the
                    TCP connection is cut, over gRPC the call ends UNAVAILABLE; the task itself
                    goes on and completes S seconds (0.5) later with a second chunk
``cut [S]``         the same, but the stream ends cleanly, without a word about the task
``unicode``         a task whose status and artifact texts are `UNICODE_TEXT`
``slow [S]``        a direct Message after S silent seconds (1)
``headers``         a direct Message: what the request's headers were, as text and as data (`headers`)
``echo-parts``      a direct Message with the parts that came in
``context``         a direct Message with the contextId that the agent sees
``choose A B …``    a task: thinks for a moment, then chooses one of the words (``yes`` or ``no``) as the
                    artifact ``choice``. Which one, and how long it thinks, depends on the agent's name and
                    the words: agents differ, and each sticks to its opinion
==================  ==================================================================================

Words are matched without regard to case; numbers may have a fraction, and what is no number counts
as not given. A blocking send waits for the end in every case; ``break`` and ``cut`` only concern streams.
A message to a task that waits (after ``ask``, ``auth``) is its answer, whatever its first word is.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import uuid
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import anyio
from a2a.helpers import new_data_part, new_raw_part, new_text_part
from a2a.server.agent_execution import AgentExecutor
from a2a.server.tasks import TaskUpdater
from a2a.types import Message, Part, Role, Task, TaskState, TaskStatus
from google.protobuf.timestamp_pb2 import Timestamp

from missive_host.demo.wire import WIRE, Wire

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from a2a.server.agent_execution import RequestContext
    from a2a.server.events import EventQueue

    from missive_host.demo.wire import End

MIB = 1 << 20
LONGEST_WAIT = 3600.0
"""Seconds; a demo agent does not wait longer than this for anything."""
BIGGEST = 256.0
"""Mebibytes; the most that ``big`` gives."""
UNICODE_TEXT = "line\u2028paragraph\u2029next line\u0085end \U0001f4e8 e\u0301"
"""The three characters at which a careless reader of event streams splits lines, an emoji and a combining accent."""
LONGEST_THOUGHT = 0.5
"""Seconds; no agent thinks longer about what to ``choose``."""
EVENTS_BEFORE_END = 3
"""How many events of ``break`` and ``cut`` go out: the task, ``working``, the first chunk."""


@dataclass(frozen=True)
class Turn:
    """One message to the agent and the means to answer it."""

    request: RequestContext
    queue: EventQueue
    words: tuple[str, ...]
    """The words after the first one."""
    rest: str
    """The text after the first word, as it came."""
    updater: TaskUpdater
    agent: str
    """The agent's name."""

    async def reply(self, *parts: Part) -> None:
        """Answer with a direct Message: the only event of this turn."""
        await self.queue.enqueue_event(
            Message(
                role=Role.ROLE_AGENT,
                message_id=str(uuid.uuid4()),
                context_id=self.updater.context_id,
                parts=parts,
            )
        )

    async def start(self, text: str = "Working on it.") -> None:
        """Open the task and say that work has begun: two events."""
        await self.open()
        await self.updater.start_work(self.say(text))

    async def open(self) -> None:
        """Open the task: submitted.

        The SDK's own helper refuses a message with an empty text part, which is a
        message like any other here.
        """
        now = Timestamp()
        now.GetCurrentTime()
        message = self.request.message
        await self.queue.enqueue_event(
            Task(
                id=self.updater.task_id,
                context_id=self.updater.context_id,
                status=TaskStatus(state=TaskState.TASK_STATE_SUBMITTED, timestamp=now),
                history=[] if message is None else [message],
            )
        )

    def say(self, text: str) -> Message:
        """Return a message of the agent for a status."""
        return self.updater.new_agent_message([new_text_part(text)])

    def number(self, default: float, *, index: int = 0, most: float = LONGEST_WAIT) -> float:
        """Return the word at `index` as a number from 0 to `most`, or `default` if it is none."""
        try:
            value = float(self.words[index])
        except (IndexError, ValueError):
            return default
        return default if math.isnan(value) else min(max(value, 0.0), most)

    @property
    def wire(self) -> Wire:
        """The request as the transport saw it."""
        wire = self.request.call_context.state.get(WIRE)
        return wire if isinstance(wire, Wire) else Wire(())


async def echo(turn: Turn) -> None:
    """Answer with the text."""
    await turn.reply(new_text_part(turn.rest or "(nothing to echo)"))


async def task(turn: Turn) -> None:
    """Do a task with three kinds of artifacts."""
    seconds = turn.number(0.0)
    await turn.start()
    await anyio.sleep(seconds)
    table = io.StringIO()
    csv.writer(table).writerows([["step", "seconds"], ["work", seconds]])
    update = turn.updater
    await update.add_artifact(
        [new_text_part(f"Worked for {seconds:g} s.", "text/plain")], artifact_id="summary", name="summary"
    )
    await update.add_artifact(
        [new_data_part({"seconds": seconds, "steps": ["work"], "ok": True}, "application/json")],
        artifact_id="result",
        name="result",
    )
    await update.add_artifact(
        [new_raw_part(table.getvalue().encode(), media_type="text/csv", filename="report.csv")],
        artifact_id="report",
        name="report",
    )
    await update.complete(turn.say("Done."))


async def stream(turn: Turn) -> None:
    """Send many updates and one artifact in chunks."""
    count = int(turn.number(3, most=1_000_000))
    pause = turn.number(0.0, index=1)
    await turn.start()
    for step in range(1, count + 1):
        if pause:
            await anyio.sleep(pause)
        await turn.updater.start_work(turn.say(f"step {step} of {count}"))
        await _chunk(turn, "stream", f"chunk {step}\n", first=step == 1, last=step == count)
    await turn.updater.complete(turn.say("Done."))


async def ask(turn: Turn) -> None:
    """Ask for input."""
    await turn.open()
    await turn.updater.requires_input(turn.say(turn.rest or "What is your name?"))


async def auth(turn: Turn) -> None:
    """Ask for an authorisation."""
    await turn.open()
    await turn.updater.requires_auth(turn.say("Please authorise this, then answer here."))


async def answered(turn: Turn) -> None:
    """Complete a task that waited, and echo what was answered. `turn.rest` is the whole text."""
    await turn.updater.start_work()
    text = f"You answered: {turn.rest}"
    await turn.updater.add_artifact([new_text_part(text)], artifact_id="answer", name="answer", last_chunk=True)
    await turn.updater.complete(turn.say(text))


async def fail(turn: Turn) -> None:
    """Let the task fail."""
    await turn.start()
    await turn.updater.failed(turn.say("This task was told to fail."))


async def reject(turn: Turn) -> None:
    """Reject the task."""
    await turn.open()
    await turn.updater.reject(turn.say("This agent does not do that."))


async def crash(turn: Turn) -> None:  # noqa: ARG001 - all behaviours are called alike
    """Have a fault; the SDK makes an error of it."""
    raise RuntimeError("the agent was told to crash")


async def sleep(turn: Turn) -> None:
    """Work for a while; a cancel ends it."""
    seconds = turn.number(1.0)
    await turn.start(f"Sleeping for {seconds:g} s.")
    await anyio.sleep(seconds)
    await turn.updater.complete(turn.say("Awake."))


async def big(turn: Turn) -> None:
    """Give a big file."""
    raw = big_bytes(turn.number(5.0, most=BIGGEST))
    await turn.start()
    part = new_raw_part(raw, media_type="application/octet-stream", filename="big.bin")
    await turn.updater.add_artifact([part], artifact_id="big", name="big", last_chunk=True)
    await turn.updater.complete()


def big_bytes(mib: float) -> bytes:
    """Return what ``big`` gives for `mib` mebibytes."""
    size = int(mib * MIB)
    return (bytes(range(256)) * (size // 256 + 1))[:size]


async def break_off(turn: Turn) -> None:
    """Let the connection break in the middle of the stream."""
    await _interrupted(turn, "break")


async def cut(turn: Turn) -> None:
    """Let the stream end cleanly before the task does."""
    await _interrupted(turn, "cut")


async def _interrupted(turn: Turn, end: End) -> None:
    turn.wire.arm(end, after=EVENTS_BEFORE_END)
    await turn.start()
    await _chunk(turn, end, "first half, ", first=True, last=False)
    await anyio.sleep(turn.number(0.5))
    await _chunk(turn, end, "second half", first=False, last=True)
    await turn.updater.complete(turn.say("Done all the same."))


async def unicode(turn: Turn) -> None:
    """Send the characters that break careless readers."""
    await turn.start(UNICODE_TEXT)
    await turn.updater.add_artifact([new_text_part(UNICODE_TEXT)], artifact_id="unicode", name="unicode")
    await turn.updater.complete(turn.say(UNICODE_TEXT))


async def slow(turn: Turn) -> None:
    """Answer late, and say nothing until then."""
    seconds = turn.number(1.0)
    await anyio.sleep(seconds)
    await turn.reply(new_text_part(f"Answered after {seconds:g} s."))


async def headers(turn: Turn) -> None:
    """Tell what the request carried.

    The data part is an object: ``names`` (sorted, lower case), ``a2a-version``, ``a2a-extensions``
    and ``x-a2a-extensions`` (text or null), ``authorization`` (``sha256:`` and the first 12 hex
    digits of the value's hash, or null: the value itself is a secret), ``traceparent`` and
    ``tracestate`` (text or null), and ``tenant``.
    """
    wire = turn.wire
    authorization = wire.header("authorization")
    seen: dict[str, Any] = {
        "names": sorted({name for name, _ in wire.headers}),
        "a2a-version": wire.header("a2a-version"),
        "a2a-extensions": wire.header("a2a-extensions"),
        "x-a2a-extensions": wire.header("x-a2a-extensions"),
        "authorization": None if authorization is None else fingerprint(authorization),
        "traceparent": wire.header("traceparent"),
        "tracestate": wire.header("tracestate"),
        "tenant": turn.request.tenant,
    }
    await turn.reply(new_text_part(json.dumps(seen)), new_data_part(seen, "application/json"))


def fingerprint(value: str) -> str:
    """Return what ``headers`` shows of a secret header value."""
    return "sha256:" + hashlib.sha256(value.encode()).hexdigest()[:12]


async def echo_parts(turn: Turn) -> None:
    """Send the parts back."""
    message = turn.request.message
    await turn.reply(*([] if message is None else message.parts))


async def context(turn: Turn) -> None:
    """Tell the contextId."""
    await turn.reply(new_text_part(turn.updater.context_id))


async def choose(turn: Turn) -> None:
    """Choose one of the words."""
    options = turn.words or ("yes", "no")
    await turn.start("Thinking.")
    await anyio.sleep(LONGEST_THOUGHT * _liking(turn.agent, " ".join(options)))
    choice = max(options, key=lambda option: _liking(turn.agent, option))
    await turn.updater.add_artifact([new_text_part(choice)], artifact_id="choice", name="choice", last_chunk=True)
    await turn.updater.complete()


def _liking(agent: str, text: str) -> float:
    """Return a number from 0 to 1 that this agent has for this text, now and always."""
    return int.from_bytes(hashlib.sha256(f"{agent}\0{text}".encode()).digest()[:6]) / (1 << 48)


async def _chunk(turn: Turn, artifact: str, text: str, *, first: bool, last: bool) -> None:
    await turn.updater.add_artifact(
        [new_text_part(text)], artifact_id=artifact, name=artifact, append=not first, last_chunk=last
    )


BEHAVIOURS: Mapping[str, Callable[[Turn], Awaitable[None]]] = MappingProxyType(
    {
        "echo": echo,
        "task": task,
        "stream": stream,
        "ask": ask,
        "auth": auth,
        "fail": fail,
        "reject": reject,
        "crash": crash,
        "sleep": sleep,
        "big": big,
        "break": break_off,
        "cut": cut,
        "unicode": unicode,
        "slow": slow,
        "headers": headers,
        "echo-parts": echo_parts,
        "context": context,
        "choose": choose,
    }
)


class DemoExecutor(AgentExecutor):
    """The executor of all demo agents. It keeps nothing between two turns."""

    def __init__(self, agent: str) -> None:
        self._agent = agent

    async def execute(self, context: RequestContext, event_queue: EventQueue) -> None:
        """Run the behaviour that the text asks for. Every road emits at least one event."""
        text = context.get_user_input()
        if context.current_task is not None:
            await answered(self._turn(context, event_queue, text))
            return
        pieces = text.split(maxsplit=1)
        first = pieces[0] if pieces else ""
        behaviour = BEHAVIOURS.get(first.lower())
        if behaviour is None:
            await echo(self._turn(context, event_queue, text))
        else:
            await behaviour(self._turn(context, event_queue, pieces[1] if len(pieces) > 1 else ""))

    async def cancel(self, context: RequestContext, event_queue: EventQueue) -> None:
        """Say that the task is cancelled; the SDK stops `execute` after that."""
        turn = self._turn(context, event_queue, "")
        await turn.updater.cancel(turn.say("Cancelled."))

    def _turn(self, context: RequestContext, queue: EventQueue, rest: str) -> Turn:
        # The SDK invents a new contextId for a follow-up that names only its task;
        # the task's own one is right (spec 3.4.3).
        known = context.current_task
        context_id = (known.context_id if known is not None else context.context_id) or str(uuid.uuid4())
        updater = TaskUpdater(queue, context.task_id or str(uuid.uuid4()), context_id)
        return Turn(
            request=context, queue=queue, words=tuple(rest.split()), rest=rest, updater=updater, agent=self._agent
        )
