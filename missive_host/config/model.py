"""``missive.config.v1``: everything that a configuration file may say.

Every struct refuses unknown keys. The descriptions are the text of the JSON Schema and of ``docs/configuration.md``.
A struct checks itself when it is made and raises `ValueError`; a message that begins with a key in back quotes is
about that key. What needs two tables at once (names that must exist) is checked by ``loading``.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct, field

from missive_host.commands import Binding, Duration, Metadata, Name, NonEmpty, Notes, duration_seconds

CONFIG_VERSION = "missive.config.v1"

# `$(?!\n)`: Python's `$` would let a line break at the end through; in the JSON Schema it means the same as `$`.
_HTTP_URL = r"^https?://[^\s/?#@]+([/?#]\S*)?$(?!\n)"
_TRANSPORT = r"([a-egi-z]|f[a-hj-z0-9-]|fi[a-km-z0-9-]|h[a-su-z0-9-])[a-z0-9-]*"
"""A scheme that begins neither with `ht` nor with `fil`: not every reader of JSON Schema can say `not http`."""
_URL = rf"^(https?://[^\s/?#@]+([/?#]\S*)?|file:///\S+|{_TRANSPORT}://[^\s@]+)$(?!\n)"
_INTERFACE = r"^(https?://[^\s/?#@]+([/?#]\S*)?|[^\s/?#@:]+:[0-9]{1,5}|\[[0-9A-Fa-f:.]+\]:[0-9]{1,5})$(?!\n)"
_HEADER = r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$(?!\n)"
_SIZE = r"^0*[1-9][0-9]{0,14} ?(B|kB|KB|MB|GB|KiB|MiB|GiB)?$(?!\n)"
_HEADER_VALUE = r"^[\t\x20-\x7e]*$(?!\n)"

AgentUrl = Annotated[str, Meta(pattern=_URL, max_length=2048)]
"""An absolute URL without credentials in it: ``http``, ``https``, ``file``, or one for which there is a transport."""
HttpUrl = Annotated[str, Meta(pattern=_HTTP_URL, max_length=2048)]
"""An absolute ``http`` or ``https`` URL without credentials in it."""
InterfaceUrl = Annotated[str, Meta(pattern=_INTERFACE, max_length=2048)]
"""An ``http`` or ``https`` URL, or ``host:port`` for gRPC."""
HeaderName = Annotated[str, Meta(pattern=_HEADER, min_length=1, max_length=128)]
HeaderValue = Annotated[str, Meta(pattern=_HEADER_VALUE, max_length=8192)]
Scheme = Annotated[str, Meta(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]*$(?!\n)", max_length=64)]
EnvName = Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$(?!\n)", max_length=256)]
ProtocolVersion = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]+$(?!\n)", min_length=1, max_length=64)]
Extension = Annotated[str, Meta(pattern=r"^[^\s,]+$(?!\n)", min_length=1, max_length=512)]
Size = Annotated[int, Meta(ge=1)] | Annotated[str, Meta(pattern=_SIZE)]
"""A number of bytes, more than zero: ``1048576`` or ``8MiB``."""

Weight = Annotated[float, Meta(gt=0, le=1.7976931348623157e308)]
"""A positive number; the limit is the largest, so that ``inf`` is refused."""

RESERVED_HEADERS = ("a2a-version", "a2a-extensions")
"""Set by missive itself, from the protocol version and the list of extensions."""


class _Block(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all tables."""


# --- credentials


