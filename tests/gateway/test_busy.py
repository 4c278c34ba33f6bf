"""Busy input: what is decided, what is done, and what real agents say to being steered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest
from hypothesis import given, strategies as st
from msgspec.structs import replace
from support.cores import BINDINGS, Commands, Home

from missive_host import commands as c
from missive_host.config import Config
from missive_host.config.model import AdapterBlock, BusyInput, Gateway
from missive_host.errors import (
    A2AErrorInfo,
    AuthError,
    DeadlineError,
    MissiveError,
    OrchestrationError,
    ProtocolError,
    TaskFailedError,
    TransportError,
)
from missive_host.gateway import busy
from missive_host.gateway.busy import (
    INTERRUPTED,
    Disposition,
    RunningView,
    apply,
    decide,
    journal,
    queue_full,
    refused_steering,
    rules_for,
    steer,
    steered,
)
from missive_host.protocols import IntakeFullError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from missive_host.demo.fleet import AgentProcess
    from missive_host.outputs import Output

QUEUE = BusyInput()
INTERRUPT = BusyInput(mode="interrupt")
STEER = BusyInput(mode="steer")
RUNS = RunningView("w-1", "send", "2026-01-01T00:00:00.000000Z", agent="echo", task_id="t-1")
HELLO = c.Send(agent="echo", message="hello")


def changed(running: RunningView, **values: Any) -> RunningView:
    import dataclasses

    return dataclasses.replace(running, **values)


# --- deciding


@pytest.mark.parametrize("rules", [QUEUE, INTERRUPT, STEER])
def test_a_session_that_is_not_busy_begins_at_once(rules: BusyInput) -> None:
    found = decide(rules, HELLO, None, 0)
    assert (found.kind, found.actions, found.position, found.fallback) == ("start_now", ("start",), None, None)


def test_a_message_waits_for_its_turn() -> None:
    assert decide(QUEUE, HELLO, RUNS, 0) == Disposition("queue", "queue", "queued", ("queue",), position=1)
    assert decide(QUEUE, HELLO, RUNS, 31) == Disposition("queue", "queue", "queued", ("queue",), position=32)
    assert decide(QUEUE, HELLO, None, 3) == Disposition("queue", "queue", "queued", ("queue",), position=4)


@pytest.mark.parametrize("rules", [QUEUE, INTERRUPT])
def test_a_full_queue_refuses_and_touches_nothing(rules: BusyInput) -> None:
    found = decide(rules, HELLO, RUNS, 32)
    assert (found.kind, found.actions, found.position) == ("refused", (), None)
    error = queue_full(rules)
    assert isinstance(error, IntakeFullError)
    assert (error.exit_code, error.message) == (70, "32 messages of this session wait already")


def test_an_interrupt_comes_first_the_agent_next_and_the_message_last() -> None:
    assert decide(INTERRUPT, HELLO, RUNS, 0) == Disposition(
        "interrupt", "interrupt", "interrupt_queued", ("interrupt", "cancel_remote", "queue"), position=1
    )


@pytest.mark.parametrize(
    ("rules", "running"),
    [
        (replace(INTERRUPT, interrupt_remote_cancel=False), RUNS),
        (INTERRUPT, changed(RUNS, task_id=None)),
        (INTERRUPT, changed(RUNS, agent=None)),
    ],
)
def test_the_agent_is_asked_to_cancel_only_if_that_is_wanted_and_can_be(rules: BusyInput, running: RunningView) -> None:
    assert decide(rules, HELLO, running, 0).actions == ("interrupt", "queue")


def test_what_is_being_interrupted_is_not_interrupted_again() -> None:
    found = decide(INTERRUPT, HELLO, changed(RUNS, interrupting=True), 1)
    assert (found.kind, found.actions, found.position) == ("interrupt_queued", ("queue",), 2)


@pytest.mark.parametrize(
    "command", [c.TaskGet(task_id="t"), c.TaskCancel(task_id="t"), c.AgentList(), c.Gather(group="g", context="x")]
)
@pytest.mark.parametrize("rules", [INTERRUPT, STEER])
def test_only_a_message_interrupts_or_steers(rules: BusyInput, command: c.Command) -> None:
    found = decide(rules, command, RUNS, 0)
    assert (found.requested, found.used, found.kind) == (rules.mode, "queue", "queued")
    assert found.fallback is None


@pytest.mark.parametrize("command", [c.Bcast(group="g"), c.Scatter(group="g"), c.Allreduce(group="g")])
def test_a_collective_interrupts(command: c.Command) -> None:
    assert decide(INTERRUPT, command, RUNS, 0).kind == "interrupt_queued"


TEAM = changed(RUNS, group="team")


@pytest.mark.parametrize(
    ("command", "running"),
    [
        (HELLO, RUNS),
        (c.Stream(agent="echo"), RUNS),
        (HELLO, changed(RUNS, command="stream")),
        (c.Send(agent="echo", task="t-1"), RUNS),
        (c.Send(group="team", policy="sticky", preferred_agent="echo", quorum=1), TEAM),
        (c.Stream(group="team", requirements=c.Requirements(streaming=True)), TEAM),
        (HELLO, TEAM),
    ],
)
def test_a_message_to_the_same_agent_is_sent_to_its_task(command: c.Command, running: RunningView) -> None:
    # not even a full queue is in its way: it does not wait
    assert decide(STEER, command, running, 32) == Disposition("steer", "steer", "steered", ("steer",))
    sent = steered(command, running)
    assert isinstance(sent, c.Send | c.Stream)
    assert type(sent) is type(command)
    assert (sent.agent, sent.task) == ("echo", "t-1")
    assert (sent.group, sent.policy, sent.preferred_agent, sent.quorum) == (None, None, None, None)
    assert sent.requirements == c.Requirements()
    from missive_host.core.handlers.send import addressed_to_group

    assert addressed_to_group(sent) is False  # the handler takes it as it is


@pytest.mark.parametrize(
    ("command", "running", "reason"),
    [
        (c.Bcast(group="team"), TEAM, "only a message to one agent can be"),
        (HELLO, changed(RUNS, interrupting=True), "what runs is being interrupted"),
        (HELLO, changed(RUNS, command="task_wait"), "`task_wait` runs, which is no task of one agent"),
        (c.Send(group="team"), changed(TEAM, command="bcast"), "`bcast` runs, which is no task of one agent"),
        (HELLO, changed(RUNS, task_id=None), "the agent has not named its task yet"),
        (HELLO, changed(RUNS, agent=None), "the agent has not named its task yet"),
        (c.Send(agent="echo", task="t-2"), RUNS, "the message is for another task"),
        (c.Send(agent="echo", context="c"), RUNS, "the message names its own context"),
        (c.Send(agent="other"), RUNS, "the message is for somebody else"),
        (c.Send(group="team"), RUNS, "the message is for somebody else"),
        (c.Send(group="crew"), TEAM, "the message is for somebody else"),
    ],
)
def test_what_cannot_be_steered_falls_back(command: c.Command, running: RunningView, reason: str) -> None:
    found = decide(STEER, command, running, 0)
    assert (found.used, found.kind, found.fallback) == ("queue", "queued", reason)
    rules = replace(STEER, unsupported_steer_fallback="interrupt")
    found = decide(rules, command, running, 0)
    assert (found.requested, found.used, found.kind) == ("steer", "interrupt", "interrupt_queued")
    assert found.fallback == reason
    assert decide(rules, command, running, 32).kind == "refused"


def test_what_the_agent_refused_falls_back_and_is_not_tried_again() -> None:
    found = decide(STEER, HELLO, RUNS, 0, refused="it said no")
    assert found == Disposition("steer", "queue", "queued", ("queue",), position=1, fallback="it said no")
    rules = replace(STEER, unsupported_steer_fallback="interrupt")
    assert decide(rules, HELLO, RUNS, 0, refused="it said no").kind == "interrupt_queued"
    # Its task had ended, which is why the agent refused: there is nothing to wait for.
    assert decide(STEER, HELLO, None, 0, refused="it said no").kind == "start_now"


MESSAGES = st.sampled_from([HELLO, c.Stream(agent="echo"), c.Send(group="team"), c.Bcast(group="team"), c.AgentList()])
RUNNING = st.none() | st.builds(
    RunningView,
    st.just("w"),
    st.sampled_from(["send", "stream", "bcast", "task_get"]),
    st.just("2026-01-01T00:00:00.000000Z"),
    agent=st.sampled_from([None, "echo", "other"]),
    group=st.sampled_from([None, "team"]),
    task_id=st.sampled_from([None, "t"]),
    interrupting=st.booleans(),
)
RULES = st.builds(
    BusyInput,
    mode=st.sampled_from(["queue", "interrupt", "steer"]),
    unsupported_steer_fallback=st.sampled_from(["queue", "interrupt"]),
    interrupt_remote_cancel=st.booleans(),
    max_queue_depth=st.integers(1, 4),
)


@given(RULES, MESSAGES, RUNNING, st.integers(0, 5), st.none() | st.just("no"))
def test_the_laws_of_deciding(
    rules: BusyInput, command: c.Command, running: RunningView | None, depth: int, refused: str | None
) -> None:
    found = decide(rules, command, running, depth, refused=refused)
    assert found.requested == rules.mode
    assert found.used in {rules.mode, "queue", rules.unsupported_steer_fallback}
    last = {"start_now": ("start",), "steered": ("steer",), "refused": ()}.get(found.kind, ("queue",))
    assert found.actions[-1:] == last
    assert (found.position is not None) == (last == ("queue",))
    if found.position is not None:
        assert found.position == depth + 1 <= rules.max_queue_depth
    if found.kind == "refused":
        assert depth >= rules.max_queue_depth
    if running is None:
        assert not {"interrupt", "cancel_remote", "steer"} & set(found.actions)
        assert (found.kind == "start_now") == (depth == 0)
    if "cancel_remote" in found.actions:
        assert running is not None
        assert rules.interrupt_remote_cancel
        assert running.task_id is not None
        assert found.actions == ("interrupt", "cancel_remote", "queue")
    if rules.mode == "queue":
        assert found.kind in {"start_now", "queued", "refused"}
    if found.fallback is not None:
        assert rules.mode == "steer" != found.used
    if refused is not None:
        assert found.kind != "steered"


def test_an_adapter_has_its_own_rules() -> None:
    config = Config(
        gateway=Gateway(busy_input=INTERRUPT),
        adapters={"chat": AdapterBlock(kind="chat", busy_input=STEER), "inbox": AdapterBlock(kind="file-drop")},
    )
    assert rules_for(config, "chat") is STEER
    assert rules_for(config, "inbox") is INTERRUPT
    assert rules_for(config, "unknown") is INTERRUPT


# --- what an agent's answer means


def a2a(name: str | None, status: int | None = None) -> A2AErrorInfo:
    return A2AErrorInfo(name=name, http_status=status)


@pytest.mark.parametrize(
    "error",
    [
        ProtocolError("x", a2a=a2a("UnsupportedOperationError")),
        ProtocolError("x", a2a=a2a("TaskNotFoundError")),
        ProtocolError("x", a2a=a2a("TaskNotCancelableError")),
        ProtocolError("x", a2a=a2a("InvalidParamsError")),
        ProtocolError("x", a2a=a2a("InvalidRequestError")),
        ProtocolError("x", a2a=a2a("MethodNotFoundError", 404)),
        TransportError("x", a2a=a2a(None, 400)),
        TransportError("x", a2a=a2a(None, 409)),
    ],
)
def test_a_message_that_was_refused_may_be_sent_in_another_way(error: MissiveError) -> None:
    assert refused_steering(error)


@pytest.mark.parametrize(
    "error",
    [
        ProtocolError("x"),
        ProtocolError("x", a2a=a2a("InternalError")),
        ProtocolError("x", a2a=a2a("InvalidAgentResponseError")),
        TransportError("x"),
        TransportError("x", sent=False),
        TransportError("x", a2a=a2a(None, 503)),
        TransportError("x", a2a=a2a(None, 502)),
        AuthError("x", a2a=a2a(None, 401)),
        TaskFailedError("x"),
        DeadlineError("x"),
        OrchestrationError("x"),
        ValueError("x"),
    ],
)
def test_a_message_that_may_have_been_taken_is_not_sent_again(error: Exception) -> None:
    assert not refused_steering(error)


@pytest.mark.anyio
async def test_an_agent_that_has_answered_has_not_refused() -> None:
    async def run(command: c.Command, emit: Any) -> None:
        assert command == steered(HELLO, RUNS)
        await emit("an answer")
        raise ProtocolError("gone", a2a=a2a("TaskNotFoundError"))

    answers: list[Any] = []

    async def emit(output: Output) -> None:
        answers.append(output)

    with pytest.raises(ProtocolError):
        await steer(run, HELLO, RUNS, emit)
    assert answers == ["an answer"]


# --- doing


class Recorded:
    """What the dispatcher is asked for, in order."""

    def __init__(self, error: BaseException | None = None, *, hangs: bool = False) -> None:
        self.calls: list[tuple[str, str, str]] = []
        self.error = error
        self.hangs = hangs

    async def interrupt(self, work_id: str, reason: str) -> None:
        self.calls.append(("interrupt", work_id, reason))

    async def cancel_remote(self, agent: str, task_id: str) -> None:
        self.calls.append(("cancel_remote", agent, task_id))
        if self.hangs:
            await anyio.sleep_forever()
        if self.error is not None:
            raise self.error


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("rules", "running", "calls"),
    [
        (QUEUE, RUNS, []),
        (STEER, RUNS, []),
        (INTERRUPT, None, []),
        (INTERRUPT, RUNS, [("interrupt", "w-1", INTERRUPTED), ("cancel_remote", "echo", "t-1")]),
        (INTERRUPT, changed(RUNS, task_id=None), [("interrupt", "w-1", INTERRUPTED)]),
        (INTERRUPT, changed(RUNS, interrupting=True), []),
    ],
)
async def test_what_was_decided_is_done(
    rules: BusyInput, running: RunningView | None, calls: list[tuple[str, str, str]]
) -> None:
    runs = Recorded()
    await apply(decide(rules, HELLO, running, 0), running, runs)
    assert runs.calls == calls


@pytest.mark.anyio
async def test_an_agent_that_does_not_cancel_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    found = decide(INTERRUPT, HELLO, RUNS, 0)
    failing = Recorded(ProtocolError("no", a2a=a2a("TaskNotCancelableError")))
    await apply(found, RUNS, failing)
    assert len(failing.calls) == 2
    monkeypatch.setattr(busy, "CANCEL_SECONDS", 0.05)
    hanging = Recorded(hangs=True)
    await apply(found, RUNS, hanging)
    assert len(hanging.calls) == 2


@pytest.mark.anyio
async def test_a_fault_of_the_dispatcher_comes_out() -> None:
    with pytest.raises(RuntimeError):
        await apply(decide(INTERRUPT, HELLO, RUNS, 0), RUNS, Recorded(RuntimeError("a fault")))


def test_the_journal_tells_of_what_is_out_of_the_ordinary() -> None:
    def event(found: Disposition, running: RunningView | None = RUNS) -> Any:
        return journal(found, running, work_id="w-2", adapter="chat", lane="chat/alice")

    assert event(decide(QUEUE, HELLO, None, 0), None) is None
    assert event(decide(QUEUE, HELLO, RUNS, 0)) is None
    found = event(decide(INTERRUPT, HELLO, RUNS, 0))
    assert (found.event_type, found.source, found.agent_alias, found.task_id) == (
        "missive.session.busy", "gateway", "echo", "t-1",
    )  # fmt: skip
    assert found.payload == {
        "work_id": "w-2", "adapter": "chat", "lane": "chat/alice", "requested_mode": "interrupt",
        "mode_used": "interrupt", "disposition": "interrupt_queued",
        "actions": ["interrupt", "cancel_remote", "queue"], "position": 1, "running": "w-1",
    }  # fmt: skip
    assert event(decide(STEER, c.Send(agent="x"), RUNS, 0)).payload["fallback"] == "the message is for somebody else"
    assert event(decide(STEER, HELLO, RUNS, 0)).payload["disposition"] == "steered"
    assert event(decide(QUEUE, HELLO, RUNS, 99)).payload["disposition"] == "refused"


# --- with real agents


async def running_task(core: Commands, group: anyio.abc.TaskGroup, text: str) -> RunningView:
    """Start a stream, wait until its task is known, and return how a dispatcher sees it."""
    known = anyio.Event()
    found: list[str] = []

    async def emit(output: Output) -> None:
        task_id = output.document()["data"].get("task_id") or output.document()["data"].get("event", {}).get("task_id")
        if task_id and not found:
            found.append(task_id)
            known.set()

    async def run() -> None:
        try:
            await core.core.run(c.Stream(agent="echo", message=text), emit)
        except MissiveError:
            known.set()
            raise

    group.start_soon(run)
    with anyio.fail_after(20):
        await known.wait()
    return RunningView("w-1", "stream", "2026-01-01T00:00:00.000000Z", agent="echo", task_id=found[0])


@pytest.mark.anyio
@pytest.mark.parametrize("binding", BINDINGS)
@pytest.mark.parametrize(("text", "answer"), [("ask What is your name?", "You answered: Ann"), ("sleep 1.5", "Awake.")])
async def test_a_task_that_runs_gets_the_message(
    home: Home, agent: AgentProcess, binding: str, text: str, answer: str
) -> None:
    """One that waits goes on with it. One at work takes it, and what it makes of it is the agent's matter."""
    async with home.core() as core, anyio.create_task_group() as group:
        core.add("echo", agent, binding)
        running = await running_task(core, group, text)
        assert decide(STEER, c.Send(agent="echo", message="Ann"), running, 0).kind == "steered"
        outputs: list[Output] = []

        async def emit(output: Output) -> None:
            outputs.append(output)

        assert await steer(core.core.run, c.Send(agent="echo", message="Ann"), running, emit) is None
        (output,) = outputs
        data: Any = output.data
        assert data.response.task_id == running.task_id
        assert answer in data.response.text
        requests = [row for row in core.requests() if row.task_id == running.task_id]
        assert len({row.context_id for row in requests}) == 1


