"""``missive token``."""

from __future__ import annotations

from missive_host import commands as c
from missive_host.cli.kit import Field, Group, Known, Options, verb

token = Group(
    "token",
    help="Tokens with which clients come to the gateway, each with a name and for what it may be used.",
    examples=(
        "missive token create ci",
        "missive token create web-shop --command send --agent echo --expires 90d",
        "missive token list",
        "missive token revoke ci",
    ),
)
_NAME: Options = {"name": Field(metavar="NAME")}

token.add_command(
    verb(
        "create",
        c.TokenCreate,
        options={
            **_NAME,
            "commands": Field("--command", metavar="COMMAND"),
            "agents": Field("--agent", metavar="NAME"),
            "expires": Field(metavar="WHEN"),
        },
        examples=(
            "missive token create ci",
            "missive token create ci --replace",
            "missive token create web-shop --command send --command stream --agent echo --expires 90d",
            "missive token create ci --json | jq -r .data.secret",
        ),
    )
)
token.add_command(verb("list", c.TokenList, examples=("missive token list", "missive token list --json")))
token.add_command(
    verb(
        "revoke",
        c.TokenRevoke,
        options={"name": Field(metavar="NAME", type=Known("token"))},
        examples=("missive token revoke ci",),
    )
)
