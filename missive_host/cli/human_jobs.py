"""Jobs and schedules, for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from missive_host.cli.wording import ago

if TYPE_CHECKING:
    from missive_host import outputs_jobs as j
    from missive_host.cli.screen import Screen

_NO_GATEWAY = "no gateway runs, so nothing happens yet; start it: missive gateway run"


def _start(data: j.JobStartResult, screen: Screen) -> None:
    if data.attached:  # what follows on stdout is what the job gives
        screen.note(f"job {data.job.job_id} is {data.job.state}; it goes on without us")
    else:
        screen.line(data.job.job_id)
        due = f"due {data.job.next_run_at}; " if data.job.next_run_at != data.job.created_at else ""
        screen.note(f"{data.job.state}; {due}see what it does: missive job logs {data.job.job_id} --follow")
    _warn(data.gateway_running, screen)


def _warn(gateway_running: bool, screen: Screen) -> None:
    if not gateway_running:
        screen.note(_NO_GATEWAY, "yellow")


def _list(data: j.JobListResult, screen: Screen) -> None:
    if not data.jobs:
        screen.line("no jobs")
        return
    screen.table(
        ("JOB", "KIND", "STATE", "TO", "TRIES", "DUE", "CREATED", "ENDED", "MESSAGE"),
        [
            (
                job.job_id,
                job.kind,
                job.state,
                _target(job),
                job.retry_count or None,
                ago(job.next_run_at, screen) if job.next_run_at != job.created_at else None,
                ago(job.created_at, screen),
                ago(job.completed_at, screen),
                job.error.message if job.error else job.request.get("message"),
            )
            for job in data.jobs
        ],
    )


def _target(shown: j.JobView | j.ScheduleView) -> object:
    return shown.agent or shown.group


def _show(data: j.JobShowResult, screen: Screen) -> None:
    job = data.job
    screen.fields(
        (
            ("job", job.job_id),
            ("kind", job.kind),
            ("state", job.state),
            ("error", job.error.message if job.error else None),
            ("agent", job.agent),
            ("group", job.group),
            ("context", job.context_id),
            ("task", job.task_id),
            ("created", ago(job.created_at, screen)),
            ("due", ago(job.next_run_at, screen)),
            ("ended", ago(job.completed_at, screen)),
            ("retries", f"{job.retry_count} of {job.max_attempts - 1}" if job.max_attempts > 1 else None),
            ("run by", job.locked_by),
            ("results", job.result.output_count or None if job.result else None),
            ("schedule", job.metadata.get("schedule_id")),
            *((name, value) for name, value in job.request.items() if name not in _SHOWN),
        )
    )
    if job.result and job.result.output_count:
        screen.note(f"see what it gave: missive job logs {job.job_id}")


_SHOWN = ("command", "agent", "group", "context", "task_id")


def _cancel(data: j.JobCancelResult, screen: Screen) -> None:
    screen.line(data.message)


def _schedule(data: j.JobScheduleResult, screen: Screen) -> None:
    screen.line(data.schedule.schedule_id)
    screen.note(f"the first job is started at {data.schedule.next_run_at}")
    _warn(data.gateway_running, screen)


def _schedules(data: j.JobScheduleListResult, screen: Screen) -> None:
    if not data.schedules:
        screen.line("no schedules")
        screen.note("make one: missive job start send AGENT MESSAGE --every 1h")
        return
    screen.table(
        ("SCHEDULE", "WHEN", "KIND", "TO", "NEXT", "LAST", "MESSAGE"),
        [
            (
                row.schedule_id,
                _times(row),
                row.job_kind,
                _target(row),
                (row.next_run_at or "never") if row.enabled else "paused",
                ago(row.last_run_at, screen),
                row.request.get("message"),
            )
            for row in data.schedules
        ],
    )


def _times(row: j.ScheduleView) -> str:
    return f"every {row.expression}" if row.kind == "every" else f"{row.expression} ({row.time_zone})"


def _show_schedule(data: j.JobScheduleShowResult, screen: Screen) -> None:
    row = data.schedule
    screen.fields(
        (
            ("schedule", row.schedule_id),
            ("when", _times(row)),
            ("kind", row.job_kind),
            ("agent", row.agent),
            ("group", row.group),
            ("next", row.next_run_at if row.enabled else "paused"),
            ("last", ago(row.last_run_at, screen)),
            ("last job", row.last_job_id),
            ("attempts", row.max_attempts if row.max_attempts > 1 else None),
            ("created", ago(row.created_at, screen)),
            *((name, value) for name, value in row.request.items() if name not in _SHOWN),
        )
    )


def _message(data: Any, screen: Screen) -> None:
    screen.line(data.message)


RENDERERS: Mapping[str, Callable[[Any, Screen], None]] = {
    "job_start": _start,
    "job_list": _list,
    "job_show": _show,
    "job_cancel": _cancel,
    "job_schedule": _schedule,
    "job_schedule_list": _schedules,
    "job_schedule_show": _show_schedule,
    "job_schedule_pause": _message,
    "job_schedule_resume": _message,
    "job_schedule_delete": _message,
}