@pytest.mark.anyio
@pytest.mark.parametrize("binding", BINDINGS)
async def test_a_task_that_has_ended_refuses_it(home: Home, agent: AgentProcess, binding: str) -> None:
    async with home.core() as core, anyio.create_task_group() as group:
        core.add("echo", agent, binding)
        running = await running_task(core, group, "task")
        await until_ended(core, running)
        await refuses(core, running)


@pytest.mark.anyio
@pytest.mark.parametrize("binding", BINDINGS)
async def test_a_task_that_nobody_knows_refuses_it(home: Home, agent: AgentProcess, binding: str) -> None:
    async with home.core() as core:
        core.add("echo", agent, binding)
        await refuses(core, changed(RUNS, task_id="no-such-task"))


@pytest.mark.anyio
@pytest.mark.parametrize("binding", BINDINGS[:2])
async def test_an_old_agent_refuses_it(home: Home, agent_03: AgentProcess, binding: str) -> None:
    async with home.core() as core:
        core.add("echo", agent_03, binding)
        # To a stream over HTTP+JSON it says nothing at all, and breaks the connection: that is no refusal.
        await refuses(core, changed(RUNS, task_id="no-such-task"), *([SEND] if binding == "http+json" else []))


@pytest.mark.anyio
@pytest.mark.parametrize("binding", BINDINGS[:2])
async def test_an_agent_of_another_sdk_refuses_it(home: Home, js_agent: AgentProcess, binding: str) -> None:
    async with home.core() as core, anyio.create_task_group() as group:
        core.add("echo", js_agent, binding)
        await refuses(core, changed(RUNS, task_id="no-such-task"))
        running = await running_task(core, group, "task")
        await until_ended(core, running)
        await refuses(core, running)


