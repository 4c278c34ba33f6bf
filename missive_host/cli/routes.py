"""``missive route``, and the flags that say what an agent must be able to do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from missive_host import commands as c
from missive_host.cli.kit import Group, Options, verb

if TYPE_CHECKING:
    from missive_host.cli.screen import Screen
    from missive_host.outputs_routes import RouteExplainResult, RouteResult

REQUIREMENTS: Options = {
    "requirements.tags": "--tag",
    "requirements.capabilities": "--capability",
    "requirements.input_modes": "--input-mode",
    "requirements.output_modes": "--output-mode",
    "requirements.streaming": "--streaming",
    "requirements.push_notifications": ("--push-notifications", "--push"),
}

route = Group(
    "route",
    help="See how messages to a group find their agent.",
    examples=("missive route explain --group reviewers --policy capability-match --capability python",),
)
route.add_command(
    verb(
        "explain",
        c.RouteExplain,
        options={"agents": "--agent", **REQUIREMENTS},
        examples=(
            "missive route explain --group reviewers",
            "missive route explain --group reviewers --policy round-robin --cursor 2",
            "missive route explain --agent echo --agent writer --policy tag-match --tag fast --json",
        ),
    )
)


def _explained(data: RouteExplainResult, screen: Screen) -> None:
    plan = data.plan
    screen.table(
        ("AGENT", "RANK", "ORDER", "WEIGHT", "MISSING", "REASON"),
        [
            (each.alias, each.rank, each.order, f"{each.weight:g}", each.missing_requirements, each.reason)
            for each in plan.decisions
        ],
    )
    quorum = f", {plan.required_quorum} must complete" if plan.required_quorum else ""
    screen.note(f"policy {plan.policy} (from the {_SOURCES[data.policy_source]}), mode {plan.mode}{quorum}")
    screen.note(data.message)


_SOURCES = {"cli": "command", "group": "group", "config": "config"}


def _routed(data: RouteResult, screen: Screen) -> None:
    from missive_host.cli.wording import say_parts

    for result in data.results:
        screen.line(f"{result.agent}:", "bold")
        raw = result.response.raw
        said = False
        for artifact in raw.get("artifacts") or ():
            said = say_parts(screen, artifact.get("parts")) or said
        parts = raw.get("parts") or ((raw.get("status") or {}).get("message") or {}).get("parts")
        if not said and not say_parts(screen, parts):
            screen.line(f"task {result.response.task_id}: {result.response.state}")
    for attempt in data.attempts:
        if attempt.error:
            screen.note(f"{attempt.agent}: {attempt.status}: {attempt.error.message}", "red")
    screen.note(data.message)


RENDERERS: Mapping[str, Callable[[Any, Screen], None]] = {"route_explain": _explained, "route_result": _routed}
