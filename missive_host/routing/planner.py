"""Asking a policy: its candidates, its state, its plan."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, get_args

import anyio
import msgspec
from msgspec import UNSET

from missive_host.core.recorder import journal_event
from missive_host.core.views import given
from missive_host.errors import MissiveError, OrchestrationError, PluginError
from missive_host.ids import now
from missive_host.outputs_routes import DecisionView, PlanView
from missive_host.routing.breaker import counts, is_resting, tries
from missive_host.routing.candidates import Lost, group_candidates, named_candidates
from missive_host.specs import Candidate, PlanMode, Requirements, RoutePlan, RouteRequest
from missive_host.store.work import request_digest

if TYPE_CHECKING:
    from missive_host.commands import RouteExplain, Send, Stream
    from missive_host.core.core import Core
    from missive_host.protocols import RoutingPolicy
    from missive_host.store import Tables


TO_SEVERAL = frozenset({"first_success", "all", "quorum"})
"""Modes in which all targets get the message at once."""


class Planned(msgspec.Struct, frozen=True):
    """A plan, and what it was made of."""

    policy: str
    policy_source: str
    group: str | None
    candidates: tuple[Candidate, ...]
    plan: RoutePlan
    context_id: str | None = None
    """The context that the message is in, if it is known."""
    sequence: int = 0
    """Of the plan in the journal."""
    reserved: list[str] = []
    """Targets that are counted as in flight and that no attempt has taken yet."""

    def reason(self, agent: str) -> str:
        """Return why an agent was taken."""
        return next((each.reason for each in self.plan.decisions if each.agent == agent), "")

    def view(self) -> PlanView:
        by_alias = {candidate.agent: candidate for candidate in self.candidates}
        order = {alias: number for number, alias in enumerate(self.plan.targets, start=1)}
        cursor = self.plan.state.get("cursor")
        return PlanView(
            policy=self.policy,
            mode=self.plan.mode,
            status="selected" if self.plan.targets else "no_match",
            total_candidates=len(self.candidates),
            selected=self.plan.targets,
            decisions=tuple(
                DecisionView(
                    alias=decision.agent,
                    rank=given(by_alias[decision.agent].rank),
                    selected=decision.selected,
                    order=given(order.get(decision.agent)),
                    weight=by_alias[decision.agent].weight,
                    reason=decision.reason,
                    matched=decision.matched,
                    missing_requirements=decision.missing,
                )
                for decision in self.plan.decisions
            ),
            required_quorum=given(self.plan.required),
            next_round_robin_cursor=cursor if isinstance(cursor, int) else UNSET,
        )


async def explain(core: Core, command: RouteExplain) -> Planned:
    """Return the plan that a command would get. Nothing is written down but cards that had to be fetched."""
    group = command.group
    if group is not None:
        candidates = await group_candidates(core, group, refresh=command.refresh_capabilities)
    else:
        candidates = await named_candidates(core, command.agents, refresh=command.refresh_capabilities)
    name, source, policy = _policy(core, command.policy, group)

    def read(tables: Tables) -> tuple[dict[str, Any], RouteRequest]:
        state = tables.routing.state(group, name) if group is not None else {}
        return state, _request(tables, command)

    state, request = core.store.read(read)
    if command.cursor is not None:
        state = {**state, "cursor": command.cursor}
    return Planned(name, source, group, candidates, _plan(policy, name, request, candidates, state))


async def plan_for(core: Core, command: Send | Stream, *, part_modes: tuple[str, ...]) -> Planned:
    """Return the plan of a message to a group, keep the policy's state and write both down.

    The targets that get the message first are counted as in flight from now on, so that the next plan sees them;
    whoever carries the plan out takes them from ``reserved`` and counts them out. Raises `OrchestrationError` if no
    member fits.
    """
    group = command.group
    assert group is not None
    lost: Lost = {}
    candidates = await group_candidates(core, group, lost=lost)
    name, source, policy = _policy(core, command.policy, group)
    reserved: list[str] = []

    def write(tables: Tables) -> Planned:
        # Within one transaction, so that two processes do not get the same turn.
        free(core, reserved)
        state = tables.routing.state(group, name)
        at = now()
        asked = _as_they_are(core, tables, candidates, at)
        plan = _plan(policy, name, _request(tables, command, part_modes), asked, state)
        if plan.state != state:
            tables.routing.put_state(group, name, plan.state, at)
        planned = Planned(name, source, group, asked, plan, _context(tables, command.context)[0])
        sequence = tables.events.append(
            journal_event(
                "missive.route.planned",
                source="core",
                context_id=planned.context_id,
                work_id=core.work.work_id if core.work is not None else None,
                payload={"group": group, "policy_source": source, "plan": msgspec.to_builtins(planned.view())},
                metadata=None if plan.state == state else {"state_sha256": request_digest(plan.state)},
            )
        )
        for alias in plan.targets if plan.mode in TO_SEVERAL else plan.targets[:1]:
            core.agents.engage(alias, tries=tries(tables, alias, at))
            reserved.append(alias)
        return msgspec.structs.replace(planned, sequence=sequence, reserved=reserved)

    try:
        with anyio.CancelScope(shield=True):
            planned = await core.commit(write)
        for alias, error in lost.items():
            if counts(error) and alias not in reserved:  # of those the call that follows will tell
                await core.agents.note_failure(alias, error)
    except BaseException:
        free(core, reserved)
        raise
    if not planned.plan.targets:
        raise OrchestrationError(
            f"no member of group '{group}' fits, says the policy '{name}'",
            help=f"`missive route explain --group {group}` shows why",
            sources=tuple(f"{decision.agent}: {decision.reason}" for decision in planned.plan.decisions),
        )
    return planned


def free(core: Core, reserved: list[str]) -> None:
    """Count out those that nobody has taken."""
    while reserved:
        core.agents.release(reserved.pop())


def _as_they_are(core: Core, tables: Tables, candidates: tuple[Candidate, ...], at: str) -> tuple[Candidate, ...]:
    """Return the candidates with what is in flight now, and who rests.

    Other messages may have been planned since they were read.
    """
    resting = {row.alias for row in tables.breakers.list() if is_resting(row, at)}
    found = ((each, core.agents.in_flight(each.agent), each.agent in resting) for each in candidates)
    return tuple(
        each if (each.in_flight, each.resting) == (count, rests) else replace(each, in_flight=count, resting=rests)
        for each, count, rests in found
    )


def _policy(core: Core, given_name: str | None, group: str | None) -> tuple[str, str, RoutingPolicy]:
    """Return the policy's name, who named it, and it. Raises `PluginError` if there is none of this name."""
    if given_name is not None:
        name, source = given_name, "cli"
    elif group is not None:
        name, source = core.store.read(lambda tables: tables.groups.get(group).routing_policy), "group"
    else:
        name, source = core.settings.config.routing.default_policy, "config"
    try:
        spec, _ = core.plugins.policy(name)
    except PluginError:
        if "_" not in name:
            raise
        name = name.replace("_", "-")  # the reference's other spelling
        spec, _ = core.plugins.policy(name)
    policy: RoutingPolicy = core.plugins.factory(spec)()
    return name, source, policy


