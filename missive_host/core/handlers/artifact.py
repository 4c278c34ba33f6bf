"""Artifacts: what tasks produced, as files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from missive_host import commands as c, outputs as o
from missive_host.core.views import artifact_view
from missive_host.errors import ValidationError

if TYPE_CHECKING:
    from missive_host.core.core import Core
    from missive_host.store import Tables
    from missive_host.store.rows import ArtifactRow


def artifact_list(core: Core, command: c.ArtifactList) -> o.Output:
    agent, rows = _artifacts(core, command.task_id, command.agent)
    return o.Output(
        o.ArtifactListResult(
            profile=core.profile,
            task_id=command.task_id,
            agent=agent,
            count=len(rows),
            artifacts=tuple(artifact_view(row) for row in rows),
            message=f"{len(rows)} artifact{'s' if len(rows) != 1 else ''} of task {command.task_id}",
        )
    )


def artifact_show(core: Core, command: c.ArtifactShow) -> o.Output:
    row = _artifact(core, command.task_id, command.artifact_id, command.agent)
    return o.Output(
        o.ArtifactShowResult(
            profile=core.profile,
            task_id=row.task_id,
            agent=row.agent_alias,
            artifact=artifact_view(row),
            raw=row.content,
            message=f"artifact {row.artifact_id} of task {row.task_id}: {row.kind}, {row.part_count} parts",
        )
    )


def artifact_save(core: Core, command: c.ArtifactSave) -> o.Output:
    from missive_host.core.saving import Saver, payloads

    row = _artifact(core, command.task_id, command.artifact_id, command.agent)
    found = payloads(row.artifact_id, row.content)
    if not found:
        raise ValidationError(f"artifact '{row.artifact_id}' of task '{row.task_id}' has nothing in it to save")
    output = Path(command.output).expanduser()
    if output.is_dir():
        raise ValidationError(
            f"{command.output} is a folder", help=f"name a file, or `missive task artifact export {row.task_id} -o DIR`"
        )
    saver = Saver(output.parent, force=command.force, on_bytes=core.on_bytes)
    # One payload goes to the named file; further ones beside it, numbered, with the ending of their own type.
    for number, item in enumerate(found, start=1):
        saver.plan(item, output.name if number == 1 else f"{output.stem}-{number}{item.suffix}")
    files = saver.write()
    total = sum(file.bytes_written for file in files)
    return o.Output(
        o.ArtifactSaveResult(
            profile=core.profile,
            task_id=row.task_id,
            agent=row.agent_alias,
            artifact_id=row.artifact_id,
            files=files,
            bytes_written=total,
            message=f"{total} bytes written to {', '.join(file.path for file in files)}",
        )
    )


def artifact_export(core: Core, command: c.ArtifactExport) -> o.Output:
    from missive_host.core.saving import Saver, payloads

    agent, rows = _artifacts(core, command.task_id, command.agent)
    folder = Path(command.output_dir).expanduser()
    saver = Saver(folder, force=command.force, on_bytes=core.on_bytes)
    for row in rows:
        for item in payloads(row.artifact_id, row.content):
            saver.plan(item)
    files = saver.write()
    total = sum(file.bytes_written for file in files)
    return o.Output(
        o.ArtifactExportResult(
            profile=core.profile,
            task_id=command.task_id,
            agent=agent,
            output_dir=str(folder),
            artifact_count=len(rows),
            files=files,
            bytes_written=total,
            message=f"{len(files)} file{'s' if len(files) != 1 else ''}, {total} bytes, written to {folder}",
        )
    )


def _artifacts(core: Core, task_id: str, agent: str | None) -> tuple[str, tuple[ArtifactRow, ...]]:
    def read(tables: Tables) -> tuple[str, tuple[ArtifactRow, ...]]:
        task = tables.tasks.get(task_id, agent)
        return task.agent_alias, tables.artifacts.list(agent=task.agent_alias, task=task.task_id)

    return core.store.read(read)


def _artifact(core: Core, task_id: str, artifact_id: str, agent: str | None) -> ArtifactRow:
    def read(tables: Tables) -> ArtifactRow:
        task = tables.tasks.get(task_id, agent)
        return tables.artifacts.get(task.agent_alias, task.task_id, artifact_id)

    return core.store.read(read)
