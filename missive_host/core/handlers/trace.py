"""Everything that happened to one thing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from missive_host import commands as c, outputs_events as e
from missive_host.core.tracing import find, steps
from missive_host.outputs import Output

if TYPE_CHECKING:
    from missive_host.core.core import Core
    from missive_host.store import Tables


def trace(core: Core, command: c.Trace) -> Output:
    def read(tables: Tables) -> e.TraceResult:
        found = find(tables, command.id)
        tree = steps(found)
        times = sorted(step.at for step in tree) or [""]
        return e.TraceResult(
            profile=core.profile,
            id=command.id,
            of=found.kind,
            began_at=times[0],
            ended_at=times[-1],
            event_count=sum(step.kind == "event" for step in tree),
            trace_ids=tuple(dict.fromkeys(step.trace_id for step in tree if isinstance(step.trace_id, str))),
            steps=tree,
            message=f"{found.kind} {command.id}: {len(tree)} steps",
        )

    return Output(core.store.read(read))
