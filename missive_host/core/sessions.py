"""Sessions: what somebody sends to the same agent or group goes on in the same context, until it is reset.

A session is told by the door, the source, the target and the resume name. Its context is a local one: the recorder
learns by which contextId each agent knows it. A reset gives the session a fresh context and leaves the old one as
it is.

====================  =======================================================================================
``idle``              the last message is longer ago than ``idle_timeout``
``daily``             ``daily_reset_hour`` has struck since the last message and the last reset
``closed``            somebody has closed the context
``operator``          ``missive session reset``
====================  =======================================================================================
"""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING

from msgspec.structs import replace

from missive_host.commands import Allreduce, Bcast, Command, Scatter, Send, Stream, duration_seconds
from missive_host.core.recorder import journal_event
from missive_host.errors import ValidationError
from missive_host.ids import new_id, now
from missive_host.store.rows import ContextRow, SessionRow

if TYPE_CHECKING:
    from datetime import tzinfo

    from missive_host.config import Config
    from missive_host.config.model import Sessions
    from missive_host.envelopes import Envelope
    from missive_host.store import Tables

Talking = Send | Stream | Bcast | Scatter | Allreduce
"""The commands that say something in a context."""
NAME_LENGTH = 256
"""Characters of a display name that are kept: it comes from outside."""


def rules_for(config: Config, adapter: str) -> Sessions:
    """Return when sessions of an adapter begin anew: its own rules, else those of the gateway."""
    block = config.adapters.get(adapter)
    return block.sessions if block is not None and block.sessions is not None else config.gateway.sessions


# --- when


def due(session: SessionRow, rules: Sessions, at: str) -> tuple[str, ...]:
    """Return why a message that comes `at` begins the session anew: of ``idle`` and ``daily``, in this order."""
    moment = datetime.fromisoformat(at)
    active = datetime.fromisoformat(session.last_active_at)
    reasons = []
    if rules.reset in ("idle", "both"):
        assert rules.idle_timeout is not None
        if moment - active > timedelta(seconds=duration_seconds(rules.idle_timeout)):
            reasons.append("idle")
    if rules.reset in ("daily", "both"):
        reset = datetime.fromisoformat(session.last_reset_at) if session.last_reset_at is not None else active
        if max(active, reset) < last_boundary(rules, moment):
            reasons.append("daily")
    return tuple(reasons)


def last_boundary(rules: Sessions, moment: datetime) -> datetime:
    """Return when ``daily_reset_hour`` struck last, at `moment` or before: once on every day of the time zone.

    An hour that a change of the clocks leaves out strikes when they are changed; one that comes twice strikes the
    first time.
    """
    zone = _zone(rules.time_zone)
    today = moment.astimezone(zone).date()
    # The day after: if midnight comes twice, it is tomorrow first and then today again. Two days before: a time zone
    # may leave out a whole day.
    days = (today + timedelta(days=step) for step in (1, 0, -1, -2))
    struck = (datetime.combine(day, time(rules.daily_reset_hour), zone).astimezone(UTC) for day in days)
    return next(boundary for boundary in struck if boundary <= moment)


def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    from zoneinfo import ZoneInfo

    return ZoneInfo(name)


# --- the context of a message


def target_of(command: Command) -> str | None:
    """Return who a command talks to, as sessions have it; None if it does not talk, or says itself in which context."""
    if not isinstance(command, Talking) or command.context is not None:
        return None
    if not isinstance(command, Send | Stream):
        return f"group:{command.group}"
    if command.task is not None:
        return None
    if (command.agent is None) == (command.group is None):
        return None  # an error, which the handler finds
    return f"agent:{command.agent}" if command.agent is not None else f"group:{command.group}"


def resolve(tables: Tables, envelope: Envelope, adapter: str, rules: Sessions, at: str) -> str | None:
    """Return the context in which a delivery's command goes on; None if it is not for a session to say.

    To be called once for a delivery, when its command begins, in one transaction with whatever else keeps the
    context for the next attempt. `at` is when the delivery came in, so that how long it had to wait does not matter.
    """
    target = target_of(envelope.command)
    if envelope.session is None or target is None:
        return None
    source_id, resume_name = envelope.session
    session = tables.sessions.find(adapter, source_id, target, resume_name)
    if session is None:
        session = SessionRow(
            session_id=new_id(),
            adapter=adapter,
            source_id=source_id,
            target=target,
            resume_name=resume_name,
            created_at=at,
            last_active_at=at,
        )
        if not _is_registered(tables, session):
            return None  # the handler says so
    elif session.context_id is not None:
        reasons = due(session, rules, at) or _closed(tables, session.context_id)
        if reasons:
            session = reset(tables, session, reasons, at)
    context_id = session.context_id or _begin(tables, session)
    # A clock that was ahead for a while must not keep the session from ever being idle again.
    active = max(at, min(session.last_active_at, now()))
    name = (envelope.source.display_name or session.display_name or "")[:NAME_LENGTH] or None
    tables.sessions.put(replace(session, context_id=context_id, display_name=name, last_active_at=active))
    return context_id


def touch(tables: Tables, envelope: Envelope, adapter: str, at: str) -> None:
    """Note that a session is in use, if there is one: its message has been answered, or was sent to a task that runs.

    So a session is not idle while an agent works for it.
    """
    target = target_of(envelope.command)
    if envelope.session is not None and target is not None:
        source_id, resume_name = envelope.session
        tables.sessions.touch(adapter, source_id, target, resume_name, at=at)


def in_context(command: Command, context_id: str | None) -> Command:
    """Return the command as it runs in the context that `resolve` gave."""
    if context_id is None:
        return command
    assert isinstance(command, Talking)
    return replace(command, context=context_id)


def reset(tables: Tables, session: SessionRow, reasons: tuple[str, ...], at: str) -> SessionRow:
    """Take its context from a session, so that the next message begins a new one; return it as it is then."""
    fresh = replace(session, context_id=None, last_reset_at=at, reset_reasons=reasons)
    tables.sessions.put(fresh)
    _journal(tables, "missive.session.reset", session, session.context_id, {"reasons": list(reasons)})
    return fresh


def _closed(tables: Tables, context_id: str) -> tuple[str, ...]:
    """Note that a context is in use; return why the session cannot go on in it, if it cannot."""
    try:
        tables.contexts.ensure(context_id, None, at=now())
    except ValidationError:
        return ("closed",)
    return ()


def _begin(tables: Tables, session: SessionRow) -> str:
    context_id, at = new_id(), now()
    tables.contexts.create(context_of(session, context_id, at))
    _journal(tables, "missive.session.started", session, context_id, {})
    return context_id


def context_of(session: SessionRow, context_id: str, at: str) -> ContextRow:
    """Return the context that a session begins."""
    return ContextRow(
        context_id=context_id,
        agent_alias=session.agent,
        metadata={"missive.session.id": session.session_id},
        created_at=at,
        updated_at=at,
    )


def _is_registered(tables: Tables, session: SessionRow) -> bool:
    if session.agent is not None:
        return tables.agents.find(session.agent) is not None
    return session.group is not None and tables.groups.find(session.group) is not None


def _journal(
    tables: Tables, event_type: str, session: SessionRow, context_id: str | None, more: dict[str, list[str]]
) -> None:
    payload = {
        "session_id": session.session_id,
        "adapter": session.adapter,
        "source_id": session.source_id,
        "resume_name": session.resume_name,
        "target": session.target,
        **more,
    }
    tables.events.append(
        journal_event(event_type, source="core", agent_alias=session.agent, context_id=context_id, payload=payload)
    )
