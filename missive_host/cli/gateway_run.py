"""``missive gateway run``: the daemon, in the foreground."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import click

from missive_host.cli.kit import App, Command

if TYPE_CHECKING:
    from collections.abc import Callable

    from missive_host.config import Settings
    from missive_host.core.telemetry import Telemetry
    from missive_host.outputs import Data
    from missive_host.plugins import Plugins


def run_gateway(app: App, *, bind_address: str | None, port: int | None, paths: dict[str, str]) -> int:
    """Run the daemon until it is told to stop, and return the exit status. Raises `MissiveError`."""
    import anyio

    from missive_host.config import load
    from missive_host.core.telemetry import telemetry_of
    from missive_host.gateway.daemon import Gateway
    from missive_host.gateway.health import HealthPaths
    from missive_host.logs.setup import last_words
    from missive_host.outputs import Output

    core = app.core()

    def set_log_up(settings: Settings) -> None:
        _set_log_up(app.flags.verbosity, settings, core.redactor.text)

    set_log_up(core.settings)
    _allow_many_connections()

    def open_plugins(settings: Settings) -> Plugins:
        from missive_host.plugins import Gates, catalog, load as load_plugins

        wanted = settings.config.plugins
        return load_plugins(catalog(Gates.of(wanted), files=(*wanted.files, *app.flags.plugin)))

    async def show(data: Data) -> None:
        app.emit(Output(data))

    bind = _bind(core.settings.config.gateway.bind_address, bind_address, port)
    health = HealthPaths(**paths)

    async def serve(telemetry: Telemetry | None) -> int:
        reload = partial(load, config_path=app.flags.config, profile=app.flags.profile)
        gateway = Gateway(
            core,
            load=reload,
            open_plugins=open_plugins,
            show=show,
            bind=bind,
            paths=health,
            set_log_up=set_log_up,
            last_words=last_words,
            telemetry=telemetry,
        )
        return await gateway.run()

    with telemetry_of(core, long=True) as telemetry:
        return anyio.run(serve, telemetry)


def _set_log_up(verbosity: int, settings: Settings, redact: Callable[[str], str]) -> None:
    """Let the log go where the configuration says; flags add to it, and the environment has the last word."""
    from missive_host.logs import wants_json
    from missive_host.logs.setup import install

    block = settings.config.logging
    said = wants_json()
    as_json = block.format == "json" if said is None else said
    install(verbosity, as_json=as_json, redact=redact, block=block, path=settings.log_file)


def _allow_many_connections() -> None:
    """Raise the limit of open files as far as this user may: each connection is one."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(hard, 65536) if hard != resource.RLIM_INFINITY else 65536
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _bind(configured: str, address: str | None, port: int | None) -> str | None:
    """Return where to listen, if the command line says something about it."""
    if address is None and port is None:
        return None
    from ipaddress import ip_address

    from missive_host.errors import ValidationError

    host, _, number = configured.rpartition(":")
    if address is not None:
        try:
            host = f"[{address}]" if ip_address(address).version == 6 else address
        except ValueError:
            raise ValidationError(
                f"--bind-address: '{address[:64]}' is not an IP address", help="such as 127.0.0.1 or ::1"
            ) from None
    return f"{host}:{number if port is None else port}"


def _run(**values: Any) -> int:
    app: App = click.get_current_context().obj
    paths = {name: values[f"{name}_path"] for name in ("health", "ready", "status", "metrics")}
    return run_gateway(app, bind_address=values["bind_address"], port=values["port"], paths=paths)


def _path(name: str, default: str) -> click.Option:
    return click.Option(
        [f"--{name}-path"], default=default, metavar="PATH", help=f"Where it answers. [default: {default}]"
    )


run = Command(
    "run",
    help="""Run the gateway: every enabled adapter of the config, until it is told to stop.

What it takes in is on the disk before it is acknowledged, and is done even if the gateway is killed meanwhile: by the
one that runs next. SIGTERM and Ctrl-C let what runs end (`drain` under [gateway]); a second one does not wait. SIGHUP
and `missive gateway reload` read the configuration again.""",
    examples=(
        "missive gateway run",
        "missive gateway run --port 8080 --json",
        "missive gateway status",
    ),
    params=[
        click.Option(["--bind-address"], metavar="IP", help="Listen on this address instead of the configured one."),
        click.Option(["--port"], type=click.IntRange(0, 65535), metavar="N", help="And on this port; 0: a free one."),
        _path("health", "/healthz"),
        _path("ready", "/readyz"),
        _path("status", "/status"),
        _path("metrics", "/metrics"),
    ],
    callback=_run,
)
