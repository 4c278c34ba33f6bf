"""What the gateway says about itself, and the result documents of ``missive gateway``."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType

from missive_host.outputs import Data


class ComponentStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the daemon."""

    name: str
    """``intake``, ``dispatcher``, ``listener``, ``jobs``, ``subscriptions``, …"""
    state: str
    """``starting``, ``running``, ``retrying`` or ``stopped``."""
    detail: str | UnsetType = UNSET


class AdapterStatus(msgspec.Struct, frozen=True, kw_only=True):
    """An adapter that the gateway runs."""

    name: str
    kind: str
    state: str
    """``starting``, ``running``, ``retrying`` (it has failed and is started again), ``finished`` (it has nothing
    more to read) or ``stopped``."""
    required: bool
    """The gateway is not ready while this adapter is down."""
    restarts: int
    since: str
    """Since when it is in this state."""
    in_flight: int
    """Deliveries that run now."""
    counters: dict[str, int] = {}
    """What the adapter itself has counted, by name."""
    last_error: str | UnsetType = UNSET


class SinkStatus(msgspec.Struct, frozen=True, kw_only=True):
    """An event sink that the gateway writes to. What is counted is counted since the gateway was started."""

    name: str
    kind: str
    state: str
    """``starting``, ``running``, ``retrying`` (it has failed and is made anew) or ``stopped``."""
    since: str
    """Since when it is in this state."""
    written: int
    """Events that it has kept."""
    behind: int
    """Events of the journal that it has yet to look at."""
    dropped: int
    """Events that it did not get, since it was too far behind, or that it refused."""
    failures: int
    """How often it has failed."""
    last_error: str | UnsetType = UNSET


class AdapterQueue(msgspec.Struct, frozen=True, kw_only=True):
    """What waits, by state."""

    queued: int
    """Behind another of the same session."""
    ready: int
    """Next to run."""
    running: int


class QueueStatus(AdapterQueue, frozen=True, kw_only=True):
    """What was taken in and has not ended."""

    dead: int
    """In the dead-letter list."""
    by_adapter: dict[str, AdapterQueue]
    oldest_waiting_seconds: float | UnsetType = UNSET
    """How long the oldest that has not been begun waits; not set when none waits."""


class AgentStatus(msgspec.Struct, frozen=True, kw_only=True):
    """An agent, as the gateway sees it."""

    agent: str
    breaker: str
    """``closed``; ``open`` (it is rested) or ``half_open`` (the next call decides)."""
    failures: int
    """In a row."""
    in_flight: int
    """Deliveries that it has now."""
    until: str | UnsetType = UNSET
    """Until when it is rested."""
    last_error: str | UnsetType = UNSET


class StoreStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The store, as the daemon last used it."""

    writable: bool
    events: int
    """How many events the journal has."""
    bytes: int
    """Size of the database file."""


class JobsStatus(msgspec.Struct, frozen=True, kw_only=True):
    waiting: int
    running: int
    schedules: int


class SubscriptionsStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Open tasks that are followed to their end."""

    followed: int
    """How many."""


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """A running gateway: what ``/status`` answers, and ``missive gateway status``."""

    profile: str
    pid: int
    version: str
    started_at: str
    uptime_seconds: float
    state: str
    """``starting``, ``running``, ``draining`` or ``stopping``."""
    ready: bool
    reasons: tuple[str, ...]
    """Why it is not ready."""
    bind_address: str | UnsetType = UNSET
    """Where it listens; not set when nothing does."""
    components: tuple[ComponentStatus, ...]
    adapters: tuple[AdapterStatus, ...]
    sinks: tuple[SinkStatus, ...]
    queue: QueueStatus
    store: StoreStatus | UnsetType = UNSET
    agents: tuple[AgentStatus, ...]
    sessions: int
    """How many sessions there are."""
    jobs: JobsStatus
    subscriptions: SubscriptionsStatus


class ServiceView(msgspec.Struct, frozen=True, kw_only=True):
    """The service of the operating system's service manager."""

    manager: str
    """``systemd`` or ``launchd``."""
    scope: str
    """``user`` or ``system``."""
    name: str
    """The unit, or the label."""
    path: str
    """Its file."""
    installed: bool
    state: str
    """What the manager says: of systemd ``active``, ``inactive``, ``failed``, …; of launchd ``running``, ``waiting``,
    …; ``not_installed`` and ``unknown`` are ours."""
    pid: int | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET
    """Whether it starts by itself."""


class PlannedCommand(msgspec.Struct, frozen=True, kw_only=True):
    """A program to be run."""

    program: str
    args: tuple[str, ...]
    display: str
    """As one would type it."""


class CommandOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a program."""

    display: str
    exit_code: int
    stdout: str
    stderr: str


class _ServiceResult(Data, frozen=True, kw_only=True):
    action: str
    """``install``, ``start``, ``stop`` or ``uninstall``."""
    dry_run: bool
    """Nothing was done: this is what would be."""
    platform: str
    """``linux`` or ``macos``."""
    manager: str
    """``systemd`` or ``launchd``."""
    scope: str
    """``user`` or ``system``."""
    service_path: str
    service_name: str
    planned_commands: tuple[PlannedCommand, ...]
    command_results: tuple[CommandOutcome, ...]
    notes: tuple[str, ...]
    message: str


class ServiceInstallResult(_ServiceResult, frozen=True, kw_only=True):
    kind = "gateway_service_install"
    executable: str
    """The program that the service starts."""
    arguments: tuple[str, ...]
    environment: dict[str, str]
    """What the service gets. No secrets: they are found through auth refs."""
    service_file: str
    """The file's text."""
    file_written: bool


class ServiceStartResult(_ServiceResult, frozen=True, kw_only=True):
    kind = "gateway_service_start"


class ServiceStopResult(_ServiceResult, frozen=True, kw_only=True):
    kind = "gateway_service_stop"


class ServiceUninstallResult(_ServiceResult, frozen=True, kw_only=True):
    kind = "gateway_service_uninstall"
    file_removed: bool


class GatewayStatusResult(Data, frozen=True, kw_only=True):
    """How the gateway of this profile is: what the daemon says, else what the service manager says."""

    kind = "gateway_status"
    running: bool
    message: str
    daemon: Status | UnsetType = UNSET
    """What the daemon says; not set when none runs."""
    service: ServiceView | UnsetType = UNSET
    """What the service manager says; not set where there is none."""


class GatewayStopResult(Data, frozen=True, kw_only=True):
    """The daemon was asked to stop, and has."""

    kind = "gateway_stop"
    pid: int
    stopped: bool
    """It has ended. False with ``--no-wait``, when it still drains."""
    message: str


class GatewayReloadResult(Data, frozen=True, kw_only=True):
    """The daemon has re-read its configuration."""

    kind = "gateway_reload"
    changed: tuple[str, ...]
    """What was started, stopped or started anew."""
    message: str


class GatewayStarted(Data, frozen=True, kw_only=True):
    """The gateway runs; printed once it is ready to take messages in."""

    kind = "gateway_started"
    profile: str
    bind_address: str
    health_url: str
    ready_url: str
    status_url: str
    job_concurrency: int
    components: tuple[ComponentStatus, ...]
    message: str


class GatewayStopped(Data, frozen=True, kw_only=True):
    """The gateway has stopped."""

    kind = "gateway_stopped"
    profile: str
    bind_address: str
    shutdown_reason: str
    """``signal``, or who has asked for it."""
    uptime_ms: int
    given_back: int
    """How much was under way and is done when the gateway runs again."""
    message: str
