"""``missive demo``: real agents, a throw-away home, and frames through the real stdio adapter.

`run_tour` starts the agents as processes, registers them and a group of them in a home of its own, starts
``missive adapter stdio`` as a child process and pipes the frames of `missive_host.demo.steps` through it. A `Watcher`
sees each thing as it happens. Nothing of it outlives the call, however it ends.
"""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from missive_host.demo.fleet import DEMO_AGENTS, AgentProcess, AgentSpec, Fleet
from missive_host.demo.outputs import DemoAgent, DemoStep
from missive_host.demo.piping import PipedAdapter
from missive_host.demo.steps import GROUP, QUESTION, STEPS, STRATEGY, Step, UnexpectedError, is_last
from missive_host.errors import IoError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from missive_host.demo.steps import Json

ADAPTER = ("stdio", "--mode", "long-running")
PORTS = (8001, 8002, 8003)
"""Where ``missive demo serve`` puts the agents if these ports are free, so that their URLs stay the same."""
DEADLINE = 60.0
"""Seconds; a demo that takes longer is broken."""


class Watcher(Protocol):
    """Sees a tour as it happens."""

    def ready(self, agents: tuple[DemoAgent, ...]) -> None:
        """The agents run and are registered."""
        ...

    def step(self, number: int, step: Step) -> None:
        """The next step begins."""
        ...

    def sent(self, frame: Json) -> None:
        """A frame was written to the adapter."""
        ...

    def received(self, frame: Json, seconds: float) -> None:
        """A frame came back, so many seconds after the request."""
        ...

    def ended(self, step: DemoStep) -> None:
        """The step is over."""
        ...


def run_tour(
    watcher: Watcher, *, seconds: float = DEADLINE, script: Sequence[Step] = STEPS
) -> tuple[tuple[DemoAgent, ...], tuple[DemoStep, ...]]:
    """Run the steps of `script`, and return the agents and what came of each step.

    It stops at the first that has a ``problem``.

    Raises `TransportError` if an agent or the adapter does not start or ends early, `DeadlineError` if it is not over
    after so many `seconds`, `IoError` if there is no room for temporary files.
    """
    deadline = time.monotonic() + seconds
    with temporary_home() as home, Fleet(DEMO_AGENTS, start_timeout=seconds) as fleet:
        agents = views(fleet)
        config, env = environment(home)
        _register(agents, config, env)
        watcher.ready(agents)
        words = (*ADAPTER, "--config", str(config))
        with PipedAdapter(words, env=env, cwd=home, deadline=deadline) as adapter:
            steps = _walk(adapter, script, watcher)
    return agents, steps


def _walk(adapter: PipedAdapter, script: Sequence[Step], watcher: Watcher) -> tuple[DemoStep, ...]:
    answers: dict[str, Sequence[Json]] = {}
    done: list[DemoStep] = []
    for number, step in enumerate(script, 1):
        watcher.step(number, step)
        request = step.frame(answers)
        begun = time.monotonic()
        watcher.sent(request)
        adapter.send(request)
        frames: list[Json] = []
        times: list[float] = []
        while not frames or not is_last(frames[-1]):
            frames.append(adapter.receive())
            times.append(round(time.monotonic() - begun, 3))
            watcher.received(frames[-1], times[-1])
        answers[request["id"]] = frames
        result = DemoStep(title=step.title, request=request, responses=tuple(frames), seconds=tuple(times))
        result = _judged(step, result)
        if number == len(script) and isinstance(result.outcome, str):
            result = _finished(adapter, result)
        watcher.ended(result)
        done.append(result)
        if isinstance(result.problem, str):
            break
    return tuple(done)


def _judged(step: Step, result: DemoStep) -> DemoStep:
    import msgspec

    ids = {frame.get("id") for frame in result.responses}
    try:
        if ids == {result.request["id"]}:
            return msgspec.structs.replace(result, outcome=step.outcome(result.responses))
        problem = f"the answers carry the ids {ids}"
    except UnexpectedError as error:
        problem = str(error)
    except (KeyError, TypeError) as error:
        problem = f"a frame has another form than expected: {error!r}"
    return msgspec.structs.replace(result, problem=problem)


