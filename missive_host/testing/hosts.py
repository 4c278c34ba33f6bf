"""A whole gateway in this process: its own folder, its own port, real sockets, a real store."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import anyio

from missive_host.config import load as load_settings
from missive_host.config.view import to_toml
from missive_host.core import Core
from missive_host.envelopes import STDIO, parse_envelope
from missive_host.gateway.daemon import Gateway
from missive_host.plugins import Gates, Plugins, catalog, load as load_plugins
from missive_host.security.options import call_options

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from missive_host.config import Settings
    from missive_host.outputs import Data, Output
    from missive_host.testing.agent import FakeAgent

Json = dict[str, Any]
START_SECONDS = 30.0


def run_host(
    config: str | Mapping[str, Any] = "",
    *,
    agent: FakeAgent | str | Mapping[str, FakeAgent | str] | None = None,
    plugins: Sequence[str | Path] = (),
    folder: Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> RunningHost:
    """Return a host as an async context manager: it is ready when the context is entered, and stopped when it is left.

    ::

        with FakeAgent(["hello"]) as agent:
            async with run_host(
                {"adapters": {"in": {"kind": "lines", "settings": {"file": "in.txt"}}}}, agent=agent
            ) as host:
                ...

    `config` is ``missive.toml``, as text or as a table; relative paths in it begin at `folder`, and the port is free
    unless it says another. `agent` is a `FakeAgent`, registered under its name, or a URL, registered as ``agent``, or
    several by name. `plugins` are files of plugins to load beside those that are installed. `environ` is looked at
    for secrets. It runs on asyncio, in the main thread.
    """
    return RunningHost(config, agent=agent, plugins=plugins, folder=folder, environ=environ)


class RunningHost:
    """A host that runs. See `run_host`."""

    def __init__(
        self,
        config: str | Mapping[str, Any],
        *,
        agent: FakeAgent | str | Mapping[str, FakeAgent | str] | None,
        plugins: Sequence[str | Path],
        folder: Path | None,
        environ: Mapping[str, str] | None,
    ) -> None:
        self._given = tomllib.loads(config) if isinstance(config, str) else config
        self._agents = _urls(agent)
        self._files = [str(Path(file).absolute()) for file in plugins]
        self._folder = folder
        self._environ = dict(environ or {})
        self.folder: Path
        """Where its config and its data are."""
        self.told: list[Data] = []
        """What it has said on its terminal."""
        self._stack: AsyncExitStack
        self._failures: list[Exception] = []
        self._gateway: Gateway
        self._core: Core

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            folder = self._folder or stack.enter_context(TemporaryDirectory(prefix="missive-"))
            self.folder = Path(folder)
            self._environ |= {"MISSIVE_HOME": str(self.folder / "home"), "HOME": str(self.folder)}
            await self._start(stack)
            if not self._failures:
                self._stack = stack.pop_all()
                return self
        raise self._failures[0]

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(None, None, None)  # the test's own error is raised as it is, not in a group

    async def _start(self, stack: AsyncExitStack) -> None:
        self._write()
        settings = self._settings()
        options = call_options(protocol=settings.config.protocol, environ=self._environ)
        self._core = Core(settings, options, plugins=lambda: self._plugins(settings))
        ready = anyio.Event()

        async def show(data: Data) -> None:
            self.told.append(data)
            ready.set()

        async def run() -> None:
            try:
                await self._gateway.run()
            except Exception as error:  # noqa: BLE001 - raised below, as it is
                self._failures.append(error)
                ready.set()

        self._gateway = Gateway(self._core, load=self._settings, open_plugins=self._plugins, show=show)
        group = await stack.enter_async_context(anyio.create_task_group())
        stack.callback(self._gateway.stop, "the test has ended")
        group.start_soon(run)
        with anyio.fail_after(START_SECONDS):
            await ready.wait()

    def _write(self) -> None:
        config: Json = {"schema_version": "missive.config.v1", **self._given}
        config["gateway"] = {"bind_address": "127.0.0.1:0", "drain": "2s", **config.get("gateway", {})}
        config["agents"] = {
            **{name: {"base_url": url} for name, url in self._agents.items()},
            **config.get("agents", {}),
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "missive.toml").write_text(to_toml(json.loads(json.dumps(config))), "utf-8")

    def _settings(self) -> Settings:
        return load_settings(config_path=str(self.folder / "missive.toml"), env=self._environ)

    def _plugins(self, settings: Settings) -> Plugins:
        wanted = settings.config.plugins
        return load_plugins(catalog(Gates.of(wanted, env={}), files=(*wanted.files, *self._files)))

    # --- for the test

    @property
    def url(self) -> str:
        """Where its HTTP listener is."""
        return f"http://{self.status()['bind_address']}"

    def status(self) -> Json:
        """Return how things stand, as ``missive gateway status --json`` says it."""
        import msgspec

        found: Json = msgspec.to_builtins(self._gateway.status())
        return found

    async def ask(self, command: str, **fields: Any) -> list[Json]:
        """Give it a command, as a frame of any door would, and return the result documents; raise what it raises."""
        frame = json.dumps({"id": "test", "command": command, **fields}).encode()
        found: list[Json] = []

        async def emit(output: Output) -> None:
            found.append(output.document())

        await self._core.run(parse_envelope(frame, STDIO, default_source="test").command, emit)
        return found


def _urls(agent: FakeAgent | str | Mapping[str, FakeAgent | str] | None) -> dict[str, str]:
    if agent is None:
        return {}
    if isinstance(agent, str):
        return {"agent": agent}
    if isinstance(agent, Mapping):
        return {name: each if isinstance(each, str) else each.url for name, each in agent.items()}
    return {agent.name: agent.url}
