"""A gateway process with a bridge to the fake Bot API, and a demo agent behind it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from missive_chat.state import State
from support.chat.fake_telegram import TOKEN, FakeTelegram
from support.gateways import GatewayProcess

if TYPE_CHECKING:
    from support.cores import Home

    from missive_host.demo.fleet import AgentProcess

ENV = {"TELEGRAM_TOKEN": TOKEN}


class Town:
    """The Bot API, and the gateway that may be killed and started."""

    def __init__(self, home: Home, telegram: FakeTelegram) -> None:
        self.home = home
        self.telegram = telegram
        self.gateway: GatewayProcess | None = None
        self.logs: list[str] = []

    async def until(self, true: Callable[[], Any], seconds: float = 40) -> Any:
        deadline = time.monotonic() + seconds
        while not (found := true()):
            assert time.monotonic() < deadline, (self.telegram.texts(), self.gateway and self.gateway.errors[-3000:])
            await asyncio.sleep(0.02)
        return found

    async def start(self) -> None:
        self.gateway = GatewayProcess(self.home, env=ENV)
        await asyncio.to_thread(self.gateway.ready)

    async def kill(self) -> None:
        """SIGKILL."""
        assert self.gateway is not None
        await asyncio.to_thread(self.gateway.kill)
        self.logs.append(self.gateway.errors)
        self.telegram.drop()  # Telegram sees that the connection is gone

    async def again(self) -> None:
        await self.kill()
        await self.start()

    async def missive(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command of an operator's."""
        environ = {**os.environ, **self.home.environ, **ENV, "MISSIVE_CONFIG": str(self.home.config)}
        return await asyncio.to_thread(
            subprocess.run, [sys.executable, "-P", "-m", "missive_host", *words], env=environ, cwd=self.home.folder,
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip

    def count(self, question: str) -> int:
        """Ask what the bridge remembers."""
        state = State(self.home.settings().paths.data / "adapters" / "team")
        try:
            return int(state.value(question))
        finally:
            state.close()

    async def settled(self, events: int) -> None:
        """Wait until so many events have been acted on, and all that should be sent has been."""
        await self.until(lambda: self.count("SELECT count(*) FROM inbox WHERE state = 'done'") >= events)
        await self.until(lambda: self.count("SELECT count(*) FROM outbox WHERE state = 'waiting'") == 0)


@asynccontextmanager
async def telegram_bridge(
    home: Home, agent: AgentProcess, settings: str = 'users = ["77"]\n', *, start: bool = True
) -> AsyncIterator[Town]:
    """Run a gateway whose adapter ``team`` is a Telegram bot for the agent ``echo``."""
    with FakeTelegram() as telegram:
        home.configure(
            '[qos]\nretry_backoff = "10ms"\n[gateway]\ndrain = "500ms"\n'
            '[adapters.team]\nkind = "telegram"\n[adapters.team.settings]\n'
            f'token = {{ secret = "env:TELEGRAM_TOKEN" }}\napi_url = "{telegram.url}"\nagent = "echo"\n{settings}'
        )
        async with home.core() as core:
            core.add("echo", agent)
        town = Town(home, telegram)
        try:
            if start:
                await town.start()
            yield town
        finally:
            if town.gateway is not None:
                await town.kill()
        assert not [log for log in town.logs if TOKEN in log or TOKEN.partition(":")[2] in log]
