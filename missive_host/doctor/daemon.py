"""The gateway: whether it runs, and whether it is ready."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from missive_host import __version__
from missive_host.doctor.findings import failed, passed, quoted, raised, skipped, warned
from missive_host.errors import MissiveError, TransportError

if TYPE_CHECKING:
    from missive_host.config import Settings
    from missive_host.outputs_doctor import DoctorCheck

NAME = "gateway.status"
EXIT_TRANSPORT = 69


def gateway(settings: Settings, seconds: float) -> DoctorCheck:
    """Ask the running daemon, or say how it ended."""
    from missive_host.gateway.control import ask
    from missive_host.outputs_gateway import Status

    start = _start(settings)
    restart = f"missive gateway stop && {start}"
    try:
        answer = ask(settings.paths, {"command": "status"}, timeout=seconds)
    except TransportError as error:
        return raised(NAME, error, restart) if error.sent else _not_running(settings, error, start)
    except MissiveError as error:
        return raised(NAME, error, restart)
    try:
        daemon = msgspec.convert(answer, Status)
    except msgspec.ValidationError:
        return failed(NAME, EXIT_TRANSPORT, "the gateway that runs is of another version than this program", restart)
    about = f"the gateway (process {daemon.pid}) is {daemon.state}"
    if not daemon.ready:
        reasons = "; ".join(daemon.reasons)
        hints = ("missive gateway status", restart)
        return failed(NAME, EXIT_TRANSPORT, f"{about}, and not ready: {reasons}", *hints, reasons=list(daemon.reasons))
    if daemon.version != __version__:
        return warned(NAME, f"{about}, but is missive {daemon.version}, not {__version__}", restart)
    return passed(NAME, f"{about} and ready", pid=daemon.pid, version=daemon.version)


def _not_running(settings: Settings, error: TransportError, start: str) -> DoctorCheck:
    from missive_host.gateway.control import control_path
    from missive_host.gateway.lock import last_holder

    socket = control_path(settings.paths)
    if "not running" not in error.message:
        return raised(NAME, error, f"ls -l {quoted(socket)}")
    if error.sources:  # the folder of the socket is not to be trusted
        return failed(NAME, EXIT_TRANSPORT, error.sources[0], f"chmod 700 {quoted(socket.parent)}")
    if socket.exists():
        holder = last_holder(settings.paths)
        who = "the gateway" if holder is None else f"the gateway (process {holder.pid}, since {holder.started_at})"
        message = f"{who} is dead and has left its socket {socket}; what it had taken in is kept"
        return failed(NAME, EXIT_TRANSPORT, message, start, socket=str(socket))
    enabled = [name for name, block in settings.config.adapters.items() if block.enabled]
    if enabled:
        message = f"the gateway is not running, so nothing comes in through {', '.join(enabled)}"
        return warned(NAME, message, start, "missive gateway install && missive gateway start")
    return skipped(NAME, "the gateway is not running, and no adapter is configured for it")


def _start(settings: Settings) -> str:
    """Return the command that starts it: the service if there is one."""
    import sys

    from missive_host.gateway.service import service_of

    with suppress(MissiveError, OSError):
        if service_of(settings.profile, settings.environ, system=False, platform=sys.platform).installed:
            return "missive gateway start"
    return "missive gateway run"
