"""`route_explain`: which agents a policy would choose, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from missive_host import commands as c
from missive_host.errors import ValidationError
from missive_host.outputs import Json, Output
from missive_host.outputs_routes import RouteExplainResult

if TYPE_CHECKING:
    from missive_host.core.core import Core, Emit


async def route_explain(core: Core, command: c.RouteExplain, emit: Emit) -> None:
    from missive_host.routing.planner import explain

    if (command.group is None) == (not command.agents):
        raise ValidationError("name a `group`, or `agents`, and not both", help="these are the candidates")
    planned = await explain(core, command)
    source: Json = {"kind": "group" if command.group else "agents", "candidates": len(planned.candidates)}
    if command.group:
        source["group"] = command.group
    plan = planned.view()
    chosen = ", ".join(plan.selected) or "nobody"
    await emit(
        Output(
            RouteExplainResult(
                profile=core.profile,
                source=source,
                policy_source=planned.policy_source,
                plan=plan,
                message=f"the policy '{planned.policy}' chooses {chosen}",
            )
        )
    )
