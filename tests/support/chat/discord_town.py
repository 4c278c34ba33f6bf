"""A gateway process with a bot on the fake Discord, and a demo agent behind it.

::

    async with town_of(home, agent) as town:
        await town.fake.says("echo hello", mention=True)
        await town.until(lambda: town.fake.said() == ["hello"])
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from missive_chat.state import State
from support.chat.fake_discord import ALICE, BOB, TOKEN, FakeDiscord
from support.chat.fake_discord_objects import CHANNEL
from support.gateways import GatewayProcess

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from support.cores import Home

    from missive_host.demo.fleet import AgentProcess


class DiscordTown:
    """The server, and the gateway."""

    def __init__(self, home: Home, fake: FakeDiscord) -> None:
        self.home = home
        self.fake = fake
        self.gateway: GatewayProcess | None = None

    async def until(self, true: Callable[[], Any], seconds: float = 25) -> Any:
        """Wait until something is true, and return it."""
        deadline = time.monotonic() + seconds
        while not (found := true()):
            assert time.monotonic() < deadline, (self.fake.said(), self.gateway and self.gateway.errors[-3000:])
            await asyncio.sleep(0.01)
        return found

    async def answered(self, message_id: int) -> None:
        """Wait until a message was answered, as its reaction says, and nothing is left to be sent."""
        await self.until(lambda: self.fake.reactions.get(message_id) in (["✅"], ["❌"]))
        state = State(self.home.settings().paths.data / "adapters" / "team")
        try:
            await self.until(lambda: not state.value("SELECT count(*) FROM outbox WHERE state = 'waiting'"))
        finally:
            state.close()

    async def start(self) -> None:
        known = len(self.fake.gateway.identifies)
        self.gateway = GatewayProcess(self.home, env={"DISCORD_TOKEN": TOKEN})
        await asyncio.to_thread(self.gateway.ready)
        await self.until(lambda: len(self.fake.gateway.identifies) > known)

    async def missive(self, *words: str) -> tuple[int, str]:
        """Run a command; return its exit status and what it printed."""
        program = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "missive_host", "--config", str(self.home.config), *words,
            env={**os.environ, **self.home.environ, "DISCORD_TOKEN": TOKEN},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        printed, _ = await program.communicate()
        return program.returncode or 0, printed.decode()

    async def kill(self) -> None:
        """SIGKILL."""
        assert self.gateway is not None
        await asyncio.to_thread(self.gateway.kill)


@asynccontextmanager
async def town_of(home: Home, agent: AgentProcess, settings: str = "") -> AsyncIterator[DiscordTown]:
    """Run a gateway with the bot ``team``; Bob may approve."""
    async with FakeDiscord() as fake:
        home.configure(
            f'[qos]\nretry_backoff = "10ms"\n[gateway]\ndrain = "500ms"\n'
            f'[adapters.team]\nkind = "discord"\n[adapters.team.settings]\n'
            f'token = {{ secret = "env:DISCORD_TOKEN" }}\nagent = "echo"\n'
            f'api_url = "{fake.api_url}"\ngateway_url = "{fake.gateway_url}"\n'
            f'channels = ["{CHANNEL}"]\nusers = ["{ALICE}", "{BOB}"]\napprovers = ["{BOB}"]\n{settings}'
        )
        async with home.core() as core:
            core.add("echo", agent)
        town = DiscordTown(home, fake)
        try:
            await town.start()
            yield town
        finally:
            if town.gateway is not None:
                await town.kill()
