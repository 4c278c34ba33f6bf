"""What several agents can do, asked at the same time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
from msgspec import UNSET

from missive_host.core.agents import capability_summary
from missive_host.errors import MissiveError
from missive_host.outputs import Capabilities

if TYPE_CHECKING:
    from collections.abc import Sequence

    from missive_host.core.agents import Card
    from missive_host.core.core import Core
    from missive_host.store.rows import AgentRow


async def capabilities_of(core: Core, row: AgentRow, *, refresh: bool = False) -> Capabilities:
    """Sum up one agent. Raises `MissiveError` if its card cannot be had."""
    return _summary(row, await core.agents.card(row, refresh=refresh), None)


async def capabilities_of_all(
    core: Core, rows: Sequence[AgentRow], *, refresh: bool = False
) -> dict[str, Capabilities]:
    """Sum up agents, by alias and in their order; as many at once as ``qos.concurrency`` allows.

    Of an agent whose card cannot be had it is told why, in ``error``.
    """
    found: dict[str, Capabilities] = {}
    limit = anyio.Semaphore(core.settings.config.qos.concurrency)

    async def look(row: AgentRow) -> None:
        async with limit:
            try:
                found[row.alias] = await capabilities_of(core, row, refresh=refresh)
            except MissiveError as failure:
                found[row.alias] = _summary(row, None, core.report(failure).message)

    async with anyio.create_task_group() as group:
        for row in rows:
            group.start_soon(look, row)
    return {row.alias: found[row.alias] for row in rows}


def _summary(row: AgentRow, card: Card | None, error: str | None) -> Capabilities:
    return Capabilities(
        cache={"status": card.status, "fetched_at": card.row.fetched_at} if card else {"status": "missing"},
        error=UNSET if error is None else error,
        **capability_summary(row.alias, row.tags, row.metadata, card.json if card else None),
    )
