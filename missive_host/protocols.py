"""What runs: the protocols between the host and a plugin's objects.

The life of one delivery::

    adapter reads its input ─► Envelope ─► Delivery ─► await intake.submit(delivery)   (waits while the host is full)
    host runs the command   ─► await delivery.send(output)  for every result, as it happens
    host is done            ─► await delivery.settle(Done | Retry | Reject)            (exactly once, whatever happened)

In the gateway ``submit`` returns when the delivery is on the disk: only then does the adapter acknowledge it. If the
host dies before the answer is delivered, the next one calls `Restoring.restore` with what ``reply_to`` was, for a
delivery that takes the answer.
"""

from __future__ import annotations

import re
import time
from _thread import allocate_lock
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from logging import Logger
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from missive_host.errors import ErrorReport, MissiveError, ValidationError

if TYPE_CHECKING:
    from missive_host.commands import Command
    from missive_host.envelopes import Envelope
    from missive_host.outputs import Output
    from missive_host.specs import AgentResult, Candidate, Reduced, ReductionContext, RoutePlan, RouteRequest


@dataclass(frozen=True, slots=True)
class Done:
    """The command succeeded; every output has been sent."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Not done, through no fault of the sender: the host is stopping, or was interrupted. Give it again later.

    ``after`` is in seconds.
    """

    error: ErrorReport
    after: float | None = None


@dataclass(frozen=True, slots=True)
class Reject:
    """The command failed, and would fail again. Outputs may have been sent before."""

    error: ErrorReport
    dead: bool = False
    """It is a dead letter: an operator may have it tried again, so the door keeps what it needs for that."""


Outcome = Done | Retry | Reject


class IntakeFullError(MissiveError):
    """There is no room, and the caller did not want to wait. ``retry_after`` is in seconds."""

    retry_after = 1.0


class UnknownReceiptError(ValidationError):
    """There is no delivery with this receipt id, or it is not kept any more."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """A delivery as the host keeps it."""

    id: str
    adapter: str
    state: str
    """``queued``, ``ready``, ``running``, ``done``, ``failed``, ``dead`` or ``cancelled``."""
    accepted_at: str
    """RFC 3339, UTC."""
    duplicate: bool = False
    """True if the idempotency key was known: this is the receipt of the first delivery, whose answer is given again."""
    outputs: int = 0
    """How many results there are so far."""
    reply_to: Mapping[str, Any] | None = None
    finished_at: str | None = None


class Viewer(Protocol):
    """Takes the answers of one delivery."""

    async def send(self, output: Output) -> None:
        """Carry one result back. It may wait: that slows the agent's stream."""
        ...

    async def settle(self, outcome: Outcome) -> None:
        """Say what became of it. Called exactly once, shielded from cancellation, within a time limit.

        If it raises in the gateway, the answer counts as not delivered, and is delivered again later.
        """
        ...


class Delivery(Viewer, Protocol):
    """One inbound envelope, made and owned by the adapter."""

    @property
    def envelope(self) -> Envelope: ...


class Intake(Protocol):
    """The host's side: takes deliveries in, keeps order within a session, bounds what is in flight."""

    async def submit(
        self, delivery: Delivery, *, reply_to: Mapping[str, Any] | None = None, wait: bool = True
    ) -> Receipt:
        """Hand a delivery over; return when it is accepted (in the gateway: on the disk), not when it is done.

        Waits while the host is full, or without `wait` raises `IntakeFullError`. `reply_to` is JSON that the gateway
        keeps: all that `Restoring.restore` needs to answer after a restart. A delivery with an idempotency key that
        is known gets the answer of the first one; with another command under the same key it raises `ValidationError`.
        """
        ...

    async def follow(self, receipt_id: str, viewer: Viewer, *, after: int = 0) -> None:
        """Send the results of a delivery, without the first `after`, as they come, and settle; then return.

        May be called at any time, by many; cancelling it takes nothing from the delivery. Raises `UnknownReceiptError`.
        """
        ...

    async def receipt(self, receipt_id: str) -> Receipt:
        """Return how a delivery stands. Raises `UnknownReceiptError`."""
        ...


