"""`Core` runs commands."""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from missive_host.commands import Command, duration_seconds, tag_of
from missive_host.errors import DeadlineError, ErrorReport, MissiveError, OrchestrationError, ValidationError
from missive_host.ids import derived_id, new_id
from missive_host.outputs import Output
from missive_host.security.redact import Redactor

if TYPE_CHECKING:
    from missive_host.a2a.client import Connections
    from missive_host.a2a.parts import FileAccess
    from missive_host.config import Settings
    from missive_host.core.agents import Agents
    from missive_host.core.recorder import Recorder
    from missive_host.plugins import Plugins
    from missive_host.protocols import AgentTransport
    from missive_host.security.options import CallOptions
    from missive_host.security.providers import Secrets
    from missive_host.store import Store, Tables

T = TypeVar("T")
Emit = Callable[[Output], Awaitable[None]]


class WorkContext(msgspec.Struct):
    """The work in the store that a command is run for, so that it can be run again after a crash."""

    work_id: str
    attempt: int = 1
    """From 1. Only a later one has to look for what an earlier one has left."""
    outputs: int = 0
    """How many results earlier attempts have given."""
    accepted: bool = False
    """Set once an agent has taken the message: from then on it is followed, and not sent again."""
    renamed: dict[tuple[str, str], str] = {}
    """Messages of earlier attempts to agents that have another name now, by that name and the message's role."""


class _Opened:
    """What a core has opened. The cores that `Core.for_work` makes have it in common."""

    __slots__ = ("agents", "connections", "plugins", "recorder", "running", "secrets", "store")

    def __init__(self) -> None:
        self.store: Store | None = None
        self.connections: Connections | None = None
        self.agents: Agents | None = None
        self.recorder: Recorder | None = None
        self.plugins: Plugins | None = None
        self.secrets: Secrets | None = None
        self.running = 0


