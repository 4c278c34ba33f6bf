"""``missive context``."""

from __future__ import annotations

from missive_host import commands as c
from missive_host.cli.kit import Group, verb

context = Group(
    "context",
    help="Keep conversations apart: what is sent in one context belongs together.",
    examples=(
        "missive context create --name trip --agent planner",
        'missive send planner "And by train?" --context trip',
        "missive context show trip",
    ),
)
context.add_command(
    verb(
        "create",
        c.ContextCreate,
        examples=(
            "missive context create --name trip --agent planner",
            "missive context create --id ctx-1 --metadata k=1",
        ),
    )
)
context.add_command(
    verb("list", c.ContextList, examples=("missive context list", "missive context list --state open --agent planner"))
)
context.add_command(verb("show", c.ContextShow, examples=("missive context show trip",)))
context.add_command(verb("fork", c.ContextFork, examples=("missive context fork trip --name trip-by-train",)))
context.add_command(
    verb(
        "close",
        c.ContextClose,
        examples=("missive context close trip", 'missive context close trip --summary "Booked"'),
    )
)
context.add_command(verb("export", c.ContextExport, examples=("missive context export trip --json > trip.json",)))
