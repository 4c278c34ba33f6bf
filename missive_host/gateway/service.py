"""The gateway as a service of systemd or launchd: its place, its state, and what installs, starts and ends it."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import UNSET

from missive_host.config.paths import home
from missive_host.errors import ConfigError, IoError, OrchestrationError, ValidationError
from missive_host.outputs_gateway import CommandOutcome, PlannedCommand, ServiceView

if TYPE_CHECKING:
    from collections.abc import Sequence

_SECONDS = 180
"""How long the service manager may take: it waits until the daemon is ready, or has ended."""
_OUTPUT = 4000


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """The service of one profile: what it is called, and where its file lies."""

    platform: str
    manager: str
    system: bool
    name: str
    path: Path

    @property
    def scope(self) -> str:
        return "system" if self.system else "user"

    @property
    def installed(self) -> bool:
        return self.path.is_file()

    @property
    def target(self) -> str:
        """The service as launchd names it."""
        return f"{self.domain}/{self.name}"

    @property
    def domain(self) -> str:
        return "system" if self.system else f"gui/{os.getuid()}"

    def command(self, *words: str) -> PlannedCommand:
        """Return a call of the service manager."""
        if self.manager == "systemd":
            return planned("systemctl", *(() if self.system else ("--user",)), *words)
        return planned("launchctl", *words)


def planned(program: str, *args: str) -> PlannedCommand:
    return PlannedCommand(program=program, args=args, display=shlex.join((program, *args)))


def service_of(profile: str, env: Mapping[str, str], *, system: bool, platform: str = sys.platform) -> Service:
    """Return the service of a profile. Raises `ValidationError` where there is no service manager that we know."""
    ending = "" if profile == "default" else profile
    if platform == "linux":
        name = f"missive-gateway{'-' * bool(ending)}{ending}.service"
        config = Path(env.get("XDG_CONFIG_HOME", ""))
        if system:
            folder = Path("/etc/systemd/system")
        elif config.is_absolute():
            folder = config / "systemd" / "user"
        else:
            folder = home(env) / ".config" / "systemd" / "user"
        return Service(platform="linux", manager="systemd", system=system, name=name, path=folder / name)
    if platform == "darwin":
        name = f"missive.gateway{'.' * bool(ending)}{ending}"
        folder = Path("/Library/LaunchDaemons") if system else home(env) / "Library" / "LaunchAgents"
        return Service(platform="macos", manager="launchd", system=system, name=name, path=folder / f"{name}.plist")
    raise ValidationError(
        "there is no service manager that missive knows on this system",
        help="run `missive gateway run` under the one that you have; systemd and launchd are known",
    )


# --- what is done, in order


def install_commands(service: Service) -> tuple[PlannedCommand, ...]:
    """Return what is run after the file is written: the service will start by itself, from the next start on."""
    if service.manager == "systemd":
        return (service.command("daemon-reload"), service.command("enable", service.name))
    return (service.command("enable", service.target),)


def start_commands(service: Service, *, loaded: bool) -> tuple[PlannedCommand, ...]:
    if service.manager == "systemd":
        return (service.command("start", service.name),)
    if loaded:
        return (service.command("kickstart", service.target),)
    return (service.command("bootstrap", service.domain, str(service.path)),)


def stop_commands(service: Service) -> tuple[PlannedCommand, ...]:
    if service.manager == "systemd":
        return (service.command("stop", service.name),)
    return (service.command("bootout", service.target),)


def uninstall_commands(service: Service, *, loaded: bool) -> tuple[PlannedCommand, ...]:
    """Return what is run before the file is removed."""
    if service.manager == "systemd":
        return (service.command("disable", "--now", service.name),)
    return stop_commands(service) if loaded else ()


def forget_commands(service: Service) -> tuple[PlannedCommand, ...]:
    """Return what is run after the file is removed."""
    return (service.command("daemon-reload"),) if service.manager == "systemd" else ()


def run_commands(commands: Sequence[PlannedCommand], service: Service) -> tuple[CommandOutcome, ...]:
    """Run them one after another. Raises an error with what it said when one fails."""
    return tuple(_checked(_run(command), service) for command in commands)


def _run(command: PlannedCommand) -> CommandOutcome:
    try:
        done = subprocess.run(
            [command.program, *command.args],
            stdin=subprocess.DEVNULL,
            check=False,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
        )
    except FileNotFoundError:
        raise ConfigError(
            f"`{command.program}` is not on this machine",
            help="run `missive gateway run` under another supervisor, or in a container",
        ) from None
    except OSError as error:
        raise IoError(f"while running `{command.display}`: {(error.strerror or str(error)).lower()}") from error
    except subprocess.TimeoutExpired:
        raise OrchestrationError(f"`{command.display}` has not come to an end within {_SECONDS} s") from None
    return CommandOutcome(
        display=command.display,
        exit_code=done.returncode,
        stdout=done.stdout[-_OUTPUT:],
        stderr=done.stderr[-_OUTPUT:],
    )


def _checked(outcome: CommandOutcome, service: Service) -> CommandOutcome:
    if outcome.exit_code == 0:
        return outcome
    said = " ".join((outcome.stderr.strip() or outcome.stdout.strip()).split())
    scope = "" if service.system else " --user"
    log = f"journalctl{scope} -u {service.name} -n 50" if service.manager == "systemd" else "missive gateway status"
    text = f"`{outcome.display}` has failed with status {outcome.exit_code}" + (f": {said}" if said else "")
    raise OrchestrationError(text, help=f"see the reason with: {log}")


# --- how it stands


def look(service: Service) -> ServiceView:
    """Return how the service stands. Never raises: what cannot be told is ``unknown``."""
    state, pid, enabled = "not_installed", 0, None
    if service.installed:
        state, pid, enabled = _asked(service)
    return ServiceView(
        manager=service.manager,
        scope=service.scope,
        name=service.name,
        path=str(service.path),
        installed=service.installed,
        state=state,
        pid=pid or UNSET,
        enabled=UNSET if enabled is None else enabled,
    )


def is_active(view: ServiceView) -> bool:
    return view.state in ("active", "activating", "reloading", "deactivating", "running")


def is_loaded(view: ServiceView) -> bool:
    """Tell whether launchd knows the service: then it is started and ended in other ways."""
    return view.state not in ("not_installed", "not_loaded", "unknown")


def _asked(service: Service) -> tuple[str, int, bool | None]:
    if service.manager == "systemd":
        wanted = "--property=ActiveState,MainPID,UnitFileState"
        command = service.command("show", service.name, wanted)
    else:
        command = service.command("print", service.target)
    try:
        outcome = _run(command)
    except (ConfigError, IoError, OrchestrationError):
        return "unknown", 0, None
    if service.manager == "systemd":
        found = dict(line.partition("=")[::2] for line in outcome.stdout.splitlines())
        state = found.get("ActiveState") or "unknown"
        return state, _number(found.get("MainPID", "")), found.get("UnitFileState") == "enabled"
    if outcome.exit_code:
        return "not_loaded", 0, None
    state_line = re.search(r"^\s*state = (.+?)\s*$", outcome.stdout, re.MULTILINE)
    pid_line = re.search(r"^\s*pid = (\d+)", outcome.stdout, re.MULTILINE)
    return state_line[1] if state_line else "unknown", _number(pid_line[1] if pid_line else ""), None


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else 0