@dataclass(frozen=True, slots=True)
class Principal:
    """Who a token belongs to, and what it may be used for. Empty means: everything."""

    name: str
    commands: tuple[str, ...] = ()
    agents: tuple[str, ...] = ()
    """Aliases of agents and names of groups."""

    def refusal(self, command: Command) -> str | None:
        """Return why it may not give this command, or None if it may."""
        tag = command.__struct_config__.tag
        if self.commands and tag not in self.commands:
            return f"the token '{self.name}' may not be used for `{tag}`"
        if self.agents:
            named = [getattr(command, field, None) for field in ("agent", "group", "reducer_agent", "preferred_agent")]
            names = [name for name in named if name is not None]
            other = next((name for name in names if name not in self.agents), None)
            if other is not None:
                return f"the token '{self.name}' may not be used for '{other}'"
            if not names:
                return f"the token '{self.name}' is for certain agents, and `{tag}` names none"
        return None


class Listener(Protocol):
    """The gateway's HTTP listener, on which adapters put their paths."""

    @property
    def url(self) -> str:
        """Where it listens, e.g. ``http://127.0.0.1:7347``."""
        ...

    @property
    def is_loopback(self) -> bool:
        """True if only this machine can reach it."""
        ...

    def mount(self, path: str, app: Any, *, on_stop: Callable[[], None] | None = None) -> AbstractContextManager[None]:
        """Serve everything below `path` with an ASGI application for as long as the context is open.

        The application sees the whole path. `on_stop` is called when the listener is about to end, also if the
        context has been left: what waits should be answered now. Raises `ConfigError` if the path is taken.
        """
        ...


@dataclass(frozen=True, slots=True)
class JournalEvent:
    """Something that has happened, as the journal has it. Secrets are not in it."""

    position: int
    type: str
    """``missive.job.completed``, ``a2a.stream.status_update`` …"""
    at: str
    """RFC 3339, UTC."""
    payload: Mapping[str, Any]
    agent: str | None = None
    context: str | None = None
    task: str | None = None
    message: str | None = None
    id: str = ""
    """``evt/TYPE/UUID``: the same whenever and to whomever it is told."""
    source: str = ""
    """What has written it, e.g. ``gateway:daemon``."""


class EventFeed(Protocol):
    """The journal, for whoever tells others what has happened. Reading it is never in the way of a delivery."""

    def position(self) -> int:
        """Return where the journal ends now: where to begin for who wants to know of what is yet to come."""
        ...

    async def after(self, position: int, types: tuple[str, ...]) -> tuple[tuple[JournalEvent, ...], int]:
        """Wait for events after a position; return some, in order, and the position from which to go on.

        `types` are types, or patterns of them (``missive.job.*``). There may be no event in what is returned: then
        others were passed over, and the position is worth keeping.
        """
        ...


@dataclass(frozen=True, slots=True)
class Summary:
    """What an adapter or a command did, as a result document.

    ``kind`` is one that `missive.output.v1` has. A command may also give one of its own: then the document's kind is
    ``plugin_result``, and ``data`` is carried in it.
    """

    kind: str
    data: Mapping[str, Any]
    """JSON. Without ``profile``, which the host adds."""
    exit_code: int = 0
    """What a command leaves with. An adapter's is what its `run` returns."""


class Clock:
    """What time it is. Tests of an adapter give it another one."""

    def now(self) -> datetime:
        """Return the time of day, with its zone: UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds since some moment: to measure how long something takes, whatever is done to the clock."""
        return time.monotonic()


class Counters:
    """An adapter's own counters. In the gateway they are in ``/status``, and in ``/metrics`` for Prometheus.

    They begin with 0 when the gateway is started, and go on when the adapter is started again.
    """

    LIMIT = 100
    """How many there may be: each is a time series in somebody's database."""

    def __init__(self) -> None:
        self._values: dict[str, int] = {}
        self._lock = allocate_lock()

    def add(self, name: str, amount: int = 1) -> None:
        """Count something, from any thread. With 0 the counter is shown before there is something to count.

        Raises `ValueError` for a name that is not of lower-case letters, digits and ``_``, for more than `LIMIT` names,
        and for a negative amount: what goes down is no counter.
        """
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,62}", name):
            raise ValueError(f"{name[:64]!r} cannot be the name of a counter: use lower-case letters, digits and '_'")
        if amount < 0:
            raise ValueError(f"counter {name}: {amount} is less than 0")
        with self._lock:
            if name not in self._values and len(self._values) >= self.LIMIT:
                raise ValueError(f"counter {name}: there are {self.LIMIT} already")
            self._values[name] = self._values.get(name, 0) + amount

    def values(self) -> dict[str, int]:
        """Return how they stand."""
        with self._lock:
            return dict(self._values)


