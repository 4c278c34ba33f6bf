"""``missive group``."""

from __future__ import annotations

import click

from missive_host import commands as c
from missive_host.cli.kit import Field, Group, Options, verb

group = Group(
    "group",
    help="Name groups of agents. A message to a group goes to the one that a policy chooses; a broadcast goes to all.",
    examples=(
        "missive group create reviewers --routing-policy round-robin",
        "missive group add reviewers alice --rank 1",
        "missive group show reviewers",
    ),
)
_GROUP: Options = {"group": Field(metavar="NAME")}
_MEMBER: Options = {**_GROUP, "agent": Field(metavar="AGENT")}

group.add_command(
    verb(
        "create",
        c.GroupCreate,
        options={"group": Field(metavar="NAME", type=click.STRING), "routing_policy": Field(metavar="POLICY")},
        examples=(
            "missive group create reviewers",
            'missive group create reviewers --routing-policy round-robin --notes "Read what others wrote"',
        ),
    )
)
group.add_command(verb("list", c.GroupList, examples=("missive group list", "missive group list --json")))
group.add_command(verb("show", c.GroupShow, options=_GROUP, examples=("missive group show reviewers",)))
group.add_command(
    verb(
        "add",
        c.GroupAdd,
        options={**_MEMBER, "rank": Field("--rank", metavar="RANK"), "tags": "--tag"},
        examples=(
            "missive group add reviewers alice --rank 1",
            "missive group add reviewers bob --rank 2 --tag python --weight 2.5",
        ),
    )
)
group.add_command(verb("remove", c.GroupRemove, options=_MEMBER, examples=("missive group remove reviewers bob",)))
group.add_command(verb("rename", c.GroupRename, options=_GROUP, examples=("missive group rename reviewers critics",)))
group.add_command(verb("delete", c.GroupDelete, options=_GROUP, examples=("missive group delete reviewers",)))
group.add_command(
    verb(
        "capabilities",
        c.GroupCapabilities,
        options=_GROUP,
        examples=("missive group capabilities reviewers", "missive group capabilities reviewers --refresh --json"),
    )
)