async def until_ended(core: Commands, running: RunningView) -> None:
    assert running.task_id is not None
    waited = await core.one(c.TaskWait(task_id=running.task_id, agent="echo", interval="50ms"))
    assert waited.task_id == running.task_id


SEND = c.Send(agent="echo", message="and another thing")
STREAM = c.Stream(agent="echo", message="and another thing")


async def refuses(core: Commands, running: RunningView, *commands: c.Command) -> None:
    """See an agent refuse a message to a task, and the fallback that is then used."""

    async def emit(output: Output) -> None:
        raise AssertionError(output)

    for command in commands or (SEND, STREAM):
        reason = await steer(core.core.run, command, running, emit)
        assert reason is not None
        assert "echo" in reason
        assert decide(STEER, command, running, 0, refused=reason).kind == "queued"


@pytest.fixture
async def sleeping(home: Home, agent: AgentProcess) -> AsyncIterator[tuple[Commands, RunningView, Dispatcher]]:
    """A core that streams from an agent at work, and something that runs it as a dispatcher does."""
    async with home.core() as core, anyio.create_task_group() as group:
        core.add("echo", agent)
        dispatcher = Dispatcher(core)
        inner = await group.start(dispatcher.run)
        yield core, await running_task(core, inner, "sleep 60"), dispatcher
        group.cancel_scope.cancel()