class AuthHeader(_Block, frozen=True, kw_only=True):
    """One header and where its secret comes from. The secret itself is never in the config."""

    kind: Annotated[
        Literal["env", "keyring", "file"] | None,
        Meta(description="Where the secret is. Without it: `file` or `keyring` if their keys are set, else `env`."),
    ] = None
    env: Annotated[EnvName | None, Meta(description="Environment variable that holds the secret.")] = None
    file: Annotated[
        NonEmpty | None,
        Meta(
            description="File that holds the secret, readable by its owner only (0600); relative to this config file."
        ),
    ] = None
    keyring_service: Annotated[NonEmpty | None, Meta(description="Service of the keyring entry.")] = None
    keyring_account: Annotated[NonEmpty | None, Meta(description="Account of the keyring entry.")] = None
    secret: Annotated[
        NonEmpty | None,
        Meta(description="The secret as `PROVIDER:REFERENCE`, in place of the keys above."),
    ] = None
    header: Annotated[HeaderName, Meta(description="Header to send.")] = "Authorization"
    scheme: Annotated[Scheme, Meta(description='Word before the secret; `""` for a bare API key.')] = "Bearer"

    def __post_init__(self) -> None:
        self._check_source()

    @property
    def reference(self) -> str:
        """The secret as ``PROVIDER:REFERENCE``."""
        match self._source:
            case "env":
                return f"env:{self.env}"
            case "file":
                return f"file:{self.file}"
            case "keyring":
                account = (self.keyring_account or "").replace("%", "%25").replace("/", "%2F")
                return f"keyring:{self.keyring_service}/{account}"
        return self.secret or ""

    @property
    def _source(self) -> Literal["env", "keyring", "file", "secret"]:
        """Where the secret is, said or inferred."""
        if self.kind is not None:
            return self.kind
        if self.secret is not None:
            return "secret"
        if self.file is not None:
            return "file"
        return "keyring" if self.keyring_service is not None or self.keyring_account is not None else "env"

    def _check_source(self) -> None:
        needed = _NEEDED[self._source]
        for key in needed:
            if getattr(self, key) is None:
                raise ValueError(f"`{key}`: is needed when the secret is in {_SOURCES[self._source]}")
        for key in _KEYS:
            if key not in needed and getattr(self, key) is not None:
                raise ValueError(f"`{key}`: does not belong here, the secret is in {_SOURCES[self._source]}")
        if self.header.lower() in RESERVED_HEADERS:
            raise ValueError(f"`header`: {self.header} is set by missive itself")


_KEYS = ("env", "file", "keyring_service", "keyring_account", "secret")
_NEEDED = {
    "env": ("env",),
    "file": ("file",),
    "keyring": ("keyring_service", "keyring_account"),
    "secret": ("secret",),
}
_SOURCES = {"env": "the environment", "file": "a file", "keyring": "the keyring", "secret": "what `secret` names"}


class AuthRef(AuthHeader, frozen=True, kw_only=True):
    """A credential: one header, or with `headers` several."""

    headers: Annotated[
        tuple[AuthHeader, ...],
        Meta(description="Several headers, each a table with the keys above; then those are not set here."),
    ] = ()

    def __post_init__(self) -> None:
        if not self.headers:
            self._check_source()
            return
        for key in ("kind", *_KEYS):
            if getattr(self, key) is not None:
                raise ValueError(f"`{key}`: belongs into each table of `headers`")
        names = [entry.header.lower() for entry in self.headers]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"`headers`: {twice} is there twice")

    @property
    def entries(self) -> tuple[AuthHeader, ...]:
        """Every header of it, in order."""
        return self.headers or (self,)


# --- agents


class Agent(_Block, frozen=True, kw_only=True):
    """An agent that is registered by the config. It cannot be changed from the command line."""

    base_url: Annotated[
        AgentUrl,
        Meta(description="Base URL, full URL of the Agent Card, or `file://` URL of a card; no credentials in it."),
    ]
    interface_urls: Annotated[
        dict[Binding, InterfaceUrl], Meta(description="Binding to URL, used when its card lists no interface.")
    ] = field(default_factory=dict)
    interfaces: Annotated[dict[Binding, InterfaceUrl], Meta(description="Another name for `interface_urls`.")] = field(
        default_factory=dict
    )
    binding_preference: Annotated[
        tuple[Binding, ...], Meta(description="Bindings in order of preference; without it the card's own order.")
    ] = ()
    auth_ref: Annotated[Name | None, Meta(description="Its credential, a name in `[auth_refs]`.")] = None
    tags: Annotated[tuple[Name, ...], Meta(description="Tags to find it by.")] = ()
    notes: Annotated[Notes | None, Meta(description="A note for people.")] = None
    metadata: Annotated[Metadata, Meta(description="Local metadata.")] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.interfaces:
            return
        if self.interface_urls:
            raise ValueError("`interfaces`: is another name for interface_urls; set one of them")
        msgspec.structs.force_setattr(self, "interface_urls", self.interfaces)
        msgspec.structs.force_setattr(self, "interfaces", {})


