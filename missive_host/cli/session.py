"""``missive session``."""

from __future__ import annotations

from missive_host import commands as c
from missive_host.cli.kit import Field, Group, Options, verb

session = Group(
    "session",
    help="See who talks with which agent through the gateway, and let a conversation begin anew.",
    examples=(
        "missive session list --adapter http",
        "missive session show 019c2a4e-7d10-7b3f-9a55-3d2f8f3a7c11",
        "missive session reset --source alice --agent planner",
    ),
)
_CHOICE: Options = {
    "adapter": Field(metavar="NAME"),
    "source": Field(metavar="SOURCE_ID"),
    "agent": Field(metavar="ALIAS"),
    "group": Field(metavar="NAME"),
}

session.add_command(
    verb(
        "list",
        c.SessionList,
        options=_CHOICE,
        examples=(
            "missive session list",
            "missive session list --agent planner --source alice",
            "missive session list --json | jq -r '.data.sessions[].context_id'",
        ),
    )
)
session.add_command(
    verb(
        "show",
        c.SessionShow,
        options={"session": Field(metavar="SESSION")},
        examples=("missive session show 019c2a4e-7d10-7b3f-9a55-3d2f8f3a7c11",),
    )
)
session.add_command(
    verb(
        "reset",
        c.SessionReset,
        arguments=("session",),
        options={**_CHOICE, "session": Field(metavar="SESSION")},
        examples=(
            "missive session reset 019c2a4e-7d10-7b3f-9a55-3d2f8f3a7c11",
            "missive session reset --agent planner",
        ),
    )
)