@dataclass(frozen=True, slots=True)
class AdapterContext:
    """All that an adapter gets from the host."""

    name: str
    """The name of its table in the config, or its kind when it runs by itself."""
    options: Mapping[str, Any]
    """Its own options: validated, converted, complete with defaults."""
    log: Logger
    data_dir: Path
    """A folder of its own. It exists when the adapter is made."""
    listener: Listener | None = None
    """The gateway's HTTP listener; None when the adapter runs by itself."""
    authenticate: Callable[[str], Principal | None] | None = None
    """Tells whose token this is, in constant time; None in the gateway's place when the adapter runs by itself."""
    durable: bool = False
    """True in the gateway: what the intake has accepted survives a crash, and idempotency keys are known."""
    events: EventFeed | None = None
    """The journal; None when the adapter runs by itself."""
    progress: Callable[[str], None] | None = None
    """Shows one line to the person who runs the adapter by itself; None in the gateway, where there is the log."""
    kind: str = ""
    """The name of its `AdapterSpec`."""
    clock: Clock = field(default_factory=Clock)
    counters: Counters = field(default_factory=Counters)
    """Its own; by itself it may count, too, but nobody looks."""


@dataclass(frozen=True, slots=True)
class SinkContext:
    """All that an event sink gets from the host."""

    name: str
    """The name of its table ``[sinks.NAME]``."""
    kind: str
    """The name of its `SinkSpec`."""
    options: Mapping[str, Any]
    """Its own options: validated, converted, complete with defaults."""
    log: Logger
    data_dir: Path
    """A folder of its own. It exists when the sink is made."""
    profile: str
    """Whose journal it is."""


@dataclass(frozen=True, slots=True)
class ConfiguredAdapter:
    """An ``[adapters.NAME]`` table of the config."""

    name: str
    kind: str
    enabled: bool
    data_dir: Path
    """Its folder, as `AdapterContext.data_dir`. It may not be there yet."""
    needs: str | None = None
    """What is to be installed before it can be used, e.g. ``missive-host[slack]``."""


class CommandContext(Protocol):
    """All that a command of a plugin gets from the host."""

    @property
    def profile(self) -> str: ...

    @property
    def log(self) -> Logger: ...

    def progress(self, text: str) -> None:
        """Show one line on stderr to the person who waits; nothing with ``--quiet`` or ``--json``."""
        ...

    def adapters(self) -> tuple[ConfiguredAdapter, ...]:
        """Return the adapters of the config that this command looks after, sorted by name.

        They are of this plugin's own kinds, or of a kind whose `AdapterSpec.noun` is this command.
        """
        ...

    def configured(self, name: str) -> ConfiguredAdapter:
        """Return one of them, without a look at its options. Raises `ValidationError` if there is none."""
        ...

    def adapter(self, name: str) -> AdapterContext:
        """Return what it gets in the gateway: the same options, with secrets, and the same folder; no listener.

        Raises as `configured` does, and what is wrong with its options.
        """
        ...

    def make(self, name: str) -> Adapter:
        """Return the adapter itself, made as the gateway makes it. It is not run."""
        ...

    def gateway_running(self) -> bool:
        """Tell whether a gateway of this home and profile answers."""
        ...


@runtime_checkable
class Adapter(Protocol):
    """A door. The factory of an `AdapterSpec` makes it from an `AdapterContext`."""

    async def run(self, intake: Intake) -> int | None:
        """Read until the end of input, and return when every delivery has been settled.

        It is cancelled to stop it reading; deliveries in flight are still sent to and settled after that.
        The returned number is the exit status when it runs by itself (None: 0). Raise a `TransportError` to
        be started again with back-off, any other error to be reported.
        """
        ...


@runtime_checkable
class Restoring(Adapter, Protocol):
    """An adapter that can answer deliveries which another process took in."""

    def restore(self, envelope: Envelope, reply_to: Mapping[str, Any]) -> Delivery:
        """Return a delivery that takes the answer. Called before `run`, for each delivery that has not been answered.

        Answering twice must do no harm: the host may have died after the answer was delivered and before it knew.
        """
        ...


@runtime_checkable
class Summarizing(Adapter, Protocol):
    """An adapter that says at its end what it did."""

    def summary(self) -> Summary:
        """Called when it runs by itself, after every delivery is settled, also when a signal ended it."""
        ...


@dataclass(frozen=True, slots=True)
class SecretContext:
    """All that a secret provider gets from the host."""

    environ: Mapping[str, str] = field(repr=False)
    """The environment that missive runs in."""


class SecretProvider(Protocol):
    """Gives secrets by reference. The factory of a `SecretProviderSpec` makes it from a `SecretContext`."""

    def get(self, reference: str) -> str:
        """Return the secret that is meant by what stands behind ``PROVIDER:``.

        It is called when the secret is needed, and missive waits for it: give up within a few seconds. Raises
        `AuthError` that says where the secret should be and what to do, `ValidationError` for a reference that cannot
        be meant; neither repeats a secret. The host puts the setting's name before the sentence.
        """
        ...


