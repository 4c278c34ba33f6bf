"""`bcast`: one message to all members of a group."""

from __future__ import annotations

from typing import TYPE_CHECKING

from missive_host.collectives.bcast import broadcast

if TYPE_CHECKING:
    from missive_host.commands import Bcast
    from missive_host.core.core import Core, Emit


async def bcast(core: Core, command: Bcast, emit: Emit) -> None:
    await broadcast(core, command, emit)