def _finished(adapter: PipedAdapter, last: DemoStep) -> DemoStep:
    """End the adapter's input: it must end, too, and with status 0."""
    import msgspec

    status = adapter.finish()
    if status == 0:
        return last
    said = "".join(f": {text}" for text in adapter.said())
    problem = f"at the end of its input the adapter ended with status {status}{said}"
    return msgspec.structs.replace(last, outcome=msgspec.UNSET, problem=problem)


# --- the home


@contextmanager
def temporary_home() -> Iterator[Path]:
    import tempfile

    try:
        folder = tempfile.TemporaryDirectory(prefix="missive-demo-", ignore_cleanup_errors=True)
    except OSError as error:
        raise IoError(
            f"while making a temporary folder: {(error.strerror or str(error)).lower()}",
            help="set TMPDIR to a folder that can be written",
        ) from error
    with folder as name:
        yield Path(name)


def environment(home: Path) -> tuple[Path, dict[str, str]]:
    """Return an empty config file and an environment in which nothing of the user's own missive is seen."""
    config = home / "missive.toml"
    config.write_text("# The configuration of `missive demo`: the defaults.\n", encoding="utf-8")
    env = {name: value for name, value in os.environ.items() if not name.startswith(("MISSIVE_", "_MISSIVE_"))}
    return config, {**env, "MISSIVE_HOME": str(home)}


def _register(agents: Iterable[DemoAgent], config: Path, env: Mapping[str, str]) -> None:
    from missive_host.commands import AgentAdd, GroupAdd, GroupCreate
    from missive_host.config import load
    from missive_host.core import Core
    from missive_host.security.options import CallOptions

    core = Core(load(config_path=str(config), env=env), CallOptions())
    try:
        core.run_local(GroupCreate(group=GROUP))
        for rank, agent in enumerate(agents, 1):
            core.run_local(AgentAdd(agent=agent.agent, url=agent.url))
            core.run_local(GroupAdd(group=GROUP, agent=agent.agent, rank=str(rank)))
    finally:
        core.close()


# --- the agents


def views(fleet: Iterable[AgentProcess]) -> tuple[DemoAgent, ...]:
    """Return running agents as documents."""
    return tuple(DemoAgent(agent=each.name, url=each.url, bindings=each.bindings, pid=each.pid) for each in fleet)


def serve_specs(ports: Sequence[int] = ()) -> tuple[AgentSpec, ...]:
    """Return the agents of ``missive demo serve``: on these `ports`, in order, and then on any that are free.

    Without `ports` each is put on its own one of `PORTS`, if that is free.
    """
    wanted: list[int] = list(ports) if ports else [port if is_free(port) else 0 for port in PORTS]
    wanted += [0] * (len(DEMO_AGENTS) - len(wanted))
    return tuple(replace(spec, port=port) for spec, port in zip(DEMO_AGENTS, wanted, strict=True))


def is_free(port: int) -> bool:
    """Return True if an agent could listen on this port of the loopback interface now."""
    from missive_host.demo.server import listen

    try:
        listen(port).close()
    except OSError:
        return False
    return True


def next_commands(program: str) -> tuple[str, str, str]:
    """Return what to type after the demo: serve the agents, register one, send to it. `program` is missive's name."""
    from missive_host.demo.server import HOST, listen

    port, option = PORTS[0], ""
    if not is_free(port):
        with listen(0) as sock:
            port = int(sock.getsockname()[1])
        option = f" --port {port}"
    echo = DEMO_AGENTS[0].name
    return (
        f"{program} demo serve{option}",
        f"{program} agent add {echo} http://{HOST}:{port}",
        f"{program} send {echo} hello",
    )


def add_commands(agents: Iterable[DemoAgent], program: str) -> tuple[str, ...]:
    """Return the command that registers each agent."""
    return tuple(f"{program} agent add {each.agent} {each.url}" for each in agents)


def group_commands(agents: Iterable[DemoAgent], program: str) -> tuple[str, ...]:
    """Return the commands that make a group of the agents once they are registered, and ask it."""
    return (
        f"{program} group create {GROUP}",
        *(f"{program} group add {GROUP} {each.agent} --rank {rank}" for rank, each in enumerate(agents, 1)),
        f'{program} allreduce {GROUP} "{QUESTION}" --strategy {STRATEGY}',
    )
