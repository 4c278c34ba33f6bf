"""Collective operations, with the members that their group had when they began."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from missive_host.errors import ValidationError
from missive_host.store.rows import Json, OperationMemberRow, OperationRow
from missive_host.store.values import Where, from_json, rank_order, to_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from sqlite3 import Connection

_SELECT = """
    SELECT operation_id, kind, group_name, context_id, status, document_json, created_at, updated_at, finished_at
    FROM operations
"""
_INSERT = """
    INSERT INTO operations (operation_id, kind, group_name, context_id, status, document_json, created_at,
                            updated_at, finished_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (operation_id) DO NOTHING
"""
_SELECT_MEMBERS = """
    SELECT operation_id, agent_alias, rank, status, request_message_id, response_message_id, task_id,
           remote_context_id, state, shape, error_json, updated_at
    FROM operation_members WHERE operation_id = ?
"""
_PUT_MEMBER = """
    INSERT INTO operation_members (operation_id, agent_alias, rank, status, request_message_id, response_message_id,
                                   task_id, remote_context_id, state, shape, error_json, updated_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (operation_id, agent_alias) DO UPDATE SET rank = excluded.rank, status = excluded.status,
        request_message_id = excluded.request_message_id, response_message_id = excluded.response_message_id,
        task_id = excluded.task_id, remote_context_id = excluded.remote_context_id, state = excluded.state,
        shape = excluded.shape, error_json = excluded.error_json, updated_at = excluded.updated_at
"""
_ANSWERS_TO_OTHERS = """
    SELECT m.task_id, m.response_message_id, q.task_id
    FROM operations o JOIN operation_members m USING (operation_id)
        LEFT JOIN messages q ON q.agent_alias = m.agent_alias AND q.message_id = m.request_message_id
            AND q.direction = 'request'
    WHERE o.group_name = ? AND o.context_id = ? AND o.operation_id <> ? AND m.agent_alias = ?
        AND m.request_message_id IS NOT NULL AND o.kind IN ('bcast', 'scatter')
"""
_TOUCH = "UPDATE operations SET updated_at = max(updated_at, ?) WHERE operation_id = ?"


class Operations:
    """Operations by id."""

    def __init__(self, connection: Connection) -> None:
        self._execute = connection.execute

    def create(self, operation: OperationRow, members: Sequence[OperationMemberRow]) -> None:
        """Write an operation down with its members, before it begins. Raises `ValidationError` if its id is taken."""
        added = self._execute(
            _INSERT,
            (
                operation.operation_id, operation.kind, operation.group, operation.context_id, operation.status,
                None if operation.document is None else to_json(operation.document), operation.created_at,
                operation.updated_at, operation.finished_at,
            ),
        )  # fmt: skip
        if added.rowcount == 0:
            raise ValidationError(f"operation '{operation.operation_id}' exists already")
        for member in members:
            self._put_member(member)

    def find(self, operation_id: str) -> OperationRow | None:
        row = self._execute(f"{_SELECT} WHERE operation_id = ?", (operation_id,)).fetchone()
        return _operation(row) if row else None

    def get(self, operation_id: str) -> OperationRow:
        """Return an operation. Raises `ValidationError` if it is unknown."""
        operation = self.find(operation_id)
        if operation is None:
            raise ValidationError(
                f"no operation '{operation_id}' is known here",
                help="give the `operation_id` of a broadcast as it was printed, such as bcast/0198…",
            )
        return operation

    def latest(self, group: str, context_id: str, kind: str | None = None) -> OperationRow | None:
        """Return the operation of a group in a context that began last, of one kind or of any."""
        where = Where().add("group_name = ?", group).add("context_id = ?", context_id).given("kind = ?", kind)
        tail = "ORDER BY created_at DESC, operation_id DESC LIMIT 1"
        row = self._execute(where.sql(_SELECT, tail), where.values).fetchone()
        return _operation(row) if row else None

    def members(self, operation_id: str) -> tuple[OperationMemberRow, ...]:
        """Return the members of an operation in order of rank, then agent."""
        found = [_member(row) for row in self._execute(_SELECT_MEMBERS, (operation_id,))]
        return tuple(sorted(found, key=lambda member: (rank_order(member.rank), member.agent)))

    def answers_to_others(self, operation: OperationRow, agent: str) -> frozenset[str]:
        """Return the ids of the tasks and messages with which an agent has answered other broadcasts to the same group
        in the same context.
        """
        rows = self._execute(_ANSWERS_TO_OTHERS, (operation.group, operation.context_id, operation.operation_id, agent))
        return frozenset(value for row in rows for value in row if value is not None)

    def put_member(self, member: OperationMemberRow) -> None:
        """Write down how it stands with a member, in place of what was known. The operation must be there."""
        self._put_member(member)
        self._execute(_TOUCH, (member.updated_at, member.operation_id))

    def finish(self, operation_id: str, status: str, document: Json | None, at: str) -> None:
        """Write down what came of an operation; a document of None keeps the one before.

        Raises `ValidationError` if it is unknown.
        """
        self.get(operation_id)
        self._execute(
            "UPDATE operations SET status = ?, document_json = COALESCE(?, document_json), updated_at = ?,"
            " finished_at = ? WHERE operation_id = ?",
            (status, None if document is None else to_json(document), at, at, operation_id),
        )

    def _put_member(self, member: OperationMemberRow) -> None:
        self._execute(
            _PUT_MEMBER,
            (
                member.operation_id, member.agent, member.rank, member.status, member.request_message_id,
                member.response_message_id, member.task_id, member.remote_context_id, member.state, member.shape,
                None if member.error is None else to_json(member.error), member.updated_at,
            ),
        )  # fmt: skip


def _operation(row: tuple[Any, ...]) -> OperationRow:
    return OperationRow(
        operation_id=row[0],
        kind=row[1],
        group=row[2],
        context_id=row[3],
        status=row[4],
        document=None if row[5] is None else from_json(row[5]),
        created_at=row[6],
        updated_at=row[7],
        finished_at=row[8],
    )


def _member(row: tuple[Any, ...]) -> OperationMemberRow:
    return OperationMemberRow(
        operation_id=row[0],
        agent=row[1],
        rank=row[2],
        status=row[3],
        request_message_id=row[4],
        response_message_id=row[5],
        task_id=row[6],
        remote_context_id=row[7],
        state=row[8],
        shape=row[9],
        error=None if row[10] is None else from_json(row[10]),
        updated_at=row[11],
    )
