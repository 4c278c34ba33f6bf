"""Groups, for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from missive_host.cli.wording import ago, number

if TYPE_CHECKING:
    from missive_host import outputs_groups as g
    from missive_host.cli.screen import Screen


def _list(data: g.GroupListResult, screen: Screen) -> None:
    if not data.groups:
        screen.line("no groups")
        screen.note("make one: missive group create NAME")
        return
    screen.table(
        ("GROUP", "POLICY", "MEMBERS", "SOURCE", "UPDATED", "NOTES"),
        [
            (group.name, group.routing_policy, group.agents, group.source, ago(group.updated_at, screen), group.notes)
            for group in data.groups
        ],
    )


def _show(data: g.GroupShowResult, screen: Screen) -> None:
    group = data.group
    screen.fields(
        (
            ("group", group.name),
            ("policy", group.routing_policy),
            ("notes", group.notes),
            ("metadata", group.metadata),
            ("source", "the config (read-only)" if group.read_only else group.source),
            ("updated", ago(group.updated_at, screen)),
        )
    )
    screen.line()
    if not group.members:
        screen.line("no members")
        if not group.read_only:
            screen.note(f"add one: missive group add {group.name} AGENT --rank RANK")
        return
    screen.table(
        ("RANK", "AGENT", "WEIGHT", "TAGS", "ROUTING"),
        [(m.rank, m.agent, f"{m.weight:g}", m.tags, m.routing_metadata) for m in group.members],
    )


def _message(data: Any, screen: Screen) -> None:
    screen.line(data.message)


def _capabilities(data: g.GroupCapabilitiesResult, screen: Screen) -> None:
    if not data.members:
        screen.line(f"group '{data.group}' has no members")
        return
    screen.table(
        ("RANK", "AGENT", "STREAM", "PUSH", "INPUT", "OUTPUT", "LABELS", "TAGS", "ERROR"),
        [
            (
                m.rank,
                m.agent,
                m.capabilities.supports_streaming,
                m.capabilities.supports_push_notifications,
                m.capabilities.input_modes,
                m.capabilities.output_modes,
                m.capabilities.capability_labels,
                (*m.member_tags, *m.capabilities.tags),
                m.capabilities.error,
            )
            for m in data.members
        ],
    )
    together = data.aggregate
    screen.line()
    screen.fields(
        (
            ("members", data.member_count),
            ("stream", f"{together.streaming_supported} of {data.member_count}"),
            ("push", f"{together.push_supported} of {data.member_count}"),
            ("input", together.input_modes),
            ("output", together.output_modes),
            ("labels", together.capability_labels),
            ("tags", together.tags),
            ("cards", [f"{count} {status}" for status, count in together.cache_statuses.items()]),
        )
    )
    failed = sum(isinstance(m.capabilities.error, str) for m in data.members)
    if failed:
        screen.note(f"{number(failed, 'card')} could not be had")


RENDERERS: Mapping[str, Callable[[Any, Screen], None]] = {
    "group_list": _list,
    "group_show": _show,
    "group_create": _message,
    "group_rename": _message,
    "group_delete": _message,
    "group_add": _message,
    "group_remove": _message,
    "group_capabilities": _capabilities,
}
