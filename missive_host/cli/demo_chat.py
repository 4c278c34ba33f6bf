"""What ``missive demo chat`` does: a chat on this machine, in which a person writes to the demo's agents."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from missive_host.cli.app import App
    from missive_host.config import Settings
    from missive_host.demo.outputs import DemoChatResult
    from missive_host.outputs import Data
    from missive_host.plugins import Plugins


def run_chat(app: App, *, chat: str | None, group: bool) -> int:
    """Start agents and a chat, and run until the person ends it; return the exit status. Raises `MissiveError`.

    `chat` is the kind of adapter; None: IRC if there is a server for it, else the terminal.
    """
    from missive_host.config import load
    from missive_host.demo import chat as demo
    from missive_host.demo.fleet import DEMO_AGENTS, Fleet
    from missive_host.demo.irc import IrcServer
    from missive_host.demo.tour import environment, temporary_home, views

    with ExitStack() as stack:
        home = stack.enter_context(temporary_home())
        config, env = environment(home)
        app.use(load(config_path=str(config), env=env))
        plugins, kind, program = _choose(app, chat)
        agents = views(stack.enter_context(Fleet(DEMO_AGENTS)))
        port = 0 if program is None else stack.enter_context(IrcServer(program, home)).port
        values = demo.settings(kind, agents, group=group, port=port)
        demo.write_config(config, kind, agents, values)
        app.use(load(config_path=str(config), env=env))
        result = demo.result(kind, agents, group=group, port=port)
        if kind == demo.TERMINAL:
            return _run_here(app, plugins, result, values)
        return _run_gateway(app, plugins, result)


def _choose(app: App, wanted: str | None) -> tuple[Plugins, str, str | None]:
    """Return the plugins, the kind of chat, and the program of its server, if it needs one."""
    from missive_host.cli.plugin import open_plugins
    from missive_host.demo.chat import IRC, TERMINAL
    from missive_host.demo.irc import PROGRAMS, installed
    from missive_host.errors import ConfigError, PluginError

    plugins, _ = open_plugins(app)
    if wanted != TERMINAL:
        program = installed()
        try:
            plugins.factory(plugins.adapter(IRC)[0])
            if program is not None:
                return plugins, IRC, program
        except PluginError:
            if wanted == IRC:
                raise
        if wanted == IRC:
            raise ConfigError(
                "no IRC server is installed here", help=f"install one of {', '.join(PROGRAMS)}, or use --chat terminal"
            )
    return plugins, TERMINAL, None


def _run_here(app: App, plugins: Plugins, result: DemoChatResult, values: dict[str, Any]) -> int:
    """Run the adapter in this terminal; the end of the input ends it."""
    from missive_host.cli.adapter import run_adapter
    from missive_host.cli.demo_view import show_chat
    from missive_host.outputs import Output

    app.emit(Output(result), show_chat)
    spec, _ = plugins.adapter(result.chat)
    return run_adapter(app, spec, plugins, values)


def _run_gateway(app: App, plugins: Plugins, result: DemoChatResult) -> int:
    """Run a gateway with the adapter until a signal comes."""
    import anyio

    from missive_host.cli.demo_view import show_chat
    from missive_host.demo.server import HOST
    from missive_host.errors import PluginError
    from missive_host.gateway.daemon import Gateway
    from missive_host.logs import configure
    from missive_host.outputs import Output
    from missive_host.outputs_gateway import GatewayStarted

    core = app.core()
    configure(app.flags.verbosity, core.redactor.text)
    failures: list[str] = []

    async def run() -> int:
        def hung_up() -> Settings:
            """A gateway reads its configuration again when its terminal goes; here nobody is left who could see it."""
            gateway.stop("the terminal has gone")
            return core.settings

        async def show(data: Data) -> None:
            if not isinstance(data, GatewayStarted):
                return
            for adapter in gateway.status().adapters:
                if adapter.last_error:
                    failures.append(adapter.last_error)
                    gateway.stop("its adapter has failed")
            if not failures:
                app.emit(Output(result), show_chat)

        gateway = Gateway(core, load=hung_up, open_plugins=lambda _: plugins, show=show, bind=f"{HOST}:0")
        return await gateway.run()

    status = anyio.run(run)
    if failures:
        raise PluginError(f"the chat did not start: {failures[0]}", help="missive demo chat --chat terminal")
    return status
