"""The gateway, for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from msgspec import UNSET

from missive_host.cli.wording import ago, number

if TYPE_CHECKING:
    from missive_host import outputs_gateway as g
    from missive_host.cli.screen import Screen


def _status(data: g.GatewayStatusResult, screen: Screen) -> None:
    if data.daemon is not UNSET:
        _daemon(data.daemon, screen)
    else:
        screen.line(data.message)
    service = data.service
    if service is not UNSET and service.installed:
        screen.line()
        screen.fields(
            (
                ("service", f"{service.name} ({service.manager}, {service.scope})"),
                ("state", service.state),
                ("starts by itself", service.enabled),
                ("file", service.path),
            )
        )
    if not data.running:
        installed = service is not UNSET and service.installed
        screen.note(f"start it: missive gateway {'start' if installed else 'run'}")


def _daemon(daemon: g.Status, screen: Screen) -> None:
    screen.line(f"{daemon.state}, {'ready' if daemon.ready else 'not ready'}", "green" if daemon.ready else "yellow")
    for reason in daemon.reasons:
        screen.line(f"  {reason}", "yellow")
    queue, jobs, followed = daemon.queue, daemon.jobs, daemon.subscriptions
    waiting = queue.queued + queue.ready
    oldest = "" if queue.oldest_waiting_seconds is UNSET else f", the oldest for {queue.oldest_waiting_seconds:.1f} s"
    screen.fields(
        (
            ("profile", daemon.profile),
            ("process", daemon.pid),
            ("version", daemon.version),
            ("up", _span(daemon.uptime_seconds)),
            ("address", daemon.bind_address),
            ("queue", f"{queue.running} running, {waiting} waiting{oldest}"),
            ("dead letters", queue.dead or UNSET),
            ("sessions", daemon.sessions),
            ("jobs", f"{jobs.running} running, {jobs.waiting} waiting, {number(jobs.schedules, 'schedule')}"),
            (
                "followed",
                number(followed.followed, "task"),
            ),
        )
    )
    if daemon.store is not UNSET and not daemon.store.writable:
        screen.line("the store cannot be written", "red")
    _tables(daemon, screen)


def _tables(daemon: g.Status, screen: Screen) -> None:
    if daemon.adapters:
        screen.line()
        screen.table(
            ("ADAPTER", "KIND", "STATE", "SINCE", "RUNNING", "RESTARTS", "LAST ERROR"),
            [
                (a.name, a.kind, a.state, ago(a.since, screen), a.in_flight, a.restarts or UNSET, a.last_error)
                for a in daemon.adapters
            ],
        )
    if daemon.sinks:
        screen.line()
        screen.table(
            ("SINK", "KIND", "STATE", "SINCE", "WRITTEN", "BEHIND", "DROPPED", "FAILURES", "LAST ERROR"),
            [
                (
                    s.name, s.kind, s.state, ago(s.since, screen), s.written, s.behind or UNSET, s.dropped or UNSET,
                    s.failures or UNSET, s.last_error,
                )
                for s in daemon.sinks
            ],
        )  # fmt: skip
    if daemon.agents:
        screen.line()
        screen.table(
            ("AGENT", "BREAKER", "RUNNING", "FAILURES", "UNTIL", "LAST ERROR"),
            [(a.agent, a.breaker, a.in_flight, a.failures or UNSET, a.until, a.last_error) for a in daemon.agents],
        )
    troubled = [part for part in daemon.components if part.state != "running"]
    if troubled:
        screen.line()
        screen.table(("COMPONENT", "STATE", "DETAIL"), [(part.name, part.state, part.detail) for part in troubled])


def _span(seconds: float) -> str:
    minutes, hours, days = int(seconds // 60), int(seconds // 3600), int(seconds // 86400)
    if days:
        return f"{days} d {hours % 24} h"
    if hours:
        return f"{hours} h {minutes % 60} min"
    return f"{minutes} min" if minutes else f"{seconds:.0f} s"


def _service(data: Any, screen: Screen) -> None:
    """Show what was done; of a dry run the file on stdout, so that it can be piped, and the rest on stderr."""
    if not data.dry_run:
        screen.line(data.message)
    elif getattr(data, "service_file", None):
        screen.note(data.message)
        screen.text(data.service_file, end="")
    else:
        screen.line(data.message)
    if data.dry_run:
        for command in data.planned_commands:
            screen.note(f"would run: {command.display}")
    for note in data.notes:
        screen.note(note)


def _message(data: Any, screen: Screen) -> None:
    screen.line(data.message)


RENDERERS: Mapping[str, Callable[[Any, Screen], None]] = {
    "gateway_status": _status,
    "gateway_stop": _message,
    "gateway_reload": _message,
    "gateway_service_install": _service,
    "gateway_service_start": _service,
    "gateway_service_stop": _service,
    "gateway_service_uninstall": _service,
}