def _request(tables: Tables, command: Send | Stream | RouteExplain, part_modes: tuple[str, ...] = ()) -> RouteRequest:
    fields = command.requirements
    context, context_agent = _context(tables, command.context)
    return RouteRequest(
        requirements=Requirements(
            tags=_labels(fields.tags),
            capabilities=_labels(fields.capabilities),
            input_modes=_labels(fields.input_modes),
            output_modes=_labels(fields.output_modes),
            streaming=fields.streaming,
            push_notifications=fields.push_notifications,
        ),
        part_modes=part_modes,
        preferred_agent=command.preferred_agent,
        context=context,
        context_agent=context_agent,
        quorum=command.quorum,
    )


def _context(tables: Tables, selector: str | None) -> tuple[str | None, str | None]:
    """Return the id of a context that is given by id or name, and the agent that has had it so far."""
    if selector is None:
        return None, None
    row = tables.contexts.get(selector) or next(iter(tables.contexts.list(name=selector)), None)
    if row is None:
        return selector, None
    if len(row.remote_contexts) == 1:
        return row.context_id, next(iter(row.remote_contexts))
    return row.context_id, row.agent_alias


def _labels(values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(value.strip().lower() for value in values))


def _plan(
    policy: RoutingPolicy,
    name: str,
    request: RouteRequest,
    candidates: tuple[Candidate, ...],
    state: dict[str, Any],
) -> RoutePlan:
    """Ask a policy. A stranger's may be wrong: what is no plan, or cannot be carried out, is a `PluginError`."""
    try:
        plan = policy.plan(request, candidates, state)
        faults = list(_faults(plan, candidates))
    except MissiveError:
        raise
    except Exception as error:
        raise PluginError(
            f"the policy '{name}' failed: {type(error).__name__}: {error}", help=_AUTHOR, sources=_where(error)
        ) from error
    if faults:
        raise PluginError(f"the policy '{name}' gave a plan that cannot be: {'; '.join(faults)}", help=_AUTHOR)
    return plan


_AUTHOR = "tell its author; `missive plugin list` shows where it comes from"


def _where(error: Exception) -> tuple[str, ...]:
    """Return the line of the policy's code that failed."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return () if trace is None else (f"in {trace.tb_frame.f_code.co_filename}, line {trace.tb_lineno}",)


def _faults(plan: Any, candidates: tuple[Candidate, ...]) -> Iterator[str]:
    if not isinstance(plan, RoutePlan):
        yield f"it is a {type(plan).__name__}, not a RoutePlan"
        return
    known = {candidate.agent for candidate in candidates}
    if plan.mode not in get_args(PlanMode):
        yield f"there is no mode '{plan.mode}'"
    strangers = [*plan.targets, *(decision.agent for decision in plan.decisions)]
    for alias in dict.fromkeys(alias for alias in strangers if alias not in known):
        yield f"'{alias}' is no candidate"
    if len(set(plan.targets)) != len(plan.targets):
        yield "a target is named twice"
    required, asked = plan.required, len(plan.targets)
    if plan.mode == "quorum" and asked and not (isinstance(required, int) and 1 <= required <= asked):
        yield f"{required} of {asked} cannot be required"
    state: Any = plan.state
    if not isinstance(state, dict):
        yield "its state is no dict"
    else:
        try:
            msgspec.json.encode(state)
        except (TypeError, ValueError) as error:
            yield f"its state is not JSON: {error}"
