"""Everything that happened to one thing: what belongs to it, as a tree in the order of time.

What belongs together is told by the journal: an event names the delivery or job that it happened for, the message, the
task, the context, and an attempt the plan that it carries out. The tables add what they know of the ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import msgspec

from missive_host.core.journal import words
from missive_host.core.views import given
from missive_host.errors import ValidationError
from missive_host.outputs_events import StepKind, TraceStep

if TYPE_CHECKING:
    from missive_host.store import EventRow, MessageRow, Tables, WorkRow

SHORTEST_KEY = 8
"""Characters of an idempotency key by which a delivery can be found."""
_PLANNED, _ATTEMPT = "missive.route.planned", "missive.route.attempt"
_SIBLINGS = 100
"""How many attempts after a plan are looked at for those that carry it out."""


class Found:
    """What an id stands for, and all that belongs to it."""

    def __init__(self, tables: Tables, kind: StepKind) -> None:
        self.kind = kind
        self.events: dict[int, EventRow] = {}
        self.messages: dict[str, MessageRow] = {}
        """Requests, by id."""
        self.works: dict[str, WorkRow | None] = {}
        """Deliveries and jobs; None: the gateway has forgotten it."""
        self._tables = tables
        self._asked: set[tuple[str, str]] = set()
        self._renames = [
            (event.sequence, str(event.payload.get("previous")), str(event.payload.get("alias")))
            for event in tables.events.list(types=("missive.agent.rename",))
        ]

    def alias(self, event: EventRow) -> str | None:
        """Return the agent of an event by the name that it has now."""
        alias = event.agent_alias
        for sequence, previous, new in self._renames:
            if sequence > event.sequence and alias == previous:
                alias = new
        return alias

    # --- taking in what belongs to it

    def take(self, events: Iterable[EventRow]) -> None:
        for event in events:
            if event.sequence in self.events:
                continue
            self.events[event.sequence] = event
            if event.work_id is not None:
                self.work(event.work_id)
            if event.message_id:
                self.message(event.message_id)
            if event.event_type == _ATTEMPT:
                self._plan(event)

    def context(self, context_id: str) -> None:
        self.take(self._tables.events.list(context=context_id))
        self._rows(self._tables.messages.list(context=context_id))

    def task(self, agent: str, task_id: str) -> None:
        self._of_task(agent, task_id, None)
        self._rows(self._tables.messages.list(agent=agent, task=task_id))

    def _of_task(self, agent: str, task_id: str, message: str | None) -> None:
        events = self._tables.events.list(task=task_id, message=message)
        self.take(event for event in events if self.alias(event) == agent)

    def message(self, message_id: str) -> None:
        if self._once("message", message_id):
            self._rows(self._tables.messages.with_id(message_id))
            self.take(self._tables.events.list(message=message_id))

    def work(self, work_id: str) -> None:
        if self._once("work", work_id):
            self.works[work_id] = self._tables.work.get(work_id)
            self.take(self._tables.events.list(work=work_id))

    def _rows(self, rows: Iterable[MessageRow]) -> None:
        for row in rows:
            if row.direction == "request" and row.message_id not in self.messages:
                self.messages[row.message_id] = row
                self.message(row.message_id)
                if row.task_id is not None and self._once("rest", f"{row.agent_alias} {row.task_id}"):
                    # What became of it later, when nobody waited for it any more.
                    self._of_task(row.agent_alias, row.task_id, "")

    def _plan(self, attempt: EventRow) -> None:
        """Take the plan that an attempt carries out, and the others that do."""
        plan = attempt.payload.get("plan")
        if not isinstance(plan, int) or not self._once("plan", str(plan)):
            return
        self.take(row for row in (self._tables.events.find(str(plan)),) if row is not None)
        if attempt.work_id is None:  # else they are found by that
            others = self._tables.events.tail(plan, types=(_ATTEMPT,), limit=_SIBLINGS)
            self.take(row for row in others if row.payload.get("plan") == plan)

    def _once(self, what: str, key: str) -> bool:
        asked = (what, key) in self._asked
        self._asked.add((what, key))
        return not asked


def find(tables: Tables, key: str) -> Found:
    """Return what an id stands for. Raises `ValidationError` if it is nothing's, or of several deliveries."""
    found = _work(tables, key) or _context(tables, key) or _task(tables, key) or _message(tables, key)
    if found is None and len(key) >= SHORTEST_KEY:
        rows = tables.work.by_key(key)
        if len(rows) > 1:
            raise ValidationError(
                f"the idempotency keys of several deliveries begin with '{key[:64]}'",
                help="one of the receipts: " + ", ".join(row.work_id for row in rows),
            )
        found = _work(tables, rows[0].work_id) if rows else None
    if found is None:
        raise ValidationError(
            f"nothing is known of '{key[:80]}'",
            help="it takes the id of a message, a task, a context, a job, a receipt, or the code in a chat;"
            " see `missive events list`",
        )
    return found


def _work(tables: Tables, key: str) -> Found | None:
    work = tables.work.get(key)
    if work is None and not tables.events.list(work=key, limit=1):
        return None
    found = Found(tables, _kind(key))
    found.work(key)
    if work is not None and work.agent_alias is not None and work.task_id is not None:
        found.task(work.agent_alias, work.task_id)
    return found


def _context(tables: Tables, key: str) -> Found | None:
    context = tables.contexts.get(key) or next(iter(tables.contexts.list(name=key)), None)
    if context is None:
        return None
    found = Found(tables, "context")
    found.context(context.context_id)
    return found


def _task(tables: Tables, key: str) -> Found | None:
    owners = tables.tasks.owners(key)
    if not owners:
        return None
    found = Found(tables, "task")
    for agent in owners:
        found.task(agent, key)
    return found


