"""Contexts: ours, the agents' own, and how a message finds its conversation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from msgspec import UNSET
from support.cores import BINDINGS, assert_journal_agrees

from missive_host import commands as c
from missive_host.errors import ValidationError

if TYPE_CHECKING:
    from support.cores import Home

    from missive_host.demo.fleet import AgentProcess


@pytest.mark.parametrize("binding", BINDINGS)
async def test_the_agents_own_context_id_is_learnt_and_used(home: Home, agent: AgentProcess, binding: str) -> None:
    async with home.core() as core:
        core.add("one", agent, binding)
        # The id is ours: the agent has not accepted it, so it is not sent.
        first = await core.one(c.Send(agent="one", message="context", context="our-id"))
        assert first.request.context_id is UNSET
        remote = first.response.text
        assert remote == first.response.context_id != "our-id"
        assert first.persistence.context_id == "our-id"
        second = await core.one(c.Send(agent="one", message="context", context="our-id"))
        assert second.request.context_id == second.response.text == remote
        streamed = (await core.data(c.Stream(agent="one", message="context", context="our-id")))[0]
        assert streamed.text == remote
        shown = core.local(c.ContextShow(context="our-id"))
        assert shown.context.remote_contexts == {"one": remote}
        assert (shown.counts.message_count, shown.counts.task_count) == (6, 0)
        core.read(assert_journal_agrees)


async def test_one_context_with_two_agents(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        core.add("one", agent)
        core.add("two", agent)
        one = await core.one(c.Send(agent="one", message="context", context="shared"))
        two = await core.one(c.Send(agent="two", message="context", context="shared"))
        assert two.request.context_id is UNSET, "the other agent's contextId means nothing to this one"
        assert one.response.text != two.response.text
        shown = core.local(c.ContextShow(context="shared"))
        assert shown.context.remote_contexts == {"one": one.response.text, "two": two.response.text}
        assert [view.context_id for view in core.local(c.ContextList(agent="two")).contexts] == ["shared"]


async def test_a_context_is_found_by_name_and_by_the_agents_own_id(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        core.add("one", agent)
        made = core.local(c.ContextCreate(name="trip", agent="one", summary="Where to go", metadata={"a": 1}))
        assert made.context.state == "open"
        first = await core.one(c.Send(agent="one", message="context", context="trip"))
        assert first.persistence.context_id == made.context.context_id
        again = await core.one(c.Send(agent="one", message="context", context=first.response.text))
        assert again.persistence.context_id == made.context.context_id
        assert again.response.text == first.response.text
        assert core.local(c.ContextShow(context="trip")).context.summary == "Where to go"
        assert len(core.local(c.ContextList()).contexts) == 1


async def test_every_message_without_a_context_is_a_new_conversation(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        core.add("one", agent)
        ids = {(await core.one(c.Send(agent="one", message="context"))).persistence.context_id for _ in range(3)}
        assert len(ids) == 3


async def test_a_context_given_with_a_task(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        core.add("one", agent)
        asked = await core.one(c.Send(agent="one", message="ask", context="talk"))
        done = await core.one(
            c.Send(agent="one", message="me", context="talk", task=asked.response.task_id),
        )
        assert done.request.context_id == asked.response.context_id
        assert done.persistence.context_id == "talk"
        assert done.response.state == "completed"


@pytest.mark.parametrize("command", [c.Send, c.Stream])
async def test_nothing_is_sent_in_a_closed_context(
    home: Home, agent: AgentProcess, command: type[c.Send | c.Stream]
) -> None:
    async with home.core() as core:
        core.add("one", agent)
        asked = await core.one(c.Send(agent="one", message="ask", context="talk"))
        closed = core.local(c.ContextClose(context="talk", summary="enough"))
        assert (closed.context.state, closed.context.summary) == ("closed", "enough")
        before = len(core.messages()), len(core.events())
        for words in ({"context": "talk"}, {"task": asked.response.task_id}, {"context": asked.response.context_id}):
            error = await core.fails(command(agent="one", message="more", **words), ValidationError)
            assert "fork" in (error.help or "")
        assert (len(core.messages()), len(core.events())) == before
        # Looking at its tasks is no sending.
        assert (await core.one(c.TaskGet(task_id=asked.response.task_id, remote=True))).task.state == "input_required"
        fork = core.local(c.ContextFork(context="talk", name="again"))
        assert (fork.parent, fork.context.parent_context_id) == ("talk", "talk")
        again = command(agent="one", message="context", context="again")
        text = (await core.one(again)).response.text if command is c.Send else (await core.data(again))[0].text
        assert text != asked.response.context_id, "to the agent the fork is a new conversation"


async def test_export_has_all_of_it(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        core.add("one", agent)
        await core.one(c.Send(agent="one", message="echo first", context="talk"))
        task = await core.one(c.Send(agent="one", message="task", context="talk"))
        await core.all(c.Stream(agent="one", message="stream 1", context="talk"))
        await core.one(c.Send(agent="one", message="echo elsewhere"))
        export = core.local(c.ContextExport(context="talk"))
        assert [message.direction for message in export.messages if message.direction != "stream_event"] == [
            "request", "response", "request", "request",
        ]  # fmt: skip
        assert {message.context_id for message in export.messages} == {"talk"}
        assert task.response.task_id in {view.task_id for view in export.tasks}
        assert {view.state for view in export.tasks} == {"completed"}
        assert {view.artifact_id for view in export.artifacts} == {"summary", "result", "report", "stream"}
        assert export.counts.message_count == len(export.messages)
        assert export.counts.task_count == len(export.tasks) == 2
        assert export.counts.artifact_count == len(export.artifacts)
        assert export.counts.event_count == len(export.events)
        assert [event.sequence for event in export.events] == sorted(event.sequence for event in export.events)


async def test_lists_and_faults(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        core.add("one", agent)
        core.local(c.ContextCreate(id="a", name="alpha"))
        core.local(c.ContextCreate(id="b", agent="one"))
        core.local(c.ContextFork(context="alpha", id="a2"))
        core.local(c.ContextClose(context="b"))

        def ids(**filters: Any) -> set[str]:
            return {view.context_id for view in core.local(c.ContextList(**filters)).contexts}

        assert ids() == {"a", "b", "a2"}
        assert ids(state="closed") == {"b"}
        assert ids(agent="one") == {"b"}
        assert ids(name="alpha") == {"a"}
        assert ids(parent="a") == {"a2"}
        for command in (
            c.ContextShow(context="alfa"),
            c.ContextCreate(id="a"),
            c.ContextCreate(name="alpha"),
            c.ContextCreate(agent="nobody"),
            c.ContextFork(context="nothing"),
        ):
            await core.fails(command, ValidationError)
        assert ids() == {"a", "b", "a2"}
