"""Running one adapter by itself: ``missive adapter NAME``."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from missive_host.protocols import Adapter, AdapterContext, Summarizing, Summary
from missive_host.telemetry import about

if TYPE_CHECKING:
    from anyio import CancelScope

    from missive_host.core import Core
    from missive_host.filters import Chain

DRAIN_SECONDS = 10.0
"""How long what runs may go on after the first signal."""
BACKLOG = 1024
"""How many deliveries are accepted at the most; an adapter's own bound is usually lower."""


async def run_adapter(
    core: Core,
    name: str,
    factory: Callable[[AdapterContext], Adapter],
    options: Mapping[str, Any],
    *,
    progress: Callable[[str], None] | None = None,
    on_summary: Callable[[Summary], None] | None = None,
    filters: Chain | None = None,
) -> int:
    """Run an adapter until its input ends or a signal comes, close `core`, and return the exit status.

    The first SIGINT or SIGTERM stops the reading and lets what runs finish for `DRAIN_SECONDS`, a second one
    cuts it off; either way each delivery is settled. Raises what the adapter raises. `progress` is handed to the
    adapter; `on_summary` gets what it says at the end, if it says something; `filters` look at what comes and goes.
    """
    import anyio

    from missive_host.core.intake import Intake
    from missive_host.folders import make_private

    data_dir = core.settings.paths.data / "adapters" / name
    make_private(data_dir)
    core.store  # noqa: B018 - a store that cannot be opened should be told before the first frame
    adapter = factory(
        AdapterContext(
            name=name,
            kind=name,
            options=options,
            log=logging.getLogger(f"missive.{name}"),
            data_dir=data_dir,
            progress=progress,
        )
    )
    signals = _Signals()
    status: int | None = None
    try:
        with about(adapter=name):
            async with anyio.create_task_group() as group:
                intake = Intake(core, limit=BACKLOG, filters=filters)
                async with intake:
                    with anyio.CancelScope() as reading:
                        await group.start(signals.watch, reading, intake.cancel)
                        status = await adapter.run(intake)
                        intake.cancel()  # what is left has nobody to answer to: the door is closed
                group.cancel_scope.cancel()
        if on_summary is not None and isinstance(adapter, Summarizing):
            on_summary(adapter.summary())
    finally:
        await core.aclose()
    if signals.received and intake.unfinished:
        return 128 + signals.received
    return status or 0


class _Signals:
    """Watches for the signals that stop us."""

    def __init__(self) -> None:
        self.received = 0

    async def watch(self, reading: CancelScope, cut_off: Callable[[], None], *, task_status: Any) -> None:
        import anyio

        try:
            receiver = anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM)
            signals = receiver.__enter__()
        except NotImplementedError:  # Windows: Ctrl-C arrives as KeyboardInterrupt
            task_status.started()
            return
        try:
            task_status.started()
            self.received = int(await anext(signals))
            reading.cancel()
            with suppress(TimeoutError), anyio.fail_after(DRAIN_SECONDS):
                await anext(signals)
            cut_off()
        finally:
            receiver.__exit__(None, None, None)
