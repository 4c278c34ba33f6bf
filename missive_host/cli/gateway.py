"""``missive gateway``: the daemon, and the service that keeps it running."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from missive_host.cli.gateway_run import run
from missive_host.cli.kit import App, Group, pass_app

if TYPE_CHECKING:
    from missive_host.config.paths import Paths
    from missive_host.gateway.service import Service
    from missive_host.outputs_gateway import CommandOutcome, PlannedCommand, ServiceView

EXIT_NOT_RUNNING = 3
"""What systemctl and the init scripts of old say."""
_LOOK_SECONDS = 0.1

gateway = Group(
    "gateway",
    help="The gateway: the daemon that takes messages in through every enabled adapter.",
    examples=("missive gateway run", "missive gateway status", "missive gateway install --dry-run"),
)
gateway.add_command(run)

_system = click.option("--system", is_flag=True, help="The service of the whole system, not that of the user.")
_dry_run = click.option("--dry-run", is_flag=True, help="Only show what would be done.")


def _service(app: App, *, system: bool) -> Service:
    from missive_host.gateway.service import service_of

    settings = app.settings()
    return service_of(settings.profile, settings.environ, system=system, platform=sys.platform)


def _emit(app: App, data: Any) -> None:
    from missive_host.outputs import Output

    app.emit(Output(data))


# --- the running daemon


@gateway.command(examples=("missive gateway status", "missive gateway status --json | jq .data.daemon.queue"))
@_system
@pass_app
def status(app: App, system: bool) -> int:
    """Show how the gateway is: what the daemon says, and if none runs, what the service manager says.

    Leaves with 3 if it is not running.
    """
    from msgspec import UNSET, ValidationError as MismatchError, convert

    from missive_host.errors import ProtocolError, TransportError, ValidationError
    from missive_host.gateway.control import ask
    from missive_host.gateway.service import look
    from missive_host.outputs_gateway import GatewayStatusResult, Status

    view: ServiceView | None = None
    try:
        view = look(_service(app, system=system))
    except ValidationError:
        view = None  # no service manager that we know: the daemon can be asked all the same
    try:
        answer = ask(app.settings().paths, {"command": "status"}, timeout=_seconds(app, 10.0))
    except TransportError as error:
        if error.sent:
            raise
        message = "the gateway is not running"
        if view is not None and view.installed:
            message += f"; its service is {view.state}"
        _emit(app, GatewayStatusResult(running=False, service=view or UNSET, message=message))
        return EXIT_NOT_RUNNING
    try:
        daemon = convert(answer, Status)
    except MismatchError as error:
        raise ProtocolError(
            "the gateway that runs is of another version than this program",
            help="restart it: missive gateway stop, then start it again",
            sources=(str(error),),
        ) from None
    message = f"the gateway is {daemon.state}" + ("" if daemon.ready else ", and not ready")
    _emit(app, GatewayStatusResult(running=True, daemon=daemon, service=view or UNSET, message=message))
    return 0


@gateway.command(examples=("missive gateway reload",))
@pass_app
def reload(app: App) -> None:
    """Let the running daemon re-read its configuration, and restart only what has changed.

    A configuration with faults is refused, and the old one stays in force.
    """
    from missive_host.gateway.control import ask
    from missive_host.outputs_gateway import GatewayReloadResult

    answer = ask(app.settings().paths, {"command": "reload"}, timeout=_seconds(app, 60.0))
    changed = tuple(str(name) for name in answer.get("changed", ()))
    message = "the configuration has been re-read: " + (", ".join(changed) or "nothing has changed")
    _emit(app, GatewayReloadResult(changed=changed, message=message))


@gateway.command(examples=("missive gateway stop", "missive gateway stop --no-wait", "missive gateway stop --dry-run"))
@_dry_run
@_system
@click.option("--no-wait", is_flag=True, help="Return at once, while the daemon still ends what it has begun.")
@pass_app
def stop(app: App, dry_run: bool, system: bool, no_wait: bool) -> None:
    """Stop the gateway: its service if that is active, else the running daemon itself.

    What runs is ended first, for as long as `drain` in the configuration says; what is not done then is done after
    the next start.
    """
    from missive_host.errors import ValidationError
    from missive_host.gateway.service import is_active, look, run_commands, stop_commands
    from missive_host.outputs_gateway import ServiceStopResult

    try:
        service = _service(app, system=system)
        active = is_active(look(service))
    except ValidationError:
        active = False
    if not active and not dry_run and not system:
        _stop_daemon(app, wait=not no_wait)
        return
    service = _service(app, system=system)
    commands = stop_commands(service)
    results = () if dry_run else run_commands(commands, service)
    message = f"would stop {service.name}" if dry_run else f"{service.name} has been stopped"
    notes = ("the service is not active: a daemon that was started by hand would be asked to stop",)
    _emit(
        app,
        ServiceStopResult(
            **_about(service, "stop", dry_run, commands, results, notes if not active else ()), message=message
        ),
    )


def _stop_daemon(app: App, *, wait: bool) -> None:
    from missive_host.config.units import parse_duration
    from missive_host.errors import DeadlineError, TransportError
    from missive_host.gateway.control import ask
    from missive_host.gateway.lock import last_holder
    from missive_host.outputs_gateway import GatewayStopResult

    settings = app.settings()
    holder = last_holder(settings.paths)
    try:
        ask(settings.paths, {"command": "stop"}, timeout=_seconds(app, 10.0))
    except TransportError as error:
        if not error.sent or not wait:
            raise
        # it was told; whether it ends shows below
    pid = 0 if holder is None else holder.pid
    if not wait:
        _emit(app, GatewayStopResult(pid=pid, stopped=False, message=f"the gateway (process {pid}) is stopping"))
        return
    seconds = _seconds(app, parse_duration(settings.config.gateway.drain, "drain") + 20.0)
    if not _ended(settings.paths, pid, seconds):
        raise DeadlineError(
            f"the gateway (process {pid}) has not ended within {seconds:g} s",
            help="it may still be at work: see `missive gateway status`, or wait longer with --timeout",
        )
    _emit(app, GatewayStopResult(pid=pid, stopped=True, message=f"the gateway (process {pid}) has ended"))


def _ended(paths: Paths, pid: int, seconds: float) -> bool:
    """Wait until the daemon has let its lock go, or is dead."""
    from missive_host.gateway.lock import last_holder

    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        holder = last_holder(paths)
        if holder is None or holder.pid != pid or not _is_alive(pid):
            return True
        time.sleep(_LOOK_SECONDS)
    return False


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _seconds(app: App, default: float) -> float:
    from missive_host.config.units import parse_duration

    return default if app.flags.timeout is None else parse_duration(app.flags.timeout, "--timeout")


# --- the service


@gateway.command(
    examples=(
        "missive gateway install --dry-run",
        "missive gateway install && missive gateway start",
        "sudo MISSIVE_HOME=/var/lib/missive missive gateway install --system --run-as missive",
    )
)
@_dry_run
@_system
@click.option("--force", is_flag=True, help="Replace a service file that is there and differs.")
@click.option("--bin", "binary", metavar="PATH", help="The program to start, instead of this one.")
@click.option("--path", metavar="PATH", help="PATH of the service.")
@click.option("--env", "variables", multiple=True, metavar="NAME=VALUE", help="A variable of the service. Repeatable.")
@click.option("--write", "writes", multiple=True, metavar="DIR", help="A folder that it may write, too. Repeatable.")
@click.option("--run-as", metavar="USER", help="Who runs it, with --system; by default the owner of MISSIVE_HOME.")
@pass_app
def install(app: App, /, dry_run: bool, system: bool, force: bool, **given: Any) -> None:
    """Install the gateway of this profile as a service that starts by itself: systemd or launchd.

    The service may write its own folders, and those that the settings of adapters name; nothing else.
    """
    from missive_host.gateway.installing import make_folders, service_file, text_of, write_service
    from missive_host.gateway.service import install_commands, run_commands
    from missive_host.outputs_gateway import ServiceInstallResult

    settings = app.settings()
    service = _service(app, system=system)
    file = service_file(settings, service, **given)
    text = text_of(service, file)
    commands = install_commands(service)
    written = False
    results: tuple[CommandOutcome, ...] = ()
    if not dry_run:
        written = write_service(service, text, force=force)
        if not system:
            make_folders(settings)
        results = run_commands(commands, service)
    notes = [f"start it: missive gateway start{' --system' if system else ''}"]
    if service.manager == "systemd" and not system:
        notes.append("to let it run while you are not logged in: loginctl enable-linger")
    if file.user == "root":
        notes.append("it runs as root; --run-as names another user")
    message = f"would write {service.path}" if dry_run else f"{service.name} is installed"
    _emit(
        app,
        ServiceInstallResult(
            **_about(service, "install", dry_run, commands, results, tuple(notes)),
            executable=file.command[0],
            arguments=(*file.command[1:], "gateway", "run"),
            environment=dict(file.environment),
            service_file=text,
            file_written=written,
            message=message,
        ),
    )


@gateway.command(examples=("missive gateway start", "missive gateway start --dry-run"))
@_dry_run
@_system
@pass_app
def start(app: App, dry_run: bool, system: bool) -> None:
    """Start the service, and wait until the gateway is ready."""
    from missive_host.gateway.service import is_loaded, look, run_commands, start_commands
    from missive_host.outputs_gateway import ServiceStartResult

    service = _service(app, system=system)
    _need(service, dry_run=dry_run)
    commands = start_commands(service, loaded=is_loaded(look(service)))
    results = () if dry_run else run_commands(commands, service)
    message = f"would start {service.name}" if dry_run else f"{service.name} has been started"
    _emit(app, ServiceStartResult(**_about(service, "start", dry_run, commands, results), message=message))


@gateway.command(examples=("missive gateway uninstall", "missive gateway uninstall --dry-run"))
@_dry_run
@_system
@pass_app
def uninstall(app: App, dry_run: bool, system: bool) -> None:
    """Stop the service and remove it. What the gateway keeps in its store stays."""
    from missive_host.gateway.installing import remove_service
    from missive_host.gateway.service import forget_commands, is_loaded, look, run_commands, uninstall_commands
    from missive_host.outputs_gateway import ServiceUninstallResult

    service = _service(app, system=system)
    _need(service, dry_run=dry_run)
    before = uninstall_commands(service, loaded=is_loaded(look(service)))
    after = forget_commands(service)
    removed = False
    results: tuple[CommandOutcome, ...] = ()
    if not dry_run:
        results = run_commands(before, service)
        removed = remove_service(service)
        results += run_commands(after, service)
    message = f"would remove {service.path}" if dry_run else f"{service.name} has been removed"
    _emit(
        app,
        ServiceUninstallResult(
            **_about(service, "uninstall", dry_run, (*before, *after), results),
            file_removed=removed,
            message=message,
        ),
    )


def _need(service: Service, *, dry_run: bool) -> None:
    from missive_host.errors import ConfigError

    if not service.installed and not dry_run:
        raise ConfigError(
            f"the service {service.name} is not installed",
            help=f"install it: missive gateway install{' --system' if service.system else ''}",
        )


def _about(
    service: Service,
    action: str,
    dry_run: bool,
    commands: tuple[PlannedCommand, ...],
    results: tuple[CommandOutcome, ...],
    notes: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Return what the results of all service commands have in common."""
    return {
        "action": action,
        "dry_run": dry_run,
        "platform": service.platform,
        "manager": service.manager,
        "scope": service.scope,
        "service_path": str(service.path),
        "service_name": service.name,
        "planned_commands": commands,
        "command_results": results,
        "notes": notes,
    }
