"""`gather`: the answers of the members of a group, and their files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from missive_host.collectives.gather import Gathering
from missive_host.collectives.members import crew_of
from missive_host.collectives.operations import conclude
from missive_host.outputs_collectives import GatheredFile, GatherResult

if TYPE_CHECKING:
    from missive_host.commands import Gather
    from missive_host.core.core import Core, Emit


async def gather(core: Core, command: Gather, emit: Emit) -> None:
    crew = core.store.read(lambda tables: crew_of(tables, command.group, command.context))
    gathering = Gathering(core, crew)

    async def work() -> None:
        if command.refresh:
            await gathering.refresh(core.timeout_of(command))

    async def end(interrupted: bool) -> GatherResult:
        gathering.collect()
        if command.output_dir is None or interrupted:
            return await gathering.end(interrupted)
        files = await anyio.to_thread.run_sync(_save, core, command, gathering)
        return await gathering.end(output_dir=command.output_dir, files=files)

    await conclude(emit, gathering.operation, work, end)


def _save(core: Core, command: Gather, gathering: Gathering) -> tuple[GatheredFile, ...]:
    """Write all files, or none if one of them is in the way. Raises `ValidationError` and `IoError`."""
    from pathlib import Path

    from missive_host.core.saving import Saver, payloads

    saver = Saver(Path(command.output_dir or "").expanduser(), force=command.force, on_bytes=core.on_bytes)
    owners = []
    for member, artifacts in gathering.artifacts():
        for artifact in artifacts:
            for item in payloads(artifact["artifactId"], artifact):
                saver.plan(item, f"{member.rank}-{member.agent}-{item.name}")
                owners.append(member.agent)
    return tuple(
        GatheredFile(
            path=saved.path,
            agent=agent,
            kind=saved.kind,
            bytes_written=saved.bytes_written,
            media_type=saved.media_type,
        )
        for agent, saved in zip(owners, saver.write(), strict=True)
    )
