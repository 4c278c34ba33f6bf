"""`reduce`: one answer of those of all members of a group."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from missive_host.collectives.gather import Gathering
from missive_host.collectives.members import crew_of
from missive_host.collectives.operations import conclude, raise_if, remaining
from missive_host.collectives.reduce import Options, Reducing

if TYPE_CHECKING:
    from missive_host.commands import Reduce
    from missive_host.core.core import Core, Emit


async def reduce(core: Core, command: Reduce, emit: Emit) -> None:
    crew = core.store.read(lambda tables: crew_of(tables, command.group, command.context))
    options = Options(**{name: getattr(command, name) for name in Options.__struct_fields__})
    reducing, gathering = Reducing(core, crew, options), Gathering(core, crew)
    seconds = core.timeout_of(command)
    deadline = None if seconds is None else time.monotonic() + seconds
    if command.refresh:
        await gathering.refresh(None if seconds is None else seconds / 2)  # the reduction needs its time, too
    gathering.collect()
    reducing.take(gathering.result())
    operation = reducing.operation
    await conclude(emit, operation, lambda: reducing.run(remaining(deadline)), reducing.end, first=operation)
    raise_if(reducing.error)
