"""The store: state and journal of one profile in one SQLite file. All SQL of missive is in this package.

::

    with Store.open(path) as store:
        agent = store.read(lambda tables: tables.agents.get("echo"))
        store.write(lambda tables: tables.agents.remove("echo"))  # blocks until it is on the disk
        await store.commit(lambda tables: tables.events.append(event))  # on an event loop: group commit
"""

from __future__ import annotations

from missive_host.store.engine import Store
from missive_host.store.events import new_event_id
from missive_host.store.rows import (
    TERMINAL_STATES,
    AgentRow,
    ArtifactRow,
    BreakerRow,
    CardRow,
    ContextCounts,
    ContextRow,
    EventRow,
    GroupRow,
    MemberRow,
    MessageRow,
    OperationMemberRow,
    OperationRow,
    ScheduleRow,
    SessionRow,
    TaskPage,
    TaskRow,
    TokenRow,
    WorkOutputRow,
    WorkRow,
)
from missive_host.store.tables import Tables

__all__ = [
    "TERMINAL_STATES",
    "AgentRow",
    "ArtifactRow",
    "BreakerRow",
    "CardRow",
    "ContextCounts",
    "ContextRow",
    "EventRow",
    "GroupRow",
    "MemberRow",
    "MessageRow",
    "OperationMemberRow",
    "OperationRow",
    "ScheduleRow",
    "SessionRow",
    "Store",
    "Tables",
    "TaskPage",
    "TaskRow",
    "TokenRow",
    "WorkOutputRow",
    "WorkRow",
    "new_event_id",
]
