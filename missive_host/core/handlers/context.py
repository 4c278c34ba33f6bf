"""Contexts: conversations as they are known here. The agents have their own contextIds for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from missive_host import commands as c, outputs as o
from missive_host.core.views import artifact_view, context_view, counts_view, event_view, message_view, task_view
from missive_host.ids import new_id, now
from missive_host.store.rows import ContextRow

if TYPE_CHECKING:
    from missive_host.core.core import Core
    from missive_host.store import Tables


def context_create(core: Core, command: c.ContextCreate) -> o.Output:
    row = _new_row(command)

    def write(tables: Tables) -> ContextRow:
        from missive_host.core.recorder import context_created

        if command.agent:
            tables.agents.get(command.agent)
        tables.contexts.create(row)
        tables.events.append(context_created(row))
        return tables.contexts.find(row.context_id)

    stored = core.store.write(write)
    return o.Output(
        o.ContextCreateResult(
            profile=core.profile, context=context_view(stored), message=f"context {_title(stored)} created"
        )
    )


def context_fork(core: Core, command: c.ContextFork) -> o.Output:
    child = _new_row(command)

    def write(tables: Tables) -> tuple[ContextRow, ContextRow]:
        if command.agent:
            tables.agents.get(command.agent)
        from missive_host.core.recorder import context_created

        parent, fork = tables.contexts.find(command.context), tables.contexts.fork(command.context, child)
        tables.events.append(context_created(fork))
        return parent, fork

    parent, row = core.store.write(write)
    return o.Output(
        o.ContextForkResult(
            profile=core.profile,
            parent=parent.context_id,
            context=context_view(row),
            message=f"context {_title(row)} forked from {_title(parent)}",
        )
    )


def context_close(core: Core, command: c.ContextClose) -> o.Output:
    def write(tables: Tables) -> ContextRow:
        from missive_host.core.recorder import journal_event

        row = tables.contexts.close(command.context, at=now(), summary=command.summary)
        about = {"name": row.name, "summary": command.summary}
        tables.events.append(
            journal_event(
                "missive.context.closed",
                source="core",
                context_id=row.context_id,
                payload={key: value for key, value in about.items() if value is not None},
            )
        )
        return row

    row = core.store.write(write)
    return o.Output(
        o.ContextCloseResult(profile=core.profile, context=context_view(row), message=f"context {_title(row)} closed")
    )


def context_list(core: Core, command: c.ContextList) -> o.Output:
    rows = core.store.read(
        lambda tables: tables.contexts.list(
            agent=command.agent, name=command.name, state=command.state, parent=command.parent
        )
    )
    return o.Output(
        o.ContextListResult(
            profile=core.profile,
            count=len(rows),
            contexts=tuple(context_view(row) for row in rows),
            message=f"{len(rows)} context{'s' if len(rows) != 1 else ''}",
        )
    )


def context_show(core: Core, command: c.ContextShow) -> o.Output:
    def read(tables: Tables) -> o.ContextShowResult:
        row = tables.contexts.find(command.context)
        return o.ContextShowResult(
            profile=core.profile,
            context=context_view(row),
            counts=counts_view(tables.contexts.counts(row.context_id)),
            message=f"context {_title(row)} is {row.state}",
        )

    return o.Output(core.store.read(read))


def context_export(core: Core, command: c.ContextExport) -> o.Output:
    def read(tables: Tables) -> o.ContextExportResult:
        row = tables.contexts.find(command.context)
        tasks = tables.tasks.list(context=row.context_id).tasks
        artifacts = {
            (task.agent_alias, task.task_id): tables.artifacts.list(agent=task.agent_alias, task=task.task_id)
            for task in tasks
        }
        return o.ContextExportResult(
            profile=core.profile,
            exported_at=now(),
            context=context_view(row),
            counts=counts_view(tables.contexts.counts(row.context_id)),
            tasks=tuple(task_view(task, artifacts[task.agent_alias, task.task_id], raw=True) for task in tasks),
            messages=tuple(message_view(message) for message in tables.messages.list(context=row.context_id)),
            artifacts=tuple(artifact_view(artifact) for found in artifacts.values() for artifact in found),
            events=tuple(event_view(event) for event in tables.events.list(context=row.context_id)),
            message=f"context {_title(row)} exported",
        )

    return o.Output(core.store.read(read))


def _new_row(command: c.ContextCreate | c.ContextFork) -> ContextRow:
    at = now()
    return ContextRow(
        context_id=command.id or new_id(),
        agent_alias=command.agent,
        name=command.name,
        summary=command.summary,
        metadata=command.metadata,
        created_at=at,
        updated_at=at,
    )


def _title(row: ContextRow) -> str:
    return f"'{row.name}' ({row.context_id})" if row.name else row.context_id