def _message(tables: Tables, key: str) -> Found | None:
    rows = tables.messages.with_id(key)
    if not rows:
        return None
    found = Found(tables, "message")
    for row in rows:
        if row.direction == "request":
            found.message(row.message_id)
    if not found.messages:  # one that an agent wrote outside of an answer: what it wrote it for is shown
        for row in rows:
            if row.task_id is not None:
                found.task(row.agent_alias, row.task_id)
    return found


# --- the tree


class _Node:
    """A step and what belongs to it."""

    def __init__(self, step: TraceStep) -> None:
        self.step = step
        self.below: list[_Node] = []

    @property
    def order(self) -> tuple[str, int]:
        sequence = self.step.sequence
        return self.step.at, sequence if isinstance(sequence, int) else 0

    def flat(self, depth: int = 0) -> Iterator[TraceStep]:
        yield msgspec.structs.replace(self.step, depth=depth)
        for node in sorted(self.below, key=lambda each: each.order):
            yield from node.flat(depth + 1)


class _Tree:
    """Deliveries and jobs, below them the plans, below those the messages, and the events below what they are about."""

    def __init__(self, found: Found) -> None:
        self._found = found
        self.top: list[_Node] = []
        self._events = [found.events[sequence] for sequence in sorted(found.events)]
        self._began = {event.work_id: event.timestamp for event in reversed(self._events)}
        self._works = {work_id: _Node(self._work_step(work_id, work)) for work_id, work in found.works.items()}
        self._plans = {event.sequence: self._event(event) for event in self._events if event.event_type == _PLANNED}
        self._messages = {row.message_id: _Node(_message_step(row)) for row in found.messages.values()}
        self._tasks: dict[tuple[str | None, str], _Node] = {}
        self.top += self._works.values()
        self._place()

    def _place(self) -> None:
        planned = {
            event.message_id: event.payload.get("plan") for event in self._events if event.event_type == _ATTEMPT
        }
        work_of = {event.message_id: event.work_id for event in self._events if event.message_id and event.work_id}
        for work_id, work in self._found.works.items():
            if work is not None:
                self._works[work_id].below += _ends(work)
        for row in self._found.messages.values():
            node = self._messages[row.message_id]
            plan = self._plans.get(planned.get(row.message_id) or 0)
            self._below(plan or self._works.get(work_of.get(row.message_id) or ""), node)
            if row.task_id is not None:
                self._tasks.setdefault((row.agent_alias, row.task_id), node)
        for event in self._events:
            if event.sequence in self._plans:
                self._below(self._works.get(event.work_id or ""), self._plans[event.sequence])
            else:
                self._below(self._about(event), self._event(event))

    def _below(self, parent: _Node | None, node: _Node) -> None:
        (self.top if parent is None else parent.below).append(node)

    def _about(self, event: EventRow) -> _Node | None:
        """Return what an event is about."""
        found = self._messages.get(event.message_id or "")
        if found is None and event.event_type == _ATTEMPT:
            found = self._plans.get(event.payload.get("plan") or 0)
        if found is None:
            found = self._works.get(event.work_id or "")
        if found is None and event.task_id is not None and event.agent_alias is not None:
            key = self._found.alias(event), event.task_id
            found = self._tasks.get(key)
            if found is None:
                step = TraceStep(depth=0, at=event.timestamp, kind="task", what="task", agent=given(key[0]), id=key[1])
                found = self._tasks[key] = _Node(step)
                self.top.append(found)
        return found

    def _event(self, event: EventRow) -> _Node:
        return _Node(
            TraceStep(
                depth=0,
                at=event.timestamp,
                kind="event",
                what=event.event_type,
                says=words(event.payload),
                agent=given(event.agent_alias),
                sequence=event.sequence,
                trace_id=given(event.metadata.get("trace_id")),
            )
        )

    def _work_step(self, work_id: str, work: WorkRow | None) -> TraceStep:
        thing = _kind(work_id)
        if work is None:
            began = self._began[work_id]
            return TraceStep(depth=0, at=began, kind=thing, what=f"{thing}, forgotten by the gateway", id=work_id)
        through = "" if thing == "job" else f" through {work.adapter}"
        return TraceStep(
            depth=0,
            at=work.accepted_at,
            kind=thing,
            what=f"{thing}{through}: {work.command}",
            says=f"{work.state}, {work.attempts} of {work.max_attempts} attempts",
            agent=given(work.agent_alias),
            id=work.work_id,
        )


def steps(found: Found) -> tuple[TraceStep, ...]:
    """Return all that happened as a tree: each step with its depth, what came first before what came later."""
    return tuple(step for node in sorted(_Tree(found).top, key=lambda each: each.order) for step in node.flat())


def _kind(work_id: str) -> StepKind:
    return "job" if work_id.startswith("job/") else "delivery"


def _ends(work: WorkRow) -> Iterator[_Node]:
    """Yield what only the tables know of a delivery or a job."""
    error = str((work.error or {}).get("message", ""))
    for at, what, says in (
        (work.finished_at, work.state, error),
        (work.run_at if work.state == "ready" and work.attempts else None, "to be tried again", error),
        (work.delivered_at, "answer delivered", ""),
    ):
        if at is not None:
            yield _Node(TraceStep(depth=0, at=at, kind=_kind(work.work_id), what=what, says=says))


def _message_step(row: MessageRow) -> TraceStep:
    return TraceStep(
        depth=0,
        at=row.created_at,
        kind="message",
        what=f"message to {row.agent_alias}: {row.status}",
        says=words({"message": row.content}),
        agent=row.agent_alias,
        id=row.message_id,
    )
