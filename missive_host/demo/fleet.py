"""Agents as processes: start them together, wait until all are ready, stop them together.

::

    with Fleet(DEMO_AGENTS) as fleet:
        print(fleet["echo"].url)

Plain and blocking, so that it can stand around an event loop as well as in a thread beside one.
Each process holds the reading end of a pipe whose writing end is ours: when this process dies,
however it dies, they see the end of their input and leave.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import IO, TYPE_CHECKING, Any

from missive_host.errors import TransportError

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator, Mapping, Sequence
    from types import TracebackType
    from typing import Self

__all__ = ["DEMO_AGENTS", "AgentProcess", "AgentSpec", "Fleet"]

_REASON_BYTES = 4000


@dataclass(frozen=True)
class AgentSpec:
    """One agent to start. The fields up to `port` are the options of `missive_host.demo.server`."""

    name: str
    bindings: tuple[str, ...] | None = None
    """In the card's order, e.g. ``("json-rpc", "http+json")``; None: all that can be had here."""
    protocol: str = "1.0"
    bearer_env: str | None = None
    """Name of the variable with the token that the agent asks for; set it in `env`."""
    tenant: str = ""
    push: bool = False
    streaming: bool = True
    fast: bool = False
    port: int = 0
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Added to this process's own environment."""
    command: tuple[str, ...] | None = None
    """Run this instead; it must print a ready line of the same form and leave when its standard input ends."""

    def argv(self) -> tuple[str, ...]:
        """Return the command line."""
        if self.command is not None:
            return self.command
        # -P: a file of the working folder must not be taken for a module.
        argv = [sys.executable, "-P", "-m", "missive_host.demo.server", "--exit-with-stdin"]
        argv += ["--name", self.name, "--port", str(self.port), "--protocol", self.protocol, "--tenant", self.tenant]
        if self.bindings is not None:
            argv += ["--bindings", ",".join(self.bindings)]
        if self.bearer_env is not None:
            argv += ["--require-bearer-env", self.bearer_env]
        if self.push:
            argv.append("--push")
        if not self.streaming:
            argv.append("--no-streaming")
        if self.fast:
            argv.append("--fast")
        return tuple(argv)


@dataclass(frozen=True)
class AgentProcess:
    """An agent that runs: its ready line."""

    name: str
    url: str
    """Base URL; the card is at ``/.well-known/agent-card.json`` under it."""
    pid: int
    protocol: str
    bindings: tuple[str, ...]
    """A2A's names, in the card's order: ``JSONRPC``, ``HTTP+JSON``, ``GRPC``."""
    interfaces: Mapping[str, str]
    """Binding to URL."""


DEMO_AGENTS = (
    AgentSpec("echo", bindings=("json-rpc", "http+json")),
    AgentSpec("worker"),
    AgentSpec("asker"),
)
"""The agents of ``missive demo``. They all can do the same; their names say what they are used for."""


class Fleet:
    """Agents that live as long as the ``with`` block.

    Entering raises `TransportError` if one of them ends early or is not ready after `start_timeout` seconds; those
    that did start are stopped then. Leaving asks all to terminate and kills what is left after `stop_timeout` seconds.
    """

    def __init__(
        self, specs: Sequence[AgentSpec] = DEMO_AGENTS, *, start_timeout: float = 30.0, stop_timeout: float = 5.0
    ) -> None:
        self._specs = tuple(specs)
        if len({spec.name for spec in self._specs}) < len(self._specs):
            raise ValueError("two agents of a fleet have the same name")
        self._start_timeout = start_timeout
        self._stop_timeout = stop_timeout
        self._running: list[tuple[AgentSpec, subprocess.Popen[bytes], IO[bytes]]] = []
        self._agents: dict[str, AgentProcess] = {}

    def __enter__(self) -> Self:
        try:
            for spec in self._specs:
                self._launch(spec)
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def __getitem__(self, name: str) -> AgentProcess:
        return self._agents[name]

    def __iter__(self) -> Iterator[AgentProcess]:
        return iter([self._agents[spec.name] for spec in self._specs])

    def __len__(self) -> int:
        return len(self._agents)

    def exited(self) -> dict[str, int]:
        """Return the agents that have ended by themselves, with their exit status (negative: the signal)."""
        ended = {spec.name: process.poll() for spec, process, _ in self._running}
        return {name: status for name, status in ended.items() if status is not None}

    def _launch(self, spec: AgentSpec) -> None:
        import subprocess
        import tempfile

        # Into a file, not a pipe that somebody would have to read: only wanted when the agent does not start.
        reason = tempfile.TemporaryFile()  # noqa: SIM115 - closed in stop()
        try:
            process = subprocess.Popen(
                spec.argv(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=reason,
                bufsize=0,
                env={**os.environ, **spec.env},
            )
        except OSError as error:
            reason.close()
            raise TransportError(
                f"the agent '{spec.name}' could not be started: {error.strerror}", sent=False
            ) from error
        self._running.append((spec, process, reason))

    def _wait_until_ready(self) -> None:
        import selectors

        deadline = time.monotonic() + self._start_timeout
        lines = {spec.name: b"" for spec in self._specs}
        with selectors.DefaultSelector() as selector:
            for running in self._running:
                selector.register(_pipe(running[1].stdout), selectors.EVENT_READ, running)
            while len(self._agents) < len(self._running):
                events = selector.select(max(0.0, deadline - time.monotonic()))
                if not events:
                    late = next(running for running in self._running if running[0].name not in self._agents)
                    raise self._not_ready(*late, f"was not ready after {self._start_timeout:g} s")
                for key, _ in events:
                    spec, process, reason = key.data
                    piece = os.read(key.fd, 65536)
                    if not piece:
                        raise self._not_ready(spec, process, reason, "ended before it was ready")
                    lines[spec.name] += piece
                    if b"\n" in lines[spec.name]:
                        selector.unregister(key.fileobj)
                        self._agents[spec.name] = _ready(spec, lines[spec.name].split(b"\n", 1)[0])

    def _not_ready(
        self, spec: AgentSpec, process: subprocess.Popen[bytes], reason: IO[bytes], what: str
    ) -> TransportError:
        process.kill()
        process.wait()
        size = reason.seek(0, os.SEEK_END)
        reason.seek(max(0, size - _REASON_BYTES))
        said = reason.read().decode(errors="replace").strip()
        return TransportError(f"the agent '{spec.name}' {what}", sent=False, sources=(said,) if said else ())

    def stop(self) -> None:
        """Stop all agents. May be called twice."""
        import subprocess

        self._agents.clear()
        running, self._running = self._running, []
        for _, process, _ in running:
            process.terminate()
        deadline = time.monotonic() + self._stop_timeout
        for _, process, reason in running:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            _pipe(process.stdin).close()
            _pipe(process.stdout).close()
            reason.close()


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None, "the process was started with pipes"
    return stream


def _ready(spec: AgentSpec, line: bytes) -> AgentProcess:
    import json

    try:
        ready: dict[str, Any] = json.loads(line)
        return AgentProcess(
            name=spec.name,
            url=ready["url"],
            pid=ready["pid"],
            protocol=ready["protocol"],
            bindings=tuple(ready["bindings"]),
            interfaces=MappingProxyType({each["binding"]: each["url"] for each in ready["interfaces"]}),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise TransportError(
            f"the agent '{spec.name}' printed no ready line: {line[:200].decode(errors='replace')}", sent=False
        ) from error
