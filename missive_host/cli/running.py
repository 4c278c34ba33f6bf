"""Commands that wait for something: the event loop, and the signals that end it."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Generic, TypeVar

from missive_host.cli.failing import InterruptedBySignalError

if TYPE_CHECKING:
    import anyio

    from missive_host.cli.app import App
    from missive_host.commands import Command
    from missive_host.outputs import Output

T = TypeVar("T")


def run_async(app: App, command: Command) -> None:
    """Run one command in an event loop. Raises what it raises, and as `run_watched`."""
    from pathlib import Path

    from missive_host.core import FileAccess
    from missive_host.core.telemetry import commanding

    core = app.core(files=FileAccess(Path.cwd(), confined=False))  # any that the user may read

    async def work() -> None:
        await core.run(command, emit)

    async def emit(output: Output) -> None:
        app.emit(output)

    with commanding(core, command):
        run_watched(app, work, core.redactor.text)


def run_watched(app: App, work: Callable[[], Awaitable[T]], redact: Callable[[str], str]) -> T:
    """Run `work` in an event loop, close what it has opened, and return its result. Raises what it raises.

    The first SIGINT or SIGTERM cancels it and lets it close its connections, and then
    `InterruptedBySignalError` is raised; a second one kills the process.
    """
    import anyio

    from missive_host.logs import configure

    configure(app.flags.verbosity, redact)  # again: with anyio came asyncio, and with it logging
    run = _Run(app, work)
    anyio.run(run.main)
    if run.error is not None:
        raise run.error
    if run.received:
        raise InterruptedBySignalError(run.received)
    return run.result


class _Run(Generic[T]):
    """One command in its event loop. ``error`` is what it raised, outside of any exception group."""

    result: T

    def __init__(self, app: App, work: Callable[[], Awaitable[T]]) -> None:
        self._app = app
        self._work = work
        self.error: Exception | None = None
        self.received = 0

    async def main(self) -> None:
        import anyio

        try:
            async with anyio.create_task_group() as group:
                await group.start(self._watch, group.cancel_scope)
                try:
                    self.result = await self._work()
                except Exception as error:  # noqa: BLE001 - raised again outside of the loop
                    self.error = error
                group.cancel_scope.cancel()
        finally:
            await self._app.aclose()

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
