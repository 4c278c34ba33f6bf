"""Commands that call agents: the event loop, and the signals that end it."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from missive_host.cli.failing import InterruptedBySignalError

if TYPE_CHECKING:
    import anyio

    from missive_host.cli.app import App
    from missive_host.commands import Command
    from missive_host.core import Core
    from missive_host.outputs import Output


def run_async(app: App, command: Command) -> None:
    """Run one command in an event loop. Raises what it raises.

    The first SIGINT or SIGTERM cancels it and lets it close its connections, and then
    `InterruptedBySignalError` is raised; a second one kills the process.
    """
    from pathlib import Path

    import anyio

    from missive_host.cli.logs import configure
    from missive_host.core import FileAccess

    core = app.core(files=FileAccess(Path.cwd(), confined=False))  # any that the user may read
    configure(app.flags, core.redactor.text)  # again: with anyio came asyncio, and with it logging
    run = _Run(app, core, command)
    anyio.run(run.main)
    if run.error is not None:
        raise run.error
    if run.received:
        raise InterruptedBySignalError(run.received)


class _Run:
    """One command in its event loop. ``error`` is what it raised, outside of any exception group."""

    def __init__(self, app: App, core: Core, command: Command) -> None:
        self._app = app
        self._core = core
        self._command = command
        self.error: Exception | None = None
        self.received = 0

    async def main(self) -> None:
        import anyio

        try:
            async with anyio.create_task_group() as group:
                await group.start(self._watch, group.cancel_scope)
                try:
                    await self._core.run(self._command, self._emit)
                except Exception as error:  # noqa: BLE001 - raised again outside of the loop
                    self.error = error
                group.cancel_scope.cancel()
        finally:
            await self._app.aclose()

    async def _emit(self, output: Output) -> None:
        self._app.emit(output)

    async def _watch(self, scope: anyio.CancelScope, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        import anyio

        try:
            with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
                task_status.started()
                self.received = int(await anext(signals))
        except NotImplementedError:  # Windows: Ctrl-C comes as KeyboardInterrupt
            task_status.started()
            return
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        scope.cancel()
