"""`scatter`: a part of its own for each member of a group."""

from __future__ import annotations

from typing import TYPE_CHECKING

from missive_host.collectives.scatter import scatter_parts

if TYPE_CHECKING:
    from missive_host.commands import Scatter
    from missive_host.core.core import Core, Emit


async def scatter(core: Core, command: Scatter, emit: Emit) -> None:
    await scatter_parts(core, command, emit)