class Dispatcher:
    """Runs one thing in a scope of its own, and cancels at the agent by the command for it."""

    def __init__(self, core: Commands) -> None:
        self._core = core
        self._scope = anyio.CancelScope()
        self.reasons: list[str] = []
        self._gone = anyio.Event()

    async def run(self, *, task_status: anyio.abc.TaskStatus[anyio.abc.TaskGroup]) -> None:
        with self._scope:
            async with anyio.create_task_group() as group:
                task_status.started(group)
                await anyio.sleep_forever()
        self._gone.set()

    async def interrupt(self, work_id: str, reason: str) -> None:
        assert work_id == "w-1"
        self.reasons.append(reason)
        self._scope.cancel()
        await self._gone.wait()

    async def cancel_remote(self, agent: str, task_id: str) -> None:
        await self._core.all(c.TaskCancel(agent=agent, task_id=task_id))


@pytest.mark.anyio
async def test_an_interrupt_ends_the_run_here_and_at_the_agent(
    sleeping: tuple[Commands, RunningView, Dispatcher],
) -> None:
    core, running, dispatcher = sleeping
    assert running.task_id is not None
    await apply(decide(INTERRUPT, HELLO, running, 0), running, dispatcher)
    assert dispatcher.reasons == ["interrupted by a newer message"]
    theirs = await core.one(c.TaskGet(agent="echo", task_id=running.task_id, remote=True))
    assert theirs.task.state == "cancelled"


@pytest.mark.anyio
async def test_without_remote_cancel_the_agent_goes_on(sleeping: tuple[Commands, RunningView, Dispatcher]) -> None:
    core, running, dispatcher = sleeping
    assert running.task_id is not None
    rules = replace(INTERRUPT, interrupt_remote_cancel=False)
    await apply(decide(rules, HELLO, running, 0), running, dispatcher)
    theirs = await core.one(c.TaskGet(agent="echo", task_id=running.task_id, remote=True))
    assert theirs.task.state == "working"
    await core.all(c.TaskCancel(agent="echo", task_id=running.task_id))
