"""Groups: commands, journal, config, capabilities of real agents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from msgspec import UNSET
from support.cores import QUICK

from missive_host import commands as c
from missive_host.errors import ConfigError, ValidationError

if TYPE_CHECKING:
    from pathlib import Path

    from support.cores import Commands, Home

    from missive_host.demo.fleet import AgentProcess
    from missive_host.store import EventRow

NOWHERE = "http://127.0.0.1:9"


def journal(core: Commands) -> list[tuple[str, str | None, dict[str, Any]]]:
    rows: tuple[EventRow, ...] = core.read(lambda tables: tables.events.list())
    return [
        (row.event_type, row.agent_alias, row.payload) for row in rows if row.event_type.startswith("missive.group")
    ]


def team(core: Commands, *aliases: str) -> None:
    """Make the group ``team`` of agents that are nowhere."""
    core.local(c.GroupCreate(group="team"))
    for rank, alias in enumerate(aliases, 1):
        core.add(alias, NOWHERE)
        core.local(c.GroupAdd(group="team", agent=alias, rank=str(rank)))


async def test_the_life_of_a_group(home: Home) -> None:
    async with home.core() as core:
        core.add("ann", NOWHERE)
        core.add("bob", NOWHERE)
        made = core.local(c.GroupCreate(group="team", notes="They read.", metadata={"owner": "a"}))
        assert (made.action, made.group.member_count, made.group.routing_policy) == ("create", 0, "direct")
        assert (made.group.source, made.group.read_only, made.group.notes) == ("local", False, "They read.")
        core.local(
            c.GroupAdd(
                group="team", agent="ann", rank="10", tags=("x", "y", "x"), weight=2.5, routing_metadata={"zone": "eu"}
            )
        )
        added = core.local(c.GroupAdd(group="team", agent="bob", rank="2"))
        assert (added.action, added.member.rank, added.member.weight, added.member.tags) == ("add", "2", 1.0, ())
        assert [member.agent for member in added.group.members] == ["bob", "ann"], "2 is before 10"
        assert added.group.members[1].tags == ("x", "y")
        again = core.local(c.GroupAdd(group="team", agent="bob", rank="20", weight=3))
        assert "changed" in again.message
        assert [member.agent for member in again.group.members] == ["ann", "bob"]

        shown = core.local(c.GroupShow(group="team"))
        assert shown.group == again.group
        (summary,) = core.local(c.GroupList()).groups
        assert (summary.name, summary.member_count, summary.agents) == ("team", 2, ("ann", "bob"))

        removed = core.local(c.GroupRemove(group="team", agent="ann"))
        assert (removed.member.rank, removed.group.member_count) == ("10", 1)
        renamed = core.local(c.GroupRename(group="team", new_name="crew"))
        assert (renamed.previous_name, renamed.group.name, renamed.group.member_count) == ("team", "crew", 1)
        deleted = core.local(c.GroupDelete(group="crew"))
        assert [member.agent for member in deleted.group.members] == ["bob"]
        assert core.local(c.GroupList()).groups == ()
        assert len(core.local(c.AgentList()).agents) == 2

        events = journal(core)
        assert [(kind, agent, payload["group"]) for kind, agent, payload in events] == [
            ("missive.group.create", None, "team"),
            ("missive.group.member.add", "ann", "team"),
            ("missive.group.member.add", "bob", "team"),
            ("missive.group.member.add", "bob", "team"),
            ("missive.group.member.remove", "ann", "team"),
            ("missive.group.rename", None, "crew"),
            ("missive.group.delete", None, "crew"),
        ]
        payloads = [payload for _, _, payload in events]
        assert payloads[0]["metadata"] == {"owner": "a"}
        assert payloads[1] == {
            "agent": "ann", "group": "team", "rank": "10", "tags": ["x", "y"], "weight": 2.5,
            "routing_metadata": {"zone": "eu"}, "updated": False,
        }  # fmt: skip
        assert payloads[3]["updated"] is True
        assert payloads[4]["removed_member"]["rank"] == "10"
        assert payloads[5]["previous_name"] == "team"
        assert payloads[6]["deleted_group"]["members"][0]["agent"] == "bob"


async def test_faults_change_nothing(home: Home) -> None:
    async with home.core() as core:
        team(core, "ann", "bob")
        before = core.local(c.GroupShow(group="team")), len(journal(core))
        faults: list[tuple[c.Command, str]] = [
            (c.GroupCreate(group="team"), "exists already"),
            (c.GroupShow(group="teem"), "did you mean 'team'"),
            (c.GroupAdd(group="team", agent="cat", rank="3"), "no agent 'cat'"),
            (c.GroupAdd(group="team", agent="bob", rank="1"), "taken by agent 'ann'"),
            (c.GroupAdd(group="team", agent="bob", rank="3", weight=float("inf")), "finite"),
            (c.GroupRemove(group="team", agent="cat"), "is not in the group"),
            (c.GroupRename(group="team", new_name="team"), "exists already"),
            (c.GroupDelete(group="crew"), "no group 'crew'"),
            (c.GroupCapabilities(group="crew"), "no group 'crew'"),
            (c.AgentRemove(agent="ann"), "is in the group team"),
        ]
        for command, words in faults:
            error = await core.fails(command, ValidationError)
            assert words in error.message
        assert (core.local(c.GroupShow(group="team")), len(journal(core))) == before


async def test_a_policy_that_no_plugin_has_is_refused(home: Home) -> None:
    async with home.core() as core:
        error = await core.fails(c.GroupCreate(group="team", routing_policy="no-such-policy"), ValidationError)
        assert "no-such-policy" in error.message
        assert "plugin" in (error.help or "")
        assert core.local(c.GroupList()).count == 0


async def test_a_purged_agent_leaves_its_groups(home: Home) -> None:
    async with home.core() as core:
        team(core, "ann", "bob")
        core.local(c.GroupCreate(group="b"))
        core.local(c.GroupAdd(group="b", agent="ann", rank="1"))
        error = await core.fails(c.AgentRemove(agent="ann"), ValidationError)
        assert error.message == "agent 'ann' is in the groups b, team"
        assert "missive group remove GROUP ann" in (error.help or "")
        gone = core.local(c.AgentRemove(agent="ann", purge=True))
        assert "taken out of b, team" in gone.message
        assert [entry[:2] for entry in journal(core)[-2:]] == [("missive.group.member.remove", "ann")] * 2
        assert [payload["group"] for _, _, payload in journal(core)[-2:]] == ["b", "team"]
        assert [member.agent for member in core.local(c.GroupShow(group="team")).group.members] == ["bob"]
        core.local(c.AgentRename(agent="bob", new_name="rob"))
        assert [member.agent for member in core.local(c.GroupShow(group="team")).group.members] == ["rob"]


async def test_a_policy_with_another_spelling(home: Home, tmp_path: Path) -> None:
    plugin = tmp_path / "pigeon.py"
    plugin.write_text(
        "from missive_host.hookspecs import hookimpl\nfrom missive_host.specs import PolicySpec\n\n\n"
        "@hookimpl\ndef missive_routing_policies():\n"
        '    return [PolicySpec(name="nearest-first", factory="pigeon:Nearest", summary="The nearest.")]\n'
    )
    home.configure(f"{QUICK}[plugins]\nfiles = ['{plugin}']\n")
    async with home.core() as core:
        made = core.local(c.GroupCreate(group="team", routing_policy="nearest_first"))
        assert made.group.routing_policy == "nearest-first"


# --- the config

AGENTS = f'[agents.ann]\nbase_url = "{NOWHERE}"\n[agents.bob]\nbase_url = "{NOWHERE}"\n'
MEMBER = '[[groups.team.members]]\nagent = "{}"\nrank = "{}"\n'


async def test_groups_of_the_config_follow_it(home: Home) -> None:
    two = MEMBER.format("bob", "2") + MEMBER.format("ann", "1")
    home.configure(
        QUICK + AGENTS + "[groups.team]\nrouting_policy = 'weighted'\nmetadata = { since = 2026-01-31 }\n" + two
    )
    async with home.core() as core:
        first = core.local(c.GroupShow(group="team")).group
        assert (first.source, first.read_only, first.routing_policy) == ("config_seed", True, "weighted")
        assert first.metadata == {"since": "2026-01-31"}
        assert [member.agent for member in first.members] == ["ann", "bob"]
        for command in (
            c.GroupAdd(group="team", agent="ann", rank="3"),
            c.GroupRemove(group="team", agent="ann"),
            c.GroupRename(group="team", new_name="crew"),
            c.GroupDelete(group="team"),
        ):
            error = await core.fails(command, ValidationError)
            assert "[groups.team]" in (error.help or "")
        core.local(c.GroupCreate(group="mine"))
        core.local(c.GroupAdd(group="mine", agent="bob", rank="1"))
    async with home.core() as core:
        assert core.local(c.GroupShow(group="team")).group == first, "nothing is written if nothing has changed"
    # Bob leaves the config, and so every group; the other group that was made by hand stays.
    home.configure(QUICK + AGENTS.partition("[agents.bob]")[0] + MEMBER.format("ann", "9"))
    async with home.core() as core:
        changed = core.local(c.GroupShow(group="team")).group
        assert [(member.agent, member.rank) for member in changed.members] == [("ann", "9")]
        assert (changed.routing_policy, changed.created_at) == ("direct", first.created_at)
        assert core.local(c.GroupShow(group="mine")).group.members == ()
        last_type, last_agent, last = journal(core)[-1]
        assert (last_type, last_agent, last["group"]) == ("missive.group.member.remove", "bob", "mine")
    home.configure(QUICK + AGENTS)
    async with home.core() as core:
        assert [group.name for group in core.local(c.GroupList()).groups] == ["mine"]


async def test_an_agent_that_is_not_in_the_config_cannot_be_in_a_group_of_it(home: Home) -> None:
    async with home.core() as core:
        core.add("cat", NOWHERE)
    home.configure(QUICK + MEMBER.format("cat", "1"))
    with pytest.raises(ConfigError, match="there is no such name in"):
        home.settings()


# --- capabilities


async def test_capabilities_of_each_and_of_all(home: Home, agent: AgentProcess, agent_03: AgentProcess) -> None:
    async with home.core() as core:
        core.add("new", agent, tags=("quick",))
        core.add("old", agent_03)
        core.add("gone", "http://127.0.0.1:9", metadata={"skills": ["Cooking"]})
        core.local(c.GroupCreate(group="team"))
        core.local(c.GroupAdd(group="team", agent="new", rank="2", tags=("lead",), weight=2))
        core.local(c.GroupAdd(group="team", agent="old", rank="3"))
        core.local(c.GroupAdd(group="team", agent="gone", rank="1", routing_metadata={"zone": "eu"}))
        found = await core.one(c.GroupCapabilities(group="team"))
        assert (found.group, found.member_count) == ("team", 3)
        gone, new, old = found.members
        assert (gone.agent, gone.rank, gone.routing_metadata) == ("gone", "1", {"zone": "eu"})
        assert "could not connect" in gone.capabilities.error
        assert (gone.capabilities.source, gone.capabilities.capability_labels) == ("local_metadata", ("cooking",))
        assert (new.agent, new.weight, new.member_tags, new.capabilities.local_tags) == (
            "new", 2.0, ("lead",), ("quick",),
        )  # fmt: skip
        assert new.capabilities.error is UNSET
        whole = found.aggregate
        assert {"lead", "quick", *new.capabilities.tags, *old.capabilities.tags} == set(whole.tags)
        assert {"cooking", *new.capabilities.capability_labels} <= set(whole.capability_labels)
        assert set(whole.input_modes) == {*new.capabilities.input_modes, *old.capabilities.input_modes}
        assert set(whole.output_modes) == {*new.capabilities.output_modes, *old.capabilities.output_modes}
        assert list(whole.tags) == sorted(whole.tags)
        assert (whole.streaming_supported, whole.cache_statuses) == (2, {"fetched": 2, "missing": 1})
        assert whole.push_supported == sum(
            member.capabilities.supports_push_notifications is True for member in found.members
        )
        again = await core.one(c.GroupCapabilities(group="team"))
        assert again.aggregate.cache_statuses == {"cached": 2, "missing": 1}
        fresh = await core.one(c.GroupCapabilities(group="team", refresh=True))
        assert fresh.aggregate.cache_statuses["missing"] == 1
        assert "cached" not in fresh.aggregate.cache_statuses


async def test_an_empty_group_can_nothing(home: Home) -> None:
    async with home.core() as core:
        core.local(c.GroupCreate(group="team"))
        found = await core.one(c.GroupCapabilities(group="team"))
        assert (found.members, found.aggregate.tags, found.aggregate.cache_statuses) == ((), (), {})


async def test_all_agents_at_once_are_asked_as_before(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        core.add("b", agent)
        core.add("a", NOWHERE)
        found = await core.one(c.AgentCapabilities())
        assert [view.alias for view in found.agents] == ["a", "b"]
        assert ("could not connect" in found.agents[0].error, found.agents[1].source) == (True, "agent_card")
        assert (await core.one(c.AgentCapabilities(agent="b"))).agents[0].cache["status"] == "cached"


def test_only_list_and_show_come_through_a_door() -> None:
    assert {command for command in c.DOOR_COMMANDS if command.__name__.startswith("Group")} == {
        c.GroupList,
        c.GroupShow,
    }


async def test_a_group_is_no_agent_and_that_is_said(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        core.add("echo", agent)
        core.local(c.GroupCreate(group="crew"))
        error = await core.fails(c.Send(agent="crew", message="hi"), ValidationError)
        assert error.message == "no agent 'crew' is registered: it is a group"
        assert "missive send --group crew MESSAGE" in (error.help or "")
