"""``missive demo``: small real agents on this machine, and messages to them."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from missive_host.cli.kit import App, Group, pass_app
from missive_host.cli.verbs import Choices

if TYPE_CHECKING:
    from types import FrameType

    from missive_host.demo.fleet import Fleet

_LOOK_SECONDS = 0.2


class _Demo(Group):
    """A noun that does something without a verb, too."""

    def invoke(self, ctx: click.Context) -> Any:
        code = click.Group.invoke(self, ctx)  # not the kit's, which shows the help
        if ctx.invoked_subcommand is None:
            ctx.obj.prepare()
            run_demo(ctx.obj)
        return code


demo = _Demo(
    "demo",
    help="""Start three small A2A agents, pipe frames through missive to them, and show what comes back.

First to one agent at a time, then to all three as a group, whose answers become one. It takes a few seconds. The agents
are processes on this machine, and what missive keeps of it is in a folder that is removed at the end; your own agents
and tasks are not touched.""",
    examples=["missive demo", "missive demo --json", "missive demo chat", "missive demo serve"],
)


def run_demo(app: App) -> None:
    """Run the demo. Raises `MissiveError` if something did not come out as expected."""
    from msgspec import UNSET

    from missive_host.cli.demo_view import TourView, show_end
    from missive_host.config.units import parse_duration
    from missive_host.demo.outputs import DemoResult
    from missive_host.demo.steps import group_of
    from missive_host.demo.tour import ADAPTER, DEADLINE, next_commands, run_tour
    from missive_host.errors import OrchestrationError
    from missive_host.outputs import Output

    seconds = DEADLINE if app.flags.timeout is None else parse_duration(app.flags.timeout, "--timeout")
    app.print_without_config()
    begun = time.monotonic()
    with _ended_by_signals():
        agents, steps = run_tour(TourView(app.screen if app.mode == "human" else None), seconds=seconds)
    problem = steps[-1].problem
    passed = not isinstance(problem, str)
    took = round(time.monotonic() - begun, 3)
    name = program(sys.argv[0])
    result = DemoResult(
        agents=agents,
        adapter=" ".join(("missive", "adapter", *ADAPTER)),
        steps=steps,
        passed=passed,
        seconds=took,
        group=group_of(steps[-1]) or UNSET,
        next_commands=next_commands(name),
        message=f"It all came out as expected, in {took:.1f} s."
        if passed
        else f"It stopped at step {len(steps)}, which did not come out as expected.",
    )
    app.emit(Output(result), show_end)
    if not passed:
        raise OrchestrationError(
            f"step {len(steps)} of the demo, '{steps[-1].title}', did not come out as expected: {problem}",
            help=f"see the frames: {name} demo --json",
        )


@demo.command(examples=["missive demo serve", "missive demo serve --port 9001 --port 9002 --port 9003"])
@click.option(
    "--port",
    "ports",
    multiple=True,
    type=click.IntRange(0, 65535),
    metavar="N",
    help="Port of the first agent, the second, the third (repeat); 0 is any free one. "
    "By default 8001, 8002 and 8003 where they are free.",
)
@pass_app
def serve(app: App, ports: tuple[int, ...]) -> None:
    """Start the three agents and leave them running until Ctrl-C.

    They listen on the loopback interface. What they do is chosen by the first word of what they are sent: echo,
    task, stream, ask, choose, auth, fail, reject, sleep, big and others; anything else is echoed.
    """
    from missive_host.cli.demo_view import show_serve
    from missive_host.cli.failing import InterruptedBySignalError
    from missive_host.demo.fleet import DEMO_AGENTS, Fleet
    from missive_host.demo.outputs import DemoServeResult
    from missive_host.demo.tour import add_commands, group_commands, serve_specs, views
    from missive_host.outputs import Output

    if len(ports) > len(DEMO_AGENTS):
        raise click.BadParameter(f"there are {len(DEMO_AGENTS)} agents, not {len(ports)}", param_hint="'--port'")
    app.print_without_config()
    try:
        with _ended_by_signals(), Fleet(serve_specs(ports)) as fleet:
            agents = views(fleet)
            name = program(sys.argv[0])
            result = DemoServeResult(
                agents=agents,
                next_commands=add_commands(agents, name),
                group_commands=group_commands(agents, name),
                message=f"{len(agents)} agents are ready",
            )
            app.emit(Output(result), show_serve)
            _wait(fleet)
    except (KeyboardInterrupt, InterruptedBySignalError):
        app.screen.note("the agents have been stopped")


@demo.command(examples=["missive demo chat", "missive demo chat --group", "missive demo chat --chat terminal"])
@click.option(
    "--chat",
    type=Choices(("irc", "terminal")),
    metavar="[irc|terminal]",
    help="A small IRC server with missive in a channel, or this terminal. By default IRC if ngircd or inspircd is "
    "installed.",
)
@click.option("--group", is_flag=True, help="All three agents answer, and then there is one answer of all.")
@pass_app
def chat(app: App, chat: str | None, group: bool) -> int:
    """Start the three agents and a chat on this machine, and write to them until Ctrl-C.

    With IRC it says how to connect. What the agents do is chosen by the first word of what they are sent: echo, task,
    stream, ask, auth, fail and others; !help says what missive itself understands.
    """
    from missive_host.cli.demo_chat import run_chat
    from missive_host.cli.failing import InterruptedBySignalError

    app.print_without_config()
    try:
        with _ended_by_signals():
            status = run_chat(app, chat=chat, group=group)
    except (KeyboardInterrupt, InterruptedBySignalError):
        status = 0
    app.screen.note("the chat and the agents have been stopped")
    return status


def _wait(fleet: Fleet) -> None:
    """Wait for a signal. Raises `TransportError` when an agent has ended by itself."""
    from missive_host.errors import TransportError

    while True:
        time.sleep(_LOOK_SECONDS)
        for name, status in fleet.exited().items():
            raise TransportError(f"the agent '{name}' has ended with status {status}", sent=False)


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end what is inside as Ctrl-C does, so that nothing is left behind. A second one kills."""
    from missive_host.cli.failing import InterruptedBySignalError

    numbers = (signal.SIGTERM, signal.SIGHUP)

    def end(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signature of a signal handler
        for each in numbers:
            signal.signal(each, signal.SIG_DFL)
        raise InterruptedBySignalError(number)

    before = {number: signal.signal(number, end) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def program(called: str) -> str:
    """Return what to type for missive: its bare name if the shell finds this very program, else how it was `called`."""
    import shlex
    import shutil
    from pathlib import Path

    found = shutil.which("missive")
    here = Path(called)
    if here.name == "__main__.py":  # python -m missive_host
        script = Path(sys.executable).with_name("missive")
        here = script if script.exists() else here
    if found is not None and here.exists() and here.samefile(found):
        return "missive"
    return shlex.quote(str(here)) if here.name == "missive" else f"{shlex.quote(sys.executable)} -m missive_host"
