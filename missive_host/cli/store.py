"""``missive store``."""

from __future__ import annotations

import click

from missive_host import commands as c
from missive_host.cli.kit import Field, Group, verb

store = Group(
    "store",
    help="Check the store, save it, restore it, forget what is old.",
    examples=("missive store check", "missive store backup missive-backup.sqlite3"),
)
store.add_command(
    verb("check", c.StoreCheck, examples=("missive store check", "missive store check --json | jq .data.tables"))
)
store.add_command(
    verb(
        "backup",
        c.StoreBackup,
        options={"file": Field(metavar="FILE", type=click.Path())},
        examples=(
            "missive store backup missive-backup.sqlite3",
            'missive store backup "/var/backups/missive-$(date +%F).sqlite3" --quiet',
        ),
    )
)
store.add_command(
    verb(
        "restore",
        c.StoreRestore,
        options={"file": Field(metavar="FILE", type=click.Path())},
        examples=("missive gateway stop; missive store restore missive-backup.sqlite3",),
    )
)
store.add_command(verb("vacuum", c.StoreVacuum, examples=("missive store vacuum",)))
store.add_command(
    verb(
        "prune",
        c.StorePrune,
        options={"older_than": Field(flags="--older-than", metavar="AGE")},
        examples=("missive store prune --older-than 30d --dry-run", "missive store prune --older-than 720h"),
    )
)
