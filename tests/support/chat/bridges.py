"""A gateway process with a bridge to the server of lines, and demo agents behind it.

::

    async with bridge_of(home, agent) as town:
        town.say("@bot echo hello")
        await town.until(lambda: "hello" in town.texts())
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from missive_chat.state import State
from support.chat.line_server import TOKEN, LineServer
from support.gateways import GatewayProcess

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from support.cores import Home

    from missive_host.demo.fleet import AgentProcess

PLUGIN = '''
"""A chat platform of a stranger, as one file."""
from missive_chat.adapter import ChatAdapter
from missive_chat.options import SHARED
from missive_host.hookspecs import hookimpl
from missive_host.specs import AdapterSpec, Option


@hookimpl
def missive_adapters():
    options = (Option("token", secret=True, required=True), Option("port", "integer", required=True))
    yield AdapterSpec(
        "line", f"{__name__}:adapter", "A chat of lines.", accepts=("missive.chat.v1",), emits=("missive.chat.v1",),
        options=(*options, *SHARED), foreground=False, carries_files=True,
        noun="chat",
    )


def adapter(context):
    from dataclasses import replace

    from support.chat.line_platform import FullLine

    class Line(FullLine):
        capabilities = replace(FullLine.capabilities, **%s)

    return ChatAdapter(context, Line)
'''
QUICK = {"send_interval": 0.01, "edit_interval": 0.02, "burst": 100}


class Town:
    """The server, people who write to it, and the gateway."""

    def __init__(self, home: Home, server: LineServer) -> None:
        self.home = home
        self.server = server
        self.gateway: GatewayProcess | None = None

    def say(self, text: str, **more: Any) -> str:
        """Say something in the lobby as Ann; with ``room="@ann"`` directly. Return its id."""
        return self.server.say(text, **more)

    @property
    def messages(self) -> list[dict[str, Any]]:
        """What the bot has said, as it stands now, in order."""
        return list(self.server.messages.values())

    def texts(self) -> list[str]:
        return [str(message["text"]) for message in self.messages]

    def reactions(self, message_id: str) -> list[str]:
        return list(self.server.reactions.get(message_id, ()))

    async def until(self, true: Callable[[], Any], seconds: float = 20) -> Any:
        """Wait until something is true, and return it."""
        deadline = time.monotonic() + seconds
        while not (found := true()):
            assert time.monotonic() < deadline, (
                self.texts(),
                self.server.reactions,
                self.gateway and self.gateway.errors[-3000:],
            )
            await asyncio.sleep(0.01)
        return found

    async def quiet(self, seconds: float = 0.5) -> None:
        """Wait until nothing has been said for a while, and nothing waits."""
        state, since, before = self.state(), time.monotonic(), self.texts()
        while time.monotonic() - since < seconds:
            await asyncio.sleep(0.02)
            busy = state.value("SELECT count(*) FROM inbox WHERE state = 'waiting'")
            if busy or self.texts() != before:
                since, before = time.monotonic(), self.texts()
        state.close()

    def state(self) -> State:
        """Return what the bridge remembers."""
        return State(self.home.settings().paths.data / "adapters" / "team")

    # --- the gateway's life

    async def start(self) -> None:
        self.gateway = GatewayProcess(self.home, "--plugin", str(self.home.folder / "line_plugin.py"), env=ENV)
        await asyncio.to_thread(self.gateway.ready)

    async def kill(self) -> None:
        """SIGKILL."""
        assert self.gateway is not None
        await asyncio.to_thread(self.gateway.kill)

    async def again(self) -> None:
        """Kill it, and start another one."""
        await self.kill()
        await self.start()


ENV: dict[str, str] = {}


@asynccontextmanager
async def bridge_of(
    home: Home,
    *agents: AgentProcess | str,
    settings: str = 'agent = "echo"\nchannels = ["lobby"]\nusers = ["ann"]\n',
    capabilities: dict[str, Any] | None = None,
    more: str = "",
    start: bool = True,
) -> AsyncIterator[Town]:
    """Run a gateway whose adapter ``team`` is a bridge; the agents are ``echo``, ``echo2`` …, and the group ``all``."""
    from pathlib import Path

    from missive_host import commands as c

    # The locks of accounts lie in the runtime folder: a test has its own, so that tests may run side by side.
    folders = {"PYTHONPATH": str(Path(__file__).parents[2]), "XDG_RUNTIME_DIR": str(home.folder)}
    ENV.update({"LINE_TOKEN": TOKEN, **folders})
    async with LineServer() as server:
        (home.folder / "line_plugin.py").write_text(PLUGIN % repr({**QUICK, **(capabilities or {})}))
        home.configure(
            f'[qos]\nretry_backoff = "10ms"\n[gateway]\ndrain = "500ms"\n{more}\n'
            f'[adapters.team]\nkind = "line"\n[adapters.team.settings]\n'
            f'token = {{ secret = "env:LINE_TOKEN" }}\nport = {server.port}\n{settings}'
        )
        async with home.core() as core:
            names = ["echo", *(f"echo{number}" for number in range(2, len(agents) + 1))]
            for name, agent in zip(names, agents, strict=True):
                core.add(name, agent)
            if len(agents) > 1:
                core.local(c.GroupCreate(group="all"))
                for rank, name in enumerate(names):
                    core.local(c.GroupAdd(group="all", agent=name, rank=f"r{rank}"))
        town = Town(home, server)
        try:
            if start:
                await town.start()
            yield town
        finally:
            if town.gateway is not None:
                await town.kill()
