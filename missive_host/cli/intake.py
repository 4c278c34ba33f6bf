"""``missive intake``."""

from __future__ import annotations

from missive_host import commands as c
from missive_host.cli.kit import Field, Group, verb

intake = Group(
    "intake",
    help="See what the gateway has taken in, and what became of dead letters.",
    examples=("missive intake list", "missive intake retry --all", "missive intake list --state running --json"),
)
intake.add_command(
    verb(
        "list",
        c.IntakeList,
        options={"states": "--state"},
        examples=("missive intake list", "missive intake list --state queued --state running --adapter inbox"),
    )
)
intake.add_command(
    verb(
        "show",
        c.IntakeShow,
        options={"receipt": Field(metavar="RECEIPT")},
        examples=("missive intake show 019c2a4e-7d10-7b3f-9a55-3d2f8f3a7c11",),
    )
)
_RECEIPTS = Field(metavar="RECEIPT...")
intake.add_command(
    verb(
        "retry",
        c.IntakeRetry,
        arguments=("receipts",),
        options={"receipts": _RECEIPTS},
        examples=("missive intake retry --all", "missive intake retry 019c2a4e-7d10-7b3f-9a55-3d2f8f3a7c11"),
    )
)
intake.add_command(
    verb(
        "drop",
        c.IntakeDrop,
        arguments=("receipts",),
        options={"receipts": _RECEIPTS},
        examples=("missive intake drop 019c2a4e-7d10-7b3f-9a55-3d2f8f3a7c11", "missive intake drop --all"),
    )
)
