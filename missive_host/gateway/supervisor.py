"""Runs every enabled adapter: starts it, starts it again when it fails, stops it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

from missive_host.envelopes import from_stored
from missive_host.errors import ConfigError, MissiveError
from missive_host.folders import make_private
from missive_host.gateway.feed import JournalFeed
from missive_host.gateway.intake import GatewayIntake, Room
from missive_host.gateway.services import GOOD_SECONDS, pause_after
from missive_host.ids import now
from missive_host.outputs_gateway import AdapterStatus
from missive_host.protocols import Adapter, AdapterContext, Counters, Listener, Principal, Restoring
from missive_host.telemetry import about

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

    from missive_host.a2a.parts import FileAccess
    from missive_host.config.model import AdapterBlock
    from missive_host.gateway.dispatcher import Dispatcher
    from missive_host.plugins import Plugins
    from missive_host.specs import AdapterSpec
    from missive_host.store import WorkRow

log = logging.getLogger("missive.gateway")


class Supervised:
    """An adapter and how it fares."""

    def __init__(self, name: str, block: AdapterBlock) -> None:
        self.name = name
        self.block = block
        self.state = "starting"
        self.since = now()
        self.restarts = 0
        self.last_error: str | None = None
        self.files: FileAccess | None = None
        self.adapter: Adapter | None = None
        self.counters = Counters()
        self.scope = anyio.CancelScope()
        self.begun = anyio.Event()
        self.done = anyio.Event()

    def become(self, state: str) -> None:
        self.state, self.since = state, now()
        if state != "starting":
            self.begun.set()

    @property
    def is_down(self) -> bool:
        return self.state not in ("running", "finished")


class Supervisor:
    """The adapters of one gateway."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        room: Room,
        plugins: Callable[[], Plugins],
        *,
        listener: Listener | None,
        authenticate: Callable[[str], Principal | None] | None,
        data: Path,
    ) -> None:
        self._dispatcher = dispatcher
        self._room = room
        self._plugins = plugins
        self._listener = listener
        self._authenticate = authenticate
        self._data = data
        self._group: TaskGroup | None = None
        self.adapters: dict[str, Supervised] = {}

    # --- what others ask

    def files(self, adapter: str) -> FileAccess | None:
        """Return which files the messages of an adapter may carry, also of one that is yet to be made."""
        found = self.adapters.get(adapter)
        if found is not None and found.adapter is not None:
            return found.files
        block = self._dispatcher.core.settings.config.adapters.get(adapter)
        if block is None:
            return None
        try:
            spec, options = self._declared(adapter, block)
            return self._file_access(block, spec, options, self._data / "adapters" / adapter)
        except MissiveError:
            return None

    def views(self, in_flight: Mapping[str, int]) -> tuple[AdapterStatus, ...]:
        return tuple(
            AdapterStatus(
                name=each.name,
                kind=each.block.kind,
                state=each.state,
                required=each.block.required,
                restarts=each.restarts,
                since=each.since,
                in_flight=in_flight.get(each.name, 0),
                counters=each.counters.values(),
                **({} if each.last_error is None else {"last_error": each.last_error}),
            )
            for each in self.adapters.values()
        )

    @property
    def awaited(self) -> bool:
        """True while adapters are to be started, or to be started again."""
        return any(each.state in ("starting", "retrying") for each in self.adapters.values())

    def reasons(self) -> list[str]:
        """Return why the gateway is not ready, as far as adapters are the reason."""
        return [
            f"adapter '{each.name}' is {each.state}" + (f": {each.last_error}" if each.last_error else "")
            for each in self.adapters.values()
            if each.is_down and each.block.required
        ]

    # --- life

    def open(self, group: TaskGroup) -> None:
        self._group = group

    async def apply(self, blocks: Mapping[str, AdapterBlock], *, anew: bool = False) -> tuple[str, ...]:
        """Run these adapters: start new ones, stop those that are gone, start changed ones (with `anew` all) anew.

        Return what was done, in words.
        """
        changed: list[str] = []
        stopped: set[str] = set()
        wanted = {name: block for name, block in blocks.items() if block.enabled}
        for name, each in tuple(self.adapters.items()):
            if name not in wanted or anew or wanted[name] != each.block:
                await self._stop(each)
                del self.adapters[name]
                stopped.add(name)
                if name not in wanted:
                    changed.append(f"adapter '{name}' stopped")
        for name, block in wanted.items():
            if name not in self.adapters:
                changed.append(f"adapter '{name}' started" + (" anew" if name in stopped else ""))
                self._start(name, block)
        return tuple(changed)

    async def started(self) -> None:
        """Wait until each adapter runs, or has failed for the first time."""
        for each in tuple(self.adapters.values()):
            await each.begun.wait()

    async def stop(self) -> None:
        """Stop all reading; what was taken in goes on."""
        async with anyio.create_task_group() as group:
            for each in self.adapters.values():
                group.start_soon(self._stop, each)

    async def _stop(self, each: Supervised) -> None:
        each.scope.cancel()
        await each.done.wait()

    def _start(self, name: str, block: AdapterBlock) -> None:
        assert self._group is not None
        each = self.adapters[name] = Supervised(name, block)
        self._group.start_soon(self._supervise, each)

    async def _supervise(self, each: Supervised) -> None:
        failures = 0
        try:
            with about(adapter=each.name), each.scope:
                while True:
                    begun = anyio.current_time()
                    try:
                        await self._run(each)
                    except Exception as error:  # noqa: BLE001 - one adapter that fails must not end the others
                        failed = self._report(each, error)
                        log.warning("adapter '%s' has failed: %s", each.name, failed)
                    else:
                        each.become("finished")
                        return
                    failures = 1 if anyio.current_time() - begun > GOOD_SECONDS else failures + 1
                    await anyio.sleep(pause_after(failures))
                    each.restarts += 1
        finally:
            if each.scope.cancel_called:
                each.become("stopped")
            each.done.set()

    def _report(self, each: Supervised, error: BaseException) -> str:
        if isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        if not isinstance(error, MissiveError):
            log.debug("adapter '%s'", each.name, exc_info=error)
        report = self._dispatcher.core.report(error)
        each.last_error = report.message
        each.become("retrying")
        return f"{report.message} ({report.help})" if report.help else report.message

    async def _run(self, each: Supervised) -> None:
        each.become("starting")
        adapter = each.adapter = await self._make(each)
        await self._restore(each, adapter)
        each.become("running")
        log.info("adapter '%s' runs", each.name)
        await adapter.run(GatewayIntake(each.name, self._dispatcher, self._room))

    async def _make(self, each: Supervised) -> Adapter:
        """Make the adapter from its table of the config. Raises what is wrong with it."""
        spec, options = self._declared(each.name, each.block)
        self._learn_secrets(options)
        data_dir = self._data / "adapters" / each.name
        make_private(data_dir)
        each.files = self._file_access(each.block, spec, options, data_dir)
        made: Adapter = self._plugins().factory(spec)(
            AdapterContext(
                name=each.name,
                kind=spec.name,
                options=options,
                log=logging.getLogger(f"missive.{each.name}"),
                data_dir=data_dir,
                durable=True,
                counters=each.counters,
                listener=self._listener,
                authenticate=self._authenticate,
                events=JournalFeed(self._dispatcher.core.store, self._dispatcher.core.redactor),
            )
        )
        return made

    def _declared(self, name: str, block: AdapterBlock) -> tuple[AdapterSpec, dict[str, Any]]:
        """Return what an adapter's plugin declares, and its options. Raises what is wrong with them."""
        from missive_host.adapter_options import configured_options
        from missive_host.security.providers import Secrets

        spec, _ = self._plugins().adapter(block.kind)
        settings = self._dispatcher.core.settings
        secrets = Secrets(self._plugins, settings.environ)
        return spec, configured_options(spec, name, block.settings, settings.path, secrets)

    def _learn_secrets(self, options: Mapping[str, Any]) -> None:
        from missive_host.security.secrets import secrets_in

        for secret in secrets_in(options):
            self._dispatcher.core.redactor.add(secret)

    def _file_access(
        self, block: AdapterBlock, spec: AdapterSpec, options: Mapping[str, Any], data_dir: Path
    ) -> FileAccess | None:
        from missive_host.a2a.parts import FileAccess

        if spec.carries_files:
            return FileAccess.below(str(data_dir))
        if spec.file_root_option is not None:  # the adapter makes it, if need be
            return FileAccess(base=Path(options[spec.file_root_option]).expanduser().absolute())
        return FileAccess.below(block.file_root) if block.file_root is not None else None

    async def _restore(self, each: Supervised, adapter: Adapter) -> None:
        """Hand the adapter the deliveries that were taken in and not answered."""
        if not isinstance(adapter, Restoring):
            return
        await self._dispatcher.answers.mark()
        store = self._dispatcher.core.store
        for work in store.read(lambda tables: tables.work.undelivered(each.name)):
            self._attend(adapter, work)

    def attend(self, work: WorkRow) -> None:
        """Let the adapter of a delivery wait for its answer, if it can."""
        each = self.adapters.get(work.adapter)
        if each is not None and isinstance(each.adapter, Restoring):
            self._attend(each.adapter, work)

    def _attend(self, adapter: Restoring, work: WorkRow) -> None:
        with about(adapter=work.adapter, work_id=work.work_id):
            self._attend_to(adapter, work)

    def _attend_to(self, adapter: Restoring, work: WorkRow) -> None:
        answers = self._dispatcher.answers
        if answers.is_awaited(work.work_id) or work.reply_to is None:
            return
        try:
            viewer = adapter.restore(from_stored(work.request), work.reply_to)
        except Exception as error:  # noqa: BLE001 - what one adapter cannot read must not end the others
            said = error.message if isinstance(error, MissiveError) else type(error).__name__
            log.warning("delivery %s cannot be answered any more: %s", work.work_id, said)
            return
        if work.ended:
            answers.attach_ended(work.work_id, viewer)
        else:
            answers.attach(work.work_id, viewer)


def specs_of(plugins: Plugins, blocks: Mapping[str, AdapterBlock]) -> list[AdapterSpec]:
    """Return the declarations of the enabled adapters of the config.

    Raises `ConfigError` if there is none of one, and if two would have standard input.
    """
    specs: list[AdapterSpec] = []
    owner: str | None = None
    for name, block in blocks.items():
        if block.enabled:
            try:
                specs.append(plugins.adapter(block.kind)[0])
                plugins.require(specs[-1])
            except MissiveError as error:
                raise ConfigError(f"adapters.{name}.kind: {error.message}", help=error.help) from None
            if specs[-1].owns_stdio:
                if owner is not None:
                    raise ConfigError(
                        f"adapters.{name}: standard input is read by the adapter '{owner}' already",
                        help=f"set enabled = false in one of the two: [adapters.{owner}] or [adapters.{name}]",
                    )
                owner = name
    return specs
