"""`allreduce`: broadcast, barrier, gather and reduce in one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from missive_host.collectives.allreduce import reduce_all

if TYPE_CHECKING:
    from missive_host.commands import Allreduce
    from missive_host.core.core import Core, Emit


async def allreduce(core: Core, command: Allreduce, emit: Emit) -> None:
    await reduce_all(core, command, emit)
