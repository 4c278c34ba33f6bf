"""The registry of agents: add, show, list, update, rename, remove, inspect, capabilities; config and journal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from msgspec import UNSET
from support.cores import BINDINGS, QUICK
from support.misbehaving import reply

from missive_host import commands as c
from missive_host.errors import MissiveError, ProtocolError, TransportError, ValidationError

if TYPE_CHECKING:
    from support.cores import Commands, Home
    from support.misbehaving import Start

    from missive_host.demo.fleet import AgentProcess


def registry_events(core: Commands) -> list[tuple[str, str | None]]:
    rows = core.read(lambda tables: tables.events.list())
    return [(row.event_type, row.agent_alias) for row in rows if row.event_type.startswith("missive.agent.")]


async def test_a_registration_from_beginning_to_end(home: Home) -> None:
    async with home.core() as core:
        added = core.local(
            c.AgentAdd(agent="one", url="http://127.0.0.1:1", binding_preference=("JSONRPC", "json-rpc", "grpc"),
                       tags=("x", "y", "x"), notes="first", metadata={"a": 1},
                       interfaces={"HTTP+JSON": "http://127.0.0.1:1/rest"})
        )  # fmt: skip
        view = added.agent
        assert (view.alias, view.source, view.read_only) == ("one", "local", False)
        assert view.binding_preference == ("json-rpc", "grpc")
        assert view.interface_urls == {"http+json": "http://127.0.0.1:1/rest"}
        assert (view.tags, view.notes, view.metadata) == (("x", "y"), "first", {"a": 1})
        assert core.local(c.AgentShow(agent="one")).agent == view

        updated = core.local(
            c.AgentUpdate(agent="one", url="http://127.0.0.1:2", tags=("z",), remove_tags=("x",), metadata={"b": 2},
                          clear=("notes", "binding_preference"))
        ).agent  # fmt: skip
        assert updated.base_url == "http://127.0.0.1:2"
        assert (updated.tags, updated.notes, updated.metadata) == (("y", "z"), UNSET, {"a": 1, "b": 2})
        assert updated.binding_preference == ()
        assert updated.interface_urls == view.interface_urls
        assert updated.created_at == view.created_at
        assert updated.updated_at > view.updated_at

        renamed = core.local(c.AgentRename(agent="one", new_name="uno"))
        assert (renamed.previous, renamed.agent.alias) == ("one", "uno")
        assert [row.alias for row in core.local(c.AgentList()).agents] == ["uno"]
        assert core.local(c.AgentList(tag="y")).count == 1
        assert core.local(c.AgentList(tag="x")).count == 0
        core.local(c.AgentRemove(agent="uno"))
        assert core.local(c.AgentList()).agents == ()
        assert registry_events(core) == [
            ("missive.agent.add", "one"), ("missive.agent.update", "one"), ("missive.agent.rename", "uno"),
            ("missive.agent.remove", "uno"),
        ]  # fmt: skip


@pytest.mark.parametrize(
    "command",
    [
        c.AgentShow(agent="nobody"),
        c.AgentUpdate(agent="nobody"),
        c.AgentRename(agent="nobody", new_name="x"),
        c.AgentRename(agent="here", new_name="there"),
        c.AgentRemove(agent="nobody"),
        c.AgentAdd(agent="here", url="http://x"),
        c.AgentAdd(agent="new", url="http://x", binding_preference=("carrier-pigeon",)),
        c.AgentAdd(agent="new", url="http://x", interfaces={"grpc": "a:1", "gRPC": "b:1"}),
        c.AgentAdd(agent="new", url="http://x", auth_ref="nothing"),
        c.AgentUpdate(agent="here", url="no such thing"),
        c.AgentInspect(agent="nobody"),
        c.AgentRefresh(agent="nobody"),
        c.AgentCapabilities(agent="nobody"),
        c.TaskList(agent="nobody", remote=True),
        c.TaskCancel(agent="nobody", task_id="t"),
    ],
)
async def test_what_is_refused(home: Home, command: c.Command) -> None:
    async with home.core() as core:
        core.add("here", "http://127.0.0.1:1")
        core.add("there", "http://127.0.0.1:1")
        before = core.local(c.AgentList()), registry_events(core)
        await core.fails(command, ValidationError)
        assert (core.local(c.AgentList()), registry_events(core)) == before


async def test_tasks_and_contexts_follow_a_new_name(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        core.add("old", agent)
        asked = await core.one(c.Send(agent="old", message="ask", context="talk"))
        core.local(c.AgentRename(agent="old", new_name="new"))
        done = await core.one(c.Send(agent="new", message="me", task=asked.response.task_id))
        assert done.response.state == "completed"
        assert done.persistence.context_id == "talk"
        assert {view.agent for view in (await core.one(c.TaskList())).tasks} == {"new"}
        assert core.local(c.ContextShow(context="talk")).context.remote_contexts == {"new": asked.response.context_id}


async def test_removing_keeps_what_was_said_unless_told_otherwise(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        for name in ("kept", "purged"):
            core.add(name, agent)
            await core.one(c.Send(agent=name, message="task"))
        assert core.local(c.AgentRemove(agent="kept")).purged is False
        assert core.local(c.AgentRemove(agent="purged", purge=True)).purged is True
        assert {row.agent_alias for row in core.messages()} == {"kept"}
        assert {view.agent for view in (await core.one(c.TaskList())).tasks} == {"kept"}
        await core.fails(c.Send(agent="kept", message="x"), ValidationError)
        assert len(core.messages()) == 1


async def test_agents_of_the_config(home: Home, agent: AgentProcess) -> None:
    home.configure(QUICK + f'[agents.fixed]\nbase_url = "{agent.url}"\nbinding_preference = ["grpc"]\ntags = ["t"]\n')
    async with home.core() as core:
        view = core.local(c.AgentShow(agent="fixed")).agent
        assert (view.source, view.read_only, view.tags) == ("config_seed", True, ("t",))
        for command in (
            c.AgentUpdate(agent="fixed", notes="x"),
            c.AgentRename(agent="fixed", new_name="x"),
            c.AgentRemove(agent="fixed"),
        ):
            error = await core.fails(command, ValidationError)
            assert "config" in error.message
        assert (await core.one(c.Send(agent="fixed", message="hi"))).selected_interface.binding == "grpc"
        # Fetching its card changes nothing of the registration.
        assert (await core.one(c.AgentRefresh(agent="fixed"))).agent.read_only is True
    home.configure(QUICK)
    async with home.core() as core:
        assert core.local(c.AgentList()).agents == ()
        assert len((await core.one(c.TaskList())).tasks) == 0
        assert len(core.messages()) == 2, "what was said stays"


@pytest.mark.parametrize("binding", [None, *BINDINGS])
async def test_inspect(home: Home, agent: AgentProcess, binding: str | None) -> None:
    async with home.core() as core:
        core.add("a", agent)
        seen = await core.one(c.AgentInspect(agent="a", binding=binding))
        assert seen.selected_interface.binding == (binding or "json-rpc")
        assert seen.card.name == "agent"
        assert seen.card.capabilities["streaming"] is True
        assert {each["protocolBinding"] for each in seen.card.supported_interfaces} == {"JSONRPC", "HTTP+JSON", "GRPC"}
        assert seen.card.skills
        assert seen.agent.agent_card_fetched_at == seen.cache.fetched_at
        assert seen.cache.status == "fetched"
        await core.fails(c.AgentInspect(agent="a", binding="carrier-pigeon"), ValidationError)


async def test_capabilities_of_one_and_of_all(home: Home, agent: AgentProcess, misbehaving: Start) -> None:
    gone = misbehaving(reply(200))
    html = misbehaving(reply(200, "<html>", content_type="text/html"), card=False)
    async with home.core() as core:
        core.add("good", agent, tags=("mine",), metadata={"skills": ["Extra", "extra "]})
        core.add("gone", gone.url, metadata={"capability": "x", "skill": {"on": True, "off": False}})
        core.add("html", html.url)
        gone.stop()
        found = await core.one(c.AgentCapabilities())
        views: dict[str, Any] = {view.alias: view for view in found.agents}
        assert set(views) == {"gone", "good", "html"}
        good = views["good"]
        assert (good.source, good.error, good.supports_streaming) == ("agent_card", UNSET, True)
        assert "mine" in good.tags
        assert {"extra", "streaming"} <= set(good.capability_labels)
        assert good.capability_labels.count("extra") == 1
        assert all(label == label.strip().lower() for label in good.capability_labels)
        assert "text/plain" in good.input_modes
        assert (views["gone"].source, views["gone"].capability_labels) == ("local_metadata", ("x", "on"))
        assert "127.0.0.1" in views["gone"].error
        assert views["gone"].supports_streaming is UNSET
        assert views["html"].source == "missing"
        assert "HTML" in views["html"].error
        # Of one that was asked for by name, it is an error.
        one = await core.one(c.AgentCapabilities(agent="good"))
        assert (one.count, one.agents[0].cache["status"]) == (1, "cached")
        await core.fails(c.AgentCapabilities(agent="gone"), TransportError)
        await core.fails(c.AgentCapabilities(agent="html"), ProtocolError)


async def test_the_version_of_a_card_for_an_agent_that_is_asked_by_many_at_once(home: Home, misbehaving: Start) -> None:
    import anyio

    server = misbehaving(
        lambda exchange: exchange.result(
            {"message": {"messageId": "m", "role": "ROLE_AGENT", "parts": [{"text": "ok"}]}}
        )
    )
    async with home.core() as core:
        core.add("a", server.url)
        async with anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(core.one, c.Send(agent="a", message="x"))
        assert len(server.requests) == 20
        assert server.card_requests <= 20
        await core.one(c.Send(agent="a", message="x"))
        assert {row.status for row in core.requests()} == {"sent"}


async def test_a_closed_core_says_so(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        core.add("a", agent)
        await core.one(c.Send(agent="a", message="x"))
    with pytest.raises(MissiveError):
        core.core.agents.row("nobody")
