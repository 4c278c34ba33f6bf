"""`barrier`: wait for the members of a group."""

from __future__ import annotations

from typing import TYPE_CHECKING

from missive_host.collectives.barrier import wait

if TYPE_CHECKING:
    from missive_host.commands import Barrier
    from missive_host.core.core import Core, Emit


async def barrier(core: Core, command: Barrier, emit: Emit) -> None:
    await wait(core, command, emit)
