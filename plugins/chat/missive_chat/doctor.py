"""``missive chat doctor``: one look at everything between a chat and its agent, without being in the gateway's way."""

from __future__ import annotations

import math
from contextlib import suppress
from time import time
from typing import TYPE_CHECKING, Literal

import anyio

from missive_chat.adapter import ChatAdapter
from missive_chat.owner import AccountLock
from missive_chat.platform import ChatError, Check, Platform
from missive_chat.state import State
from missive_host.errors import MissiveError, ValidationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from missive_host.protocols import CommandContext, ConfiguredAdapter

LOGIN_SECONDS = 30.0
QUIET_SECONDS = 300.0
"""Most platforms give a sign of life within a minute; a mailbox may wait for mail for nine."""
ALIVE_SECONDS = 900.0
"""A platform that has given no sign of life for so long is not taken for a live one."""
STALE_SECONDS = 120.0
"""What waits for longer is stuck."""
AHEAD_SECONDS = 60.0


class NoChatError(ValidationError):
    """An adapter of the plugin that is not a bridge."""


def platform_of(context: CommandContext, name: str) -> Platform:
    """Return the platform of an adapter, not opened. Raises what is wrong with its configuration."""
    made = context.make(name)
    if not isinstance(made, ChatAdapter):
        raise NoChatError(f"the adapter '{name}' has no conversations: `{context.configured(name).kind}` only tells")
    return made.platform


def alive_at(state: State) -> float | None:
    """Return when the platform gave the last sign of life, in seconds since 1970; None: never."""
    with suppress(ValueError):
        found = float(state.note("alive") or "nan")
        return found if math.isfinite(found) else None
    return None


class Doctor:
    """Checks one adapter. What cannot be looked at because of what failed before is left out."""

    def __init__(self, context: CommandContext, adapter: ConfiguredAdapter) -> None:
        self._context = context
        self._adapter = adapter

    async def look(self) -> tuple[Check, ...]:
        """Return all that was found. Raises only `NoChatError`; what is wrong with the adapter is a finding."""
        running = self._context.gateway_running()
        found = [self._gateway(running)]
        try:
            platform = platform_of(self._context, self._adapter.name)
        except NoChatError:
            raise
        except MissiveError as error:
            found.insert(0, _failed("config", error))
            return (*found, *self._on_disk(running))
        found.insert(0, Check("config", "ok", "its options can be used"))
        found += self._access()
        try:
            found += await self._platform(platform, running)
        finally:
            with anyio.CancelScope(shield=True):
                await platform.close()
        return (*found, *self._on_disk(running))

    # --- the configuration

    def _gateway(self, running: bool) -> Check:
        name = self._adapter.name
        if not self._adapter.enabled:
            return Check("gateway", "warn", "the adapter is not enabled", f"[adapters.{name}]: enabled = true")
        if not running:
            return Check("gateway", "warn", "the gateway is not running, so nobody listens", "missive gateway run")
        return Check("gateway", "ok", "the gateway is running")

    def _access(self) -> Iterator[Check]:
        options = self._context.adapter(self._adapter.name).options
        if "dm_policy" not in options:
            return  # a terminal: whoever sits there may write
        where = f"adapters.{self._adapter.name}.settings"
        direct = {"open": "everybody", "pairing": "who was let in"}.get(options["dm_policy"])
        if options["dm_policy"] == "allowlist" and options["users"]:
            direct = _number(len(options["users"]), "person", "people")
        channels = "all channels" if options["group_policy"] == "open" else None
        if options["group_policy"] == "allowlist" and options["channels"]:
            channels = _number(len(options["channels"]), "channel")
        if direct is None and channels is None:
            fix = f'{where}: name people in `users` and channels in `channels`, or set dm_policy = "pairing"'
            yield Check("access", "warn", "nobody may write: no message is ever answered", fix)
        else:
            yield Check("access", "ok", f"directly: {direct or 'nobody'}; in channels: {channels or 'none'}")
        if "open" in (options["dm_policy"], options["group_policy"]) and not options["admins"]:
            fix = f"{where}: name people in `admins`"
            yield Check("admins", "warn", "whoever can write may also choose agents and stop tasks", fix)

    # --- the platform

    async def _platform(self, platform: Platform, running: bool) -> list[Check]:
        self._context.progress(f"logging in as '{self._adapter.name}'")
        try:
            with anyio.fail_after(LOGIN_SECONDS):
                await platform.open()
        except TimeoutError:
            fix = "is the platform to be reached from this machine? a firewall, a proxy?"
            return [Check("login", "fail", f"no answer within {LOGIN_SECONDS:g} s", fix)]
        except MissiveError as error:
            return [_failed("login", error)]
        found = [Check("login", "ok", f"logged in: {platform.identity}")]
        try:
            with anyio.fail_after(LOGIN_SECONDS):
                found += await platform.check()
        except TimeoutError:
            found.append(Check("platform", "fail", f"its checks did not end within {LOGIN_SECONDS:g} s"))
        except MissiveError as error:
            found.append(_failed("platform", error))
        try:
            found.append(self._owner(AccountLock(self._adapter.kind, platform.identity).holder(), running))
        except (MissiveError, OSError) as error:
            found.append(_failed("owner", error))
        return found

    def _owner(self, holder: str | None, running: bool) -> Check:
        if holder is None and running and self._adapter.enabled:
            fix = "why is in the gateway's log, and in `missive gateway status`"
            return Check("owner", "fail", "the gateway runs, but is not connected as this account", fix)
        if holder is None:
            return Check("owner", "ok", "nobody is connected as this account")
        if running:
            return Check("owner", "ok", f"connected as this account: process {holder}")
        fix = "end that process, or use another account: two would answer everything twice"
        return Check("owner", "warn", f"process {holder}, which is no gateway of this profile, has this account", fix)

    # --- the disk

    def _on_disk(self, running: bool) -> list[Check]:
        state = State(self._adapter.data_dir)
        try:
            if not state.exists:
                return [Check("state", "ok", "nothing has been received yet")]
            return [
                Check("state", "ok", "what the bridge remembers can be read"),
                *self._life(state, running),
                *_queues(state),
            ]
        except MissiveError as error:
            return [_failed("state", error)]
        finally:
            state.close()

    def _life(self, state: State, running: bool) -> Iterator[Check]:
        alive, now = alive_at(state), time()
        if alive is not None and alive > now + AHEAD_SECONDS:
            fix = "set the clock of this machine, e.g. with NTP"
            yield Check("clock", "fail", f"the last sign of life is {_span(alive - now)} in the future", fix)
            return
        if not running or not self._adapter.enabled:
            return
        if alive is None:
            yield Check("alive", "warn", "the platform has given no sign of life yet")
        elif now - alive > QUIET_SECONDS:
            fix = "the gateway connects anew by itself; if it does not, restart it and look at its log"
            status: Literal["warn", "fail"] = "fail" if now - alive > ALIVE_SECONDS else "warn"
            yield Check("alive", status, f"no sign of life for {_span(now - alive)}", fix)
        else:
            yield Check("alive", "ok", f"the last sign of life was {_span(now - alive)} ago")


