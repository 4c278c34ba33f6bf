"""The daemon: everything that runs in it, started in order and stopped in the reverse order.

::

    lock ─► store ─► listener, control socket ─► dispatcher ─► adapters ─► ready
    stop:  adapters read no more ─► what runs ends, for `drain` ─► the rest is given back ─► listener, sinks
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import anyio
import msgspec

from missive_host.commands import duration_seconds
from missive_host.core.recorder import journal_event
from missive_host.core.seeding import seed
from missive_host.errors import ConfigError, MissiveError, StorageError, ValidationError
from missive_host.filters import Filters
from missive_host.gateway.control import control_path, serve_control
from missive_host.gateway.dispatcher import Dispatcher
from missive_host.gateway.following import TaskFollowers
from missive_host.gateway.health import HealthPaths, health_app
from missive_host.gateway.intake import Room
from missive_host.gateway.listener import HttpListener
from missive_host.gateway.lock import DaemonLock
from missive_host.gateway.measured import measured
from missive_host.gateway.metrics import Metrics
from missive_host.gateway.notify import Notifier
from missive_host.gateway.push import PushReceiver
from missive_host.gateway.schedules import Schedules
from missive_host.gateway.services import Services
from missive_host.gateway.sinks import Sinks, check_sinks
from missive_host.gateway.supervisor import Supervisor, specs_of
from missive_host.gateway.tokens import Authenticator
from missive_host.gateway.truth import Truth
from missive_host.ids import after
from missive_host.outputs_gateway import (
    GatewayStarted,
    GatewayStopped,
    Status,
)
from missive_host.security.providers import Secrets

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

    from missive_host.a2a.parts import FileAccess
    from missive_host.config import Settings
    from missive_host.core.core import Core
    from missive_host.core.telemetry import Telemetry
    from missive_host.outputs import Data
    from missive_host.plugins import Plugins
    from missive_host.store import WorkRow

log = logging.getLogger("missive.gateway")

HOUSEKEEPING_SECONDS = 600.0
START_SECONDS = 10.0
"""How long adapters may take to start before the gateway says that it runs without them."""
WATCH_SECONDS = 5.0
"""How often the store is tried, while it takes nothing."""


class Gateway:
    """One daemon.

    `load` reads the configuration again, `open_plugins` finds the plugins that a configuration allows; `show` is told
    what has happened, for the terminal. `set_log_up` lets the log go where a configuration says, and opens its file
    anew; `last_words` keeps in it what ended the gateway.
    """

    def __init__(
        self,
        core: Core,
        *,
        load: Callable[[], Settings],
        open_plugins: Callable[[Settings], Plugins],
        show: Callable[[Data], Awaitable[None]],
        bind: str | None = None,
        paths: HealthPaths | None = None,
        set_log_up: Callable[[Settings], None] = lambda _settings: None,
        last_words: Callable[[Exception], None] = lambda _error: None,
        telemetry: Telemetry | None = None,
    ) -> None:
        self.core = core
        self._load = load
        self._open_plugins = open_plugins
        self._plugins = open_plugins(core.settings)
        self._show = show
        self._bind = bind
        self._paths = paths or HealthPaths()
        self._set_log_up = set_log_up
        self._last_words = last_words
        self._began = time.monotonic()
        self._state = "starting"
        self._notifier = Notifier()
        self._metrics = Metrics()
        self._measured = measured(telemetry, self._metrics, self.status)
        core.on_call = self._metrics.called
        self._listener: HttpListener | None = None
        self._stopping = anyio.Event()
        self._reason = ""
        self._hurry = anyio.Event()
        self.room = Room(lambda: self.core.settings.config.gateway.capacity, self._adapter_capacity)
        self.dispatcher = Dispatcher(core, files=self._files, adapter_limit=self._adapter_limit, observer=self._metrics)
        self.dispatcher.on_ended = self._ended
        self._schedules = Schedules(core)
        self.followers = TaskFollowers(core)
        self._receiver = PushReceiver(core, followers=self.followers)
        self._services = Services()
        self._sinks = Sinks(core, lambda: self._plugins)
        self._supervisor: Supervisor
        self._truth: Truth

    def _adapter_capacity(self, adapter: str) -> int | None:
        block = self.core.settings.config.adapters.get(adapter)
        return block.capacity if block is not None else None

    def _adapter_limit(self, adapter: str) -> int | None:
        block = self.core.settings.config.adapters.get(adapter)
        return block.concurrency if block is not None else None

    def _open_filters(self, settings: Settings, plugins: Plugins) -> Filters:
        return Filters(settings.config, plugins, Secrets(lambda: plugins, settings.environ), self.core.redactor.add)

    def _files(self, adapter: str) -> FileAccess | None:
        return self._supervisor.files(adapter)

    # --- life

    async def run(self) -> int:
        """Run until it is told to stop, and return the exit status.

        Raises `StorageError` if another daemon runs in this home and profile, `ConfigError` for a configuration that
        cannot be used.
        """
        if not self.core.settings.config.gateway.enabled:
            raise ConfigError("the gateway is switched off in this profile", help="set gateway.enabled = true")
        specs = specs_of(self._plugins, self.core.settings.config.adapters)
        check_sinks(self._plugins, self.core.settings.config.sinks)
        self.dispatcher.filters = self._open_filters(self.core.settings, self._plugins).of
        if any(spec.owns_stdio for spec in specs):
            self._show = _silent
        paths = self.core.settings.paths
        with DaemonLock(paths):
            try:
                async with AsyncExitStack() as stack:
                    await self._run(stack)
            except Exception as error:
                self._last_words(error)
                raise
            finally:
                await self.core.aclose()
        return 0

    async def _run(self, stack: AsyncExitStack) -> None:
        core = self.core
        self.core.store  # noqa: B018 - opened before anything can ask for it
        loop = asyncio.get_running_loop()

        def ring() -> None:
            loop.call_soon_threadsafe(self.wake)

        core.on_new_work = ring
        self._listener = listener = HttpListener(self._bind or core.settings.config.gateway.bind_address)
        stack.callback(listener.close)
        authenticate = Authenticator(core.store)
        self._supervisor = Supervisor(
            self.dispatcher,
            self.room,
            lambda: self._plugins,
            listener=listener,
            authenticate=authenticate,
            data=core.settings.paths.data,
        )
        self._truth = Truth(core, self.dispatcher, self._supervisor, self.followers, self._services, self._sinks)
        for work_id, adapter, lane in core.store.read(lambda tables: tables.work.open_places()):
            self.room.take(work_id, adapter, lane)
        self.dispatcher.on_unattended = self._supervisor.attend
        async with anyio.create_task_group() as group:
            await group.start(self._signals)
            # From elsewhere only who has a token sees more than whether we live.
            allowed = None if listener.is_loopback else lambda token: authenticate(token) is not None
            health = health_app(
                self.status, metrics=self._metrics, paths=self._paths, allowed=allowed, whole=self._is_whole
            )
            stack.enter_context(listener.mount("", health))
            stack.enter_context(listener.mount(self._receiver.path, self._receiver.app()))
            await group.start(listener.serve)
            left = await self.dispatcher.reclaim(dead=lambda owner: owner.startswith("gateway/"))
            if left:
                log.info("the gateway before this one was ended in the middle of work; taken up again: %d", left)
            await group.start(self.dispatcher.run)
            await group.start(serve_control, control_path(core.settings.paths), self._control)
            self._sinks.open(group)
            await self._sinks.apply(core.settings.config.sinks)
            self._supervisor.open(group)
            await self._supervisor.apply(core.settings.config.adapters)
            for name, service in (
                ("schedules", self._schedules.run),
                ("subscriptions", self.followers.run),
                ("housekeeping", self._keep_house),
            ):
                group.start_soon(self._services.keep, name, service)
            if self._measured is not None:
                group.start_soon(self._services.keep, "telemetry", self._measured.run)
            group.start_soon(self._watch)
            await self._begin()
            await self._stopping.wait()
            await self._end(group)

    async def _begin(self) -> None:
        with anyio.move_on_after(START_SECONDS):
            await self._supervisor.started()
        self._state = "running"
        assert self._listener is not None
        log.info("the gateway of the profile '%s' runs on %s", self.core.profile, self._listener.url)
        await self._journal("started", {"bind_address": self._listener.url, "pid": os.getpid()})
        self._notifier.ready(f"listening on {self._listener.url}")
        url = self._listener.url
        await self._show(
            GatewayStarted(
                profile=self.core.profile,
                bind_address=url.removeprefix("http://"),
                health_url=url + self._paths.health,
                ready_url=url + self._paths.ready,
                status_url=url + self._paths.status,
                job_concurrency=self.core.settings.config.gateway.job_concurrency,
                components=self._truth.components(self._listener),
                message=f"the gateway runs on {url}",
            )
        )

    async def _end(self, group: TaskGroup) -> None:
        self._state = "draining"
        self._notifier.stopping()
        log.info("stopping: %s", self._reason)
        await self._supervisor.stop()
        left = await self._drain(duration_seconds(self.core.settings.config.gateway.drain))
        self._state = "stopping"
        assert self._listener is not None
        self._listener.stop()
        await self._listener.stopped()
        await self._journal("stopped", {"reason": self._reason, "given_back": left})
        await self._sinks.stop()
        log.info("the gateway has stopped; given back: %d", left)
        if self._measured is not None:
            await self._measured.end()
        group.cancel_scope.cancel()
        with anyio.CancelScope(shield=True):
            await self._show(
                GatewayStopped(
                    profile=self.core.profile,
                    bind_address=self._listener.url.removeprefix("http://"),
                    shutdown_reason=self._reason,
                    uptime_ms=int((time.monotonic() - self._began) * 1000),
                    given_back=left,
                    message="the gateway has stopped"
                    + (f"; {left} that were under way are done when it runs again" if left else ""),
                )
            )

    async def _drain(self, seconds: float) -> int:
        """Let what runs end; a second signal ends the waiting."""
        left = 0
        async with anyio.create_task_group() as group:

            async def cut_short() -> None:
                await self._hurry.wait()
                self.dispatcher.hurry()

            group.start_soon(cut_short)
            left = await self.dispatcher.drain(seconds)
            group.cancel_scope.cancel()
        return left

    def stop(self, reason: str) -> None:
        """Stop after draining; called a second time: at once."""
        if self._stopping.is_set():
            self._hurry.set()
        self._reason = self._reason or reason
        self._stopping.set()

    async def _signals(self, *, task_status: Any) -> None:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
            task_status.started()
            async for number in signals:
                if number == signal.SIGHUP:
                    try:
                        await self.reload()
                    except MissiveError as error:
                        log.warning("the configuration stays as it was: %s", error.message)
                else:
                    self.stop("signal")

    # --- reloading

    async def reload(self) -> tuple[str, ...]:
        """Read the configuration again and start anew what has changed; return what that was.

        Raises `MissiveError` if it cannot be used; then everything stays as it is.
        """
        if self._stopping.is_set():  # else the adapters that have just been stopped would be started anew
            raise ValidationError("the gateway stops", help="what has changed counts when it is started again")
        self._notifier.reloading()
        self._set_log_up(self.core.settings)  # whatever else is wrong: logrotate waits for that
        try:
            settings = self._load()
            plugins = self._open_plugins(settings)
            specs_of(plugins, settings.config.adapters)
            check_sinks(plugins, settings.config.sinks)
            filters = self._open_filters(settings, plugins)
            before = self.core.settings.config
            after = settings.config
            changed: list[str] = []
            if settings.paths != self.core.settings.paths:
                raise ValidationError("the store lies elsewhere now", help="restart the gateway")
            if (after.agents, after.groups) != (before.agents, before.groups):
                await anyio.to_thread.run_sync(seed, self.core.store, after)
                changed.append("agents and groups")
            self.core.settings = settings
            self._plugins = plugins
            self.dispatcher.filters = filters.of
            self._set_log_up(settings)
            if after.logging != before.logging:
                changed.append("logging")
            if after.filters != before.filters:
                changed.append("filters")
            if after.telemetry != before.telemetry:
                changed.append("telemetry needs a restart")
            if after.gateway != before.gateway:
                changed.append("gateway")
                if self._bind is None and after.gateway.bind_address != before.gateway.bind_address:
                    changed.append("gateway.bind_address needs a restart")
            anew = after.plugins != before.plugins
            changed += await self._sinks.apply(after.sinks, anew=anew)
            changed += await self._supervisor.apply(after.adapters, anew=anew)
            log.info("the configuration has been read again: %s", ", ".join(changed) or "nothing has changed")
            await self._journal("reloaded", {"changed": changed})
        finally:
            self._notifier.ready()
        self.dispatcher.wake()
        return tuple(changed)

    def wake(self) -> None:
        """There is something new in the store."""
        self.dispatcher.wake()
        self._schedules.wake()

    # --- what is asked on the control socket

    async def _control(self, request: dict[str, Any]) -> dict[str, Any]:
        command = request["command"]
        if command == "status":
            status: dict[str, Any] = msgspec.to_builtins(self.status())
            return status
        if command == "stop":
            self.stop("stopped by the operator")
            return {"pid": os.getpid()}
        if command == "reload":
            return {"changed": list(await self.reload())}
        if command == "wake":
            self._notice(request.get("ended", ()))
            self.wake()
            return {}
        raise ValidationError(f"the gateway knows no command '{command}'", help="it may be of another version")

    def _notice(self, work_ids: Sequence[str]) -> None:
        """Another process has ended work that waited."""
        for work in self.core.store.read(lambda tables: [tables.work.get(work_id) for work_id in work_ids]):
            if work is not None and work.ended:
                self.dispatcher.answers.notice(work.work_id)
                self._ended(work)

    def _is_whole(self) -> bool:
        """Tell whether all that is to be served is served."""
        return self._state != "starting" and not self._supervisor.awaited

    def status(self) -> Status:
        """Return how things stand."""
        return self._truth.status(self._state, self._listener)

    # --- what goes on beside

    def _ended(self, work: WorkRow) -> None:
        """Work has ended: there is room for more."""
        self.room.leave(work.work_id)

    async def _keep_house(self) -> None:
        """Forget answers that are older than they are kept."""
        while True:
            keep = duration_seconds(self.core.settings.config.gateway.keep_answers)
            try:
                await self._prune(after(-keep))
                await self._receiver.forget()
            except StorageError as error:
                log.warning("old answers could not be forgotten: %s", error.message)
            await anyio.sleep(min(HOUSEKEEPING_SECONDS, keep))

    async def _prune(self, before: str) -> None:
        forgotten = 1
        while forgotten:
            forgotten = await self.core.store.commit(lambda tables: tables.work.prune(before))

    async def _watch(self) -> None:
        """Tell the watchdog that the loop turns; try a store that takes nothing, so that readiness comes back."""
        interval = self._notifier.watchdog_seconds
        while True:
            await anyio.sleep(min(interval or WATCH_SECONDS, WATCH_SECONDS))
            if interval is not None:
                self._notifier.alive()
            if self.dispatcher.storage_error is not None:
                await self.dispatcher.try_store()

    async def _journal(self, name: str, payload: dict[str, Any]) -> None:
        event = journal_event(f"missive.gateway.{name}", source="gateway:daemon", payload=payload)
        try:
            with anyio.CancelScope(shield=True):
                await self.core.store.commit(lambda tables: tables.events.append(event))
        except StorageError as error:
            log.warning("the journal could not be written: %s", error.message)


async def _silent(data: Data) -> None:
    """Show nothing."""
