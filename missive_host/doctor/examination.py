"""All checks at the same time. Whatever one of them raises, or however long it takes, is a finding of its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import anyio
import msgspec

from missive_host.config.model import Agent as AgentBlock
from missive_host.core.telemetry import wanted_urls
from missive_host.doctor import daemon, installed, machine, remote, stored
from missive_host.doctor.collector import collector
from missive_host.doctor.findings import failed, quoted, skipped
from missive_host.errors import MissiveError
from missive_host.outputs_doctor import DoctorCheck, DoctorOverall, DoctorResult
from missive_host.security.providers import Secrets
from missive_host.security.redact import Redactor
from missive_host.store.examining import Examined, examine

if TYPE_CHECKING:
    from pathlib import Path

    from missive_host.a2a.client import Connections
    from missive_host.config import Settings
    from missive_host.errors import ConfigError
    from missive_host.plugins import Plugins
    from missive_host.protocols import AgentTransport
    from missive_host.security.options import CallOptions

T = TypeVar("T")

SECONDS = 10.0
"""How long one check may take, if nothing else is said."""
EXIT_INTERNAL = 70
EXIT_LATE = 69
ORDER = (
    "binary",
    "plugins",
    "config",
    "state",
    "disk",
    "store",
    "credentials",
    "a2a",
    "clock",
    "gateway",
    "adapters",
    "sinks",
    "filters",
    "telemetry",
)
"""In which order categories are shown; the first check that failed gives the exit code."""


class Examination(msgspec.Struct, kw_only=True):
    """What is to be looked at."""

    settings: Settings
    """With the built-in defaults if the configuration cannot be used."""
    config_error: ConfigError | None = None
    places: bool = True
    """Whether it is known where the state lies; if not, `settings.paths` mean nothing."""
    options: CallOptions
    open_plugins: Callable[[], tuple[Plugins, tuple[str, ...]]]
    seconds: float = SECONDS
    progress: Callable[[int, int, tuple[str, ...]], None] = lambda done, total, waiting: None  # noqa: ARG005
    """Told how many of how many probes are done, and which are not."""


async def diagnose(what: Examination) -> DoctorResult:
    """Run every check. Raises nothing that is a fault of the home."""
    run = _Run(what)
    async with anyio.create_task_group() as group:
        await run.start(group)
    return run.result()


class _Run:
    def __init__(self, what: Examination) -> None:
        self.what = what
        self.settings = what.settings
        self.checks: list[DoctorCheck] = []
        self.redactor = Redactor(what.options.secrets)
        self.installed = installed.Installed(what.settings, what.open_plugins)
        self.secrets = Secrets(self._plugins, what.settings.environ)
        self.examined = Examined(exists=False)
        self.skews: dict[str, float] = {}
        self._store_known, self._credentials_known, self._plugins_free = anyio.Event(), anyio.Event(), anyio.Event()
        self._waiting: dict[str, None] = {}
        self._total = 0

    def _plugins(self) -> Plugins:
        from missive_host.errors import PluginError

        if self.installed.plugins is None:
            raise PluginError("no plugin can be loaded", help="missive plugin check")
        return self.installed.plugins

    async def start(self, group: anyio.abc.TaskGroup) -> None:
        settings, seconds = self.settings, self.what.seconds
        self.checks.append(machine.binary())
        self.checks.append(machine.configuration(settings, self.what.config_error))
        group.start_soon(self._look_at_installed)
        if not self.what.places:
            reason = "it is not known where the state lies: see config.discovery_validation"
            self.checks += [skipped(name, reason) for name in ("state.paths", "disk.space", "store.sqlite_migrations")]
            self.checks.append(skipped("gateway.status", reason))
            self._store_known.set()
        else:
            group.start_soon(self._probe, "state.paths", lambda: machine.folders(settings.paths, _log(settings)))
            group.start_soon(self._probe, "disk.space", lambda: (machine.disk(settings.paths),))
            group.start_soon(self._look_at_store)
            group.start_soon(self._probe, "gateway.status", lambda: (daemon.gateway(settings, seconds),))
        group.start_soon(self._look_at_agents)
        if wanted_urls(settings.config.telemetry, settings.environ):
            group.start_soon(self._probe, "telemetry.collector", lambda: collector(settings, seconds))

    # --- the parts

    async def _look_at_store(self) -> None:
        path = self.settings.paths.database

        def look() -> Iterable[DoctorCheck]:
            self.examined = examine(path, self.what.seconds * 0.8)
            return stored.store(path, self.examined)

        try:
            await self._probe("store.sqlite_migrations", look)
        finally:
            self._store_known.set()

    async def _look_at_installed(self) -> None:
        one = self.installed
        try:
            await self._probe("plugins.load", one.check_plugins)
            await self._probe("credentials.present", partial(one.check_credentials, self.secrets, self.redactor))
        finally:
            self._credentials_known.set()
        await self._probe("adapters.configured", partial(one.check_adapters, self.secrets, self.redactor))
        self._plugins_free.set()

    async def _look_at_agents(self) -> None:
        from missive_host.a2a.client import Connections

        await self._store_known.wait()
        agents = self._agents()
        if not agents:
            reason = "no agent is registered"
            if self.what.config_error is not None:
                reason = "no agent is known: those of the configuration are not, as long as it cannot be used"
            add = "missive agent add ALIAS URL  # ALIAS: a name for it; URL: where it is"
            self.checks.append(skipped("a2a.endpoints", reason, add))
        connections = Connections(connect_timeout=self.what.seconds, open_transport=self._open_transport)
        try:
            async with anyio.create_task_group() as group:
                for agent in agents:
                    group.start_soon(self._look_at_agent, agent, connections)
        finally:
            with anyio.CancelScope(shield=True):
                await connections.aclose()
        newest = self.examined.newest_event
        await self._probe("clock.skew", lambda: (remote.clock(self.skews, newest),))

    def _agents(self) -> list[remote.Agent]:
        """Return the agents of the configuration, and those of the store that are not in it."""
        found: dict[str, remote.Agent] = {}
        for row in self.examined.agents:
            if row.source != "config_seed" or self.what.config_error is not None:
                found[row.alias] = remote.Agent(
                    alias=row.alias,
                    base_url=row.base_url,
                    interface_urls=row.interface_urls,
                    binding_preference=row.binding_preference,
                    auth_ref=row.auth_ref,
                    configured=row.read_only,
                )
        for alias, block in self.settings.config.agents.items():
            found[alias] = _configured(alias, block)
        return [found[alias] for alias in sorted(found)]

    async def _look_at_agent(self, agent: remote.Agent, connections: Connections) -> None:
        from missive_host.a2a.transport import scheme_of
        from missive_host.core.agents import call_headers

        name = f"a2a.endpoints.{agent.alias}"
        if agent.auth_ref:
            await self._credentials_known.wait()
        if scheme_of(agent.base_url) is not None:
            await self._plugins_free.wait()
        credential = self.installed.headers.get(agent.auth_ref, None) if agent.auth_ref else ()
        edit = f"${{EDITOR:-vi}} {quoted(self.settings.path or 'config.toml')}"
        if isinstance(credential, MissiveError):
            self.checks.append(skipped(name, f"its credential cannot be had: see credentials.{agent.auth_ref}"))
            return
        if credential is None:
            message = f"it uses the auth ref '{agent.auth_ref}', which the configuration does not have"
            clear = f"missive agent update {agent.alias} --clear auth_ref"
            self.checks.append(failed(name, machine.EXIT_CONFIG, message, clear, edit))
            return
        headers = call_headers(self.settings.config.protocol, self.what.options, credential)

        async def look() -> Iterable[DoctorCheck]:
            looked = await remote.look_at(agent, connections, headers, self.settings.environ, edit)
            if looked.skew is not None:
                self.skews[agent.alias] = looked.skew
            return looked.checks

        await self._probe(name, None, look)

    def _open_transport(self, scheme: str) -> AgentTransport:
        import logging

        from missive_host.protocols import TransportContext

        plugins = self._plugins()
        spec, _ = plugins.transport(scheme)
        log = logging.getLogger(f"missive.transports.{spec.name}")
        made: AgentTransport = plugins.factory(spec)(TransportContext(spec.name, log, self.what.seconds))
        return made

    # --- running one

    async def _probe(
        self,
        name: str,
        in_thread: Callable[[], Iterable[DoctorCheck]] | None,
        on_loop: Callable[[], Awaitable[Iterable[DoctorCheck]]] | None = None,
    ) -> None:
        """Run one part and keep what it finds: in a thread what reads files, on the loop what calls agents."""
        self._total += 1
        self._waiting[name] = None
        self._say()
        seconds = self.what.seconds
        found: list[DoctorCheck] = []
        try:
            with anyio.fail_after(seconds):
                if in_thread is not None:
                    found.extend(await _in_thread(lambda: tuple(in_thread())))
                elif on_loop is not None:
                    found.extend(await on_loop())
        except TimeoutError:
            longer = f"missive doctor --timeout {2 * seconds:.0f}s"
            found.append(failed(name, EXIT_LATE, f"no answer within {seconds:g} s", longer))
        except MissiveError as error:
            found.append(failed(name, error.exit_code, error.message, *([error.help] if error.help else [])))
        except Exception as error:  # noqa: BLE001 - one check that breaks must not hide what the others found
            message = f"this check broke: {type(error).__name__}: {error}"
            found.append(failed(name, EXIT_INTERNAL, message, "missive doctor --trace"))
        self.checks += found
        del self._waiting[name]
        self._say()

    def _say(self) -> None:
        self.what.progress(self._total - len(self._waiting), self._total, tuple(self._waiting))

    # --- the result

    def result(self) -> DoctorResult:
        checks = sorted(self.checks, key=lambda check: ORDER.index(check.category))
        count = {status: sum(c.status == status for c in checks) for status in ("pass", "warning", "fail", "skipped")}
        codes = [check.exit_code for check in checks if isinstance(check.exit_code, int)]
        status = "fail" if codes else "warning" if count["warning"] else "pass"
        words = {"pass": "passed", "warning": "warned", "fail": "failed", "skipped": "skipped"}
        said = ", ".join(f"{count[each]} {word}" for each, word in words.items())
        result = DoctorResult(
            profile=self.settings.profile,
            scope="local_remote_gateway",
            overall=DoctorOverall(
                status=status,  # type: ignore[arg-type]
                exit_code=codes[0] if codes else 0,
                check_count=len(checks),
                passed=count["pass"],
                warnings=count["warning"],
                failed=count["fail"],
                skipped=count["skipped"],
            ),
            checks=tuple(checks),
            message=said,
        )
        return msgspec.convert(self.redactor.known(msgspec.to_builtins(result)), DoctorResult)


async def _in_thread(work: Callable[[], T]) -> T:
    """Run `work` in a thread that may be abandoned; anyio's own would keep the process from ending."""
    import asyncio
    from threading import Thread

    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if done.done():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result, error = None, None
        try:
            result = work()
        except Exception as raised:  # noqa: BLE001 - raised again on the loop
            error = raised
        with suppress(RuntimeError):  # the loop has been closed: nobody waits any more
            loop.call_soon_threadsafe(settle, result, error)

    Thread(target=run, name="missive doctor", daemon=True).start()
    return await done


def _log(settings: Settings) -> Path | None:
    """Return the file of the gateway's log, if it has one."""
    return None if settings.config.logging.destination == "stderr" else settings.log_file


def _configured(alias: str, block: AgentBlock) -> remote.Agent:
    return remote.Agent(
        alias=alias,
        base_url=block.base_url,
        interface_urls={**block.interfaces, **block.interface_urls},
        binding_preference=block.binding_preference,
        auth_ref=block.auth_ref,
        configured=True,
    )
