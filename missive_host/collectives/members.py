"""Who takes part in an operation, and in which context."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from missive_host.core.recorder import context_created
from missive_host.errors import ValidationError
from missive_host.store.rows import ContextRow, OperationMemberRow, OperationRow

if TYPE_CHECKING:
    from missive_host.core.core import Core
    from missive_host.store import Tables

BROADCASTS = ("bcast", "scatter")
"""The kinds of operations that ask something of all members, and stamp who they are."""


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """One agent in an operation."""

    agent: str
    rank: str
    weight: float = 1.0
    request_message_id: str | None = None
    """What it was asked in the broadcast; None if it was not reached, or if there is no broadcast."""
    task_id: str | None = None
    response_message_id: str | None = None


class Crew(msgspec.Struct, frozen=True):
    """The members of an operation in order of rank, and the broadcast that they were stamped into, if it was one."""

    group: str
    context_id: str
    members: tuple[Member, ...]
    broadcast: OperationRow | None = None

    @property
    def since(self) -> str:
        """What was answered before this time does not count."""
        return self.broadcast.created_at if self.broadcast is not None else ""


def members_now(tables: Tables, group: str) -> tuple[Member, ...]:
    """Return the members that a group has now. Raises `ValidationError` if it is unknown or empty."""
    tables.groups.get(group)
    members = tuple(Member(agent=row.agent, rank=row.rank, weight=row.weight) for row in tables.groups.members(group))
    if not members:
        raise ValidationError(
            f"group '{group}' has no members", help=f"add one: `missive group add {group} AGENT --rank 1`"
        )
    return members


def crew_of(tables: Tables, group: str, context: str | None, operation_id: str | None = None) -> Crew:
    """Return who is to be waited for or gathered from.

    The members are those that were stamped into the broadcast: the one named, else the last one in the context. If
    there was none, they are those that the group has now. `context` is an id or a name. Raises `ValidationError`.
    """
    wanted = None if context is None else tables.contexts.find(context).context_id
    operation: OperationRow | None
    if operation_id is not None:
        operation = _named(tables, group, operation_id, wanted)
    elif wanted is None:
        raise ValidationError(
            "field `context` is missing", help="name the context of the broadcast, or its `operation` (--from-bcast)"
        )
    else:
        operation = _latest(tables, group, wanted)
    if operation is None:
        assert wanted is not None
        return Crew(group, wanted, members_now(tables, group))
    weights = {row.agent: row.weight for row in tables.groups.members(group)}
    members = tuple(_stamped(row, weights) for row in tables.operations.members(operation.operation_id))
    return Crew(group, operation.context_id, members, operation)


def _named(tables: Tables, group: str, operation_id: str, context_id: str | None) -> OperationRow:
    operation = tables.operations.get(operation_id)
    if operation.kind not in BROADCASTS:
        raise ValidationError(
            f"operation '{operation_id}' is a {operation.kind}, not a broadcast", help="name a bcast or a scatter"
        )
    for what, theirs, ours in (("group", operation.group, group), ("context", operation.context_id, context_id)):
        if ours is not None and theirs != ours:
            raise ValidationError(f"operation '{operation_id}' is of the {what} '{theirs}', not of '{ours}'")
    return operation


def _latest(tables: Tables, group: str, context_id: str) -> OperationRow | None:
    found = [tables.operations.latest(group, context_id, kind) for kind in BROADCASTS]
    return max(filter(None, found), key=lambda row: (row.created_at, row.operation_id), default=None)


def _stamped(row: OperationMemberRow, weights: dict[str, float]) -> Member:
    return Member(
        agent=row.agent,
        rank=row.rank,
        weight=weights.get(row.agent, 1.0),
        request_message_id=row.request_message_id,
        task_id=row.task_id,
        response_message_id=row.response_message_id,
    )


def restamped(tables: Tables, operation_id: str, member: Member) -> Member:
    """Return a member as a broadcast that is under way knows it by now."""
    weights = {member.agent: member.weight}
    rows = tables.operations.members(operation_id)
    return next((_stamped(row, weights) for row in rows if row.agent == member.agent), member)


# --- the shared context


class SharedContext(msgspec.Struct, frozen=True):
    """The local context of a broadcast."""

    context_id: str
    created: bool
    """True: it is new; `open_context` is still to make it."""
    remote: dict[str, str]
    """Alias to the contextId by which that agent knows it already."""


def find_context(core: Core, tables: Tables, selector: str | None) -> SharedContext:
    """Return the context to go on in; an id that nobody knows, or none, begins a new one.

    Raises `ValidationError` if it is closed or archived.
    """
    if selector is None:
        selector = core.own_id("context")  # an earlier attempt at the same work may have begun it
    known = tables.contexts.get(selector) or next(iter(tables.contexts.list(name=selector)), None)
    if known is None:
        return SharedContext(selector, True, {})
    if known.state != "open":
        raise ValidationError(
            f"context '{known.context_id}' is not open", help="`missive context fork` goes on from it in a new one"
        )
    return SharedContext(known.context_id, False, known.remote_contexts)


def open_context(tables: Tables, context: SharedContext, *, kind: str, group: str, at: str) -> None:
    """Make the context of a new broadcast, unless another process has just done it."""
    if context.created and tables.contexts.get(context.context_id) is None:
        row = ContextRow(
            context_id=context.context_id,
            summary=f"{kind} to the group '{group}'",
            metadata={"missive.collective": kind, "missive.group": group},
            created_at=at,
            updated_at=at,
        )
        tables.contexts.create(row)
        tables.events.append(context_created(row))