# --- groups


class GroupMember(_Block, frozen=True, kw_only=True):
    """An agent in a group."""

    agent: Annotated[Name, Meta(description="An agent in `[agents]`.")]
    rank: Annotated[Name, Meta(description="Its rank, unique in the group; members are ordered by it.")]
    tags: Annotated[tuple[Name, ...], Meta(description="Tags that it has in this group.")] = ()
    weight: Annotated[Weight, Meta(description="Its weight, for policies that weigh.")] = 1.0
    routing_metadata: Annotated[Metadata, Meta(description="For policies.")] = field(default_factory=dict)


class GroupBlock(_Block, frozen=True, kw_only=True):
    """A group of agents that is made by the config. It cannot be changed from the command line."""

    members: Annotated[
        tuple[GroupMember, ...], Meta(description="Its members, each a table `[[groups.NAME.members]]`.")
    ] = ()
    routing_policy: Annotated[Name, Meta(description="How one of it is chosen when a message goes to the group.")] = (
        "direct"
    )
    notes: Annotated[Notes | None, Meta(description="A note for people.")] = None
    metadata: Annotated[Metadata, Meta(description="Local metadata.")] = field(default_factory=dict)


# --- blocks that a profile may replace


class Storage(_Block, frozen=True, kw_only=True):
    """Where the state lies."""

    backend: Annotated[Literal["sqlite"], Meta(description="Kind of store.")] = "sqlite"
    database_path: Annotated[
        NonEmpty | None,
        Meta(description="Database file: absolute, from `~/`, or relative to the profile's state folder; no `..`."),
    ] = None

    def __post_init__(self) -> None:
        if self.database_path is not None and ".." in self.database_path.split("/"):
            raise ValueError("`database_path`: `..` is not allowed")


class OutputBlock(_Block, frozen=True, kw_only=True):
    """How results are printed."""

    format: Annotated[
        Literal["human", "json", "ndjson", "quiet"],
        Meta(description="Output without `--json`, `--ndjson` or `--quiet`."),
    ] = "human"
    color: Annotated[
        Literal["auto", "always", "never"], Meta(description="Colour; `auto`: on a terminal, and without `NO_COLOR`.")
    ] = "auto"
    redact_secrets: Annotated[bool, Meta(description="Secrets are always redacted; only `true` is accepted.")] = True

    def __post_init__(self) -> None:
        if not self.redact_secrets:
            raise ValueError("`redact_secrets`: cannot be switched off")


class Protocol(_Block, frozen=True, kw_only=True):
    """What every request to an agent carries."""

    protocol_version: Annotated[
        ProtocolVersion,
        Meta(description="`A2A-Version` to send; agents that speak an older version get their own."),
    ] = "1.0"
    extensions: Annotated[tuple[Extension, ...], Meta(description="URIs for `A2A-Extensions`.")] = ()
    service_parameters: Annotated[
        dict[HeaderName, HeaderValue], Meta(description="Further headers, not for secrets (use `[auth_refs]`).")
    ] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(set(self.extensions)) != len(self.extensions):
            raise ValueError("`extensions`: an extension is there twice")
        for name in self.service_parameters:
            if name.lower() in RESERVED_HEADERS:
                raise ValueError(f"`service_parameters`: {name} is set by protocol_version and extensions")


class BusyInput(_Block, frozen=True, kw_only=True):
    """What happens to an input that comes while the session is still at work."""

    mode: Annotated[
        Literal["queue", "interrupt", "steer"], Meta(description="Queue it, interrupt the work, or steer it.")
    ] = "queue"
    unsupported_steer_fallback: Annotated[
        Literal["queue", "interrupt"], Meta(description="Instead of `steer`, when the agent cannot be steered.")
    ] = "queue"
    interrupt_remote_cancel: Annotated[bool, Meta(description="An interrupt cancels the agent's task, too.")] = True
    max_queue_depth: Annotated[
        Annotated[int, Meta(ge=1, le=100_000)], Meta(description="How many inputs may wait in one session.")
    ] = 32


