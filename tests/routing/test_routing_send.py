"""`send` to a group: what each mode of a plan does, with real agents and with such as misbehave."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from route_kit import answer, events, gang, hangs, journal, message, methods, nobody, says, task, tasks, tried
from support.cores import QUICK, checked
from support.misbehaving import reply

from missive_host import commands as c
from missive_host.errors import DeadlineError, OrchestrationError, ProtocolError, TransportError, ValidationError
from missive_host.outputs_routes import RouteResult
from missive_host.routing.attempts import SendAttempt

if TYPE_CHECKING:
    from support.cores import Commands, Home
    from support.misbehaving import Exchange, Start

    from missive_host.demo.fleet import AgentProcess
    from missive_host.outputs import Output

WORKING = answer({"task": task("WORKING")})


async def at_agent(core: Commands, agent: str, task_id: str) -> str:
    """Return what the agent itself says of a task."""
    result = await core.one(c.TaskGet(task_id=task_id, agent=agent, remote=True))
    state: str = result.task.state
    return state


# --- one


@pytest.mark.parametrize(("policy", "mode"), [("direct", "single"), ("tag-match", "filter")])
async def test_one_agent_gets_it_and_its_answer_says_by_which_road(
    home: Home, agent: AgentProcess, policy: str, mode: str
) -> None:
    async with home.core() as core:
        gang(core, policy, ann=agent, bob=agent)
        result = await core.one(c.Send(group="gang", message="task"))
        assert (result.agent, result.response.state) == ("ann", "completed")
        route = result.route
        assert (route.group, route.policy, route.policy_source, route.mode) == ("gang", policy, "group", mode)
        assert tried(route) == [("ann", "answered")]
        assert route.attempts[0].task_id == result.response.task_id
        assert [row.agent_alias for row in core.requests()] == ["ann"]


async def test_the_error_of_the_one_agent_is_the_error(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        gang(core, "direct", ann=nobody(), bob=agent)
        error = await core.fails(c.Send(group="gang", message="x"), TransportError)
        assert "connection refused" in error.message
        (event,) = journal(core, "attempt")
        assert (event.payload["agent"], event.payload["status"]) == ("ann", "failed")
        assert event.payload["error"]["exit_code"] == 69


async def test_a_rejection_by_the_one_agent_is_the_answer(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        gang(core, "direct", ann=agent, bob=agent)
        result = await core.one(c.Send(group="gang", message="reject"))
        assert result.response.state == "rejected"
        assert tried(result.route) == [("ann", "refused")]


# --- one after another


async def test_a_dead_agent_is_followed_by_the_next(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        gang(core, "fallback", ann=nobody(), bob=agent, cid=agent)
        result = await core.one(c.Send(group="gang", message="echo hello"))
        assert (result.agent, result.response.text) == ("bob", "hello")
        assert tried(result.route) == [("ann", "failed"), ("bob", "answered")]
        assert result.route.targets == ("ann", "bob", "cid")
        assert result.route.attempts[0].error.category == "transport"
        assert [(row.agent_alias, row.status) for row in core.requests()] == [("ann", "failed"), ("bob", "sent")]


@pytest.mark.parametrize("late", [False, True])
async def test_a_rejection_is_followed_by_the_next(
    home: Home, agent: AgentProcess, misbehaving: Start, late: bool
) -> None:
    refusing = says(
        SendMessage=answer({"task": task("SUBMITTED" if late else "REJECTED")}),
        SubscribeToTask=events({"task": task("SUBMITTED")}, {"task": task("REJECTED")}),
    )
    async with home.core() as core:
        gang(core, "fallback", ann=misbehaving(refusing).url, bob=agent)
        result = await core.one(c.Send(group="gang", message="echo hello"))
        assert result.agent == "bob"
        assert tried(result.route) == [("ann", "refused"), ("bob", "answered")]


async def test_one_that_is_too_slow_to_accept_is_followed_by_the_next(
    home: Home, agent: AgentProcess, misbehaving: Start
) -> None:
    home.configure('[qos]\ntimeout = "300ms"\n')
    async with home.core() as core:
        gang(core, "fallback", ann=misbehaving(hangs).url, bob=agent)
        result = await core.one(c.Send(group="gang", message="echo hello"))
        assert result.agent == "bob"
        assert tried(result.route) == [("ann", "timeout"), ("bob", "answered")]
        slow = next(row for row in core.requests() if row.agent_alias == "ann")
        assert slow.status == "unknown"
        assert "did not accept" in (slow.error or {})["message"]
        assert [row.failures for row in core.read(lambda tables: tables.breakers.list())] == [1]


async def test_the_time_to_accept_is_not_the_time_to_answer(home: Home, agent: AgentProcess) -> None:
    home.configure('[qos]\ntimeout = "400ms"\n')
    async with home.core() as core:
        gang(core, "fallback", ann=agent, bob=agent)
        result = await core.one(c.Send(group="gang", message="sleep 1"))
        assert (result.agent, result.response.state) == ("ann", "completed")
        assert tried(result.route) == [("ann", "answered")]


async def test_who_has_accepted_and_then_fails_is_the_answer(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        gang(core, "fallback", ann=agent, bob=agent)
        result = await core.one(c.Send(group="gang", message="fail"))
        assert (result.agent, result.response.state) == ("ann", "failed")
        assert tried(result.route) == [("ann", "answered")]


async def test_who_waits_for_input_is_the_answer(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        gang(core, "fallback", ann=agent, bob=agent)
        result = await core.one(c.Send(group="gang", message="ask How many?"))
        assert (result.agent, result.response.state, result.response.text) == ("ann", "input_required", "How many?")


async def test_an_agent_that_is_lost_after_it_accepted_is_the_end(
    home: Home, agent: AgentProcess, misbehaving: Start
) -> None:
    lost = says(SendMessage=WORKING, SubscribeToTask=reply(500), GetTask=reply(500))
    async with home.core() as core:
        gang(core, "fallback", ann=misbehaving(lost, streaming=False).url, bob=agent)
        await core.fails(c.Send(group="gang", message="x"), TransportError)
        assert {row.agent_alias for row in core.requests()} == {"ann"}
        (event,) = journal(core, "attempt")
        assert (event.payload["status"], event.payload["state"], event.task_id) == ("failed", "working", "t-1")


async def test_a_connection_that_is_cut_after_the_acceptance_is_taken_up_again(
    home: Home, agent: AgentProcess, misbehaving: Start
) -> None:
    connections: list[int] = []

    def subscribed(exchange: Exchange) -> None:
        connections.append(exchange.request.connection)
        state = ("WORKING", "WORKING", "COMPLETED")[len(connections) - 1]
        events({"task": task(state)}, end="reset" if len(connections) < 3 else "clean")(exchange)

    server = misbehaving(says(SendMessage=WORKING, SubscribeToTask=subscribed))
    async with home.core() as core:
        gang(core, "fallback", ann=server.url, bob=agent)
        result = await core.one(c.Send(group="gang", message="x"))
        assert (result.agent, result.response.state) == ("ann", "completed")
        assert methods(server) == ["SendMessage", "SubscribeToTask", "SubscribeToTask", "SubscribeToTask"]


async def test_the_answer_of_a_followed_task_has_its_artifacts(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        gang(core, "fallback", ann=agent)
        result = await core.one(c.Send(group="gang", message="task 0.2"))
        assert [each["artifactId"] for each in result.response.raw["artifacts"]] == ["summary", "result", "report"]
        assert result.response.text


async def test_nobody_took_it_and_each_says_why(home: Home, agent: AgentProcess, misbehaving: Start) -> None:
    async with home.core() as core:
        refusing = misbehaving(answer({"task": task("REJECTED")}))
        gang(core, "fallback", ann=nobody(), bob=refusing.url)
        error = await core.fails(c.Send(group="gang", message="x"), OrchestrationError)
        assert error.exit_code == 70
        assert error.message == "no member of group 'gang' took the message (2 tried)"
        first, second = error.sources
        assert first.startswith("ann: failed: transport error: ")
        assert second == "bob: refused (rejected)"
        assert [event.payload["status"] for event in journal(core, "attempt")] == ["failed", "refused"]


async def test_a_message_that_cannot_be_made_is_tried_with_nobody(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        for policy in ("direct", "fallback", "first-success", "broadcast"):
            if policy == "direct":
                gang(core, policy, ann=agent, bob=agent)
            command = c.Send(group="gang", policy=policy, files=("/etc/hosts",))
            error = await core.fails(command, ValidationError)
            assert "file" in error.message
        assert core.requests() == []
        assert core.core.agents.in_flight("ann") == core.core.agents.in_flight("bob") == 0


async def test_async_returns_with_the_acceptance(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        gang(core, "fallback", ann=nobody(), bob=agent)
        result = await core.one(c.Send(group="gang", message="sleep 30", return_immediately=True))
        assert result.agent == "bob"
        assert result.response.state in ("submitted", "working")
        for policy in ("first-success", "quorum"):
            error = await core.fails(
                c.Send(group="gang", message="x", policy=policy, return_immediately=True), ValidationError
            )
            assert error.message == f"the policy '{policy}' waits for answers, and `return_immediately` for none"
        await core.one(c.TaskCancel(task_id=result.response.task_id))


# --- the first success


async def test_the_winner_answers_and_the_losers_are_cancelled_at_the_agent(
    home: Home, agent: AgentProcess, misbehaving: Start
) -> None:
    async with home.core() as core:

        def when_they_work(exchange: Exchange) -> None:
            deadline = time.monotonic() + 20
            while {row.agent_alias for row in tasks(core) if row.state == "working"} != {"ann", "bob"}:
                assert time.monotonic() < deadline
                exchange.wait(0.02)
            exchange.result(message("first"))

        winner = misbehaving(says(SendMessage=when_they_work))
        gang(core, "first-success", ann=agent, bob=agent, cid=nobody(), dee=winner.url)
        result = await core.one(c.Send(group="gang", message="sleep 60"))
        assert (result.agent, result.response.text) == ("dee", "first")
        assert tried(result.route) == [
            ("ann", "cancelled"), ("bob", "cancelled"), ("cid", "failed"), ("dee", "answered"),
        ]  # fmt: skip
        for event in journal(core, "attempt")[:2]:
            assert event.agent_alias is not None
            assert event.task_id is not None
            assert event.payload["state"] == "cancelled"
            assert await at_agent(core, event.agent_alias, event.task_id) == "cancelled"
        assert core.core.agents.in_flight("ann") == 0


@pytest.mark.parametrize("policy", ["fallback", "first-success", "quorum"])
async def test_agents_of_all_kinds_in_one_group(
    home: Home, agent: AgentProcess, agent_03: AgentProcess, policy: str
) -> None:
    kinds = {"a": (agent, "grpc"), "b": (agent_03, "json-rpc"), "c": (agent, "http+json"), "d": (agent_03, "grpc")}
    async with home.core() as core:
        core.local(c.GroupCreate(group="gang", routing_policy=policy))
        for alias, (process, binding) in kinds.items():
            core.add(alias, process, binding)
            core.local(c.GroupAdd(group="gang", agent=alias, rank=alias))
        result = await core.one(c.Send(group="gang", message="sleep 0.4"))
        if policy == "quorum":
            assert (result.status, result.required) == ("reached", 3)
            return
        assert result.response.state == "completed"
        assert result.route.attempts[list("abcd").index(result.agent)].status == "answered"
        if policy == "first-success":
            for row in tasks(core):
                assert await at_agent(core, row.agent_alias, row.task_id) in ("completed", "cancelled")
            assert len(tasks(core)) == 4


async def test_a_loser_that_is_just_getting_the_message_is_cancelled_too(
    home: Home, agent: AgentProcess, misbehaving: Start
) -> None:
    """The agent has the message, and says under which id only after another has won."""
    cancelled = []

    def slowly(exchange: Exchange) -> None:
        exchange.wait(0.3)
        exchange.result({"task": task("WORKING")})

    def cancel(exchange: Exchange) -> None:
        cancelled.append(exchange.request.json()["params"]["id"])
        exchange.result(task("CANCELED"))

    async with home.core() as core:
        gang(core, "first-success", ann=misbehaving(says(SendMessage=slowly, CancelTask=cancel)).url, bob=agent)
        result = await core.one(c.Send(group="gang", message="slow 0.1"))
        assert result.agent == "bob"
        assert cancelled == ["t-1"]
        assert [(row.agent_alias, row.state) for row in tasks(core)] == [("ann", "cancelled")]


async def test_failures_do_not_win(home: Home, agent: AgentProcess, misbehaving: Start) -> None:
    async with home.core() as core:
        failing = misbehaving(answer({"task": task("FAILED")}))
        gang(core, "first-success", ann=failing.url, bob=nobody(), cid=agent)
        result = await core.one(c.Send(group="gang", message="sleep 0.3"))
        assert result.agent == "cid"
        assert tried(result.route) == [("ann", "answered"), ("bob", "failed"), ("cid", "answered")]


async def test_nobody_succeeds(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        gang(core, "first-success", ann=agent, bob=nobody())
        error = await core.fails(c.Send(group="gang", message="ask"), OrchestrationError)
        assert error.exit_code == 70
        assert error.message == "no member of group 'gang' succeeded (2 tried)"
        assert error.sources[0] == "ann: answered (input_required)"
        (row,) = tasks(core)
        assert await at_agent(core, "ann", row.task_id) == "input_required"  # it can still be answered


async def test_a_deadline_cancels_all_that_were_asked(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        gang(core, "first-success", ann=agent, bob=agent)
        await core.fails(c.Send(group="gang", message="sleep 60", timeout="700ms"), DeadlineError)
        rows = tasks(core)
        assert {row.agent_alias for row in rows} == {"ann", "bob"}
        for row in rows:
            assert await at_agent(core, row.agent_alias, row.task_id) == "cancelled"
        assert len(journal(core, "attempt")) == 2


async def test_an_answer_in_time_stands_though_the_losers_take_longer(
    home: Home, agent: AgentProcess, misbehaving: Start
) -> None:
    stubborn = says(SendMessage=WORKING, SubscribeToTask=hangs, CancelTask=reply(500, after=0.9))
    async with home.core() as core:
        gang(core, "first-success", ann=misbehaving(stubborn).url, bob=agent)
        result = await core.one(c.Send(group="gang", message="slow 0.3", timeout="1s"))
        assert result.agent == "bob"


# --- all, and enough of them


async def test_all_get_it(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        gang(core, "broadcast", ann=agent, bob=agent, cid=agent, dee=agent, eve=agent)
        result = await core.one(c.Send(group="gang", message="task"))
        assert result.kind == "route_result"
        assert (result.mode, result.status, result.member_count, result.success_count) == ("all", "reached", 5, 5)
        assert [each.agent for each in result.results] == ["ann", "bob", "cid", "dee", "eve"]
        assert {each.response.state for each in result.results} == {"completed"}
        assert not result.required
        assert len({each.local_context_id for each in result.results}) == 5


async def test_all_get_it_and_one_does_not_answer(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        gang(core, "broadcast", ann=agent, bob=nobody())
        error = await core.fails(c.Send(group="gang", message="echo x"), OrchestrationError, "route_result")
        assert error.message == "1 of 2 members of group 'gang' succeeded, 2 are needed"
        assert error.sources[0].startswith("bob: failed: ")


async def test_a_quorum_is_reached_while_a_slow_member_goes_on(
    home: Home, agent: AgentProcess, misbehaving: Start
) -> None:
    at_work = says(SendMessage=WORKING, SubscribeToTask=hangs)
    server = misbehaving(at_work)
    async with home.core() as core:
        gang(core, "quorum", ann=server.url, bob=agent, cid=agent)
        result = await core.one(c.Send(group="gang", message="sleep 0.5"))
        assert (result.status, result.required, result.success_count) == ("reached", 2, 2)
        assert tried(result) == [("ann", "running"), ("bob", "answered"), ("cid", "answered")]
        assert [each.agent for each in result.results] == ["bob", "cid"]
        assert "CancelTask" not in methods(server)
        assert [row.state for row in tasks(core) if row.agent_alias == "ann"] == ["working"]


async def test_a_quorum_is_missed(home: Home, agent: AgentProcess, misbehaving: Start) -> None:
    def fails_when_ann_has_answered(exchange: Exchange) -> None:
        with home.store() as store:
            while not store.read(lambda tables: [m for m in tables.messages.list(agent="ann") if m.role == "agent"]):
                time.sleep(0.01)
        exchange.result({"task": task("FAILED")})

    async with home.core() as core:
        gang(core, "quorum", ann=agent, bob=nobody(), cid=misbehaving(fails_when_ann_has_answered).url)
        result, error = await missed(core)
        assert error.exit_code == 70
        assert error.message == "1 of 3 members of group 'gang' succeeded, 2 are needed"
        assert (result.status, result.success_count, result.required) == ("partial", 1, 2)
        assert tried(result) == [("ann", "answered"), ("bob", "failed"), ("cid", "answered")]


async def test_a_quorum_that_cannot_be_reached_any_more_is_not_waited_for(home: Home, misbehaving: Start) -> None:
    server = misbehaving(says(SendMessage=WORKING, SubscribeToTask=hangs))

    def fails_when_cid_is_at_work(exchange: Exchange) -> None:
        while "SubscribeToTask" not in methods(server):
            time.sleep(0.01)
        exchange.result({"task": task("FAILED")})

    async with home.core() as core:
        gang(core, "quorum", ann=nobody(), bob=misbehaving(fails_when_cid_is_at_work).url, cid=server.url)
        result, error = await missed(core)  # for ever, if it were waited for
        assert error.message == "0 of 3 members of group 'gang' succeeded, 2 are needed"
        assert (result.status, tried(result)) == (
            "failed",
            [("ann", "failed"), ("bob", "answered"), ("cid", "running")],
        )
        assert "CancelTask" not in methods(server)


async def test_an_agent_whose_task_has_ended_is_not_running(home: Home) -> None:
    """Also if the quorum was decided in the moment before its answer was put together."""
    async with home.core() as core:
        gang(core, "quorum", ann=nobody())
        attempt = SendAttempt(core.core, c.Send(group="gang", message="x"), "ann", [])
        exchange, _ = attempt.prepare()
        exchange.attempted = attempt.accepted = True
        for state, status in (("working", "running"), ("failed", "answered"), ("rejected", "refused")):
            attempt.state = state
            assert attempt.status == status


async def missed(core: Commands) -> tuple[RouteResult, OrchestrationError]:
    """Send to a group of which too few succeed; return the document and the error."""
    outputs: list[Output] = []

    async def emit(output: Output) -> None:
        outputs.append(checked(output))

    with pytest.raises(OrchestrationError) as caught:
        await core.core.run(c.Send(group="gang", message="echo x"), emit)
    (result,) = (output.data for output in outputs)
    assert isinstance(result, RouteResult)
    return result, caught.value


async def test_what_has_come_is_not_lost_to_a_deadline(home: Home, agent: AgentProcess, misbehaving: Start) -> None:
    async with home.core() as core:
        gang(core, "broadcast", ann=agent, bob=misbehaving(hangs).url)
        outputs: list[Output] = []

        async def emit(output: Output) -> None:
            outputs.append(checked(output))

        with pytest.raises(DeadlineError):
            await core.core.run(c.Send(group="gang", message="echo x", timeout="1s"), emit)
        (result,) = (output.data for output in outputs)
        assert isinstance(result, RouteResult)
        assert (result.status, tried(result)) == ("interrupted", [("ann", "answered"), ("bob", "unknown")])
        assert len(journal(core, "attempt")) == 2


async def test_more_members_than_may_be_called_at_once(home: Home, agent: AgentProcess) -> None:
    home.configure(QUICK + "concurrency = 2\n")
    async with home.core() as core:
        gang(core, "broadcast", **{f"m{i}": agent for i in range(7)})
        result = await core.one(c.Send(group="gang", message="sleep 0.2"))
        assert result.success_count == 7


# --- who is addressed


async def test_an_agent_or_a_group(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        gang(core, "direct", ann=agent)
        for kind in (c.Send, c.Stream):
            for command, sentence in (
                (kind(message="x"), "field `agent` is missing"),
                (kind(agent="ann", group="gang", message="x"), "fields `group` and `agent` exclude each other"),
                (kind(group="gang", task="t", message="x"), "fields `group` and `task` exclude each other"),
                (kind(agent="ann", policy="direct", message="x"), "field `policy` needs a `group`"),
                (kind(agent="ann", quorum=1, message="x"), "field `quorum` needs a `group`"),
                (kind(agent="ann", preferred_agent="ann", message="x"), "field `preferred_agent` needs a `group`"),
                (
                    kind(agent="ann", requirements=c.Requirements(tags=("x",)), message="x"),
                    "field `requirements` needs a `group`",
                ),
            ):
                assert (await core.fails(command, ValidationError)).message == sentence
        assert "no group 'gong'" in (await core.fails(c.Send(group="gong", message="x"), ValidationError)).message


async def test_an_answer_in_a2as_own_words_of_error_is_followed_by_the_next(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        gang(core, "fallback", ann=agent, bob=agent)
        error = await core.fails(c.Send(group="gang", message="crash"), OrchestrationError)
        assert [line.split(":")[:3] for line in error.sources] == [
            ["ann", " failed", " A2A protocol error"], ["bob", " failed", " A2A protocol error"],
        ]  # fmt: skip
        await core.fails(c.Send(group="gang", policy="direct", message="crash"), ProtocolError)
