"""What runs beside the work: each service is started again when it fails, and its state is told."""

from __future__ import annotations

import logging
import random
from collections.abc import Awaitable, Callable

import anyio
from msgspec import UNSET

from missive_host.errors import MissiveError
from missive_host.outputs_gateway import ComponentStatus

log = logging.getLogger("missive.gateway")

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 60.0
"""Seconds before what has failed is started again; they double, with jitter."""
GOOD_SECONDS = 60.0
"""What has run so long begins with the first pause again."""


def pause_after(failures: int) -> float:
    """Return how many seconds to wait after so many failures in a row, from 1."""
    return min(FIRST_PAUSE * 2.0 ** min(failures - 1, 10), LONGEST_PAUSE) * random.uniform(0.5, 1.0)  # noqa: S311


class Services:
    """The services of one gateway, by name."""

    def __init__(self) -> None:
        self._failed: dict[str, str] = {}
        self._names: list[str] = []

    async def keep(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        """Run a service until cancelled."""
        self._names.append(name)
        failures = 0
        while True:
            begun = anyio.current_time()
            try:
                await run()
            except Exception as error:
                self._failed[name] = error.message if isinstance(error, MissiveError) else type(error).__name__
                log.exception("%s has failed, and is started again", name)
            failures = 1 if anyio.current_time() - begun > GOOD_SECONDS else failures + 1
            await anyio.sleep(pause_after(failures))
            self._failed.pop(name, None)

    def views(self) -> tuple[ComponentStatus, ...]:
        return tuple(
            ComponentStatus(name=name, state="retrying", detail=self._failed[name])
            if name in self._failed
            else ComponentStatus(name=name, state="running", detail=UNSET)
            for name in self._names
        )
