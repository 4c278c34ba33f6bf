"""Registered agents: their cards, how fresh these are, and a client for each."""

from __future__ import annotations

import logging
import time
from _thread import allocate_lock
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
import msgspec

from missive_host.a2a.cards import FetchedCard, card_urls, fetch_card
from missive_host.a2a.client import USER_AGENT, AgentClient, Retries
from missive_host.a2a.credentials import check_credentials
from missive_host.a2a.negotiate import negotiate
from missive_host.a2a.observing import with_trace
from missive_host.a2a.shapes import Json
from missive_host.a2a.transport import scheme_of, selected
from missive_host.commands import duration_seconds
from missive_host.core.views import given
from missive_host.errors import ConfigError, MissiveError, ProtocolError, TransportError, nearest
from missive_host.ids import now
from missive_host.outputs import CardCache, SelectedInterface
from missive_host.routing.breaker import counts, failed as breaker_failed, succeeded as breaker_succeeded
from missive_host.security.secrets import Secret
from missive_host.store.rows import AgentRow, CardRow
from missive_host.telemetry import about
from missive_host.telemetry.spans import CLIENT, span

if TYPE_CHECKING:
    from missive_host.config.model import Protocol
    from missive_host.core.core import Core
    from missive_host.security.options import CallOptions
    from missive_host.store import Tables

log = logging.getLogger("missive.agents")
T = TypeVar("T")


class Card(msgspec.Struct, frozen=True):
    """A card as it is cached, and how it came."""

    row: CardRow
    status: str
    """``cached``, ``fetched``, ``refreshed`` or ``not_modified``."""

    @property
    def json(self) -> Json:
        return self.row.card

    def cache_view(self) -> CardCache:
        row = self.row
        return CardCache(
            status=self.status,
            discovery_url=row.url,
            fetched_at=row.fetched_at,
            expires_at=given(row.expires_at),
            etag=given(row.etag),
            last_modified=given(row.last_modified),
        )


