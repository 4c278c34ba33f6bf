"""What a plugin declares: frozen data, no code that runs.

A hook returns these. ``factory`` is ``"module:attribute"`` and is imported when it is first used, so a
declaration costs nothing. All fields but the first few have defaults, and new ones always will.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Status = Literal["stable", "beta", "experimental", "deprecated"]
OptionType = Literal["string", "integer", "boolean", "duration", "size", "path", "choice"]


@dataclass(frozen=True, slots=True)
class Option:
    """One setting of an adapter: a flag of ``missive adapter NAME`` and a key of ``[adapters.X.settings]``.

    ``size`` is a number of bytes, written ``8MiB`` or ``8388608``; ``duration`` is ``500ms``, ``30s``, ``5m``;
    both arrive converted, as ``int`` bytes and ``float`` seconds. A ``secret`` option takes only a reference
    (``{ secret = "env:NAME" }``) and arrives as a `Secret`.
    """

    name: str
    type: OptionType = "string"
    default: Any = None
    help: str = ""
    choices: tuple[str, ...] = ()
    required: bool = False
    repeated: bool = False
    secret: bool = False
    minimum: int | None = None
    maximum: int | None = None


@dataclass(frozen=True, slots=True)
class AdapterSpec:
    """A door: reads its own kind of input and carries the answers back.

    ``factory`` is called with an `AdapterContext` and returns an `Adapter`.
    """

    name: str
    factory: str
    summary: str
    accepts: tuple[str, ...] = ()
    """Contract ids it reads, e.g. ``("missive.stdio.v1",)``."""
    emits: tuple[str, ...] = ()
    options: tuple[Option, ...] = ()
    foreground: bool = True
    """True: ``missive adapter NAME`` runs it by itself."""
    examples: tuple[str, ...] = ()
    """Command lines for its ``--help``."""
    extra: str | None = None
    """The extra to install, named when its import fails."""
    status: Status = "beta"

    @property
    def secrets(self) -> tuple[str, ...]:
        return tuple(option.name for option in self.options if option.secret)


@dataclass(frozen=True, slots=True)
class PolicySpec:
    """A routing policy. ``factory`` is called without arguments and returns a `RoutingPolicy`."""

    name: str
    factory: str
    summary: str
    extra: str | None = None
    status: Status = "beta"


@dataclass(frozen=True, slots=True)
class ReducerSpec:
    """A reducer of a collective's results. ``factory`` is called without arguments and returns a `Reducer`."""

    name: str
    factory: str
    summary: str
    ordered: bool = False
    """True: the order in which the results arrive matters, so the host hands them over in rank order."""
    extra: str | None = None
    status: Status = "beta"


Spec = AdapterSpec | PolicySpec | ReducerSpec


@dataclass(frozen=True, slots=True)
class Candidate:
    """One agent that a routing policy may choose."""

    agent: str
    rank: str | None = None
    tags: tuple[str, ...] = ()
    weight: float = 1.0
    capabilities: tuple[str, ...] = ()
    input_modes: tuple[str, ...] = ()
    output_modes: tuple[str, ...] = ()
    streaming: bool | None = None
    push_notifications: bool | None = None
    healthy: bool | None = None
    """As last observed; None: not yet."""
    in_flight: int = 0


@dataclass(frozen=True, slots=True)
class RouteRequest:
    """What is to be routed."""

    modes: tuple[str, ...] = ()
    """Media types of the message's parts."""
    tags: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    output_modes: tuple[str, ...] = ()
    preferred_agent: str | None = None
    context: str | None = None
    quorum: int | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """Why a candidate was taken or left."""

    agent: str
    selected: bool
    reason: str


@dataclass(frozen=True, slots=True)
class RoutePlan:
    """What a policy decides. ``state`` is handed back to it the next time."""

    mode: Literal["single", "filter", "all", "ordered_attempts", "first_success", "quorum"]
    targets: tuple[str, ...]
    decisions: tuple[Decision, ...]
    required: int | None = None
    state: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AgentResult:
    """One member's result in a collective, as a reducer gets it."""

    agent: str
    rank: str
    status: str
    text: str | None = None
    data: tuple[Any, ...] = ()
    task_id: str | None = None
    artifact_count: int = 0
    message_count: int = 0


@dataclass(frozen=True, slots=True)
class Reduced:
    """A reducer's answer. ``used`` names the agents whose results went into it."""

    text: str
    data: Any = None
    used: tuple[str, ...] = ()
