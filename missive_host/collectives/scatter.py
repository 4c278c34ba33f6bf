"""``scatter``: each member gets a part of its own. What all have in common goes before it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from missive_host import commands as c
from missive_host.collectives.bcast import Broadcast, as_send, look_up, request_of
from missive_host.collectives.operations import Operation, conclude, raise_if
from missive_host.collectives.templates import check, fill
from missive_host.errors import ValidationError

if TYPE_CHECKING:
    from missive_host.a2a.parts import Request
    from missive_host.collectives.members import Member
    from missive_host.core.core import Core, Emit

DEALT = ("parts", "json_parts", "files", "file_bytes")
"""Fields of which each member gets the one item at its own place."""
PLACEHOLDERS = ("rank", "agent", "index", "count")


async def scatter_parts(core: Core, command: c.Scatter, emit: Emit) -> None:
    """Run `scatter`; as `broadcast`."""
    members, context = look_up(core, command.group, command.context)
    sending = Broadcast(
        core,
        Operation(core, "scatter", command.group, context.context_id),
        context,
        deal(core, command, members),
        execution=command.execution,
        failure_policy=command.failure_policy,
        seconds=core.timeout_of(command),
    )
    await conclude(emit, sending.operation, sending.run, sending.end, first=sending.operation)
    raise_if(sending.failure())


def deal(core: Core, command: c.Scatter, members: tuple[Member, ...]) -> list[tuple[Member, Request]]:
    """Return each member's request. Raises `ValidationError` if the parts do not go round."""
    given = {name: items for name in DEALT if (items := getattr(command, name))}
    if command.template is not None:
        check(command.template, PLACEHOLDERS)
    elif not given:
        raise ValidationError(
            "there is nothing to deal out",
            help="give one of `parts`, `files`, `file_bytes` or `json_parts` for each member, or a `template`",
        )
    for name, items in given.items():
        if len(items) != len(members):
            raise ValidationError(
                f"field `{name}`: {len(items)} for {len(members)} members of group '{command.group}'",
                help="give one for each member, in the order of ranks; what all are to get goes into `message`",
            )
    common = as_send(command, return_immediately=command.return_immediately)
    requests = []
    for index, member in enumerate(members):
        own: dict[str, Any] = {name: (given[name][index],) for name in DEALT[1:] if name in given}
        texts = [*common.text_parts]
        if command.template is not None:
            values = {"rank": member.rank, "agent": member.agent, "index": str(index), "count": str(len(members))}
            texts.append(fill(command.template, values))
        if command.parts:
            texts.append(command.parts[index])
        requests.append((member, request_of(core, replace(common, text_parts=tuple(texts), **own))))
    return requests
