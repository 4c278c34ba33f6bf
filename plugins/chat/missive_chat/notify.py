"""Tells other services how jobs and tasks have come out, by Apprise. Outbound only: nothing comes in here.

Each service has its own place in the journal, written down after it has taken a message: one that is not there holds up
no other, and a crash repeats one message at most. The URLs of services hold secrets; of them only the scheme is ever
shown.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import secrets
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread

from missive_chat.notices import TYPES, Notice, Words, digest, fault_of, notice_of, words_for
from missive_host.errors import ConfigError, IoError

if TYPE_CHECKING:
    from logging import Logger

    from apprise import Apprise

    from missive_host.protocols import AdapterContext, Counters, EventFeed, Intake, JournalEvent

PAUSES = (1.0, 2.0, 5.0, 15.0, 30.0, 60.0, 120.0)
"""Seconds between the tries of one message; after the last it is given up."""
SEND_SECONDS = 90.0
FEW = 5
"""More than so many at once become one message."""
REMEMBERED = 256
"""The latest of what was told: events that say the same again are passed over."""


def adapter(context: AdapterContext) -> NotifyAdapter:
    """Make the adapter ``notify``."""
    return NotifyAdapter(context)


class NotifyAdapter:
    """A `missive_host.protocols.Adapter` that takes nothing in."""

    def __init__(self, context: AdapterContext) -> None:
        import apprise  # noqa: F401 - a library that is missing is told now

        options = context.options
        self._where = f"adapters.{context.name}.settings"
        for name in ("title", "template"):
            if options[name] is not None and (fault := fault_of(options[name])) is not None:
                raise ConfigError(f"{self._where}.{name}: {fault}")
        self._options = options
        self._log = context.log
        self._folder = context.data_dir
        self._events = context.events
        self._counters = context.counters
        for name in ("told", "given_up"):
            self._counters.add(name, 0)

    async def run(self, intake: Intake) -> int | None:  # noqa: ARG002 - nothing comes in
        """Tell until cancelled. Raises `ConfigError` for a URL that Apprise does not take."""
        if self._events is None:
            raise ConfigError(f"{self._where}: there is no journal to read", help="run it in the gateway")
        services = await anyio.to_thread.run_sync(self._services)
        async with anyio.create_task_group() as group:
            for name, key, service in services:
                place = Place(self._folder / f"{key}.json")
                teller = Teller(name, service, place, self._events, self._options, self._log, counters=self._counters)
                group.start_soon(teller.run)
        return None

    def _services(self) -> list[tuple[str, str, Apprise]]:
        _be_quiet()
        salt = _salt(self._folder / "salt")
        found: dict[str, tuple[str, str, Apprise]] = {}
        for number, secret in enumerate(self._options["urls"]):
            url = secret.reveal().strip()
            service, scheme = _apprise(), _scheme(url)
            if not service.add(url):
                said = f"a URL that begins with `{scheme}://`" if scheme else "what is no URL"
                raise ConfigError(
                    f"{self._where}.urls[{number}]: Apprise does not take {said}",
                    help="its documentation has the form of each service's URL",
                )
            key = hashlib.blake2b(url.encode(), key=salt, digest_size=12).hexdigest()
            found[key] = (f"{scheme}:// (urls[{number}])", key, service)
        return list(found.values())


class Teller:
    """Tells one service."""

    def __init__(
        self,
        name: str,
        service: Apprise,
        place: Place,
        events: EventFeed,
        options: Any,
        log: Logger,
        *,
        counters: Counters,
        pauses: Sequence[float] | None = None,
    ) -> None:
        self._name = name
        self._service = service
        self._place = place
        self._events = events
        self._options = options
        self._log = log
        self._counters = counters
        self._pauses = PAUSES if pauses is None else pauses

    async def run(self) -> None:
        """Tell, from where it was left; the first time from now on."""
        await anyio.to_thread.run_sync(self._place.load)
        if self._place.position is None:
            await self._reached(self._events.position())
        while True:
            assert self._place.position is not None
            events, reached = await self._events.after(self._place.position, TYPES)
            notices = self._wanted(events)
            if len(notices) > FEW:
                await self._tell(digest([notice for _, notice in notices]))
                self._place.told += [notice.key for _, notice in notices]
            else:
                for position, notice in notices:
                    options = self._options
                    await self._tell(words_for(notice, title=options["title"], template=options["template"]))
                    self._place.told.append(notice.key)
                    await self._reached(position)
            await self._reached(reached)

    def _wanted(self, events: Sequence[JournalEvent]) -> list[tuple[int, Notice]]:
        found: dict[str, tuple[int, Notice]] = {}
        agents = self._options["agents"]
        for event in events:
            notice = notice_of(event, about=self._options["about"])
            if notice is None or notice.outcome not in self._options["on"] or notice.key in self._place.told:
                continue
            if not agents or notice.agent in agents:
                found.setdefault(notice.key, (event.position, notice))
        return list(found.values())

    async def _tell(self, words: Words) -> None:
        """Send a message; try it again for a while, then give it up."""
        for pause in (*self._pauses, None):
            if await self._send(words):
                self._counters.add("told")
                return
            if pause is None:
                self._counters.add("given_up")
                self._log.error("given up: %s did not take '%s'", self._name, words.title)
                return
            self._log.warning("%s did not take a message; tried again in %g s", self._name, pause)
            await anyio.sleep(pause)

    async def _send(self, words: Words) -> bool:
        with anyio.move_on_after(SEND_SECONDS):
            try:
                result = await self._service.async_notify(body=words.body, title=words.title, notify_type=words.tone)
            except Exception as error:  # noqa: BLE001 - whatever a service's plugin does, its words may hold the URL
                self._log.debug("%s: %s", self._name, type(error).__name__)
                return False
            try:
                return bool(result)
            finally:
                result.close()
        return False

    async def _reached(self, position: int) -> None:
        self._place.position = position
        del self._place.told[:-REMEMBERED]
        await anyio.to_thread.run_sync(self._place.save)


class Place:
    """How far a service has been told, in a file."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.position: int | None = None
        self.told: list[str] = []

    def load(self) -> None:
        """Read it. A file that cannot be understood is as none: it begins now."""
        with suppress(FileNotFoundError, ValueError, TypeError, KeyError):
            data = json.loads(self._file.read_bytes())
            position, told = int(data["position"]), list(map(str, data["told"]))
            self.position, self.told = position, told

    def save(self) -> None:
        """Write it, whole or not at all. Raises `IoError`."""
        new = self._file.with_suffix(".new")
        try:
            with new.open("w", encoding="utf-8") as stream:
                json.dump({"position": self.position, "told": self.told}, stream)
                stream.flush()
                os.fsync(stream.fileno())
            new.replace(self._file)
        except OSError as error:
            raise IoError(f"while writing {self._file}: {error.strerror}") from None


def _apprise() -> Apprise:
    import apprise
    from apprise.common import PersistentStoreMode

    asset = apprise.AppriseAsset(
        app_id="missive", app_desc="missive", app_url="", secure_logging=True, plugin_paths=[],
        body_format=apprise.NotifyFormat.TEXT, storage_mode=PersistentStoreMode.MEMORY,
    )  # fmt: skip
    return apprise.Apprise(asset=asset)


def _scheme(url: str) -> str | None:
    """Return the scheme of a URL, if it has one that can be shown."""
    scheme, mark, _ = url.partition("://")
    return scheme.lower() if mark and re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]{0,31}", scheme) else None


def _be_quiet() -> None:
    """Keep URLs out of the log: Apprise and what it sends with would write them there."""
    for name in ("apprise", "urllib3", "requests"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)


def _salt(file: Path) -> bytes:
    """Return what makes the names of files tell nothing about URLs."""
    try:
        with suppress(FileExistsError), open(file, "xb", opener=_private) as stream:
            stream.write(secrets.token_bytes(32))
        return file.read_bytes()
    except OSError as error:
        raise IoError(f"while making {file}: {error.strerror}") from None


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
