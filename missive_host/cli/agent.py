"""``missive agent``."""

from __future__ import annotations

from missive_host import commands as c
from missive_host.cli.kit import Field, Group, Options, verb

agent = Group(
    "agent",
    help="Register agents under short names, and see what they can do.",
    examples=(
        "missive agent add echo http://127.0.0.1:8001",
        "missive agent inspect echo",
        "missive agent list",
    ),
)
_REGISTERING: Options = {
    "interfaces": Field("--interface", metavar="BINDING=URL"),
    "tags": "--tag",
    "agent": Field(metavar="ALIAS"),
}
_ALIAS: Options = {"agent": Field(metavar="ALIAS")}

agent.add_command(
    verb(
        "add",
        c.AgentAdd,
        options=_REGISTERING,
        examples=(
            "missive agent add echo http://127.0.0.1:8001",
            "missive agent add writer https://agents.example/writer --auth-ref writer --tag prose",
            "missive agent add old http://127.0.0.1:9000 --binding-preference http+json",
        ),
    )
)
agent.add_command(verb("list", c.AgentList, examples=("missive agent list", "missive agent list --tag prose --json")))
agent.add_command(verb("show", c.AgentShow, options=_ALIAS, examples=("missive agent show echo",)))
agent.add_command(
    verb(
        "inspect",
        c.AgentInspect,
        options=_ALIAS,
        examples=("missive agent inspect echo", "missive agent inspect echo --refresh --binding json-rpc"),
    )
)
agent.add_command(verb("refresh", c.AgentRefresh, options=_ALIAS, examples=("missive agent refresh echo",)))
agent.add_command(
    verb(
        "capabilities",
        c.AgentCapabilities,
        arguments=("agent",),
        options=_ALIAS,
        examples=("missive agent capabilities", "missive agent capabilities echo --refresh --json"),
    )
)
agent.add_command(
    verb(
        "update",
        c.AgentUpdate,
        arguments=("url",),
        options={**_REGISTERING, "remove_tags": "--remove-tag"},
        examples=(
            "missive agent update echo http://127.0.0.1:8002",
            "missive agent update echo --tag fast --remove-tag slow --clear notes",
        ),
    )
)
agent.add_command(
    verb(
        "remove",
        c.AgentRemove,
        options=_ALIAS,
        examples=("missive agent remove echo", "missive agent remove echo --purge"),
    )
)
agent.add_command(verb("rename", c.AgentRename, options=_ALIAS, examples=("missive agent rename echo parrot",)))
