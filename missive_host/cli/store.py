"""``missive store``."""

from __future__ import annotations

from missive_host import commands as c
from missive_host.cli.kit import Group, verb

store = Group(
    "store",
    help="Check the store, save it, restore it, forget what is old.",
    examples=("missive store check",),
)
store.add_command(
    verb("check", c.StoreCheck, examples=("missive store check", "missive store check --json | jq .data.tables"))
)