class Sessions(_Block, frozen=True, kw_only=True):
    """When a session begins anew, that is, with a fresh context."""

    reset: Annotated[
        Literal["none", "daily", "idle", "both"],
        Meta(description="Never, every day at `daily_reset_hour`, after `idle_timeout` without a message, or both."),
    ] = "none"
    idle_timeout: Annotated[
        Duration | None, Meta(description="How long a session may be idle; needed by `idle` and `both`, only there.")
    ] = None
    daily_reset_hour: Annotated[Annotated[int, Meta(ge=0, le=23)], Meta(description="The hour of the daily reset.")] = 4
    time_zone: Annotated[NonEmpty, Meta(description="Whose hour that is, such as Europe/Berlin.")] = "UTC"

    def __post_init__(self) -> None:
        needed = self.reset in ("idle", "both")
        if needed and self.idle_timeout is None:
            raise ValueError(f"`idle_timeout`: is needed with reset = {self.reset}")
        if not needed and self.idle_timeout is not None:
            raise ValueError(f"`idle_timeout`: does not belong here with reset = {self.reset}")


class Gateway(_Block, frozen=True, kw_only=True):
    """The daemon."""

    enabled: Annotated[bool, Meta(description="The gateway may be run in this profile.")] = True
    bind_address: Annotated[NonEmpty, Meta(description="IP address and port to listen on.")] = "127.0.0.1:7347"
    public_base_url: Annotated[HttpUrl | None, Meta(description="Its URL as agents see it, for push callbacks.")] = None
    job_concurrency: Annotated[
        Annotated[int, Meta(ge=1, le=1024)], Meta(description="How many jobs run at the same time.")
    ] = 4
    concurrency: Annotated[
        Annotated[int, Meta(ge=1, le=4096)], Meta(description="How many deliveries run at the same time.")
    ] = 128
    agent_concurrency: Annotated[
        Annotated[int, Meta(ge=1, le=4096)], Meta(description="How many deliveries one agent has at the same time.")
    ] = 64
    capacity: Annotated[
        Annotated[int, Meta(ge=1, le=1_000_000)],
        Meta(description="How many deliveries may be taken in and not ended; what comes then has to wait."),
    ] = 20_000
    max_attempts: Annotated[
        Annotated[int, Meta(ge=1, le=1_000_000)],
        Meta(description="How often a delivery is begun, at the most, before it is a dead letter."),
    ] = 10
    keep_answers: Annotated[
        Duration, Meta(description="How long answers are kept: for idempotency keys and for receipts.")
    ] = "24h"
    drain: Annotated[Duration, Meta(description="How long what runs may go on when the gateway is stopped.")] = "10s"
    sessions: Annotated[Sessions, Meta(description="When a session begins anew.")] = field(default_factory=Sessions)
    busy_input: Annotated[BusyInput, Meta(description="Input that comes while a session is at work.")] = field(
        default_factory=BusyInput
    )

    def __post_init__(self) -> None:
        if not _is_socket(self.bind_address):
            raise ValueError("`bind_address`: expected an IP address and a port, such as 127.0.0.1:7347 or [::1]:7347")


def _is_socket(text: str) -> bool:
    match = re.fullmatch(r"(?:(?P<v4>[0-9.]+)|\[(?P<v6>[0-9A-Fa-f:.]+)\]):(?P<port>[0-9]{1,5})", text)
    if not match or int(match["port"]) > 65535:
        return False
    if text.startswith("127.0.0.1:"):
        return True
    from ipaddress import ip_address

    try:
        ip_address(match["v4"] or match["v6"])
    except ValueError:
        return False
    return True


LogLevel = Literal["error", "warning", "info", "debug"]
LogTarget = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$(?!\n)", max_length=128)]


