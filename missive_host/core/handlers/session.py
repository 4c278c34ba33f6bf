"""Sessions, for the operator: who talks with whom, and beginning anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

from missive_host import commands as c, outputs_sessions as s
from missive_host.core.views import counts_view, given
from missive_host.errors import ValidationError
from missive_host.ids import now
from missive_host.outputs import Output

if TYPE_CHECKING:
    from missive_host.core.core import Core
    from missive_host.store import SessionRow, Tables


def session_list(core: Core, command: c.SessionList) -> Output:
    rows = core.store.read(lambda tables: _chosen(tables, command))
    return Output(
        s.SessionListResult(
            profile=core.profile,
            count=len(rows),
            sessions=tuple(session_view(row) for row in rows),
            message=_number(len(rows)),
        )
    )


def session_show(core: Core, command: c.SessionShow) -> Output:
    from missive_host.core.sessions import due, rules_for

    def read(tables: Tables) -> s.SessionShowResult:
        row = tables.sessions.get(command.session)
        known = tables.contexts.get(row.context_id) if row.context_id is not None else None
        return s.SessionShowResult(
            profile=core.profile,
            session=session_view(row),
            counts=given(counts_view(tables.contexts.counts(known.context_id)) if known is not None else None),
            due=due(row, rules_for(core.settings.config, row.adapter), now()) if row.context_id is not None else (),
            message=f"session of '{row.source_id}' with {_partner(row)}",
        )

    return Output(core.store.read(read))


def session_reset(core: Core, command: c.SessionReset) -> Output:
    from missive_host.core.sessions import reset

    if command == c.SessionReset():
        raise ValidationError(
            "no session is named", help="name one by its id, or several by --adapter, --source, --agent or --group"
        )
    at = now()

    def write(tables: Tables) -> tuple[int, tuple[SessionRow, ...]]:
        if command.session is not None:
            tables.sessions.get(command.session)
        rows = _chosen(tables, command)
        fresh = [reset(tables, row, ("operator",), at) if row.context_id is not None else row for row in rows]
        return sum(row.context_id is not None for row in rows), tuple(fresh)

    count, rows = core.store.write(write)
    return Output(
        s.SessionResetResult(
            profile=core.profile,
            count=count,
            sessions=tuple(session_view(row) for row in rows),
            message=f"{_number(count)} reset" if count else "no session had anything to reset",
        )
    )


def _chosen(tables: Tables, command: c.SessionList | c.SessionReset) -> tuple[SessionRow, ...]:
    if command.agent is not None and command.group is not None:
        raise ValidationError(
            "fields `agent` and `group` exclude each other", help="a session is with an agent or with a group"
        )
    target = None
    if command.agent is not None:
        target = f"agent:{command.agent}"
    elif command.group is not None:
        target = f"group:{command.group}"
    return tables.sessions.list(
        session_id=command.session if isinstance(command, c.SessionReset) else None,
        adapter=command.adapter,
        source_id=command.source,
        target=target,
    )


def session_view(row: SessionRow) -> s.SessionView:
    """Return a session as results have it."""
    return s.SessionView(
        session_id=row.session_id,
        adapter=row.adapter,
        source_id=row.source_id,
        resume_name=row.resume_name,
        target=row.target,
        agent=given(row.agent),
        group=given(row.group),
        context_id=given(row.context_id),
        display_name=given(row.display_name),
        created_at=row.created_at,
        last_active_at=row.last_active_at,
        last_reset_at=given(row.last_reset_at),
        reset_reasons=row.reset_reasons,
    )


def _partner(row: SessionRow) -> str:
    return f"agent '{row.agent}'" if row.agent is not None else f"group '{row.group}'"


def _number(count: int) -> str:
    return f"{count} session{'' if count == 1 else 's'}"
