"""Names for the shell's completion, from the store."""

from __future__ import annotations

from typing import Literal

from missive_host.cli.app import App


def known_names(app: object, what: Literal["agent", "context", "group", "session"]) -> list[tuple[str, str]]:
    """Return names with a word about each. None if the store cannot be read: completion never complains."""
    from missive_host.commands import AgentList, ContextList, GroupList, SessionList
    from missive_host.errors import MissiveError
    from missive_host.outputs import AgentListResult, ContextListResult
    from missive_host.outputs_groups import GroupListResult
    from missive_host.outputs_sessions import SessionListResult

    if not isinstance(app, App):
        return []
    try:
        command = {"agent": AgentList, "context": ContextList, "group": GroupList, "session": SessionList}[what]()
        data = app.core().run_local(command).data
    except (MissiveError, OSError):
        return []
    if isinstance(data, AgentListResult):
        return [(agent.alias, agent.base_url) for agent in data.agents]
    if isinstance(data, ContextListResult):
        return [(context.name or context.context_id, context.context_id) for context in data.contexts]
    if isinstance(data, GroupListResult):
        return [(group.name, ", ".join(group.agents)) for group in data.groups]
    if isinstance(data, SessionListResult):
        return [(session.session_id, f"{session.source_id} with {session.target}") for session in data.sessions]
    return []
