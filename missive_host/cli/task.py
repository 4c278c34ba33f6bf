"""``missive task`` and ``missive task artifact``."""

from __future__ import annotations

import click

from missive_host import commands as c
from missive_host.cli.kit import Field, Group, Options, verb

task = Group(
    "task",
    help="Look at tasks, wait for them, cancel them, and save what they made.",
    examples=(
        "missive task list --state working",
        "missive task wait task-1 --timeout 5m",
        "missive task artifact export task-1 -o out/",
    ),
)
artifact = Group(
    "artifact",
    help="See and save what tasks have made.",
    examples=("missive task artifact list task-1", "missive task artifact export task-1 -o out/"),
)

_TASK: Options = {"task_id": Field(metavar="TASK"), "task_source": "--source"}
_ARTIFACT: Options = {"task_id": Field(metavar="TASK"), "artifact_id": Field(metavar="ARTIFACT")}

task.add_command(
    verb(
        "get",
        c.TaskGet,
        options=_TASK,
        examples=("missive task get task-1", "missive task get task-1 --remote --history-length 10 --json"),
    )
)
task.add_command(
    verb(
        "list",
        c.TaskList,
        options=_TASK,
        examples=(
            "missive task list",
            "missive task list --agent writer --state input_required",
            "missive task list --agent writer --remote --page-size 20 --json",
        ),
    )
)
task.add_command(
    verb(
        "wait",
        c.TaskWait,
        options=_TASK,
        help="""Wait until a task has ended or waits for us (30 s unless --timeout says otherwise).

The exit code says how it ended: 0 completed, 80 failed or rejected, 81 cancelled, 82 not in time, 83 it waits for
input, 84 it waits for an authorisation.""",
        examples=("missive task wait task-1", "missive task wait task-1 --timeout 10m --interval 2s"),
    )
)
task.add_command(verb("cancel", c.TaskCancel, options=_TASK, examples=("missive task cancel task-1",)))
task.add_command(
    verb(
        "subscribe",
        c.TaskSubscribe,
        options=_TASK,
        examples=("missive task subscribe task-1", "missive task subscribe task-1 --ndjson"),
    )
)
task.add_command(artifact)

artifact.add_command(verb("list", c.ArtifactList, options=_ARTIFACT, examples=("missive task artifact list task-1",)))
artifact.add_command(
    verb("show", c.ArtifactShow, options=_ARTIFACT, examples=("missive task artifact show task-1 artifact-1",))
)
artifact.add_command(
    verb(
        "save",
        c.ArtifactSave,
        options={**_ARTIFACT, "output": Field(("-o", "--output"), metavar="PATH", type=click.Path())},
        examples=(
            "missive task artifact save task-1 artifact-1 -o report.pdf",
            "missive task artifact save task-1 artifact-1 -o report.pdf --force",
        ),
    )
)
artifact.add_command(
    verb(
        "export",
        c.ArtifactExport,
        options={**_ARTIFACT, "output_dir": Field(("-o", "--output-dir"), metavar="DIR", type=click.Path())},
        examples=("missive task artifact export task-1 -o out/",),
    )
)
