"""Tokens with which clients come to the gateway."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from secrets import token_urlsafe
from typing import TYPE_CHECKING

from msgspec import UNSET

from missive_host import commands as c, outputs as o, outputs_tokens as t
from missive_host.core.recorder import journal_event
from missive_host.errors import ValidationError, nearest
from missive_host.ids import now
from missive_host.store.rows import TokenRow

if TYPE_CHECKING:
    from missive_host.core.core import Core
    from missive_host.store import Tables

PREFIX = "msv_"
"""By this, those who look for lost secrets know one of ours."""

_AFTER = re.compile(r"([1-9][0-9]{0,5})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def token_create(core: Core, command: c.TokenCreate) -> o.Output:
    known = sorted(c.tag_of(cls) for cls in c.DOOR_COMMANDS)
    for name in command.commands:
        if name not in known:
            raise ValidationError(
                f"there is no command '{name}' for doors{nearest(name, known)}",
                help="one of: " + ", ".join(known),
            )
    secret = PREFIX + token_urlsafe(32)
    at = now()
    row = TokenRow(
        name=command.name,
        token_sha256=sha256(secret.encode()).hexdigest(),
        commands=tuple(dict.fromkeys(command.commands)),
        agents=tuple(dict.fromkeys(command.agents)),
        created_at=at,
        expires_at=None if command.expires is None else _end(command.expires, at),
    )

    def write(tables: Tables) -> None:
        tables.tokens.put(row, replace=command.replace)
        told = {"name": row.name, "commands": row.commands, "agents": row.agents, "expires_at": row.expires_at}
        tables.events.append(journal_event("missive.token.create", source="core", payload=told, at=at))

    core.store.write(write)
    return o.Output(
        t.TokenCreateResult(
            profile=core.profile,
            secret=secret,
            token=_view(row, at),
            message=f"token '{row.name}' created; it is not shown again",
        )
    )


def token_list(core: Core, command: c.TokenList) -> o.Output:  # noqa: ARG001 - a handler's signature
    at = now()
    rows = core.store.read(lambda tables: tables.tokens.list())
    return o.Output(
        t.TokenListResult(
            profile=core.profile,
            count=len(rows),
            tokens=tuple(_view(row, at) for row in rows),
            message=f"{len(rows)} token{'s' if len(rows) != 1 else ''}",
        )
    )


def token_revoke(core: Core, command: c.TokenRevoke) -> o.Output:
    at = now()

    def write(tables: Tables) -> TokenRow:
        row = tables.tokens.revoke(command.name, at=at)
        tables.events.append(journal_event("missive.token.revoke", source="core", payload={"name": row.name}, at=at))
        return row

    row = core.store.write(write)
    return o.Output(
        t.TokenRevokeResult(profile=core.profile, token=_view(row, at), message=f"token '{row.name}' revoked")
    )


def _end(text: str, at: str) -> str:
    """Return when a token ends, as the store has times. Raises `ValidationError`."""
    match = _AFTER.fullmatch(text)
    try:
        start = datetime.fromisoformat(at)
        if match is not None:
            end = start + timedelta(**{_UNITS[match[2]]: int(match[1])})
        else:
            end = datetime.fromisoformat(text)
            end = (end if end.tzinfo else end.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValidationError(
            f"'{text}' is no time", help="write 12h, 90d, or a time such as 2030-01-31T12:00:00Z"
        ) from None
    if end <= start:
        raise ValidationError("the end of the token lies in the past", help="write 12h, 90d, or a time that is to come")
    return end.isoformat(timespec="microseconds")[:26] + "Z"


def _view(row: TokenRow, at: str) -> t.TokenView:
    state = "valid" if row.is_valid(at) else "expired" if row.revoked_at is None else "revoked"
    return t.TokenView(
        name=row.name,
        state=state,
        commands=row.commands,
        agents=row.agents,
        created_at=row.created_at,
        expires_at=row.expires_at or UNSET,
        revoked_at=row.revoked_at or UNSET,
    )
