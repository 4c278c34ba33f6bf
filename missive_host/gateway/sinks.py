"""Writes the journal to every enabled event sink. What a sink has not taken waits in the journal, not in memory.

::

    journal ─► JournalFeed.look ─► EventSink.write ─► its place is written down ─► look again
                     ▲                    │ fails: made anew after a pause, the same events again
                     └── too far behind: what is older than `backlog` is dropped, and counted
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread

from missive_host.errors import ConfigError, IoError, MissiveError, ValidationError
from missive_host.folders import make_private
from missive_host.gateway import feed as feeds
from missive_host.gateway.services import GOOD_SECONDS, pause_after
from missive_host.ids import now
from missive_host.outputs_gateway import SinkStatus
from missive_host.protocols import EventSink, JournalEvent, SinkContext

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

    from missive_host.config.model import SinkBlock
    from missive_host.core.core import Core
    from missive_host.plugins import Plugins

log = logging.getLogger("missive.gateway")

WRITE_SECONDS = 60.0
"""How long a sink may take to keep a hundred events."""
LAST_SECONDS = 5.0
"""How long, when the gateway stops, sinks may take to keep what is left."""


class RunningSink:
    """One sink: how far it has come, and how it fares."""

    def __init__(self, name: str, block: SinkBlock, place: Path, newest: int) -> None:
        self.name = name
        self.block = block
        self.place = Place(place)
        self.newest = newest
        """Where the journal ended when the sink was started."""
        self.state = "starting"
        self.since = now()
        self.written = 0
        self.dropped = 0
        self.failures = 0
        self.last_error: str | None = None
        self.stopping = anyio.Event()
        self.scope = anyio.CancelScope()
        self.done = anyio.Event()

    def become(self, state: str) -> None:
        if state != self.state:
            self.state, self.since = state, now()


class Sinks:
    """The event sinks of one gateway."""

    def __init__(self, core: Core, plugins: Callable[[], Plugins]) -> None:
        self._core = core
        self._plugins = plugins
        self._group: TaskGroup | None = None
        self.sinks: dict[str, RunningSink] = {}

    @property
    def _feed(self) -> feeds.JournalFeed:
        return feeds.JournalFeed(self._core.store, self._core.redactor)

    def views(self, newest: int) -> tuple[SinkStatus, ...]:
        """Return how each fares; `newest` is where the journal ends."""
        return tuple(
            SinkStatus(
                name=each.name,
                kind=each.block.kind,
                state=each.state,
                since=each.since,
                written=each.written,
                behind=0 if each.place.position is None else max(0, newest - each.place.position),
                dropped=each.dropped,
                failures=each.failures,
                **({} if each.last_error is None else {"last_error": each.last_error}),
            )
            for each in self.sinks.values()
        )

    # --- life

    def open(self, group: TaskGroup) -> None:
        self._group = group

    async def apply(self, blocks: Mapping[str, SinkBlock], *, anew: bool = False) -> tuple[str, ...]:
        """Run these sinks: start new ones, stop those that are gone, start changed ones (with `anew` all) anew.

        Return what was done, in words.
        """
        changed: list[str] = []
        wanted = {name: block for name, block in blocks.items() if block.enabled}
        gone = [each for name, each in self.sinks.items() if anew or wanted.get(name) != each.block]
        await self._stop(gone)
        for each in gone:
            del self.sinks[each.name]
            if each.name not in wanted:
                changed.append(f"sink '{each.name}' stopped")
        stopped = {each.name for each in gone}
        for name, block in wanted.items():
            if name not in self.sinks:
                changed.append(f"sink '{name}' started" + (" anew" if name in stopped else ""))
                self._start(name, block)
        return tuple(changed)

    async def stop(self) -> None:
        """Let each keep what is left, for a while."""
        await self._stop(list(self.sinks.values()))

    async def _stop(self, sinks: list[RunningSink]) -> None:
        for each in sinks:
            each.stopping.set()
        with anyio.move_on_after(LAST_SECONDS):
            for each in sinks:
                await each.done.wait()
        for each in sinks:
            each.scope.cancel()
            await each.done.wait()

    def _start(self, name: str, block: SinkBlock) -> None:
        assert self._group is not None
        place, newest = self._folder(name).with_name(f"{name}.place.json"), self._feed.position()
        each = self.sinks[name] = RunningSink(name, block, place, newest)
        self._group.start_soon(self._keep, each)

    def _folder(self, name: str) -> Path:
        return self._core.settings.paths.data / "sinks" / name

    async def _keep(self, each: RunningSink) -> None:
        """Run a sink; after a failure make it anew."""
        failures = 0
        try:
            with each.scope:
                while True:
                    begun = anyio.current_time()
                    try:
                        await self._run(each)
                        break
                    except Exception as error:  # noqa: BLE001 - a sink that fails must not end the gateway
                        log.warning("sink '%s' has failed: %s", each.name, self._report(each, error))
                    if each.stopping.is_set():
                        break
                    failures = 1 if anyio.current_time() - begun > GOOD_SECONDS else failures + 1
                    with anyio.move_on_after(pause_after(failures)):
                        await each.stopping.wait()
        finally:
            each.become("stopped")
            each.done.set()

    def _report(self, each: RunningSink, error: BaseException) -> str:
        if isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        if not isinstance(error, MissiveError):
            log.debug("sink '%s'", each.name, exc_info=error)
        report = self._core.report(error)
        each.last_error = report.message
        each.failures += 1
        each.become("retrying")
        return f"{report.message} ({report.help})" if report.help else report.message

    async def _run(self, each: RunningSink) -> None:
        folder = self._folder(each.name)
        make_private(folder)
        await self._find_place(each)
        sink = self._make(each, folder)
        try:
            await self._follow(each, sink)
        finally:
            with anyio.move_on_after(LAST_SECONDS, shield=True):
                await sink.aclose()

    def _make(self, each: RunningSink, folder: Path) -> EventSink:
        """Make the sink from its table of the config. Raises what is wrong with it."""
        from missive_host.adapter_options import configured_options
        from missive_host.security.providers import Secrets
        from missive_host.security.secrets import secrets_in

        spec, _ = self._plugins().sink(each.block.kind)
        settings = self._core.settings
        secrets = Secrets(self._plugins, settings.environ)
        options = configured_options(spec, each.name, each.block.settings, settings.path, secrets)
        for secret in secrets_in(options):
            self._core.redactor.add(secret)
        made: EventSink = self._plugins().factory(spec)(
            SinkContext(
                name=each.name,
                kind=spec.name,
                options=options,
                log=logging.getLogger(f"missive.sinks.{each.name}"),
                data_dir=folder,
                profile=self._core.profile,
            )
        )
        return made

    # --- writing

    async def _find_place(self, each: RunningSink) -> None:
        if each.place.position is not None:
            return  # it has run before: how far it has come is known
        known = await anyio.to_thread.run_sync(each.place.load)
        if known is None and each.block.begin == "oldest":
            known = max(0, each.newest - each.block.backlog)
        elif known is not None and known > self._feed.position():
            log.warning("sink '%s': the journal is another one; it goes on from its end", each.name)
            known = None
        each.place.position = each.newest if known is None else known
        await anyio.to_thread.run_sync(each.place.save)

    async def _follow(self, each: RunningSink, sink: EventSink) -> None:
        """Write what comes, until it is to stop and nothing is left."""
        while True:
            if self._drop(each):
                await anyio.to_thread.run_sync(each.place.save)
            assert each.place.position is not None
            events, reached = self._feed.look(each.place.position, each.block.types)
            if events:
                await self._write(each, sink, events)
            if reached != each.place.position:
                each.place.position = reached
                await anyio.to_thread.run_sync(each.place.save)
            each.become("running")
            if len(events) < feeds.AT_ONCE and reached >= self._feed.position():
                if each.stopping.is_set():
                    return
                with anyio.move_on_after(feeds.LOOK_SECONDS):
                    await each.stopping.wait()

    async def _write(self, each: RunningSink, sink: EventSink, events: tuple[JournalEvent, ...]) -> None:
        try:
            with anyio.move_on_after(WRITE_SECONDS) as patience:
                await sink.write(events)
            if patience.cancelled_caught:
                raise IoError(f"the sink did not keep {len(events)} events within {WRITE_SECONDS:g} s")
        except ValidationError as error:
            if len(events) > 1:  # which of them it was is found by handing them over one by one
                for event in events:
                    await self._write(each, sink, (event,))
                    each.place.position = event.position
                return
            each.dropped += 1
            report = self._core.report(error)
            each.last_error = report.message
            log.warning("sink '%s' does not take event %d: %s", each.name, events[0].position, report.message)
        else:
            each.written += len(events)

    def _drop(self, each: RunningSink) -> bool:
        """Give up what is older than the sink may be behind; tell whether there was something."""
        assert each.place.position is not None
        oldest = self._feed.position() - each.block.backlog
        if each.place.position >= oldest:
            return False
        dropped = self._feed.count(each.place.position, oldest, each.block.types)
        each.place.position = oldest
        each.dropped += dropped
        if dropped:
            log.warning("sink '%s' is more than %d events behind: %d dropped", each.name, each.block.backlog, dropped)
        return True


class Place:
    """How far a sink has come, in a file of its own."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.position: int | None = None

    def load(self) -> int | None:
        """Return what is in the file. One that cannot be understood is as none."""
        with suppress(FileNotFoundError, ValueError, TypeError, KeyError):
            return int(json.loads(self._file.read_bytes())["position"])
        return None

    def save(self) -> None:
        """Write it, whole or not at all. Raises `IoError`."""
        new = self._file.with_suffix(".new")
        try:
            with new.open("w", encoding="utf-8") as stream:
                json.dump({"position": self.position}, stream)
                stream.flush()
                os.fsync(stream.fileno())
            new.replace(self._file)
        except OSError as error:
            raise IoError(f"while writing {self._file}: {error.strerror}") from None


def check_sinks(plugins: Plugins, blocks: Mapping[str, Any]) -> None:
    """Raise `ConfigError` if there is no such sink as an enabled table of the config wants."""
    for name, block in blocks.items():
        if block.enabled:
            try:
                spec, _ = plugins.sink(block.kind)
                plugins.require(spec)
            except MissiveError as error:
                raise ConfigError(f"sinks.{name}.kind: {error.message}", help=error.help) from None