class Agents:
    """The registry as a process sees it. Clients are kept until the registration or the card changes."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._clients: dict[tuple[str, str | None], tuple[tuple[str, str], AgentClient]] = {}
        """By alias and binding: what the client was made of (times of the registration and the card), and it."""
        self._in_flight: dict[str, int] = {}
        self._counting = allocate_lock()
        self._failing: dict[str, bool] = {}
        """Whether the breaker of an agent has counted failures, as last seen."""
        self._tried: set[str] = set()
        """Agents to which a message of this process is under way that tries whether they are back."""
        self._learnt: set[str] = set()
        self._secrets: dict[str, tuple[tuple[str, Secret], ...]] = {}

    def row(self, alias: str) -> AgentRow:
        """Return an agent's registration. Raises `ValidationError` with the nearest alias."""
        return self._core.store.read(lambda tables: tables.agents.get(alias))

    def learn_secrets(self, alias: str) -> None:
        """Let the redactor know an agent's credential, if it can be had. Does nothing the second time."""
        if alias not in self._learnt:
            with suppress(MissiveError):  # the call itself will tell
                self._credential(self.row(alias))
            self._learnt.add(alias)

    def headers(self, row: AgentRow) -> list[tuple[str, str]]:
        """Return the headers of every call to an agent: protocol, service parameters, credentials.

        A header is replaced by a later source: auth ref, then ``--bearer-token-env``, then ``--header``.
        """
        core = self._core
        return call_headers(core.settings.config.protocol, core.options, self._credential(row))

    def _credential(self, row: AgentRow) -> tuple[tuple[str, Secret], ...]:
        name = row.auth_ref
        if not name:
            return ()
        if name not in self._secrets:
            refs = self._core.settings.config.auth_refs
            if name not in refs:
                raise ConfigError(
                    f"agent '{row.alias}' uses the auth ref '{name}', which the config does not have"
                    f"{nearest(name, tuple(refs))}",
                    help=f"write [auth_refs.{name}] into the config, "
                    f"or `missive agent update {row.alias} --clear auth_ref`",
                )
            self._secrets[name] = self._core.secrets.headers(name, refs[name])
            for _, secret in self._secrets[name]:
                self._core.redactor.add(secret)
        return self._secrets[name]

    # --- cards

    async def card(self, row: AgentRow, *, refresh: bool = False) -> Card:
        """Return an agent's card: the cached one while it is fresh, else asked for with its validators.

        If the agent cannot be reached, a stale card is used, unless `refresh` asks for a new one.
        """
        core = self._core
        cached = core.store.read(lambda tables: tables.agents.card(row.alias))
        if cached is not None and not refresh and (cached.expires_at or "") > now():
            return Card(cached, "cached")
        seconds = duration_seconds(core.settings.config.qos.timeout)
        try:
            with span(f"card {row.alias}", CLIENT, {"gen_ai.agent.name": row.alias}), anyio.fail_after(seconds):
                fetched = await self._fetch(row, cached)
        except TimeoutError:
            error: MissiveError = TransportError(
                f"agent '{row.alias}' did not give its card within {seconds:g} s", sent=False
            )
        except TransportError as transport:
            error = transport
        else:
            return await self._keep(row, cached, fetched)
        if cached is not None and not refresh:
            return Card(cached, "cached")
        raise error

    async def _fetch(self, row: AgentRow, cached: CardRow | None) -> FetchedCard:
        scheme = scheme_of(row.base_url)
        if scheme is not None:
            headers = with_trace([*self.headers(row), ("A2A-Version", "1.0")])
            where = f"agent '{row.alias}'"
            return await self._core.connections.transport_card(scheme, row.base_url, headers, where=where)
        usable = cached if cached is not None and cached.url in card_urls(row.base_url) else None
        return await fetch_card(
            self._core.connections.http,
            row.base_url,
            headers=with_trace(self.headers(row)),
            etag=usable.etag if usable else None,
            last_modified=usable.last_modified if usable else None,
        )

    async def _keep(self, row: AgentRow, cached: CardRow | None, fetched: FetchedCard) -> Card:
        if fetched.card is None:
            assert cached is not None
            status, card = "not_modified", cached.card
        else:
            status, card = ("refreshed" if cached is not None else "fetched"), fetched.card
        kept = CardRow(
            alias=row.alias,
            url=fetched.url,
            card=card,
            etag=fetched.etag,
            last_modified=fetched.last_modified,
            fetched_at=fetched.fetched_at,
            expires_at=fetched.expires_at,
        )

        def write(tables: Tables) -> None:
            tables.agents.put_card(kept)

        await self._core.commit(write)
        return Card(kept, status)

    # --- clients

    def interface(self, row: AgentRow, card: Json, binding: str | None = None) -> SelectedInterface:
        scheme = scheme_of(row.base_url)
        if scheme is not None:
            return selected(row.alias, scheme, row.base_url, binding)
        return negotiate(
            card,
            alias=row.alias,
            base_url=row.base_url,
            preference=row.binding_preference,
            registered=row.interface_urls,
            binding=binding,
        )

    async def client(self, alias: str, binding: str | None = None, *, refresh: bool = False) -> AgentClient:
        """Return a client for an agent, made anew only when its registration or its card has changed."""
        known = self._clients.get((alias, binding))
        if known is not None and not refresh:
            stamp = self._core.store.read(lambda tables: tables.agents.stamp(alias))
            self._failing[alias] = stamp is not None and bool(stamp[3])
            if stamp is not None and stamp[:2] == known[0] and (stamp[2] or "") > now():
                return known[1]
        row, breaker = self._core.store.read(lambda tables: (tables.agents.get(alias), tables.breakers.get(alias)))
        self._failing[alias] = breaker is not None and breaker.failures > 0
        card = await self.card(row, refresh=refresh)
        headers = self.headers(row)
        interface = self.interface(row, card.json, binding)
        check_credentials(card.json, [name for name, _ in headers], alias=alias)
        version = self._core.options.protocol_version or self._version_header(interface)
        headers.append(("A2A-Version", version))
        if interface.protocol_version.startswith("0.3"):
            headers += [("X-A2A-Extensions", value) for name, value in headers if name == "A2A-Extensions"]
        qos = self._core.settings.config.qos
        client = AgentClient(
            alias,
            interface,
            self._core.connections.binding(interface, where=f"agent '{alias}'"),
            headers=headers,
            streaming=bool(card.json.get("capabilities", {}).get("streaming")),
            pushes=bool(card.json.get("capabilities", {}).get("pushNotifications")),
            retries=Retries(qos.retry_attempts, duration_seconds(qos.retry_backoff)),
            reply_seconds=duration_seconds(qos.timeout),
            streams=self._core.connections.streams,
            tell=self._core.on_call,
        )
        self._clients[(alias, binding)] = ((row.updated_at, card.row.fetched_at), client)
        return client

    def _version_header(self, interface: SelectedInterface) -> str:
        configured = self._core.settings.config.protocol.protocol_version
        if interface.protocol_version.startswith("0.3"):
            return "0.3"
        return configured if configured.startswith("1") else "1.0"

    async def calling(
        self,
        alias: str,
        call: Callable[[AgentClient], Awaitable[T]],
        *,
        binding: str | None = None,
        counted: bool = False,
    ) -> tuple[T, AgentClient]:
        """Call an agent. If its card proves out of date, fetch it anew and, if that changes the road, call again.

        Out of date means: the agent refuses the protocol version, or cannot be reached where the card says.
        `counted` says that the call is in `in_flight` already.
        """
        if not counted:
            self.engage(alias)
        try:
            with about(agent=alias):
                result = await self._told(alias, call, binding)
        finally:
            if not counted:
                self.release(alias)
        if self._failing.get(alias):
            await self._note_success(alias)
        return result

    async def _told(
        self, alias: str, call: Callable[[AgentClient], Awaitable[T]], binding: str | None
    ) -> tuple[T, AgentClient]:
        """Call, say in the log how it went, and count a failure."""
        log.debug("agent '%s' is called", alias)
        begun = time.monotonic()
        try:
            result, client = await self._calling(alias, call, binding)
        except MissiveError as error:
            log.debug("agent '%s' has failed after %.3f s: %s", alias, time.monotonic() - begun, error.message)
            if counts(error):
                await self.note_failure(alias, error)
            raise
        used = client.interface
        log.debug("agent '%s' has answered after %.3f s, over %s", alias, time.monotonic() - begun, used.binding)
        return result, client

    # --- what is under way, and how agents fare

    def in_flight(self, alias: str) -> int:
        """Return how many calls of this process to an agent are under way, or about to be."""
        return self._in_flight.get(alias, 0)

    def engage(self, alias: str, *, tries: bool = False) -> None:
        """Count a call in. May be done in any thread; each is to be counted out by `release`.

        `tries`: it is the one message that tries whether the agent is back after its rest.
        """
        with self._counting:
            self._in_flight[alias] = self._in_flight.get(alias, 0) + 1
            if tries:
                self._tried.add(alias)

    def release(self, alias: str) -> None:
        """Count a call out."""
        with self._counting:
            left = self._in_flight[alias] - 1
            if left:
                self._in_flight[alias] = left
            else:
                del self._in_flight[alias]
                self._tried.discard(alias)

    async def note_failure(self, alias: str, error: MissiveError) -> None:
        """Count a failure in the agent's breaker."""
        message = self._core.report(error).message
        self._failing[alias] = True
        tried = alias in self._tried
        self._tried.discard(alias)
        with anyio.CancelScope(shield=True):
            await self._core.commit(lambda tables: breaker_failed(tables, alias, message, now(), tried=tried))

    async def _note_success(self, alias: str) -> None:
        self._failing[alias] = False
        self._tried.discard(alias)
        # Shielded: the answer is here, and must not be lost to a deadline that passes meanwhile.
        with anyio.CancelScope(shield=True):
            await self._core.commit(lambda tables: breaker_succeeded(tables, alias, now()))

    async def _calling(
        self, alias: str, call: Callable[[AgentClient], Awaitable[T]], binding: str | None
    ) -> tuple[T, AgentClient]:
        client = await self.client(alias, binding)
        try:
            return await call(client), client
        except (TransportError, ProtocolError) as error:
            if not _card_may_be_old(error):
                raise
            before = client.interface
            try:
                client = await self.client(alias, binding, refresh=True)
            except MissiveError:
                raise error from None
            if client.interface == before:
                raise
        return await call(client), client


