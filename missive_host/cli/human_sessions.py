"""Sessions, for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from missive_host.cli.wording import ago

if TYPE_CHECKING:
    from missive_host import outputs_sessions as s
    from missive_host.cli.screen import Screen


def _list(data: s.SessionListResult, screen: Screen) -> None:
    if not data.sessions:
        screen.line("no sessions")
        screen.note("the gateway makes them: a message that names its source begins one")
        return
    _table(data.sessions, screen)


def _table(sessions: tuple[s.SessionView, ...], screen: Screen) -> None:
    screen.table(
        ("SESSION", "ADAPTER", "SOURCE", "NAME", "WITH", "CONTEXT", "ACTIVE"),
        [
            (
                session.session_id,
                session.adapter,
                session.source_id,
                session.resume_name,
                session.target,
                session.context_id,
                ago(session.last_active_at, screen),
            )
            for session in sessions
        ],
    )


def _show(data: s.SessionShowResult, screen: Screen) -> None:
    session, counts = data.session, data.counts
    has_context = isinstance(session.context_id, str)
    screen.fields(
        (
            ("session", session.session_id),
            ("adapter", session.adapter),
            ("source", session.source_id),
            ("called", session.display_name),
            ("name", session.resume_name),
            ("with", session.target),
            ("context", session.context_id if has_context else "none yet; the next message begins one"),
            ("tasks", getattr(counts, "task_count", None) or None),
            ("messages", getattr(counts, "message_count", None) or None),
            ("created", ago(session.created_at, screen)),
            ("active", ago(session.last_active_at, screen)),
            ("reset", ago(session.last_reset_at, screen)),
            ("because", session.reset_reasons),
            ("due", data.due),
        )
    )
    if data.due:
        screen.note("the next message begins a new context")
    if has_context:
        screen.note(f"what was said: missive context export {session.context_id}")


def _reset(data: s.SessionResetResult, screen: Screen) -> None:
    screen.line(data.message)


RENDERERS: Mapping[str, Callable[[Any, Screen], None]] = {
    "session_list": _list,
    "session_show": _show,
    "session_reset": _reset,
}