def _queues(state: State) -> Iterator[Check]:
    now = time()
    for name, what, sql, fix in (
        ("inbox", "to be begun", _RECEIVED, "look at the gateway's log, and at `missive intake list`"),
        ("outbox", "to be sent", _UNSENT, "what the platform says is in the gateway's log"),
    ):
        count, oldest = state.rows(sql)[0]
        if not count:
            yield Check(name, "ok", f"nothing is {what}")
            continue
        message = f"{_number(count, 'message')} {what}, for up to {_span(now - oldest)}"
        yield Check(name, "warn", message, fix) if now - oldest > STALE_SECONDS else Check(name, "ok", message)
    lost = state.row("SELECT created_at, error FROM outbox WHERE state = 'failed' ORDER BY id DESC")
    if lost is not None:
        yield Check("lost", "warn", f"a message of {_span(now - lost['created_at'])} ago was not sent: {lost['error']}")


_RECEIVED = "SELECT count(*), min(received_at) FROM inbox WHERE state = 'waiting'"
_UNSENT = "SELECT count(*), min(created_at) FROM outbox WHERE state = 'waiting' AND final = 1"


def _failed(name: str, error: MissiveError | OSError) -> Check:
    if isinstance(error, OSError):
        return Check(name, "fail", f"{error.filename}: {error.strerror}")
    wait = getattr(error, "retry_after", None) if isinstance(error, ChatError) else None
    return Check(name, "fail", error.message, error.help or (f"try again in {wait:g} s" if wait else None))


def _span(seconds: float) -> str:
    """Return ``12 s``, ``5 min``, ``3 h`` or ``2 d``."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def _number(count: int, noun: str, plural: str | None = None) -> str:
    return f"{count} {noun if count == 1 else plural or noun + 's'}"
