"""`reduce` and `allreduce`: with plugins, with an agent, with a program."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from collectives_kit import enlist, mixed, outcome, statuses, write_plugin
from route_kit import hangs
from support.cores import QUICK, checked

from missive_host import commands as c
from missive_host.collectives import reduce
from missive_host.errors import (
    DeadlineError,
    InputRequiredError,
    MissiveError,
    OrchestrationError,
    PluginError,
    TaskFailedError,
    ValidationError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.cores import Commands, Home
    from support.misbehaving import Start

    from missive_host.demo.fleet import AgentProcess
    from missive_host.outputs import Output


@pytest.fixture
def reducers(home: Home) -> Home:
    """The home with a one-file plugin that provides `tally`, `early`, `faulty` and `wrong`."""
    write_plugin(home.folder)
    home.configure(QUICK + '[plugins]\nfiles = ["test_reducers.py"]\n')
    return home


async def answered(core: Commands, agent: AgentProcess, *parts: str) -> str:
    """Make the group `crew` with a member for each part, and let them answer in the context `ctx`."""
    bindings = ("json-rpc", "http+json", "grpc")
    enlist(core, "crew", *[(f"m{i}", agent, bindings[i % 3]) for i in range(len(parts))])
    await core.one(c.Scatter(group="crew", parts=parts, context="ctx"))
    return "ctx"


# --- plugins


async def test_a_plugin_reduces_what_was_gathered(reducers: Home, agent: AgentProcess) -> None:
    async with reducers.core() as core:
        context = await answered(core, agent, "echo one", "task", "fail", "sleep 0")
        core.local(c.GroupAdd(group="crew", agent="m1", rank="2", weight=2.5))
        result = await core.one(c.Reduce(group="crew", context=context, strategy="tally"))
        assert result.kind == "reduce_result"
        assert result.reduced_text == "1/m0=one; 2/m1=Worked for 0 s.; 4/m3=Awake."
        assert result.reduced_data == {
            "expected": ["m0", "m1", "m2", "m3"],
            "statuses": {"m0": "gathered", "m1": "gathered", "m2": "failed", "m3": "gathered"},
            "weights": {"m0": 1.0, "m1": 2.5, "m2": 1.0, "m3": 1.0},
            "data": [[], [{"ok": True, "seconds": 0.0, "steps": ["work"]}], []],
            "files": [[], ["report.csv"], []],
        }
        assert result.used == ("m0", "m1", "m3")
        assert (result.status, result.member_count, result.gathered_count, result.missing_count) == ("partial", 4, 3, 1)
        assert (result.input_count, result.text_input_count) == (3, 3)
        assert (result.reducer.method, result.reducer.strategy, result.reducer.plugin) == (
            "local", "tally", "test_reducers",
        )  # fmt: skip
        assert [(p.index, p.agent, p.rank, p.status) for p in result.provenance] == [
            (0, "m0", "1", "gathered"),
            (1, "m1", "2", "gathered"),
            (2, "m2", "3", "failed"),
            (3, "m3", "4", "gathered"),
        ]
        kept = core.read(lambda tables: tables.messages.find("", result.persistence.reduced_message_id, "local"))
        assert kept is not None
        assert (kept.role, kept.context_id, kept.content["kind"]) == ("system", "ctx", "missive.reduce.output")
        assert kept.content["parts"][0] == {"text": result.reduced_text}
        assert [p["agent"] for p in kept.metadata["missive.reduce.provenance"]] == ["m0", "m1", "m2", "m3"]
        journal = [e.event_type for e in core.read(lambda tables: tables.events.list(context="ctx"))]
        assert journal.count("missive.reduce.input.gathered") == 3
        assert journal[-1] == "missive.reduce.completed"


async def test_settings_and_template_reach_the_plugin(reducers: Home, agent: AgentProcess) -> None:
    async with reducers.core() as core:
        context = await answered(core, agent, "echo one")
        command = c.Reduce(group="crew", context=context, strategy="tally", settings={"mark": ":"}, template="x")
        result = await core.one(command)
        assert result.reduced_text == "1/m0:one"
        assert result.reducer.template_applied
        error = await core.fails(
            c.Reduce(group="crew", context=context, strategy="tally", settings={"makr": ":"}), ValidationError
        )
        assert "makr" in error.message


async def test_members_without_an_answer_are_named_as_missing(reducers: Home, agent: AgentProcess) -> None:
    async with reducers.core() as core:
        enlist(core, "crew", ("a", agent, ""), ("b", agent, ""))
        core.local(c.ContextCreate(id="talk"))
        error = await core.fails(c.Reduce(group="crew", context="talk", strategy="tally"), ValidationError)
        assert "nothing to reduce" in error.message
        assert error.sources == ("a: missing_task", "b: missing_task")
        await core.one(c.Send(agent="a", message="echo x", context="talk"))
        result = await core.one(c.Reduce(group="crew", context="talk", strategy="tally"))
        assert (result.notes, result.missing_count) == (("without b",), 1)


async def test_the_agents_are_asked_first_if_that_is_wanted(reducers: Home, agent: AgentProcess) -> None:
    async with reducers.core() as core:
        enlist(core, "crew", ("a", agent, "json-rpc"), ("b", agent, "grpc"))
        await core.one(c.Bcast(group="crew", message="task 0.2", return_immediately=True, context="ctx"))
        await core.fails(c.Reduce(group="crew", context="ctx", strategy="tally"), ValidationError)
        await anyio.sleep(0.6)
        await core.fails(c.Reduce(group="crew", context="ctx", strategy="tally"), ValidationError)
        result = await core.one(c.Reduce(group="crew", context="ctx", strategy="tally", refresh=True, timeout="20s"))
        assert result.gathered_count == 2


async def test_a_reducer_may_answer_early(reducers: Home, agent: AgentProcess) -> None:
    async with reducers.core() as core:
        context = await answered(core, agent, "echo one", "echo two")
        result = await core.one(c.Reduce(group="crew", context=context, strategy="early"))
        assert (result.reduced_text, result.used) == ("one", ("m0",))


@pytest.mark.parametrize(("strategy", "words"), [("faulty", "KeyError: 'nothing'"), ("wrong", "answered with str")])
async def test_a_reducer_with_a_fault_is_an_error_and_no_crash(
    reducers: Home, agent: AgentProcess, strategy: str, words: str
) -> None:
    async with reducers.core() as core:
        context = await answered(core, agent, "echo one")
        data, error = await outcome(core, c.Reduce(group="crew", context=context, strategy=strategy))
        assert type(error) is OrchestrationError
        assert words in error.message
        assert error.help == "this is a fault in the plugin `test_reducers`"
        assert (data.status, data.error.exit_code, data.input_count) == ("failed", 70, 1)
        stored = core.read(lambda tables: tables.operations.get(data.operation_id))
        assert stored.document is not None
        assert (stored.status, stored.document["data"]["provenance"][0]["text"]) == ("failed", "one")


async def test_a_strategy_that_nobody_provides_is_refused(reducers: Home, agent: AgentProcess) -> None:
    async with reducers.core() as core:
        context = await answered(core, agent, "echo one")
        error = await core.fails(c.Reduce(group="crew", context=context, strategy="taly"), PluginError)
        assert "did you mean 'tally'" in error.message
        await core.fails(c.Allreduce(group="crew", message="x", strategy="taly"), PluginError)
        assert len(core.requests()) == 1


@pytest.mark.parametrize(
    ("strategy", "settings", "template", "text"),
    [
        ("summarise", {}, None, "Summary for group 'crew' in context 'ctx':\n- 1 (m0, task missing): yes\n"),
        ("summarize", {}, None, "Summary for group 'crew' in context 'ctx':\n- 1 (m0, task missing): yes\n"),
        ("merge", {}, None, "Merged output for group 'crew' in context 'ctx'.\n\n## 1 (m0)\nyes\n\n## 2 (m1)\nno"),
        ("vote", {"quorum": 2}, None, 'Vote result: "yes" received 2 of 3 vote(s).'),
        ("custom", {}, "{{input_count}} of {{group}}", "3 of crew"),
        ("concat", {"separator": "+"}, None, "yes+no+yes"),
        ("first", {}, None, "yes"),
    ],
)
async def test_the_reducers_that_come_with_missive(
    home: Home, agent: AgentProcess, strategy: str, settings: dict[str, Any], template: str | None, text: str
) -> None:
    async with home.core() as core:
        context = await answered(core, agent, "echo yes", "echo no", "echo yes")
        command = c.Reduce(group="crew", context=context, strategy=strategy, settings=settings, template=template)
        result = await core.one(command)
        assert result.reduced_text.startswith(text)
        assert result.reducer.plugin == "reducers"
        assert result.strategy == strategy.replace("ize", "ise")


async def test_json_of_several_members_is_merged(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        context = await answered(core, agent, 'echo {"a": 1}', 'echo {"b": 2}', "task")
        result = await core.one(c.Reduce(group="crew", context=context, strategy="json-merge"))
        assert result.reduced_data["value"] == {"a": 1, "b": 2, "ok": True, "seconds": 0.0, "steps": ["work"]}


# --- an agent


async def test_an_agent_reduces(reducers: Home, agent: AgentProcess) -> None:
    async with reducers.core() as core:
        context = await answered(core, agent, "echo one {{inputs}}", "task")
        core.add("judge", agent)
        command = c.Reduce(
            group="crew",
            context=context,
            reducer_agent="judge",
            template="echo {{group}} {{input_count}} {{strategy}}: {{inputs}}",
            strategy="tally",
            metadata={"run": 1},
            accepted_output_modes=("text/plain",),
        )
        result = await core.one(command)
        assert result.reduced_text.startswith(
            "crew 2 tally: ## 1 (m0)\none {{inputs}}\n\n## 2 (m1)\nWorked for 0 s.\n{"
        )
        assert (result.reducer.method, result.reducer.agent, result.status) == ("agent", "judge", "succeeded")
        (request,) = (row for row in core.requests() if row.agent_alias == "judge")
        assert request.context_id == "ctx"
        assert request.metadata == {
            "run": 1,
            "missive.collective": "reduce",
            "missive.group": "crew",
            "missive.reduce.operation_id": result.operation_id,
            "missive.reduce.strategy": "tally",
        }
        assert result.reducer.prompt_bytes == len(request.content["parts"][0]["text"].encode())
        kept = core.read(lambda tables: tables.messages.find("judge", result.persistence.reduced_message_id, "local"))
        assert kept is not None


async def test_the_default_reduction_can_be_part_of_the_prompt(reducers: Home, agent: AgentProcess) -> None:
    async with reducers.core() as core:
        context = await answered(core, agent, "echo one", "echo two")
        core.add("judge", agent)
        template = "echo <{{default_reduction}}>"
        result = await core.one(
            c.Reduce(group="crew", context=context, reducer_agent="judge", strategy="tally", template=template)
        )
        assert result.reduced_text == "<1/m0=one; 2/m1=two>"


async def test_the_agents_task_is_waited_for_and_its_artifacts_count(home: Home, misbehaving: Start) -> None:
    """The reducing agent answers at once with a task that works, cannot be asked once, and then has an artifact."""
    asked = 0

    def answer(exchange: Any) -> None:
        nonlocal asked
        if exchange.request.json()["method"] == "SendMessage":
            exchange.result({"task": {"id": "t", "contextId": "c", "status": {"state": "TASK_STATE_WORKING"}}})
            return
        asked += 1
        if asked <= 3:
            exchange.reply(500, b"")
            return
        artifact = {"artifactId": "a", "parts": [{"text": "the "}, {"text": "sum"}]}
        task = {"id": "t", "contextId": "c", "status": {"state": "TASK_STATE_COMPLETED"}, "artifacts": [artifact]}
        exchange.result(task)

    def member(exchange: Any) -> None:
        exchange.result({"message": {"messageId": "r", "role": "ROLE_AGENT", "parts": [{"text": "mine"}]}})

    async with home.core() as core:
        core.add("judge", misbehaving(answer).url)
        enlist(core, "crew", ("m", misbehaving(member).url, ""))
        sent = await core.one(c.Bcast(group="crew", message="x"))
        command = c.Reduce(group="crew", context=sent.request.context_id, reducer_agent="judge")
        result = await core.one(command)
        assert (result.reduced_text, result.reducer.task_id) == ("the sum", "t")


async def test_a_member_may_reduce_and_its_own_answer_stays_its_own(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        context = await answered(core, agent, "echo one", "echo two")
        result = await core.one(
            c.Reduce(group="crew", context=context, reducer_agent="m0", template="task", strategy="whatever")
        )
        assert result.reduced_text == "Worked for 0 s."
        gathered = await core.one(c.Gather(group="crew", context=context))
        assert [m.text for m in gathered.members] == ["one", "two"]
        (fork,) = core.read(lambda tables: tables.contexts.list(parent="ctx"))
        assert fork.agent_alias == "m0"
        assert set(fork.remote_contexts) == {"m0"}


@pytest.mark.parametrize(
    ("template", "error"), [("fail", TaskFailedError), ("reject", TaskFailedError), ("ask What?", InputRequiredError)]
)
async def test_an_agent_that_does_not_reduce(
    home: Home, agent: AgentProcess, template: str, error: type[MissiveError]
) -> None:
    async with home.core() as core:
        context = await answered(core, agent, "echo one")
        core.add("judge", agent)
        data, failure = await outcome(
            core, c.Reduce(group="crew", context=context, reducer_agent="judge", template=template)
        )
        assert type(failure) is error
        assert (data.status, data.provenance[0].text) == ("failed", "one")


async def test_an_agent_that_is_too_slow(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        context = await answered(core, agent, "echo one")
        core.add("judge", agent)
        command = c.Reduce(group="crew", context=context, reducer_agent="judge", template="slow 20", timeout="500ms")
        data, failure = await outcome(core, command)
        assert type(failure) is DeadlineError
        assert failure.message == "the agent 'judge' had not reduced the answers of group 'crew' after 0.5 s"
        assert (data.status, data.error.exit_code, data.provenance[0].text) == ("failed", 82, "one")
        (request,) = (row for row in core.requests() if row.agent_alias == "judge")
        assert request.status == "unknown"


# --- a program


def script(folder: Path, code: str) -> tuple[str, ...]:
    file = folder / "reduce.py"
    file.write_text(code)
    return (sys.executable, str(file))


async def test_a_program_reduces(home: Home, agent: AgentProcess, tmp_path: Path) -> None:
    program = script(tmp_path, "import sys; t = sys.stdin.read(); print(sys.argv[1:], t.count('##')); print()")
    async with home.core() as core:
        context = await answered(core, agent, "echo one; rm -rf /", "echo $(two)")
        command = c.Reduce(group="crew", context=context, reducer_command=(*program, "$HOME", "a b"))
        result = await core.one(command)
        assert result.reduced_text == "['$HOME', 'a b'] 2"
        assert result.reducer.method == "command"
        assert result.reducer.command.command == (*program, "$HOME", "a b")
        assert (result.reducer.command.exit_code, result.reducer.command.stdout_bytes) == (0, 20)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import sys; sys.stderr.write('it hurts'); sys.exit(3)", "ended with 3"),
        ("pass", "wrote nothing"),
        ("print('  ')", "wrote nothing"),
        ("import sys; sys.stdout.buffer.write(bytes([255]))", "not UTF-8"),
        ("import sys\nwhile True: sys.stdout.write('x' * 65536)", "more than 1048576 bytes"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "ended with -9"),
    ],
)
async def test_a_program_that_fails(home: Home, agent: AgentProcess, tmp_path: Path, code: str, words: str) -> None:
    async with home.core() as core:
        context = await answered(core, agent, "echo one")
        command = c.Reduce(group="crew", context=context, reducer_command=script(tmp_path, code))
        data, failure = await outcome(core, command)
        assert type(failure) is OrchestrationError
        assert words in failure.message
        assert ("it hurts" in failure.sources) == ("hurts" in code)
        assert (data.status, data.provenance[0].text) == ("failed", "one")


async def test_a_program_that_hangs_is_killed_with_what_it_started(
    home: Home, agent: AgentProcess, tmp_path: Path
) -> None:
    child = f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    program = script(tmp_path, f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])")
    async with home.core() as core:
        context = await answered(core, agent, "echo one")
        command = c.Reduce(group="crew", context=context, reducer_command=program, timeout="2s")
        data, failure = await outcome(core, command)
        assert type(failure) is DeadlineError
        assert data.status == "failed"
        pid = int((tmp_path / "pid").read_text())
        await until(lambda: not alive(pid))


async def test_a_program_without_a_deadline_has_one_all_the_same(
    home: Home, agent: AgentProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert reduce.SECONDS > 60
    monkeypatch.setattr("missive_host.collectives.reduce.SECONDS", 0.5)
    async with home.core() as core:
        context = await answered(core, agent, "echo one")
        program = script(tmp_path, "import time; time.sleep(60)")
        data, failure = await outcome(core, c.Reduce(group="crew", context=context, reducer_command=program))
        assert type(failure) is DeadlineError
        assert data.status == "failed"


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await anyio.sleep(0.01)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    return not (state.exists() and state.read_text().rpartition(")")[2].split()[0] == "Z")


async def test_what_cannot_reduce_is_refused(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        context = await answered(core, agent, "echo one")
        fields: dict[str, Any] = {"group": "crew", "context": context}
        for command, words in (
            (c.Reduce(**fields, reducer_agent="m0", reducer_command=("cat",)), "cannot both reduce"),
            (c.Reduce(**fields, reducer_agent="m1"), "no agent 'm1' is registered"),
            (c.Reduce(**fields, reducer_command=("no-such-program",)), "no program 'no-such-program'"),
            (c.Reduce(**fields, reducer_agent="m0", settings={"x": 1}), "only reducer plugins"),
            (c.Reduce(**fields, reducer_agent="m0", template="{{input}}"), "did you mean 'inputs'"),
        ):
            error = await core.fails(command, ValidationError)
            assert words in error.message


# --- allreduce


async def test_all_of_it_in_one(reducers: Home, agent: AgentProcess, agent_03: AgentProcess) -> None:
    async with reducers.core() as core:
        enlist(core, "crew", *mixed(agent, agent_03, 4))
        result = await core.one(c.Allreduce(group="crew", message="task 0.1", strategy="tally", timeout="20s"))
        assert result.kind == "allreduce_result"
        assert (result.status, result.timeout_ms) == ("succeeded", 20_000)
        assert (result.bcast.success_count, result.barrier.reached_count, result.gather.gathered_count) == (4, 4, 4)
        text = "; ".join(f"{i + 1}/m{i}=Worked for 0.1 s." for i in range(4))
        assert result.reduced_text == result.reduce.reduced_text == text
        operations = [
            core.read(lambda tables, id_=id_: tables.operations.get(id_))  # type: ignore[misc]
            for id_ in (
                result.operation_id, result.bcast.operation_id, result.barrier.operation_id,
                result.gather.operation_id, result.reduce.operation_id,
            )
        ]  # fmt: skip
        assert [o.kind for o in operations] == ["allreduce", "bcast", "barrier", "gather", "reduce"]
        assert {o.context_id for o in operations} == {result.context_id}
        assert (operations[0].document or {})["data"]["reduced_text"] == text


async def test_it_reduces_only_when_enough_have_answered(
    reducers: Home, agent: AgentProcess, bearer_agent: AgentProcess
) -> None:
    async with reducers.core() as core:
        enlist(core, "crew", ("a", agent, ""), ("shut", bearer_agent, ""), ("b", agent, ""))
        data, failure = await outcome(core, c.Allreduce(group="crew", message="echo x", strategy="tally"))
        assert type(failure) is TaskFailedError
        assert (data.status, data.bcast.status, data.barrier.status) == ("failed", "partial_failure", "failed")
        assert (data.gather.gathered_count, bool(data.reduce)) == (2, False)
        data, failure = await outcome(
            core, c.Allreduce(group="crew", message="echo x", strategy="tally", failure_policy="stop")
        )
        assert type(failure) is OrchestrationError
        assert (data.status, bool(data.barrier), data.gather.gathered_count) == ("partial_failure", False, 2)
        result = await core.one(c.Allreduce(group="crew", message="echo x", strategy="tally", required=2))
        assert (result.status, result.reduced_text) == ("partial", "1/a=x; 3/b=x")


async def test_when_enough_have_answered_the_others_are_not_waited_for(
    reducers: Home, agent: AgentProcess, misbehaving: Start
) -> None:
    async with reducers.core() as core:
        silent = misbehaving(hangs).url
        enlist(core, "crew", ("a", agent, ""), ("silent", silent, ""), ("b", agent, "grpc"))
        result = await core.one(c.Allreduce(group="crew", message="echo x", strategy="tally", required=2))
        assert (result.status, result.reduced_text) == ("partial", "1/a=x; 3/b=x")
        assert statuses(result.bcast) == {"a": "succeeded", "silent": "left", "b": "succeeded"}
        assert (result.bcast.status, result.bcast.failure_count) == ("succeeded", 0)
        assert statuses(result.barrier) == {"a": "satisfied", "silent": "missing", "b": "satisfied"}
        (request,) = (row for row in core.requests() if row.agent_alias == "silent")
        assert request.status == "unknown"  # it has the message, perhaps

        # A task that has failed is an answer, but none of those that are required.
        data, failure = await outcome(core, c.Allreduce(group="crew", message="fail", strategy="tally", required=2))
        assert type(failure) is TaskFailedError
        assert statuses(data.bcast) == {"a": "succeeded", "silent": "left", "b": "succeeded"}


async def test_one_deadline_for_all_of_it_and_nothing_is_lost(reducers: Home, agent: AgentProcess) -> None:
    async with reducers.core() as core:
        enlist(core, "crew", ("a", agent, "json-rpc"), ("b", agent, "grpc"))
        began = time.monotonic()
        data, failure = await outcome(
            core, c.Allreduce(group="crew", message="slow 20", strategy="tally", timeout="500ms")
        )
        assert type(failure) is DeadlineError
        assert time.monotonic() - began < 15
        assert (data.status, data.bcast.status, data.gather.status) == ("timeout", "timeout", "missing")

        core.add("judge", agent)
        data, failure = await outcome(
            core,
            c.Allreduce(group="crew", message="echo x", reducer_agent="judge", template="slow 20", timeout="1s"),
        )
        assert type(failure) is DeadlineError
        assert (data.status, data.bcast.status, data.barrier.status) == ("timeout", "succeeded", "succeeded")
        assert [m.text for m in data.gather.members] == ["x", "x"]
        assert (data.reduce.status, data.reduce.input_count) == ("failed", 2)


async def test_cancelling_it_gives_what_there_is(reducers: Home, agent: AgentProcess) -> None:
    async with reducers.core() as core:
        enlist(core, "crew", ("a", agent, ""), ("b", agent, ""))
        core.add("judge", agent)
        for command, parts in (
            (c.Allreduce(group="crew", message="slow 20", strategy="tally"), (False, False)),
            (c.Allreduce(group="crew", message="ask", strategy="tally", failure_policy="stop"), None),
            (c.Allreduce(group="crew", message="echo x", reducer_agent="judge", template="slow 20"), (True, True)),
        ):
            seen: list[Any] = []

            async def emit(output: Output, seen: list[Any] = seen) -> None:
                seen.append(checked(output).data)

            if parts is None:
                with pytest.raises(InputRequiredError):
                    await core.core.run(command, emit)
                assert (seen[0].status, seen[0].barrier.waiting_count) == ("input_required", 2)
                continue
            with anyio.move_on_after(0.7):
                await core.core.run(command, emit)
            (data,) = seen
            assert data.status == "interrupted"
            assert (bool(data.barrier), bool(data.reduce)) == parts
            assert data.gather.gathered_count == (2 if parts[0] else 0)
            stored = core.read(lambda tables, data=data: tables.operations.get(data.operation_id))  # type: ignore[misc]
            assert stored.status == "interrupted"


async def test_what_is_left_of_it_can_be_taken_up(reducers: Home, agent: AgentProcess) -> None:
    """After the deadline of an `allreduce`, `barrier`, `gather` and `reduce` go on with its broadcast."""
    async with reducers.core() as core:
        enlist(core, "crew", ("a", agent, ""), ("b", agent, ""))
        data, _ = await outcome(core, c.Allreduce(group="crew", message="task 1", strategy="tally", timeout="400ms"))
        context = data.context_id
        await core.one(c.Barrier(group="crew", operation=data.bcast.operation_id, interval="50ms"))
        gathered = await core.one(c.Gather(group="crew", context=context))
        assert statuses(gathered) == {"a": "gathered", "b": "gathered"}
        result = await core.one(c.Reduce(group="crew", context=context, strategy="tally"))
        assert result.reduced_text == "1/a=Worked for 1 s.; 2/b=Worked for 1 s."