class Logging(_Block, frozen=True, kw_only=True):
    """The log of the gateway."""

    level: Annotated[LogLevel, Meta(description="What is logged: this, and what is more severe.")] = "info"
    levels: Annotated[
        dict[LogTarget, LogLevel],
        Meta(description="Levels of single targets and of all below them: `missive.http`, or a library: `hpack`."),
    ] = field(default_factory=dict)
    destination: Annotated[
        Literal["file", "stderr", "both"],
        Meta(description="Where it goes; with `file`, warnings and what `-v` asks for are on stderr, too."),
    ] = "file"
    format: Annotated[
        Literal["text", "json"], Meta(description="Its format on stderr; the file has one line of JSON a record.")
    ] = "text"
    file: Annotated[
        NonEmpty | None,
        Meta(
            description="The file: absolute, from `~/`, or relative to the profile's state folder; no `..`. "
            "Without it: `logs/gateway.log` there."
        ),
    ] = None
    max_size: Annotated[
        Size, Meta(description="How large the file may become, in bytes or as `10MiB`; then a new one is begun.")
    ] = "10MiB"
    keep: Annotated[
        Annotated[int, Meta(ge=0, le=1000)], Meta(description="How many full files are kept: `gateway.log.1` and on.")
    ] = 5

    def __post_init__(self) -> None:
        if self.file is not None and ".." in self.file.split("/"):
            raise ValueError("`file`: `..` is not allowed")

    @property
    def max_bytes(self) -> int:
        """``max_size`` as a number."""
        from missive_host.config.units import parse_size

        return parse_size(self.max_size)


class Routing(_Block, frozen=True, kw_only=True):
    """How a message to a group finds its agent."""

    default_policy: Annotated[Name, Meta(description="Routing policy when nothing else names one.")] = "direct"


class Qos(_Block, frozen=True, kw_only=True):
    """Limits of every call."""

    timeout: Annotated[Duration, Meta(description="How long a request may take without any progress.")] = "30s"
    connect_timeout: Annotated[Duration, Meta(description="How long connecting may take.")] = "10s"
    retry_attempts: Annotated[
        Annotated[int, Meta(ge=0, le=10)],
        Meta(description="How often a request that is safe to repeat is tried again."),
    ] = 2
    retry_backoff: Annotated[Duration, Meta(description="Wait before the first retry; it doubles, with jitter.")] = (
        "250ms"
    )
    max_request_bytes: Annotated[Size, Meta(description="Largest message to send, in bytes or as `8MiB`.")] = 1_048_576
    concurrency: Annotated[
        Annotated[int, Meta(ge=1, le=4096)], Meta(description="How many calls of one collective run at the same time.")
    ] = 4

    @property
    def timeout_seconds(self) -> float:
        return duration_seconds(self.timeout)

    @property
    def connect_timeout_seconds(self) -> float:
        return duration_seconds(self.connect_timeout)

    @property
    def retry_backoff_seconds(self) -> float:
        return duration_seconds(self.retry_backoff)

    @property
    def request_bytes(self) -> int:
        """``max_request_bytes`` as a number."""
        from missive_host.config.units import parse_size

        return parse_size(self.max_request_bytes)


# --- the rest


class Profile(_Block, frozen=True, kw_only=True):
    """A profile has its own state; a block that it sets replaces the whole top-level block."""

    description: Annotated[Notes | None, Meta(description="What it is for.")] = None
    default_agent: Annotated[Name | None, Meta(description="An agent in `[agents]`.")] = None
    metadata: Annotated[Metadata, Meta(description="Local metadata.")] = field(default_factory=dict)
    storage: Annotated[Storage | None, Meta(description="Replaces `[storage]`.")] = None
    output: Annotated[OutputBlock | None, Meta(description="Replaces `[output]`.")] = None
    protocol: Annotated[Protocol | None, Meta(description="Replaces `[protocol]`.")] = None
    gateway: Annotated[Gateway | None, Meta(description="Replaces `[gateway]`.")] = None
    logging: Annotated[Logging | None, Meta(description="Replaces `[logging]`.")] = None
    routing: Annotated[Routing | None, Meta(description="Replaces `[routing]`.")] = None
    qos: Annotated[Qos | None, Meta(description="Replaces `[qos]`.")] = None


