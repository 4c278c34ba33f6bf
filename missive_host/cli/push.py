"""``missive push``."""

from __future__ import annotations

from missive_host import commands as c
from missive_host.cli.kit import Field, Group, Options, verb

push = Group(
    "push",
    help="Have agents send notifications about their tasks, instead of asking them.",
    examples=(
        "missive push create worker task-1 https://me.example/a2a/push --token-env PUSH_TOKEN",
        "missive push list worker task-1",
        "missive webhook run --auth-token-env PUSH_TOKEN",
    ),
)
_TASK: Options = {"agent": Field(metavar="AGENT"), "task_id": Field(metavar="TASK")}
_CONFIG: Options = {**_TASK, "config_id": Field(metavar="CONFIG")}

push.add_command(
    verb(
        "create",
        c.PushCreate,
        options={**_TASK, "url": Field(metavar="URL")},
        examples=(
            "missive push create worker task-1 https://me.example/a2a/push --token-env PUSH_TOKEN",
            "missive push create worker task-1 https://me.example/hook --auth-scheme Bearer --auth-credentials-env KEY",
        ),
    )
)
push.add_command(verb("get", c.PushGet, options=_CONFIG, examples=("missive push get worker task-1 CONFIG",)))
push.add_command(
    verb(
        "list",
        c.PushList,
        options=_TASK,
        examples=("missive push list worker task-1", "missive push list worker task-1 --json"),
    )
)
push.add_command(verb("delete", c.PushDelete, options=_CONFIG, examples=("missive push delete worker task-1 CONFIG",)))
