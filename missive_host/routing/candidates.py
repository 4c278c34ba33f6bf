"""What a policy may know of the agents: registration, card, health, what is under way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import anyio

from missive_host.core.agents import capability_summary
from missive_host.errors import DeadlineError, MissiveError, ValidationError
from missive_host.ids import now
from missive_host.routing.breaker import is_resting
from missive_host.specs import Candidate
from missive_host.store.rows import MemberRow

if TYPE_CHECKING:
    from collections.abc import Mapping

    from missive_host.a2a.shapes import Json
    from missive_host.core.core import Core
    from missive_host.store import Tables
    from missive_host.store.rows import AgentRow, BreakerRow, CardRow

CARD_SECONDS = 3.0
"""How long a message waits for cards that are not fresh; what is not there by then is taken as it was last seen."""

Lost = dict[str, MissiveError]
Known = tuple[dict[str, "AgentRow"], dict[str, "CardRow"], dict[str, "BreakerRow"]]


async def group_candidates(
    core: Core, group: str, *, refresh: bool = False, lost: Lost | None = None
) -> tuple[Candidate, ...]:
    """Return the members of a group in rank order. Raises `ValidationError` if it is unknown or empty.

    Who did not give a card that was needed is put into `lost`, with the reason.
    """

    def read(tables: Tables) -> tuple[tuple[MemberRow, ...], Known]:
        tables.groups.get(group)
        members = tables.groups.members(group)
        return members, _known(tables, [member.agent for member in members])

    members, known = core.store.read(read)
    if not members:
        raise ValidationError(
            f"group '{group}' has no members", help=f"`missive group add {group} AGENT --rank RANK` adds one"
        )
    return await _candidates(core, members, known, refresh=refresh, lost=lost)


async def named_candidates(core: Core, aliases: Sequence[str], *, refresh: bool = False) -> tuple[Candidate, ...]:
    """Return agents that were named one by one, in that order. Raises `ValidationError`."""
    for number, alias in enumerate(aliases):
        if alias in aliases[:number]:
            raise ValidationError(f"field `agents`: '{alias}' is named twice")

    def read(tables: Tables) -> Known:
        for alias in aliases:
            tables.agents.require(alias)
        return _known(tables, aliases)

    known = core.store.read(read)
    at = now()
    members = tuple(MemberRow(group="", agent=alias, rank="", created_at=at, updated_at=at) for alias in aliases)
    return await _candidates(core, members, known, refresh=refresh)


def _known(tables: Tables, aliases: Sequence[str]) -> Known:
    breakers = {row.alias: row for row in tables.breakers.list()}
    return tables.agents.among(aliases), tables.agents.cards(aliases), breakers


async def _candidates(
    core: Core, members: tuple[MemberRow, ...], known: Known, *, refresh: bool, lost: Lost | None = None
) -> tuple[Candidate, ...]:
    rows, cached, breakers = known
    at = now()
    resting = {alias for alias, row in breakers.items() if is_resting(row, at)}
    cards = {alias: card.card for alias, card in cached.items()}
    wanted = [
        row
        for row in rows.values()
        if refresh
        # one that rests is left in peace; what it said last will do
        or (row.alias not in resting and (row.card_expires_at is None or row.card_expires_at <= at))
    ]
    cards |= await _fetched(core, wanted, refresh=refresh, lost={} if lost is None else lost)
    return tuple(
        _candidate(
            member,
            rows[member.agent],
            cards.get(member.agent),
            resting=member.agent in resting,
            failures=breakers[member.agent].failures if member.agent in breakers else 0,
            in_flight=core.agents.in_flight(member.agent),
        )
        for member in members
    )


async def _fetched(core: Core, rows: Sequence[AgentRow], *, refresh: bool, lost: Lost) -> Mapping[str, Json]:
    """Return the cards that can be had. A candidate without one stays: the policy is told that nothing is known."""
    found: dict[str, Json] = {}
    if not rows:
        return found
    limit = anyio.Semaphore(core.settings.config.qos.concurrency)

    async def look(row: AgentRow) -> None:
        async with limit:
            try:
                found[row.alias] = (await core.agents.card(row, refresh=refresh)).json
            except MissiveError as error:
                lost[row.alias] = error

    with core.sharing(), anyio.move_on_after(None if refresh else CARD_SECONDS):
        async with anyio.create_task_group() as group:
            for row in rows:
                group.start_soon(look, row)
    for row in rows:
        if row.alias not in found and row.alias not in lost:
            lost[row.alias] = DeadlineError(f"agent '{row.alias}' did not give its card within {CARD_SECONDS:g} s")
    return found


def _candidate(
    member: MemberRow, row: AgentRow, card: Json | None, *, resting: bool, failures: int, in_flight: int
) -> Candidate:
    known = capability_summary(row.alias, (*row.tags, *member.tags), row.metadata, card)
    return Candidate(
        agent=row.alias,
        rank=member.rank or None,
        tags=known["tags"],
        weight=member.weight,
        capabilities=known["capability_labels"],
        input_modes=known["input_modes"],
        output_modes=known["output_modes"],
        streaming=known.get("supports_streaming"),
        push_notifications=known.get("supports_push_notifications"),
        resting=resting,
        in_flight=in_flight,
        metadata=dict(member.routing_metadata),
        failures=failures,
    )