class Core:
    """Everything a command needs, opened once and only when it is needed.

    ``files`` says which files a message may carry: the command line passes the working folder, a door the
    folder of its config, or None.
    """

    def __init__(
        self,
        settings: Settings,
        options: CallOptions,
        *,
        files: FileAccess | None = None,
        plugins: Callable[[], Plugins] | None = None,
    ) -> None:
        self.settings = settings
        self.options = options
        self.files = files
        self.work: WorkContext | None = None
        """The work that this core runs a command for; None: whoever gave the command waits for it."""
        self._open_plugins = plugins
        self.on_bytes: Callable[[int, int], None] | None = None
        """Told of progress in writing files: bytes done, bytes in all."""
        self.on_new_work: Callable[[], None] | None = None
        """Called, in any thread, when a job or a schedule was put into the store, or changed: whoever runs jobs should
        look. It must not raise."""
        self.on_call: Callable[[str, str, str, str, float], None] | None = None
        """Told of each call on an agent that has ended: agent, system, method, ``error.type`` or nothing, seconds."""
        self.redactor = Redactor(options.secrets)
        self._opened = _Opened()

    @property
    def profile(self) -> str:
        return self.settings.profile

    def for_work(self, work: WorkContext, *, files: FileAccess | None = None) -> Core:
        """Return a core for one piece of work. It shares with this one all that is open."""
        twin = copy.copy(self)
        twin.work, twin.files = work, files
        if work.attempt > 1:
            from missive_host.core.durable import renamed_since

            work.renamed = self.store.read(lambda tables: renamed_since(tables, work.work_id))
        return twin

    def message_id(self, agent: str, role: str = "") -> str:
        """Return the messageId of the message that the command has for an agent: for the same work always the same.

        `role` tells several messages to one agent apart.
        """
        if self.work is None:
            return new_id()
        return self.work.renamed.get((agent, role)) or derived_id(self.work.work_id, "message", role, agent)

    def own_id(self, what: str) -> str:
        """Return a new id, which for the same work and the same `what` is always the same."""
        return new_id() if self.work is None else derived_id(self.work.work_id, what)

    @property
    def store(self) -> Store:
        """The store, opened and brought up to date with the agents and groups of the config. Raises `StorageError`."""
        if self._opened.store is None:
            from missive_host.core.seeding import seed
            from missive_host.store import Store

            store = Store.open(self.settings.paths.database)
            try:
                seed(store, self.settings.config)
            except BaseException:
                store.close()
                raise
            self._opened.store = store
        return self._opened.store

    @property
    def connections(self) -> Connections:
        if self._opened.connections is None:
            from missive_host.a2a.client import Connections

            seconds = duration_seconds(self.settings.config.qos.connect_timeout)
            self._opened.connections = Connections(connect_timeout=seconds, open_transport=self._open_transport)
        return self._opened.connections

    def _open_transport(self, scheme: str) -> AgentTransport:
        import logging

        from missive_host.protocols import TransportContext

        spec, _ = self.plugins.transport(scheme)
        seconds = duration_seconds(self.settings.config.qos.connect_timeout)
        made: AgentTransport = self.plugins.factory(spec)(
            TransportContext(spec.name, logging.getLogger(f"missive.transports.{spec.name}"), seconds)
        )
        return made

    @property
    def agents(self) -> Agents:
        if self._opened.agents is None:
            from missive_host.core.agents import Agents

            self._opened.agents = Agents(self)
        return self._opened.agents

    @property
    def plugins(self) -> Plugins:
        """Where policies and reducers come from: what the caller gave, else the plugins that the config allows."""
        if self._opened.plugins is None:
            if self._open_plugins is not None:
                self._opened.plugins = self._open_plugins()
            else:
                from missive_host.plugins import Gates, catalog, load

                wanted = self.settings.config.plugins
                self._opened.plugins = load(catalog(Gates.of(wanted), files=wanted.files))
        return self._opened.plugins

    @property
    def secrets(self) -> Secrets:
        """What resolves references to secrets."""
        if self._opened.secrets is None:
            from missive_host.security.providers import Secrets

            self._opened.secrets = Secrets(lambda: self.plugins, self.settings.environ)
        return self._opened.secrets

    @property
    def recorder(self) -> Recorder:
        if self._opened.recorder is None:
            from missive_host.core.recorder import Recorder

            self._opened.recorder = Recorder(self)
        return self._opened.recorder

    def run_local(self, command: Command) -> Output:
        """Run a command that needs the store alone. Raises `MissiveError`."""
        output: Output = handler_of(command)(self, command)
        return output

    async def run(self, command: Command, emit: Emit) -> None:
        """Run any command; each result is emitted as it happens. Raises `MissiveError`."""
        handler = handler_of(command)
        emit = self._guarded(emit)
        self._opened.running += 1
        try:
            await self._run(handler, command, emit)
        finally:
            self._opened.running -= 1

    def new_work(self) -> None:
        """Say that there is something new for whoever runs jobs."""
        if self.on_new_work is not None:
            self.on_new_work()

    async def commit(self, write: Callable[[Tables], T]) -> T:
        """Write to the store; a command that runs alone has nobody to share the commit with, or to hold up."""
        return await self.store.commit(write, alone=self._opened.running <= 1)

    @contextmanager
    def sharing(self) -> Iterator[None]:
        """Within it this command writes for several agents at once, so that its commits are worth putting together."""
        self._opened.running += 1
        try:
            yield
        finally:
            self._opened.running -= 1

    async def _run(self, handler: Callable[..., Any], command: Command, emit: Emit) -> None:
        import anyio

        if command.store_only:
            await emit(await anyio.to_thread.run_sync(handler, self, command))
            return
        seconds = self.timeout_of(command)
        if seconds is None or command.own_deadline:
            await handler(self, command, emit)
            return
        try:
            with anyio.fail_after(seconds):
                await handler(self, command, emit)
        except TimeoutError:
            raise DeadlineError(
                f"`{tag_of(command)}` did not end within {seconds:g} s",
                help="the agent may go on with it: see `missive task list`; allow more time with --timeout",
            ) from None

    def _guarded(self, emit: Emit) -> Emit:
        """Return `emit`, or one that takes out secrets in use: an agent may send back what it was sent."""

        async def guarded(output: Output) -> None:
            if self.redactor.knows_secrets:
                clean = self.redactor.known(msgspec.to_builtins(output.data))
                output = Output(msgspec.convert(clean, type(output.data)), output.sequence)
            await emit(output)

        return guarded

    def timeout_of(self, command: Command) -> float | None:
        """Return the command's own timeout in seconds, else that of the process, else None."""
        text = getattr(command, "timeout", None)
        return duration_seconds(text) if text else self.options.timeout

    def report(self, error: BaseException) -> ErrorReport:
        """Return an error as a document, without secrets."""
        if not isinstance(error, MissiveError):
            error = OrchestrationError(
                f"unexpected {type(error).__name__}: {error}", help="this is a fault in missive; run it with --trace"
            )
        return self.redactor.report(error.report())

    def close(self) -> None:
        """Close the store. For processes that ran local commands only."""
        if self._opened.store is not None:
            self._opened.store.close()
            self._opened.store = None

    async def aclose(self) -> None:
        """Close connections and store."""
        import anyio

        with anyio.CancelScope(shield=True):
            if self._opened.connections is not None:
                await self._opened.connections.aclose()
                self._opened.connections = None
            self.close()


def handler_of(command: Command) -> Callable[..., Any]:
    """Return the handler of a command."""
    tag = tag_of(command)
    module = import_module(f"missive_host.core.handlers.{tag.partition('_')[0]}")
    handler: Callable[..., Any] | None = getattr(module, tag, None)
    if handler is None:
        raise ValidationError(f"command `{tag}` has no handler")
    return handler