@runtime_checkable
class EventSink(Protocol):
    """Where events go. The factory of a `SinkSpec` makes it from a `SinkContext`."""

    async def write(self, events: Sequence[JournalEvent]) -> None:
        """Keep these events, at most a hundred, in order; return when they are safe.

        It must not hold up the event loop: what blocks belongs into a thread. It is never called twice at a time.
        Raise `ValidationError` for what it will never take: that is counted as dropped. After any other error, and
        after a minute, it is made anew and the same events come again, as they may after a crash.
        """
        ...

    async def aclose(self) -> None:
        """Let go of what it holds. Called once, also after an error."""
        ...


@dataclass(frozen=True, slots=True)
class TransportContext:
    """All that an agent transport gets from the host."""

    name: str
    """The name of its `TransportSpec`."""
    log: Logger
    connect_timeout: float
    """Seconds that connecting may take."""


class Answers(Protocol):
    """The answers to one request, as they come."""

    async def receive(self) -> Any:
        """Return the next JSON-RPC response; None when the agent has said all. Raises a `TransportError`."""
        ...


@runtime_checkable
class AgentTransport(Protocol):
    """Carries A2A to agents. The factory of a `TransportSpec` makes one for the whole process."""

    def exchange(
        self, url: str, request: Mapping[str, Any], headers: Sequence[tuple[str, str]]
    ) -> AbstractAsyncContextManager[Answers]:
        """Send one JSON-RPC request of A2A 1.0 to the agent at `url`, and give its answers.

        A call has one answer, a stream one for each event. Many exchanges may be under way at a time. Leaving the
        context lets go, whether all was received or not. `headers` are what HTTP would carry: ``A2A-Version``,
        extensions, credentials. A `TransportError` with ``sent=False`` says that the agent cannot have got the
        request, so that it may be sent again. The method ``GetExtendedAgentCard`` must be answered with the card.
        """
        ...

    async def aclose(self) -> None:
        """Let go of what is kept between exchanges."""
        ...


@dataclass(frozen=True, slots=True)
class FilterContext:
    """All that a filter gets from the host."""

    name: str
    """The name of its declaration."""
    options: Mapping[str, Any]
    """Its ``settings``: validated, converted, complete with defaults."""
    log: Logger


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A result or an error on its way out."""

    kind: str
    """The kind of the result document; ``error`` for the error that ends a command."""
    data: Mapping[str, Any]
    """The document's ``data``, JSON."""


class InboundFilter(Protocol):
    """Looks at what comes in. A plain function is called in a thread, an ``async def`` on the event loop.

    It keeps nothing from one call to the next, as it is called for several at once. If it raises anything but a
    `ValidationError`, or takes longer than its ``timeout``, nothing is let through.
    """

    def inbound(self, envelope: Envelope) -> Envelope | Awaitable[Envelope]:
        """Return the envelope as it is to go on: the same one, or one with another command or metadata.

        The kind of command, the ids and the session stay. Raises `ValidationError` to refuse it; the sender is told
        its message and help.
        """
        ...


class OutboundFilter(Protocol):
    """Looks at what goes out, as an `InboundFilter` looks at what comes in."""

    def outbound(self, answer: Outgoing) -> Outgoing | Awaitable[Outgoing]:
        """Return the answer as it is to be sent: the same one, or one with other data of the same shape.

        Raises `ValidationError` to refuse it: the command ends with that.
        """
        ...


class RoutingPolicy(Protocol):
    """Chooses among candidates. Pure: the same inputs give the same plan."""

    def plan(self, request: RouteRequest, candidates: tuple[Candidate, ...], state: Mapping[str, Any]) -> RoutePlan:
        """Return the targets in order, and a reason for each candidate taken or left."""
        ...


class Reduction(Protocol):
    """One reduction under way."""

    def add(self, result: AgentResult) -> Reduced | None:
        """Take one result; return an answer early, or None to wait for more."""
        ...

    def close(self, missing: tuple[str, ...]) -> Reduced:
        """All are in, or the time is up: answer. ``missing`` names the agents that gave nothing."""
        ...


class Reducer(Protocol):
    """Makes one answer of several. Synchronous and pure."""

    def start(self, context: ReductionContext) -> Reduction:
        """Begin. Raises `ValidationError` if a setting is not acceptable."""
        ...
