"""Plans: who made them, what they remember, what is written down, and what a stranger's policy may get wrong."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING

import anyio
import pytest
from route_kit import gang, journal, nobody, plugin, run, tried

from missive_host import commands as c
from missive_host.errors import OrchestrationError, PluginError, ValidationError
from missive_host.specs import RoutePlan

if TYPE_CHECKING:
    from support.cores import Commands, Home

    from missive_host.demo.fleet import AgentProcess

HI = c.Send(group="gang", message="echo x")


async def chosen(core: Commands, count: int, **fields: object) -> list[str]:
    return [(await core.one(c.Send(group="gang", message="echo x", **fields))).agent for _ in range(count)]  # type: ignore[arg-type]


# --- where the policy comes from


async def test_the_command_then_the_group_then_the_config_names_the_policy(home: Home, agent: AgentProcess) -> None:
    home.configure('[routing]\ndefault_policy = "highest-weight"\n')
    async with home.core() as core:
        gang(core, "round-robin", ann=agent, bob=agent)

        async def explained(**fields: object) -> tuple[str, str, dict[str, object]]:
            result = await core.one(c.RouteExplain(**fields))  # type: ignore[arg-type]
            return result.plan.policy, result.policy_source, result.source

        of_group = {"kind": "group", "candidates": 2, "group": "gang"}
        assert await explained(group="gang", policy="direct") == ("direct", "cli", of_group)
        assert await explained(group="gang") == ("round-robin", "group", of_group)
        agents = {"kind": "agents", "candidates": 2}
        assert await explained(agents=("bob", "ann")) == ("highest-weight", "config", agents)
        sent = await core.one(c.Send(group="gang", message="echo x", policy="direct"))
        assert (sent.route.policy, sent.route.policy_source) == ("direct", "cli")
        sent = await core.one(HI)
        assert (sent.route.policy, sent.route.policy_source) == ("round-robin", "group")


async def test_a_policy_that_nobody_has(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        gang(core, "direct", ann=agent)
        error = await core.fails(c.Send(group="gang", message="x", policy="dirct"), PluginError)
        assert "no routing policy" in error.message
        assert "direct" in (error.message + (error.help or ""))
        assert (await core.one(c.Send(group="gang", message="echo x", policy="round_robin"))).agent == "ann"


# --- what does not fit


async def test_nobody_fits(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        gang(core, "capability-match", ann=agent, bob=agent)
        needs = c.Requirements(capabilities=("Sailing",), tags=("fast",))
        error = await core.fails(c.Send(group="gang", message="x", requirements=needs), OrchestrationError)
        assert (error.exit_code, error.help) == (70, "`missive route explain --group gang` shows why")
        assert error.message == "no member of group 'gang' fits, says the policy 'capability-match'"
        assert error.sources[0] == "ann: lacks the tag fast and the capability sailing"
        (planned,) = journal(core, "planned")
        assert planned.payload["plan"]["status"] == "no_match"
        assert journal(core, "attempt") == []
        assert core.requests() == []

        result = await core.one(c.RouteExplain(group="gang", requirements=needs))
        assert (result.plan.status, result.plan.selected) == ("no_match", ())
        assert result.message == "the policy 'capability-match' chooses nobody"
        assert [each.missing_requirements for each in result.plan.decisions] == [("tag:fast", "capability:sailing")] * 2
    done = run(home, "route", "explain", "--group", "gang", "--tag", "fast")
    assert done.returncode == 0
    assert "lacks the tag fast" in done.stdout


async def test_tags_of_the_group_count_in_the_group(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        gang(core, "tag-match", ann=agent, bob=agent)
        core.local(
            c.GroupAdd(group="gang", agent="bob", rank="2", tags=("Night",), weight=3, routing_metadata={"a": 1})
        )
        result = await core.one(c.Send(group="gang", message="echo x", requirements=c.Requirements(tags=("night",))))
        assert result.agent == "bob"
        (event,) = journal(core, "planned")
        assert event.payload["plan"]["decisions"][1] == {
            "alias": "bob", "selected": True, "reason": "has every tag", "weight": 3.0, "matched": ["tag:night"],
            "missing_requirements": [], "rank": "2", "order": 1,
        }  # fmt: skip
        none = await core.one(c.RouteExplain(agents=("ann", "bob"), requirements=c.Requirements(tags=("night",))))
        assert none.plan.selected == ()


async def test_what_cannot_be_meant(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        gang(core, "quorum", ann=agent, bob=agent)
        core.local(c.GroupCreate(group="empty"))
        for command, sentence in (
            (c.Send(group="gang", message="x", quorum=3), "a quorum of 3 is not possible with 2 candidates"),
            (c.Send(group="gang", message="x", preferred_agent="cid"), "the preferred agent `cid` is not among"),
            (c.Send(group="empty", message="x"), "group 'empty' has no members"),
            (c.RouteExplain(group="gang", agents=("ann",)), "name a `group`, or `agents`, and not both"),
            (c.RouteExplain(), "name a `group`, or `agents`, and not both"),
            (c.RouteExplain(agents=("ann", "ann")), "field `agents`: 'ann' is named twice"),
            (c.RouteExplain(agents=("ann", "bop")), "no agent 'bop' is registered; did you mean 'bob'?"),
        ):
            assert (await core.fails(command, ValidationError)).message.startswith(sentence)
        assert journal(core, "planned") == []


# --- what policies remember


async def test_each_in_turn_and_explaining_takes_no_turn(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        gang(core, "round-robin", ann=agent, bob=agent, cid=agent)
        assert await chosen(core, 2) == ["ann", "bob"]
        for _ in range(2):
            plan = (await core.one(c.RouteExplain(group="gang"))).plan
            assert (plan.selected, plan.next_round_robin_cursor) == (("cid",), 3)
        assert (await core.one(c.RouteExplain(group="gang", cursor=4))).plan.selected == ("bob",)
        assert await chosen(core, 2) == ["cid", "ann"]
        assert await chosen(core, 1, policy="direct") == ["ann"]
        assert await chosen(core, 1) == ["bob"]


async def test_weights_are_kept_over_many_messages(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        gang(core, "weighted", ann=agent, bob=agent, cid=agent)
        core.local(c.GroupAdd(group="gang", agent="ann", rank="1", weight=5))
        assert await chosen(core, 7) == ["ann", "ann", "bob", "ann", "cid", "ann", "ann"]
    async with home.core() as core:
        assert Counter(await chosen(core, 14)) == {"ann": 10, "bob": 2, "cid": 2}


async def test_side_by_side_nobody_gets_the_same_turn(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        gang(core, "round-robin", ann=agent, bob=agent, cid=agent)
        results = await asyncio.gather(*(core.one(HI) for _ in range(12)))
        assert Counter(result.agent for result in results) == {"ann": 4, "bob": 4, "cid": 4}


async def test_two_processes_never_get_the_same_turn(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        gang(core, "round-robin", ann=agent, bob=agent, cid=agent, dee=agent)
        frame = '{"id":"f%d","command":"send","group":"gang","message":"echo x"}\n'
        command = [sys.executable, "-P", "-m", "missive_host", "--config", str(home.config), "adapter", "stdio"]
        processes = [
            subprocess.Popen(
                [*command, "--mode", "long-running"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env={**os.environ, **home.environ},
            )
            for _ in range(2)
        ]
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("".join(frame % number for number in range(10)))
            process.stdin.close()
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.read().count('"kind":"send_result"') == 10
            process.stdout.close()
            assert process.wait(30) == 0
        cursors = [event.payload["plan"]["next_round_robin_cursor"] for event in journal(core, "planned")]
        assert sorted(cursors) == list(range(1, 21))
        assert Counter(row.agent_alias for row in core.requests()) == {"ann": 5, "bob": 5, "cid": 5, "dee": 5}


async def test_a_context_stays_with_one_agent(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        gang(core, "sticky", ann=agent, bob=agent, cid=agent)
        first = {name: (await chosen(core, 1, context=name))[0] for name in map("talk-{}".format, range(12))}
        assert set(first.values()) == {"ann", "bob", "cid"}
        for name, alias in first.items():
            assert await chosen(core, 1, context=name) == [alias]
        one = next(name for name, alias in first.items() if alias == "bob")
        core.local(c.GroupAdd(group="gang", agent="bob", rank="9", weight=0.001))
        assert await chosen(core, 2, context=one) == ["bob", "bob"]
    done = run(home, "send", "--group", "gang", "echo x", "--context", one)
    assert "bob answers for group gang, by the policy sticky" in done.stderr


async def test_a_context_that_began_elsewhere_stays_there(home: Home, agent: AgentProcess) -> None:
    """Before the policy was asked for the first time the conversation was with somebody already."""
    async with home.core() as core:
        gang(core, "sticky", ann=agent, bob=agent, cid=agent)
        for alias in ("ann", "bob", "cid"):
            begun = await core.one(c.Send(agent=alias, message="task"))
            local = begun.persistence.context_id
            assert await chosen(core, 2, context=local) == [alias, alias]
        # and so does one that a message to the group began
        begun = await core.one(c.Send(group="gang", message="task", preferred_agent="cid"))
        assert begun.agent == "cid"
        assert await chosen(core, 1, context=begun.persistence.context_id) == ["cid"]


async def test_a_context_is_the_same_by_id_and_by_name(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        gang(core, "sticky", **{f"m{number}": agent for number in range(8)})
        for number in range(6):
            made = core.local(c.ContextCreate(name=f"talk {number}"))
            (by_name,) = await chosen(core, 1, context=f"talk {number}")
            assert await chosen(core, 1, context=made.context.context_id) == [by_name]


async def test_the_least_busy_is_known_while_calls_are_in_flight(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        gang(core, "least-busy", ann=agent, bob=agent, cid=agent)
        async with anyio.create_task_group() as group:
            results: list[str] = []

            async def ask() -> None:
                results.append((await core.one(c.Send(group="gang", message="sleep 1"))).agent)

            for _ in range(6):
                group.start_soon(ask)
            while len(core.requests()) < 6:  # planned, and on their way
                await anyio.sleep(0.01)
            plan = (await core.one(c.RouteExplain(group="gang"))).plan
            assert {each.reason.partition(" in flight")[0] for each in plan.decisions} == {"least busy: 2", "2"}
        assert Counter(results) == {"ann": 2, "bob": 2, "cid": 2}
        assert [core.core.agents.in_flight(alias) for alias in ("ann", "bob", "cid")] == [0, 0, 0]


async def test_what_is_followed_is_in_flight(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        gang(core, "fallback", ann=agent)
        async with anyio.create_task_group() as group:
            group.start_soon(core.all, c.Send(group="gang", message="sleep 1"))
            while not core.read(lambda tables: tables.tasks.list().tasks):
                await anyio.sleep(0.01)
            assert core.core.agents.in_flight("ann") == 1
        assert core.core.agents.in_flight("ann") == 0


async def test_a_failed_message_is_no_longer_in_flight(home: Home) -> None:
    async with home.core() as core:
        gang(core, "fallback", ann=nobody(), bob=nobody())
        for policy in ("fallback", "first-success", "direct"):
            with pytest.raises(Exception, match=r"took|succeeded|refused"):
                await core.all(c.Send(group="gang", message="x", policy=policy))
            assert core.core.agents.in_flight("ann") == core.core.agents.in_flight("bob") == 0


# --- the journal


async def test_the_journal_has_the_plan_the_attempts_and_the_reasons(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        gang(core, "fallback", ann=nobody(), bob=agent)
        await core.one(c.Send(group="gang", message="task", preferred_agent="ann"))
        (planned,) = journal(core, "planned")
        assert (planned.payload["group"], planned.payload["policy_source"]) == ("gang", "group")
        plan = planned.payload["plan"]
        assert (plan["policy"], plan["mode"], plan["selected"]) == ("fallback", "ordered_attempts", ["ann", "bob"])
        assert [each["reason"] for each in plan["decisions"]] == [
            "the first attempt; the request prefers it", "attempt 2",
        ]  # fmt: skip
        first, second = journal(core, "attempt")
        assert first.payload["reason"] == "the first attempt; the request prefers it"
        assert (first.payload["status"], first.payload["error"]["category"]) == ("failed", "transport")
        assert (second.agent_alias, second.payload["status"], second.payload["state"]) == (
            "bob",
            "answered",
            "completed",
        )
        assert second.task_id == second.payload["task_id"]
        order = [row.event_type for row in core.read(lambda tables: tables.events.list())]
        of_route = [name for name in order if name.startswith(("missive.route", "a2a.send"))]
        assert of_route == [
            "missive.route.planned", "a2a.send.request", "a2a.send.failed", "missive.route.attempt",
            "a2a.send.request", "a2a.send.response", "missive.route.attempt",
        ]  # fmt: skip


# --- strangers


async def test_a_third_partys_policy_from_one_file(home: Home, agent: AgentProcess) -> None:
    file = plugin(
        home.folder,
        "last: return RoutePlan('single', (candidates[-1].agent,), decided(candidates, candidates[-1].agent))",
        "counts: n = state.get('n', 0)\n"
        "alias = candidates[n % len(candidates)].agent\n"
        "return RoutePlan('single', (alias,), decided(candidates, alias), state={'n': n + 1})",
    )
    home.configure(f"[plugins]\nfiles = ['{file}']\n")
    async with home.core() as core:
        gang(core, "last", ann=agent, bob=agent, cid=agent)
        result = await core.one(HI)
        assert (result.agent, result.route.policy) == ("cid", "last")
        assert journal(core, "attempt")[0].payload["reason"] == "so it was written"
        assert await chosen(core, 4, policy="counts") == ["ann", "bob", "cid", "ann"]
        assert (await core.one(c.RouteExplain(group="gang", policy="counts"))).plan.selected == ("bob",)
    done = run(home, "route", "explain", "--group", "gang", "--policy", "last")
    assert "so it was written" in done.stdout


WRONG = {
    "stranger": ("return RoutePlan('single', ('eve',), decided(candidates))", "'eve' is no candidate"),
    "twice": ("return RoutePlan('all', ('ann', 'ann'), decided(candidates))", "a target is named twice"),
    "mode": ("return RoutePlan('some', ('ann',), decided(candidates))", "there is no mode 'some'"),
    "quorate": ("return RoutePlan('quorum', ('ann',), decided(candidates), 2)", "2 of 1 cannot be required"),
    "nothing": ("return None", "it is a NoneType, not a RoutePlan"),
    "state": ("return RoutePlan('single', ('ann',), (), state={'x': object()})", "its state is not JSON: "),
    "states": ("return RoutePlan('single', ('ann',), (), state=[])", "its state is no dict"),
    "decides": ("return RoutePlan('single', ('ann',), (Decision('eve', True, ''),))", "'eve' is no candidate"),
}


@pytest.mark.parametrize("name", WRONG)
async def test_a_plan_that_cannot_be_is_refused(home: Home, agent: AgentProcess, name: str) -> None:
    body, fault = WRONG[name]
    home.configure(f"[plugins]\nfiles = ['{plugin(home.folder, f'{name}: {body}')}']\n")
    async with home.core() as core:
        gang(core, name, ann=agent, bob=agent)
        for command in (HI, c.Stream(group="gang", message="x"), c.RouteExplain(group="gang")):
            error = await core.fails(command, PluginError)
            assert error.exit_code == 78
            assert error.message.startswith(f"the policy '{name}' gave a plan that cannot be: {fault}")
        assert core.requests() == []
        assert journal(core, "planned") == []
        assert core.core.agents.in_flight("ann") == 0


async def test_a_policy_that_raises(home: Home, agent: AgentProcess) -> None:
    file = plugin(
        home.folder, "faulty: return candidates[7].agent", "refuses: from missive_host.errors import ValidationError\n"
        "raise ValidationError('not on Sundays')",
    )  # fmt: skip
    home.configure(f"[plugins]\nfiles = ['{file}']\n")
    async with home.core() as core:
        gang(core, "faulty", ann=agent)
        error = await core.fails(HI, PluginError)
        assert error.message == "the policy 'faulty' failed: IndexError: tuple index out of range"
        assert error.sources[0].startswith(f"in {file}, line ")
        error_of_caller = await core.fails(c.Send(group="gang", message="x", policy="refuses"), ValidationError)
        assert error_of_caller.message == "not on Sundays"
        result = await core.one(c.Send(group="gang", message="echo x", policy="direct"))
        assert tried(result.route) == [("ann", "answered")]


def test_the_modes_are_those_that_can_be_carried_out() -> None:
    from typing import get_args

    from missive_host.routing.execution import _MODES
    from missive_host.specs import PlanMode

    assert set(_MODES) == set(get_args(PlanMode))
    assert RoutePlan("single", (), ()).state == {}
