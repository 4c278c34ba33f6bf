"""One agent over one interface: calls that are tried again where that is safe, streams that survive."""

from __future__ import annotations

import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar

import anyio

from missive_host import __version__
from missive_host.a2a.binding import Binding, Headers
from missive_host.a2a.negotiate import spoken_version
from missive_host.a2a.observing import Observed, with_trace
from missive_host.a2a.shapes import INTERRUPTED, SETTLED, Json, payload, state
from missive_host.a2a.streams import OpenStreams
from missive_host.errors import MissiveError, ProtocolError, TransportError

if TYPE_CHECKING:
    from missive_host.a2a.cards import FetchedCard
    from missive_host.a2a.codec import Codec
    from missive_host.a2a.grpc import GrpcChannels
    from missive_host.a2a.http import HttpClient
    from missive_host.a2a.transport import TransportBinding
    from missive_host.outputs import SelectedInterface
    from missive_host.protocols import AgentTransport

log = logging.getLogger("missive.a2a")
T = TypeVar("T")
USER_AGENT = f"missive/{__version__}"
MAX_RETRY_AFTER = 60.0
"""Seconds: an agent that asks for a longer pause is reported instead of waited for."""
POLL_INTERVAL = 1.0
MAX_POLL_INTERVAL = 5.0
RESUME_ATTEMPTS = 5
"""How often in a row a stream is taken up again without a new event, before its task is polled."""


@dataclass(frozen=True, slots=True)
class Retries:
    """How often a call is tried again, and the first pause in seconds; it doubles, with jitter."""

    attempts: int = 2
    backoff: float = 0.25

    async def pause(self, attempt: int, error: MissiveError | None = None) -> None:
        delay = min(self.backoff * 2**attempt, 30.0) * random.uniform(0.75, 1.25)  # noqa: S311 - jitter
        asked = error.a2a.retry_after if error is not None and error.a2a is not None else None
        await anyio.sleep(max(delay, asked or 0.0))


class Connections:
    """What a process shares for all its calls: one HTTP pool, one set of gRPC channels, one codec a version."""

    def __init__(self, *, connect_timeout: float, open_transport: Callable[[str], AgentTransport]) -> None:
        from missive_host.a2a.http import HttpClient

        self._open_transport = open_transport
        self._transports: dict[str, AgentTransport] = {}

        self.http: HttpClient = HttpClient(connect_timeout=connect_timeout)
        self.streams = OpenStreams()
        self._grpc: GrpcChannels | None = None
        self._codecs: dict[str, object] = {}

    def binding(self, interface: SelectedInterface, *, where: str) -> Binding:
        """Return the binding that speaks to an interface."""
        version = spoken_version(interface.protocol_version) or "1.0"
        tenant = interface.tenant or None
        if interface.binding == "grpc":
            from missive_host.a2a.grpc import GrpcBinding, GrpcChannels

            self._grpc = self._grpc or GrpcChannels()
            return GrpcBinding(self._grpc, interface.url, version, where=where, tenant=tenant)
        from missive_host.a2a.codec import Codec03, Codec10

        codec: Codec = self._codecs.setdefault(version, Codec03() if version == "0.3" else Codec10())  # type: ignore[assignment]
        if interface.binding == "json-rpc":
            from missive_host.a2a.jsonrpc import JsonRpcBinding

            return JsonRpcBinding(self.http, interface.url, codec, where=where, tenant=tenant)
        from missive_host.a2a.rest import RestBinding

        if interface.binding == "http+json":
            return RestBinding(self.http, interface.url, codec, where=where, tenant=tenant)
        return self.transport_binding(interface.binding, interface.url, codec, where=where, tenant=tenant)

    def transport_binding(
        self, scheme: str, url: str, codec: Codec, *, where: str, tenant: str | None = None
    ) -> TransportBinding:
        """Return the binding to an agent that a plugin's transport reaches. Raises `PluginError` if there is none."""
        from missive_host.a2a.transport import TransportBinding

        if scheme not in self._transports:
            self._transports[scheme] = self._open_transport(scheme)
        return TransportBinding(self._transports[scheme], url, codec, where=where, tenant=tenant)

    async def transport_card(self, scheme: str, url: str, headers: Headers, *, where: str) -> FetchedCard:
        """Fetch the card of such an agent."""
        from missive_host.a2a.codec import Codec10

        return await self.transport_binding(scheme, url, Codec10(), where=where).card(headers)

    async def aclose(self) -> None:
        while self._transports:
            _, transport = self._transports.popitem()
            try:
                await transport.aclose()
            except Exception as error:  # noqa: BLE001 - one plugin's fault must not keep the others open
                log.warning("a transport could not be closed: %s", type(error).__name__)
        await self.http.aclose()
        if self._grpc is not None:
            await self._grpc.aclose()