class AdapterBlock(_Block, frozen=True, kw_only=True):
    """An adapter that the gateway runs."""

    kind: Annotated[Name, Meta(description="Which adapter, as in `missive plugin list`.")]
    enabled: Annotated[bool, Meta(description="The gateway starts it.")] = True
    session_profile: Annotated[Name | None, Meta(description="Profile of its sessions.")] = None
    required: Annotated[bool, Meta(description="The gateway is not ready while this adapter is down.")] = True
    concurrency: Annotated[
        Annotated[int, Meta(ge=1, le=4096)] | None,
        Meta(description="How many of its deliveries run at the same time; the gateway's bound holds, too."),
    ] = None
    capacity: Annotated[
        Annotated[int, Meta(ge=1, le=1_000_000)] | None,
        Meta(description="How many of its deliveries may be taken in and not ended."),
    ] = None
    file_root: Annotated[
        NonEmpty | None,
        Meta(description="Folder whose files its messages may carry: absolute, from `~/`, or relative to this file."),
    ] = None
    busy_input: Annotated[BusyInput | None, Meta(description="Replaces `[gateway.busy_input]` for it.")] = None
    sessions: Annotated[Sessions | None, Meta(description="Replaces `[gateway.sessions]` for it.")] = None
    settings: Annotated[dict[str, Any], Meta(description="Its own options, as in `missive plugin show`.")] = field(
        default_factory=dict
    )


class SinkBlock(_Block, frozen=True, kw_only=True):
    """Where the gateway writes what has happened."""

    kind: Annotated[Name, Meta(description="Which event sink, as in `missive plugin list`.")]
    enabled: Annotated[bool, Meta(description="The gateway writes to it.")] = True
    types: Annotated[
        tuple[NonEmpty, ...], Meta(description="Types of events, or patterns of them such as `missive.job.*`.")
    ] = ("*",)
    begin: Annotated[
        Literal["now", "oldest"],
        Meta(description="Where to begin the first time: with what is yet to come, or with what the journal has."),
    ] = "now"
    backlog: Annotated[
        Annotated[int, Meta(ge=1, le=100_000_000)],
        Meta(description="How far it may be behind, in events; older ones are dropped, and counted."),
    ] = 100_000
    settings: Annotated[dict[str, Any], Meta(description="Its own options, as in `missive plugin show`.")] = field(
        default_factory=dict
    )


class SecretReference(_Block, frozen=True, kw_only=True):
    """A secret, named: `{ secret = "env:NAME" }`."""

    secret: Annotated[NonEmpty, Meta(description="Such as `env:NAME`, `file:PATH` or `keyring:SERVICE/USER`.")]


class Telemetry(_Block, frozen=True, kw_only=True):
    """Traces and metrics for a collector of OpenTelemetry, by OTLP over HTTP. The variables `OTEL_*` come before it."""

    enabled: Annotated[bool, Meta(description="`false`: nothing is sent, whatever the environment says.")] = True
    endpoint: Annotated[
        HttpUrl | None,
        Meta(
            description="The collector, such as `http://127.0.0.1:4318`. Without it, and without one in the"
            " environment, nothing is sent."
        ),
    ] = None
    headers: Annotated[
        dict[HeaderName, HeaderValue | SecretReference],
        Meta(description='For a token: `{ Authorization = { secret = "env:OTLP_HEADER" } }`.'),
    ] = field(default_factory=dict)
    service_name: Annotated[NonEmpty, Meta(description="The attribute `service.name`.")] = "missive"
    sample: Annotated[
        Annotated[float, Meta(ge=0, le=1)],
        Meta(description="Share of the traces that are sent, of those that begin here."),
    ] = 1.0


