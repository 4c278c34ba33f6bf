"""Names for the shell's completion, from the store."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from missive_host import commands as c
from missive_host.cli.app import App

What = Literal["agent", "context", "group", "session", "job", "schedule"]

_KNOWN: dict[What, tuple[c.Command, Callable[[Any], list[tuple[str, str]]]]] = {
    "agent": (c.AgentList(), lambda data: [(row.alias, row.base_url) for row in data.agents]),
    "context": (c.ContextList(), lambda data: [(row.name or row.context_id, row.context_id) for row in data.contexts]),
    "group": (c.GroupList(), lambda data: [(row.name, ", ".join(row.agents)) for row in data.groups]),
    "session": (
        c.SessionList(),
        lambda data: [(row.session_id, f"{row.source_id} with {row.target}") for row in data.sessions],
    ),
    "job": (
        c.JobList(limit=100),
        lambda data: [(row.job_id, f"{row.state}, {row.agent or row.group}") for row in reversed(data.jobs)],
    ),
    "schedule": (
        c.JobScheduleList(),
        lambda data: [(row.schedule_id, f"{row.kind} {row.expression}") for row in data.schedules],
    ),
}
"""What lists them, and how a name and a word about it are read from the result."""


def known_names(app: object, what: What) -> list[tuple[str, str]]:
    """Return names with a word about each. None if the store cannot be read: completion never complains."""
    from missive_host.errors import MissiveError

    if not isinstance(app, App):
        return []
    command, names = _KNOWN[what]
    try:
        return names(app.core().run_local(command).data)
    except (MissiveError, OSError):
        return []
