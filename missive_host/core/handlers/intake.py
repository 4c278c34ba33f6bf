"""What the gateway has taken in: looking at it, and dead letters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET

from missive_host import commands as c, outputs_intake as i
from missive_host.core.recorder import journal_event
from missive_host.core.views import given
from missive_host.errors import ErrorReport, ValidationError
from missive_host.ids import now
from missive_host.outputs import SCHEMA_VERSION, Json, Output

if TYPE_CHECKING:
    from missive_host.core.core import Core
    from missive_host.store import Tables, WorkRow

SHORTEST_KEY = 8
"""Characters of an idempotency key by which a delivery can be found."""
_SHOWN = 1000
"""How many results of a delivery are shown."""


def intake_list(core: Core, command: c.IntakeList) -> Output:
    states = command.states or ("dead",)
    rows = core.store.read(
        lambda tables: tables.work.list(kind="delivery", adapter=command.adapter, states=states, limit=command.limit)
    )
    return Output(
        i.IntakeListResult(
            profile=core.profile,
            count=len(rows),
            states=states,
            deliveries=tuple(_view(row) for row in rows),
            message=f"{_number(len(rows))}: {', '.join(states)}",
        )
    )


def intake_show(core: Core, command: c.IntakeShow) -> Output:
    def read(tables: Tables) -> i.IntakeShowResult:
        row = _find(tables, command.receipt, by_key=True)
        request: Json = row.request["command"]
        return i.IntakeShowResult(
            profile=core.profile,
            delivery=_view(row),
            request=request,
            results=tuple(
                {"schema_version": SCHEMA_VERSION, "ok": True, "kind": each.kind, "data": each.data}
                for each in tables.work.outputs(row.work_id, limit=_SHOWN)
            ),
            message=f"delivery {row.work_id}: {row.state}",
        )

    return Output(core.store.read(read))


def intake_retry(core: Core, command: c.IntakeRetry) -> Output:
    at = now()

    def write(tables: Tables) -> tuple[str, ...]:
        rows = _chosen(tables, command)
        for row in rows:
            if not tables.work.retry(row.work_id, at=at):
                raise ValidationError(
                    f"delivery {row.work_id} is {row.state}: there is nothing to try again",
                    help="`missive intake list` has the dead letters",
                )
            tables.events.append(_event("retry", row, at))
        return tuple(row.work_id for row in rows)

    done = core.store.write(write)
    core.new_work()
    message = f"{_number(len(done))} tried again by the gateway" if done else "there are no dead letters"
    return Output(i.IntakeRetryResult(profile=core.profile, count=len(done), receipt_ids=done, message=message))


def intake_drop(core: Core, command: c.IntakeDrop) -> Output:
    at = now()

    def write(tables: Tables) -> tuple[str, ...]:
        rows = _chosen(tables, command)
        for row in rows:
            if not tables.work.drop(row.work_id):
                raise ValidationError(
                    f"delivery {row.work_id} is {row.state}: it has not ended", help="wait for it, or stop the gateway"
                )
            tables.events.append(_event("drop", row, at))
        return tuple(row.work_id for row in rows)

    done = core.store.write(write)
    message = f"{_number(len(done))} forgotten" if done else "there are no dead letters"
    return Output(i.IntakeDropResult(profile=core.profile, count=len(done), receipt_ids=done, message=message))


def _chosen(tables: Tables, command: c.IntakeRetry | c.IntakeDrop) -> tuple[WorkRow, ...]:
    if command.all == bool(command.receipts):
        raise ValidationError(
            "no delivery is named" if not command.all else "field `all` and receipts exclude each other",
            help="name receipts, or all dead letters with --all",
        )
    if command.all:
        return tables.work.list(kind="delivery", states=("dead",))
    return tuple(_find(tables, receipt) for receipt in dict.fromkeys(command.receipts))


def _find(tables: Tables, receipt: str, *, by_key: bool = False) -> WorkRow:
    row = tables.work.get(receipt)
    if row is None and by_key and len(receipt) >= SHORTEST_KEY:
        rows = tables.work.by_key(receipt)
        if len(rows) > 1:
            raise ValidationError(
                f"the idempotency keys of several deliveries begin with '{receipt[:64]}'",
                help="one of the receipts: " + ", ".join(each.work_id for each in rows),
            )
        row = rows[0] if rows else None
    if row is None or row.kind != "delivery":
        raise ValidationError(
            f"there is no delivery '{receipt[:64]}'",
            help="`missive intake list` has the dead letters; answers are kept as long as `keep_answers` says",
        )
    return row


def _view(row: WorkRow) -> i.DeliveryView:
    source: dict[str, Any] = row.request.get("source", {})
    return i.DeliveryView(
        receipt_id=row.work_id,
        adapter=row.adapter,
        state=row.state,
        command=row.command,
        attempts=row.attempts,
        max_attempts=row.max_attempts,
        outputs=row.outputs,
        accepted_at=row.accepted_at,
        updated_at=row.updated_at,
        frame_id=given(row.request.get("id")),
        source_id=given(source.get("source_id")),
        agent=given(row.agent_alias),
        group=given(row.group),
        context_id=given(row.context_id),
        task_id=given(row.task_id),
        idempotency_key=given(row.idempotency_key),
        run_at=row.run_at if row.state == "ready" and row.attempts else UNSET,
        finished_at=given(row.finished_at),
        delivered_at=given(row.delivered_at),
        error=UNSET if row.error is None else msgspec.convert(row.error, ErrorReport),
    )


def _event(what: str, row: WorkRow, at: str) -> Any:
    payload = {"work_id": row.work_id, "adapter": row.adapter, "state": row.state, "attempts": row.attempts}
    return journal_event(
        f"missive.intake.{what}",
        source="core",
        agent_alias=row.agent_alias,
        work_id=row.work_id,
        payload=payload,
        at=at,
    )


def _number(count: int) -> str:
    return f"{count} {'delivery' if count == 1 else 'deliveries'}"
