"""The life of one operation: begun, journaled, ended. What arrived is stored and printed, whatever ended it."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

import anyio
import msgspec

from missive_host.core.recorder import journal_event
from missive_host.errors import MissiveError, StorageError
from missive_host.ids import now
from missive_host.outputs import Data, Output
from missive_host.store.rows import MessageRow, OperationMemberRow, OperationRow
from missive_host.store.work import request_digest

if TYPE_CHECKING:
    from missive_host.core.core import Core, Emit
    from missive_host.store import Tables

LAST_WORDS_SECONDS = 5.0
"""How long whoever reads the results may take for the last one, when the command is being cancelled."""

Write = Callable[["Tables"], None]


class Operation:
    """One operation in store and journal."""

    def __init__(self, core: Core, kind: str, group: str, context_id: str) -> None:
        self._core = core
        self.kind = kind
        attempt = "" if core.work is None else str(core.work.attempt)
        self.operation_id = f"{kind}/{core.own_id(kind + attempt)}"
        self.group = group
        self.context_id = context_id
        self.created_at = now()
        self.begun = False
        """True once it is in the store."""
        self.error: StorageError | None = None
        """Why what came of it could not be written down."""
        self._began = time.monotonic()

    @property
    def elapsed_ms(self) -> int:
        return int((time.monotonic() - self._began) * 1000)

    async def begin(self, write: Write) -> None:
        """Write it down by `write`, which calls `store_begin`. Raises `MissiveError`; then nothing has begun."""
        with anyio.CancelScope(shield=True):  # else it might be written, and nobody would end it
            await self._core.commit(write)
        self.begun = True

    def store_begin(self, tables: Tables, members: Sequence[OperationMemberRow], **about: Any) -> None:
        """Write it down, with the members that it has from now on. `about` goes into the journal."""
        tables.operations.create(
            OperationRow(
                operation_id=self.operation_id,
                kind=self.kind,
                group=self.group,
                context_id=self.context_id,
                created_at=self.created_at,
                updated_at=self.created_at,
            ),
            members,
        )
        rows = [_kept(member) for member in members]
        self.store_event(tables, "started", {"members": [member.agent for member in members], **about}, rows=rows)

    def store_member(self, tables: Tables, member: OperationMemberRow) -> None:
        """Write down how it stands with a member."""
        tables.operations.put_member(member)
        self.store_event(
            tables,
            f"member.{member.status}",
            {"rank": member.rank, "shape": member.shape, "state": member.state, "error": member.error},
            member=member,
        )

    def store_event(
        self,
        tables: Tables,
        name: str,
        payload: dict[str, Any],
        member: OperationMemberRow | None = None,
        **kept: Any,
    ) -> None:
        """Write ``missive.<kind>.<name>`` into the journal, with what is `kept` in the tables besides."""
        if member is not None:
            kept["row"] = _kept(member)
        about = {key: value for key, value in payload.items() if value is not None}
        tables.events.append(
            journal_event(
                f"missive.{self.kind}.{name}",
                source="core",
                agent_alias=member.agent if member else None,
                context_id=self.context_id,
                task_id=member.task_id if member else None,
                message_id=member.request_message_id if member else None,
                work_id=self._core.work.work_id if self._core.work else None,
                payload=self._core.redactor.json({"operation_id": self.operation_id, "group": self.group, **about}),
                metadata=self._core.redactor.json(kept),
            )
        )

    def member_row(self, agent: str, rank: str, status: str, **values: Any) -> OperationMemberRow:
        return OperationMemberRow(
            operation_id=self.operation_id, agent=agent, rank=rank, status=status, updated_at=now(), **values
        )

    async def end(self, data: Data, *, also: Write | None = None, message: MessageRow | None = None) -> None:
        """Write down what came of it, its document, and a message that was made of it. Not to be interrupted.

        If the store fails, that is kept in ``error``: the document is then all that there is, and must be shown.
        """
        values: Any = data
        document = self._core.redactor.known(Output(data).document())

        def write(tables: Tables) -> None:
            if also is not None:
                also(tables)
            kept: dict[str, Any] = {"document_sha256": request_digest(document)}
            if message is not None:
                tables.messages.add_response(message)
                kept["message"] = msgspec.to_builtins(message)
            tables.operations.finish(self.operation_id, values.status, document, now())
            self.store_event(tables, "completed", {"status": values.status, "elapsed_ms": self.elapsed_ms}, **kept)

        with anyio.CancelScope(shield=True):
            try:
                await self._core.commit(write)
            except StorageError as error:
                self.error = error


def _kept(member: OperationMemberRow) -> dict[str, Any]:
    names = ("agent", "rank", "status", "task_id", "response_message_id", "state", "shape")
    return {name: getattr(member, name) for name in names}


async def conclude(
    emit: Emit,
    operation: Operation,
    work: Callable[[], Awaitable[None]],
    end: Callable[[bool], Awaitable[Data]],
    *,
    first: Operation | None = None,
) -> None:
    """Do `work`, then `end` it and emit its result, also if the work was cut off.

    `end` gets True if it was cut off. What cut it off is raised again after that, and so is what kept `operation` from
    being written down. There is nothing to end if the operation `first` could not even begin.
    """
    try:
        await work()
    except BaseException as error:
        if first is not None and not first.begun:
            raise
        with anyio.CancelScope(shield=True):
            data = await end(True)
        with anyio.move_on_after(LAST_WORDS_SECONDS, shield=True):
            await emit(Output(data))
        cause = _cause(error)
        if cause is error:
            raise
        raise cause from None
    data = await end(False)
    await emit(Output(data))
    raise_if(operation.error)


def _cause(error: BaseException) -> BaseException:
    """Return what a task group has wrapped: of several the first, as the others are of the same kind."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def raise_if(error: MissiveError | None) -> None:
    """Raise an error, if there is one."""
    if error is not None:
        raise error


def remaining(deadline: float | None) -> float | None:
    """Return the seconds until a deadline on the monotonic clock, at least 0; None if there is none."""
    return None if deadline is None else max(0.0, deadline - time.monotonic())