class FilterBlock(_Block, frozen=True, kw_only=True):
    """A filter of what comes in and goes out through adapters; they work in the order in which they stand here."""

    kind: Annotated[Name, Meta(description="Which filter, as in `missive plugin check`.")]
    direction: Annotated[
        Literal["both", "inbound", "outbound"],
        Meta(description="What it looks at; `both`: all that it can look at."),
    ] = "both"
    adapters: Annotated[
        tuple[Name, ...],
        Meta(description="Only for these: names in `[adapters]`, or kinds, for `missive adapter`. Empty: for all."),
    ] = ()
    timeout: Annotated[Duration, Meta(description="How long it may take; what takes longer is refused.")] = "5s"
    settings: Annotated[dict[str, Any], Meta(description="Its own options, as in `missive plugin show`.")] = field(
        default_factory=dict
    )


class Plugins(_Block, frozen=True, kw_only=True):
    """Which plugins may be loaded."""

    disabled: Annotated[tuple[NonEmpty, ...], Meta(description="Never load these plugins.")] = ()
    enabled: Annotated[
        tuple[NonEmpty, ...] | None, Meta(description="Load only these plugins. Not together with `disabled`.")
    ] = None
    files: Annotated[
        tuple[NonEmpty, ...],
        Meta(description="One-file plugins to load: absolute, from `~/`, or relative to this config file."),
    ] = ()

    def __post_init__(self) -> None:
        if self.enabled is not None and self.disabled:
            raise ValueError("`disabled`: cannot be used together with enabled; keep one of them")


REPLACEABLE = ("storage", "output", "protocol", "gateway", "logging", "routing", "qos")
"""The blocks that a profile may replace."""


class Config(_Block, frozen=True, kw_only=True):
    """A configuration file. Everything has a default, so an empty file is valid."""

    schema_version: Annotated[Literal["missive.config.v1"], Meta(description="Version of this format.")] = (
        "missive.config.v1"
    )
    default_profile: Annotated[Name, Meta(description="Profile without `--profile` and `MISSIVE_PROFILE`.")] = "default"
    profiles: Annotated[dict[Name, Profile], Meta(description="Profiles.")] = field(default_factory=dict)
    agents: Annotated[dict[Name, Agent], Meta(description="Agents.")] = field(default_factory=dict)
    groups: Annotated[dict[Name, GroupBlock], Meta(description="Groups of agents.")] = field(default_factory=dict)
    auth_refs: Annotated[dict[Name, AuthRef], Meta(description="Credentials.")] = field(default_factory=dict)
    storage: Annotated[Storage, Meta(description="Where the state lies.")] = field(default_factory=Storage)
    output: Annotated[OutputBlock, Meta(description="How results are printed.")] = field(default_factory=OutputBlock)
    protocol: Annotated[Protocol, Meta(description="What every request carries.")] = field(default_factory=Protocol)
    gateway: Annotated[Gateway, Meta(description="The daemon.")] = field(default_factory=Gateway)
    logging: Annotated[Logging, Meta(description="Its log.")] = field(default_factory=Logging)
    routing: Annotated[Routing, Meta(description="How a message to a group finds its agent.")] = field(
        default_factory=Routing
    )
    adapters: Annotated[dict[Name, AdapterBlock], Meta(description="Adapters that the gateway runs.")] = field(
        default_factory=dict
    )
    sinks: Annotated[dict[Name, SinkBlock], Meta(description="Where the gateway writes what has happened.")] = field(
        default_factory=dict
    )
    telemetry: Annotated[Telemetry, Meta(description="Traces and metrics for a collector.")] = field(
        default_factory=Telemetry
    )
    filters: Annotated[
        tuple[FilterBlock, ...], Meta(description="Filters of what comes in and goes out, each a table `[[filters]]`.")
    ] = ()
    qos: Annotated[Qos, Meta(description="Limits of every call.")] = field(default_factory=Qos)
    plugins: Annotated[Plugins, Meta(description="Which plugins may be loaded.")] = field(default_factory=Plugins)

    def for_profile(self, name: str) -> Config:
        """Return the config as this profile sees it: its blocks in the place of the top-level ones."""
        profile = self.profiles.get(name)
        if profile is None:
            return self
        blocks = {key: block for key in REPLACEABLE if (block := getattr(profile, key)) is not None}
        return msgspec.structs.replace(self, **blocks) if blocks else self
