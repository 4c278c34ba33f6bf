"""The result documents of ``missive session``."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType

from missive_host.outputs import Counts, Data


class SessionView(msgspec.Struct, frozen=True, kw_only=True):
    """A session: who it is from, who it is with, and the context that it goes on in."""

    session_id: str
    adapter: str
    """The name of the adapter that it came through."""
    source_id: str
    resume_name: str
    target: str
    """``agent:ALIAS`` or ``group:NAME``."""
    created_at: str
    last_active_at: str
    """When its last message came."""
    reset_reasons: tuple[str, ...]
    """Why it was reset last: ``idle``, ``daily``, ``closed`` (its context was) or ``operator``."""
    agent: str | UnsetType = UNSET
    group: str | UnsetType = UNSET
    context_id: str | UnsetType = UNSET
    """The local context; without one the next message begins it."""
    display_name: str | UnsetType = UNSET
    last_reset_at: str | UnsetType = UNSET


class SessionListResult(Data, frozen=True, kw_only=True):
    kind = "session_list"
    profile: str
    count: int
    sessions: tuple[SessionView, ...]
    message: str


class SessionShowResult(Data, frozen=True, kw_only=True):
    kind = "session_show"
    profile: str
    session: SessionView
    due: tuple[str, ...]
    """Why a message that came now would begin it anew: of ``idle`` and ``daily``; none: it would go on."""
    message: str
    counts: Counts | UnsetType = UNSET
    """What its context holds, if it has one."""


class SessionResetResult(Data, frozen=True, kw_only=True):
    kind = "session_reset"
    profile: str
    count: int
    """How many were reset; a session that has no context is fresh already."""
    sessions: tuple[SessionView, ...]
    """Those that are meant, as they are now."""
    message: str
