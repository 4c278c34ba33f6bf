"""A gateway process whose adapter ``team`` is on a real chat server, and a demo agent behind it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from missive_chat.state import State
from support.chat.rigs import settle
from support.gateways import GatewayProcess

if TYPE_CHECKING:
    from support.cores import Home

    from missive_host.demo.fleet import AgentProcess


class Town:
    def __init__(self, home: Home, environ: Mapping[str, str]) -> None:
        self.home = home
        self.environ = dict(environ)
        self.gateway: GatewayProcess | None = None

    async def start(self) -> None:
        self.gateway = GatewayProcess(self.home, env=self.environ)
        await asyncio.to_thread(self.gateway.ready)

    async def quiet(self) -> None:
        """Wait until nothing is left to be done or sent."""
        state = State(self.home.settings().paths.data / "adapters" / "team")
        try:
            waiting = (
                "SELECT (SELECT count(*) FROM outbox WHERE state = 'waiting') + "
                "(SELECT count(*) FROM inbox WHERE state = 'waiting')"
            )
            await settle(lambda: not state.value(waiting))
        finally:
            state.close()

    def taken(self, count: int) -> Callable[[], bool]:
        """Return a question: have so many events been taken in?"""

        def answer() -> bool:
            state = State(self.home.settings().paths.data / "adapters" / "team")
            try:
                return bool(state.value("SELECT count(*) FROM inbox WHERE state != 'waiting'") == count)
            finally:
                state.close()

        return answer

    async def kill(self) -> None:
        """SIGKILL."""
        if self.gateway is not None:
            await asyncio.to_thread(self.gateway.kill)


@asynccontextmanager
async def town_of(
    home: Home, agent: AgentProcess, kind: str, settings: str, environ: Mapping[str, str]
) -> AsyncIterator[Town]:
    home.configure(
        f'[qos]\nretry_backoff = "10ms"\n[gateway]\ndrain = "500ms"\n'
        f'[adapters.team]\nkind = "{kind}"\n[adapters.team.settings]\nagent = "echo"\n{settings}'
    )
    async with home.core() as core:
        core.add("echo", agent)
    town = Town(home, environ)
    try:
        await town.start()
        yield town
    finally:
        await town.kill()
