"""What a plugin declares: frozen data, no code that runs.

A hook returns these. ``factory`` is ``"module:attribute"`` and is imported when it is first used, so a
declaration costs nothing. All fields but the first few have defaults, and new ones always will.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Status = Literal["stable", "beta", "experimental", "deprecated"]
OptionType = Literal["string", "integer", "boolean", "duration", "size", "path", "choice", "table"]
Completes = Literal["adapter", "agent", "context", "group", "policy", "reducer", "session", "task"]


@dataclass(frozen=True, slots=True)
class Option:
    """One setting of an adapter: a flag of ``missive adapter NAME`` and a key of ``[adapters.X.settings]``.

    In a `SinkSpec` it is a key of ``[sinks.X.settings]``, in a `VerbSpec` a flag or an argument of the command.

    ``size`` is a number of bytes, written ``8MiB`` or ``8388608``; ``duration`` is ``500ms``, ``30s``, ``5m``;
    both arrive converted, as ``int`` bytes and ``float`` seconds. A ``secret`` option takes only a reference
    (``{ secret = "env:NAME" }``) and arrives as a `Secret`. A ``table`` is for the config only: it arrives as it was
    written, but each reference to a secret in it as a `Secret`; the adapter checks it.
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
    flag: str | None = None
    """Its flag, if that is not ``--name``."""
    completes: Completes | None = None
    """What its value is the name of: the shell completes it."""


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
    owns_stdio: bool = False
    """True: standard input and output are its own, so a gateway that runs it prints nothing there."""
    examples: tuple[str, ...] = ()
    """Command lines for its ``--help``."""
    extra: str | None = None
    """The extra to install, named when its import fails."""
    status: Status = "beta"
    file_root_option: str | None = None
    """The option with the folder below which its messages may name files. None: ``file_root`` says it."""
    carries_files: bool = False
    """True: it takes files in, and its messages name them by paths below `AdapterContext.data_dir`, and no others."""
    requires: tuple[str, ...] = ()
    """The top-level modules that the extra brings: looked for, not imported, to say early that it is missing."""
    noun: str | None = None
    """The command of another plugin that looks after adapters of this kind: it gets their options and folders."""

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


@dataclass(frozen=True, slots=True)
class SinkSpec:
    """Where the gateway writes the events of its journal. ``factory`` is called with a `SinkContext`."""

    name: str
    factory: str
    summary: str
    options: tuple[Option, ...] = ()
    """Keys of ``[sinks.X.settings]``."""
    extra: str | None = None
    """The extra to install, named when its import fails."""
    status: Status = "beta"
    requires: tuple[str, ...] = ()
    """The top-level modules that the extra brings: looked for, not imported, to say early that it is missing."""


@dataclass(frozen=True, slots=True)
class TransportSpec:
    """A road to agents. ``factory`` is called with a `TransportContext` and returns an `AgentTransport`."""

    name: str
    """The scheme of the URLs of such agents: ``unix`` for ``unix:///run/agent.sock``."""
    factory: str
    summary: str
    extra: str | None = None
    status: Status = "beta"
    requires: tuple[str, ...] = ()
    """The top-level modules that the extra brings."""


@dataclass(frozen=True, slots=True)
class VerbSpec:
    """One command of a noun: ``missive NOUN PATH …``.

    ``factory`` names an async function. It is called as ``function(context, **options)`` with a `CommandContext` and
    all arguments and options, converted and complete with defaults, ``-`` in a name as ``_``. It returns a `Summary`,
    which is printed as the results of all commands are, or None; it raises a `MissiveError` for what a person can mend.
    """

    path: tuple[str, ...]
    """One word or several: ``("pairing", "approve")`` is ``missive NOUN pairing approve``."""
    factory: str
    summary: str
    """One line; the first line of its help."""
    description: str = ""
    """What more its help says."""
    arguments: tuple[Option, ...] = ()
    """Those without a flag, in order. Only the last may be repeated."""
    options: tuple[Option, ...] = ()
    examples: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return " ".join(self.path)


@dataclass(frozen=True, slots=True)
class CommandSpec:
    """A noun of the command line with its verbs. A name that missive itself has stays missive's.

    To be in the list of ``missive --help``, which imports no plugin, the noun is also named in the metadata::

        [project.entry-points."missive.commands"]
        pigeon = "carrier_pigeon"
    """

    name: str
    summary: str
    verbs: tuple[VerbSpec, ...]
    groups: tuple[tuple[str, str], ...] = ()
    """A word that several verbs begin with, and one line about it; without one its help lists the verbs only."""
    examples: tuple[str, ...] = ()
    extra: str | None = None
    status: Status = "beta"


@dataclass(frozen=True, slots=True)
class ContractSpec:
    """A contract that a plugin brings: the JSON Schemas of its documents, with examples, among its package's data.

    They lie in ``FOLDER/NAME`` of the package: ``request.schema.json`` (what `parse_envelope` reads),
    ``response.schema.json``, any ``PART.schema.json``; and ``examples/valid`` and ``examples/refused``. Nothing of it
    is read before it is used. A name is ``missive.X.vN`` with X the name of the plugin or of an adapter that it brings,
    or one of its own that does not begin with ``missive.``: ``pigeon-post.letter.v1``.
    """

    name: str
    """The id of the contract: what its documents have as ``schema_version``."""
    package: str
    """Whose data it is, e.g. ``carrier_pigeon``; of a module that is no package, the folder that it is in."""
    summary: str
    folder: str = "contracts"
    """The folder of contracts in the package."""
    facts: str | None = None
    """The field of a request that only this contract has, an object: it arrives as `Envelope.metadata`."""