class AgentClient:
    """One agent, spoken to over one interface with one set of headers."""

    def __init__(
        self,
        alias: str,
        interface: SelectedInterface,
        binding: Binding,
        *,
        headers: Headers,
        streaming: bool,
        retries: Retries,
        reply_seconds: float,
        streams: OpenStreams,
        pushes: bool = False,
        tell: Callable[[str, str, str, str, float], None] | None = None,
    ) -> None:
        self.alias = alias
        self.observed = Observed(alias, interface, tell)
        self.interface = interface
        self.streaming = streaming
        self.pushes = pushes
        self.retries = retries
        self.streams = streams
        self._reply_seconds = reply_seconds
        self._binding = binding
        self._headers = headers

    async def send(self, body: Json) -> Json:
        """Send a SendMessageRequest. It is tried again only when the agent cannot have taken it."""
        return await self._retrying(lambda: self._call("send", body), idempotent=False)

    async def get_task(self, task_id: str, history_length: int | None = None) -> Json:
        request: Json = {"id": task_id}
        if history_length is not None:
            request["historyLength"] = history_length
        return await self._retrying(lambda: self._ask("get", request), idempotent=True)

    async def list_tasks(self, request: Json) -> Json:
        return await self._retrying(lambda: self._ask("list", request), idempotent=True)

    async def cancel_task(self, task_id: str) -> Json:
        request = {"id": task_id}
        return await self._retrying(lambda: self._ask("cancel", request), idempotent=False)

    async def push(self, operation: Literal["create", "get", "list", "delete"], request: Json) -> Json:
        """Do something with the push configs of a task. One that is created has an id, so it may be retried."""
        return await self._retrying(lambda: self._ask(f"push_{operation}", request), idempotent=True)

    async def stream(self, body: Json, on_event: Callable[[Json], Awaitable[None]]) -> int:
        """Send a message and hand over each event; return how often the stream had to be taken up again.

        It ends with a message, or when the task has ended or waits for us. A stream that breaks off, or ends
        without either, is resumed by subscribing to its task, and if the agent cannot do that, by polling it.
        """
        following = _Following(self, on_event, answering="taskId" in body["message"])
        return await following.run("stream", body)

    async def subscribe(
        self, task_id: str, on_event: Callable[[Json], Awaitable[None]], *, background: bool = False
    ) -> int:
        """Follow a task that runs already; as `stream`.

        In the `background` it is not in `streams`, to give way to those that are, and does not insist: when the agent
        cannot be reached it raises, and when the agent cannot subscribe it returns.
        """
        following = _Following(self, on_event, task_id=task_id, background=background)
        return await following.run("subscribe", {"id": task_id})

    async def _ask(self, operation: str, request: Json) -> Json:
        """Do a call that no agent has a reason to take long for; `send` may wait for a task to end."""
        with anyio.move_on_after(self._reply_seconds):
            return await self._call(operation, request)
        raise TransportError(
            f"agent '{self.alias}' gave no answer within {self._reply_seconds:g} s",
            help="it may be overloaded; the limit is `timeout` under [qos] in the config",
        )

    async def _call(self, operation: str, request: Json) -> Json:
        with self.observed.call(operation) as call:
            answer = await self._binding.call(operation, request, with_trace(self._headers))
            call.note_task(answer.get("task", answer).get("id"))
            return answer

    async def _retrying(self, attempt: Callable[[], Awaitable[T]], *, idempotent: bool) -> T:
        number = 0
        while True:
            try:
                return await attempt()
            except TransportError as error:
                if number >= self.retries.attempts or not _worth_another_try(error, idempotent=idempotent):
                    raise
                number += 1
                log.debug("agent '%s' is tried again (%d): %s", self.alias, number, error.message)
                await self.retries.pause(number - 1, error)


def _worth_another_try(error: TransportError, *, idempotent: bool) -> bool:
    if error.a2a is not None:  # the agent answered: only "busy" may pass
        wait = error.a2a.retry_after
        return not error.sent and (wait is None or wait <= MAX_RETRY_AFTER)
    return idempotent or not error.sent


def _cannot_subscribe(error: MissiveError) -> bool:
    """Whether an agent says that it has no SubscribeToTask, or not for this task."""
    info = error.a2a
    return info is not None and (
        info.name in ("UnsupportedOperationError", "MethodNotFoundError", "UNIMPLEMENTED")
        or (info.name is None and info.http_status in (404, 405, 501))
    )