def call_headers(
    protocol: Protocol, options: CallOptions, credential: tuple[tuple[str, Secret], ...]
) -> list[tuple[str, str]]:
    """Return the headers of a call: those of config and flags, and an agent's credential."""
    merged: dict[str, tuple[str, str]] = {"user-agent": ("User-Agent", USER_AGENT)}
    extensions = (*protocol.extensions, *options.extensions)
    if extensions:
        merged["a2a-extensions"] = ("A2A-Extensions", ", ".join(extensions))
    for name, value in (*protocol.service_parameters.items(), *options.service_params):
        merged[name.lower()] = (name, value)
    for name, secret in (*credential, *options.headers):
        merged[name.lower()] = (name, secret.reveal())
    return list(merged.values())


def _card_may_be_old(error: MissiveError) -> bool:
    if isinstance(error, TransportError):
        return not error.sent and error.a2a is None
    return error.a2a is not None and error.a2a.name == "VersionNotSupportedError"


def capability_summary(
    alias: str, tags: tuple[str, ...], metadata: dict[str, Any], card: Json | None
) -> dict[str, Any]:
    """Return what an agent can do, as labels: skills, tags, streaming, push; from its card or its local metadata."""
    labels: list[str] = []
    for key in ("capability", "capabilities", "skill", "skills"):
        value = metadata.get(key)
        if isinstance(value, str):
            labels.append(value)
        elif isinstance(value, list):
            labels += [item for item in value if isinstance(item, str)]
        elif isinstance(value, dict):
            labels += [name for name, on in value.items() if on is True]
    local = bool(labels)
    skills: list[Json] = list((card or {}).get("skills", ()))
    skill_tags: list[str] = []
    inputs = list((card or {}).get("defaultInputModes", ()))
    outputs = list((card or {}).get("defaultOutputModes", ()))
    for skill in skills:
        labels += [skill.get("id", ""), skill.get("name", ""), *skill.get("tags", ())]
        skill_tags += skill.get("tags", ())
        inputs += skill.get("inputModes", ())
        outputs += skill.get("outputModes", ())
    capabilities = (card or {}).get("capabilities", {})
    if capabilities.get("streaming"):
        labels.append("streaming")
    if capabilities.get("pushNotifications"):
        labels += ["push", "push-notifications"]
    summary: dict[str, Any] = {
        "alias": alias,
        "source": "agent_card" if card is not None else ("local_metadata" if local else "missing"),
        "local_tags": tags,
        "tags": _labels([*tags, *skill_tags]),
        "capability_labels": _labels(labels),
        "input_modes": _labels(inputs),
        "output_modes": _labels(outputs),
        "skills": tuple(
            {key: skill[key] for key in ("id", "name", "description", "tags") if key in skill} for skill in skills
        ),
    }
    if card is not None:
        summary["supports_streaming"] = bool(capabilities.get("streaming"))
        summary["supports_push_notifications"] = bool(capabilities.get("pushNotifications"))
    return summary


def _labels(values: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text for value in values if (text := value.strip().lower())))