@dataclass(frozen=True, slots=True)
class SecretProviderSpec:
    """Where secrets are kept: ``{ secret = "NAME:REFERENCE" }``.

    ``factory`` is called with a `SecretContext` and returns a `SecretProvider`. So that it is found without importing
    any other plugin, it is also named in the metadata::

        [project.entry-points."missive.secret_providers"]
        vault = "carrier_vault"
    """

    name: str
    factory: str
    summary: str
    form: str = "REFERENCE"
    """What stands behind the colon, for people: ``NAME``, ``SERVICE/ACCOUNT``."""
    extra: str | None = None
    status: Status = "beta"


@dataclass(frozen=True, slots=True)
class FilterSpec:
    """A filter of what comes in or goes out: an `InboundFilterSpec` or an `OutboundFilterSpec`.

    ``factory`` is called with a `FilterContext`. A filter that works both ways is declared twice, under one name and
    with the same options, in both hooks.
    """

    name: str
    factory: str
    summary: str
    options: tuple[Option, ...] = ()
    """The keys of its ``settings`` in ``[[filters]]``."""
    extra: str | None = None
    status: Status = "beta"


@dataclass(frozen=True, slots=True)
class InboundFilterSpec(FilterSpec):
    """A filter of what adapters take in. The factory returns an `InboundFilter`."""


@dataclass(frozen=True, slots=True)
class OutboundFilterSpec(FilterSpec):
    """A filter of what adapters are given to carry back. The factory returns an `OutboundFilter`."""


Spec = (
    AdapterSpec
    | PolicySpec
    | ReducerSpec
    | CommandSpec
    | ContractSpec
    | SecretProviderSpec
    | SinkSpec
    | InboundFilterSpec
    | OutboundFilterSpec
    | TransportSpec
)


# --- what a routing policy gets and gives


@dataclass(frozen=True, slots=True)
class Requirements:
    """What an agent must be able to do. Labels are lower-case and matched exactly; media types without wildcards."""

    tags: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    input_modes: tuple[str, ...] = ()
    output_modes: tuple[str, ...] = ()
    streaming: bool = False
    push_notifications: bool = False


@dataclass(frozen=True, slots=True)
class RouteRequest:
    """What is to be routed."""

    requirements: Requirements = field(default_factory=Requirements)
    part_modes: tuple[str, ...] = ()
    """Media types of the message's parts."""
    preferred_agent: str | None = None
    context: str | None = None
    """The id of the local context, for policies that keep a conversation with one agent."""
    context_agent: str | None = None
    """The agent that has had the context so far, if there is one."""
    quorum: int | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """One agent that a routing policy may choose. Candidates come in the order of rank, then alias."""

    agent: str
    rank: str | None = None
    tags: tuple[str, ...] = ()
    weight: float = 1.0
    capabilities: tuple[str, ...] = ()
    input_modes: tuple[str, ...] = ()
    output_modes: tuple[str, ...] = ()
    streaming: bool | None = None
    """None: not known, because there is no card."""
    push_notifications: bool | None = None
    resting: bool = False
    """True while its circuit breaker is open: it failed lately and should be left in peace."""
    in_flight: int = 0
    metadata: dict[str, Any] = field(default_factory=dict)
    """Its routing metadata in the group."""
    failures: int = 0
    """How often in a row it was not there when it was called last; 0: it answered, or was never called."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Why a candidate was taken or left."""

    agent: str
    selected: bool
    reason: str
    missing: tuple[str, ...] = ()
    """Requirements that it lacks: ``tag:x``, ``capability:x``, ``input_mode:x``, ``streaming:unknown`` …"""
    matched: tuple[str, ...] = ()


PlanMode = Literal["single", "filter", "all", "ordered_attempts", "first_success", "quorum"]


@dataclass(frozen=True, slots=True)
class RoutePlan:
    """What a policy decides.

    ``targets`` are aliases in order. ``single`` and ``filter`` send to the first, ``ordered_attempts`` to the next
    one if the one before could not take it, ``first_success`` to all until one succeeds, ``all`` and ``quorum`` to
    all. ``state`` is kept by the host, for each group and policy, and handed back the next time.
    """

    mode: PlanMode
    targets: tuple[str, ...]
    decisions: tuple[Decision, ...]
    required: int | None = None
    """Of ``quorum``: how many must succeed."""
    state: dict[str, Any] = field(default_factory=dict)


# --- what a reducer gets and gives


@dataclass(frozen=True, slots=True)
class AgentResult:
    """One member's result in a collective. ``text``, ``data`` and ``files`` are what came from outside: untrusted."""

    agent: str
    rank: str
    status: str
    """``gathered``, or why there is nothing: ``missing_task``, ``empty_output``, ``failed`` …"""
    text: str | None = None
    data: tuple[Any, ...] = ()
    """JSON values of the data parts."""
    files: tuple[str, ...] = ()
    """Names of the artifacts with bytes or URLs."""
    task_id: str | None = None
    message_count: int = 0
    artifact_count: int = 0
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Reduced:
    """A reducer's answer."""

    text: str
    data: Any = None
    """The answer as JSON, where it is more than a text."""
    used: tuple[str, ...] = ()
    """The agents whose results went into it."""
    notes: tuple[str, ...] = ()
    """What a reader should know: conflicts, ties, members that are missing."""


@dataclass(frozen=True, slots=True)
class ReductionContext:
    """What is reduced, for reducers that say so."""

    group: str
    context_id: str
    expected: tuple[str, ...]
    """Aliases in rank order."""
    settings: dict[str, Any] = field(default_factory=dict)
    """From the caller, e.g. ``template``; a reducer refuses what it does not know with a `ValidationError`."""
