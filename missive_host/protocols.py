"""What runs: the protocols between the host and a plugin's objects.

The life of one delivery::

    adapter reads its input ─► Envelope ─► Delivery ─► await intake.submit(delivery)   (waits while the host is full)
    host runs the command   ─► await delivery.send(output)  for every result, as it happens
    host is done            ─► await delivery.settle(Done | Retry | Reject)            (exactly once, whatever happened)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from logging import Logger
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from missive_host.errors import ErrorReport, MissiveError

if TYPE_CHECKING:
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


Outcome = Done | Retry | Reject


class IntakeFullError(MissiveError):
    """`Intake.submit_nowait` found no room. Try again, or tell the sender to."""


class Delivery(Protocol):
    """One inbound envelope, made and owned by the adapter."""

    @property
    def envelope(self) -> Envelope: ...

    async def send(self, output: Output) -> None:
        """Carry one result back. It may wait: that slows the agent's stream."""
        ...

    async def settle(self, outcome: Outcome) -> None:
        """Say what became of it. Called exactly once, shielded from cancellation, within a time limit."""
        ...


class Intake(Protocol):
    """The host's side: takes deliveries in, keeps order within a session, bounds what is in flight."""

    async def submit(self, delivery: Delivery) -> None:
        """Hand a delivery over. Waits while the host is full; returns when it is accepted, not when it is done."""
        ...

    def submit_nowait(self, delivery: Delivery) -> None:
        """As `submit`, but raises `IntakeFullError` instead of waiting."""
        ...


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