class _Following:
    """The events of one task, over as many connections as it takes."""

    def __init__(
        self,
        client: AgentClient,
        on_event: Callable[[Json], Awaitable[None]],
        *,
        task_id: str | None = None,
        answering: bool = False,
        background: bool = False,
    ) -> None:
        self._client = client
        self._on_event = on_event
        self._task_id = task_id
        self._background = background
        self._entered: str | None = None
        self._answering = answering
        """We answer a task that waits. If the first event is the task, still waiting, that is how it was before."""
        self._waits = False
        self._started = False
        self._done = False
        self._fruitless = 0
        self._resumed = 0
        self._seen: Json | None = None

    async def run(self, operation: str, request: Json) -> int:
        try:
            self._enter()
            return await self._run(operation, request)
        finally:
            if self._entered is not None:
                self._client.streams.leave(self._client.alias, self._entered)

    def _enter(self) -> None:
        if not self._background and self._entered is None and self._task_id is not None:
            self._entered = self._task_id
            self._client.streams.enter(self._client.alias, self._task_id)

    async def _run(self, operation: str, request: Json) -> int:
        attempt = 0
        while True:
            try:
                await self._read(operation, request)
            except (TransportError, ProtocolError) as error:
                if isinstance(error, ProtocolError) or (operation == "subscribe" and _cannot_subscribe(error)):
                    if self._task_id is None or not await self._ended_anyway(error):
                        raise
                elif self._background or not self._started:
                    again = _worth_another_try(error, idempotent=operation == "subscribe")
                    if again and attempt < self._client.retries.attempts:
                        await self._client.retries.pause(attempt, error)
                        attempt += 1
                        continue
                    # Agents of 0.3 break the connection if the task has ended already.
                    if operation != "subscribe" or not await self._ended_anyway(error):
                        raise
            else:
                self._done = self._done or self._waits
            if self._done:
                return self._resumed
            if self._task_id is None:
                raise ProtocolError(
                    f"agent '{self._client.alias}' ended the stream without an answer",
                    help="it sent neither a message nor a task; the agent's own log may say why",
                )
            self._resumed += 1
            log.debug("the stream of task %s has ended early; it is taken up again", self._task_id)
            if self._fruitless >= RESUME_ATTEMPTS or not self._client.streaming:
                if not self._background:
                    await self._poll()
                return self._resumed
            await self._client.retries.pause(self._fruitless)
            self._fruitless += 1
            operation, request = "subscribe", {"id": self._task_id}

    async def _read(self, operation: str, request: Json) -> None:
        client = self._client
        with client.observed.call(operation) as call:
            async with client._binding.stream(operation, request, with_trace(client._headers)) as source:
                while (event := await source.next()) is not None:
                    await self._take(event)
                    call.note_task(self._task_id)
                    if self._done:
                        return

    async def _take(self, event: Json) -> None:
        name, value = payload(event)
        answering, self._answering, self._started, self._waits = self._answering, False, True, False
        if name == "message":
            self._done = True
        elif name == "task":
            now = state(value.get("status"))
            self._waits = answering and now in INTERRUPTED
            self._done = now in SETTLED and not self._waits
            if value == self._seen:  # subscribing again begins with the task as it was: no progress
                return
            self._seen = value
            self._task_id = value["id"]
        else:
            self._task_id = value["taskId"]
            if name == "statusUpdate":
                self._done = state(value["status"]) in SETTLED
        self._fruitless = 0
        self._enter()
        await self._on_event(event)

    async def _ended_anyway(self, error: MissiveError) -> bool:
        """After an A2A error on a stream: see what became of the task. False: the error stands."""
        task_id = self._task_id
        assert task_id is not None
        name = error.a2a.name if error.a2a is not None else None
        if name == "TaskNotFoundError":
            return False
        try:
            task = await self._client.get_task(task_id)
        except TransportError:
            raise  # that is what is wrong now, and may be better later
        except MissiveError:
            return False
        if state(task.get("status")) in SETTLED:
            await self._take({"task": task})
            return True
        if _cannot_subscribe(error):
            self._fruitless = RESUME_ATTEMPTS  # it cannot subscribe: poll
            return True
        return False

    async def _poll(self) -> None:
        assert self._task_id is not None
        interval, failures = POLL_INTERVAL, 0
        while not self._done:
            try:
                task = await self._client.get_task(self._task_id)
            except TransportError as error:
                failures += 1
                if failures > RESUME_ATTEMPTS:
                    alias = self._client.alias
                    raise TransportError(
                        f"task {self._task_id} could not be followed to its end: {error.message}",
                        help=f"it may go on: try `missive task subscribe {self._task_id} --agent {alias}` later",
                        sent=error.sent,
                        a2a=error.a2a,
                        sources=error.sources,
                    ) from None
            else:
                failures = 0
                if task != self._seen:
                    interval = POLL_INTERVAL
                await self._take({"task": task})
            if not self._done:
                await anyio.sleep(interval)
                interval = min(interval * 1.5, MAX_POLL_INTERVAL)
