"""A gateway process that is connected to the fake Slack, and demo agents behind it."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from missive_chat.state import State
from support.chat.fake_slack import APP_TOKEN, BOT_TOKEN, SIGNING_SECRET, FakeSlack
from support.gateways import GatewayProcess

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from support.cores import Home

    from missive_host.demo.fleet import AgentProcess

SECRETS = (BOT_TOKEN, APP_TOKEN, SIGNING_SECRET)
WHO = 'agent = "echo"\nusers = ["U1", "U2", "U3"]\nchannels = ["C1", "C2"]\n'


class SlackTown:
    """Slack, and the gateway."""

    def __init__(self, home: Home, slack: FakeSlack) -> None:
        self.home = home
        self.slack = slack
        self.gateway: GatewayProcess | None = None
        self.env = {
            "SLACK_BOT_TOKEN": BOT_TOKEN,
            "SLACK_APP_TOKEN": APP_TOKEN,
            "SLACK_SIGNING_SECRET": SIGNING_SECRET,
            "XDG_RUNTIME_DIR": str(home.folder),  # the locks of accounts lie there
        }

    def texts(self, channel: str = "D1", thread: str | None = None) -> list[str]:
        return self.slack.shown(channel, thread)

    def reactions(self, ts: str) -> set[str]:
        return {name for _, at, name in self.slack.reactions if at == ts}

    async def until(self, true: Callable[[], Any], seconds: float = 30) -> Any:
        """Wait until something is true, and return it."""
        deadline = time.monotonic() + seconds
        while not (found := true()):
            said = [(chat, m.get("user"), m.get("text")) for (chat, _), m in sorted(self.slack.messages.items())]
            errors = "" if self.gateway is None else self.gateway.errors[-3000:]
            assert time.monotonic() < deadline, (said, self.slack.faults, errors)
            await asyncio.sleep(0.02)
        return found

    async def quiet(self, seconds: float = 0.5) -> None:
        """Wait until nothing has been said for a while, and nothing waits."""
        state = State(self.home.settings().paths.data / "adapters" / "team")
        since, before = time.monotonic(), dict(self.slack.messages)
        while time.monotonic() - since < seconds:
            await asyncio.sleep(0.02)
            waits = state.value("SELECT count(*) FROM inbox WHERE state = 'waiting'")
            waits += state.value("SELECT count(*) FROM outbox WHERE state = 'waiting'")
            if waits or self.slack.messages != before:
                since, before = time.monotonic(), dict(self.slack.messages)
        state.close()

    # --- the gateway's life

    async def start(self) -> None:
        self.gateway = GatewayProcess(self.home, env=self.env)
        await asyncio.to_thread(self.gateway.ready)

    async def kill(self) -> None:
        """SIGKILL."""
        assert self.gateway is not None
        await asyncio.to_thread(self.gateway.kill)
        assert not any(secret in self.gateway.errors for secret in SECRETS)

    async def again(self) -> None:
        await self.kill()
        await self.start()


@asynccontextmanager
async def slack_town(
    home: Home, agent: AgentProcess, *, settings: str = "", who: str = WHO, start: bool = True, ack_timeout: float = 3.0
) -> AsyncIterator[SlackTown]:
    """Run a gateway whose adapter ``team`` is connected to a Slack; its agent is ``echo``."""
    async with FakeSlack(ack_timeout=ack_timeout) as slack:
        home.configure(
            f'[qos]\nretry_backoff = "10ms"\n[gateway]\ndrain = "500ms"\n'
            f'[adapters.team]\nkind = "slack"\n[adapters.team.settings]\n'
            f'bot_token = {{ secret = "env:SLACK_BOT_TOKEN" }}\n'
            f'app_token = {{ secret = "env:SLACK_APP_TOKEN" }}\n'
            f'signing_secret = {{ secret = "env:SLACK_SIGNING_SECRET" }}\n'
            f'api_url = "{slack.api_url}"\nping_interval = "500ms"\n{who}{settings}'
        )
        async with home.core() as core:
            core.add("echo", agent)
        town = SlackTown(home, slack)
        try:
            if start:
                await town.start()
            yield town
            assert slack.faults == []
        finally:
            if town.gateway is not None:
                await town.kill()
