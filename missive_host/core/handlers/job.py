"""Jobs and schedules: starting, looking, cancelling. Running them is the gateway's work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from missive_host import commands as c, outputs_jobs as j
from missive_host.commands import duration_seconds
from missive_host.core.jobs import (
    JobRequest,
    enqueue,
    find,
    job_view,
    request_of,
    schedule_view,
    show_results,
    stored_states,
)
from missive_host.core.timing import moment, next_time, when, zone
from missive_host.errors import DeadlineError, ErrorReport, ValidationError, nearest
from missive_host.ids import now
from missive_host.outputs import Data, Output
from missive_host.store.rows import ScheduleRow
from missive_host.store.work import request_digest

if TYPE_CHECKING:
    from missive_host.core.core import Core, Emit
    from missive_host.store import Tables


# --- starting


async def _start(core: Core, command: c.JobStart, emit: Emit) -> None:
    import anyio

    options = command.options
    _check_options(options)
    request = JobRequest.of(c.command_of(command), options, core.files)
    await anyio.to_thread.run_sync(_check_command, core, request.command)
    if options.every is not None or options.cron is not None:
        await emit(Output(await anyio.to_thread.run_sync(_schedule, core, request, options)))
        core.new_work()
        return

    at = now()
    run_at = None if options.at is None else when(options.at, at)

    def write(tables: Tables) -> tuple[j.JobView, bool]:
        leases = tables.work.leases(at=at)
        work = enqueue(tables, request, own_id=core.own_id("job"), at=at, run_at=run_at)
        return job_view(tables, work, leases), bool(leases)

    job, running = await core.commit(write)
    core.new_work()
    due = "" if run_at is None else f"; it is due {run_at}"
    await emit(
        Output(
            j.JobStartResult(
                profile=core.profile,
                job=job,
                attached=options.attach,
                gateway_running=running,
                message=f"job {job.job_id} is queued{due}{'' if running else _NOBODY}",
            )
        )
    )
    if options.attach:
        seconds = None if options.attach_timeout is None else duration_seconds(options.attach_timeout)
        await _show(core, job.job_id, emit, follow=True, seconds=seconds, flag="--attach-timeout", before=1)


job_start_send = job_start_stream = job_start_wait = _start
job_start_reduce = job_start_allreduce = job_start_bcast = _start

_NOBODY = "; no gateway runs: it waits for `missive gateway run`"


def _check_options(options: c.JobOptions) -> None:
    timed = [name for name in ("at", "every", "cron") if getattr(options, name) is not None]
    if len(timed) > 1:
        raise ValidationError(f"fields `options.{timed[0]}` and `options.{timed[1]}` exclude each other")
    if options.time_zone is not None and options.cron is None:
        raise ValidationError("field `options.time_zone` needs `options.cron`", help="the other times need none")
    if options.attach_timeout is not None and not options.attach:
        raise ValidationError("field `options.attach_timeout` needs `options.attach`")
    if options.attach and timed and timed[0] != "at":
        raise ValidationError(
            f"fields `options.attach` and `options.{timed[0]}` exclude each other",
            help="see one of its jobs with `missive job logs ID --follow`",
        )


def _check_command(core: Core, command: c.JobCommand) -> None:
    """Refuse now what would fail for certain: an unknown agent, nothing to send, a file that may not be read."""
    if isinstance(command, c.TaskWait):
        from missive_host.core.handlers.task import owner

        owner(core, command.task_id, command.agent)
        return
    if isinstance(command, c.Message):
        from missive_host.core.handlers.send import addressed_to_group

        addressed_to_group(command)
    names = {name: getattr(command, name, None) for name in ("agent", "group", "preferred_agent", "reducer_agent")}

    def check(tables: Tables) -> None:
        for field, name in names.items():
            if name is not None:
                (tables.groups.get if field == "group" else tables.agents.require)(name)

    core.store.read(check)
    if isinstance(command, c.Content):
        from missive_host.a2a.parts import build_request

        content = {name: getattr(command, name) for name in c.Content.__struct_fields__}
        limit = core.settings.config.qos.request_bytes
        build_request(
            c.Send(**content), message_id="-", context_id=None, task_id=None, max_bytes=limit, files=core.files
        )


# --- jobs


def job_list(core: Core, command: c.JobList) -> Output:
    shown = {name: getattr(command, name) for name in ("kind", "state", "agent", "context", "limit")}
    tag = "task_wait" if command.kind == "wait" else command.kind

    def read(tables: Tables) -> tuple[j.JobView, ...]:
        rows = tables.work.list(
            kind="job",
            command=tag,
            agent=command.agent,
            context=command.context,
            limit=command.limit,
            **stored_states(command.state),
        )
        leases = tables.work.leases(at=now())
        return tuple(job_view(tables, row, leases, brief=True) for row in rows)

    jobs = core.store.read(read)
    return Output(
        j.JobListResult(
            profile=core.profile,
            filters={name: value for name, value in shown.items() if value is not None},
            count=len(jobs),
            jobs=jobs,
            message=f"{len(jobs)} job{'' if len(jobs) == 1 else 's'}",
        )
    )


def job_show(core: Core, command: c.JobShow) -> Output:
    job = _view(core, command.job_id)
    return Output(j.JobShowResult(profile=core.profile, job=job, message=f"job {job.job_id}: {job.state}"))


def _view(core: Core, job_id: str) -> j.JobView:
    return core.store.read(lambda tables: job_view(tables, find(tables, job_id), tables.work.leases(at=now())))


async def job_logs(core: Core, command: c.JobLogs, emit: Emit) -> None:
    await _show(core, command.job_id, emit, follow=command.follow, seconds=core.timeout_of(command), flag="--timeout")


async def _show(
    core: Core, job_id: str, emit: Emit, *, follow: bool, seconds: float | None, flag: str, before: int = 0
) -> None:
    import anyio

    try:
        with anyio.fail_after(seconds):
            await show_results(core, job_id, emit, follow=follow, before=before)
    except TimeoutError:
        raise DeadlineError(
            f"job {job_id} has not ended within {seconds:g} s",
            help=f"it goes on: see `missive job logs {job_id} --follow`; watch it for longer with {flag}",
        ) from None


async def job_cancel(core: Core, command: c.JobCancel, emit: Emit) -> None:
    """Cancel at the agent first: if that fails, the job is left as it is."""
    work = core.store.read(lambda tables: find(tables, command.job_id))
    if work.ended and work.state != "cancelled":
        job = _view(core, command.job_id)
        raise ValidationError(f"job {job.job_id} has ended already: {job.state}", help="see `missive job show`")
    request = request_of(work.request)
    wanted = command.remote or request.options.cancel_remote_on_cancel
    task_id = work.task_id or (request.command.task_id if isinstance(request.command, c.TaskWait) else None)
    remote = wanted and not work.ended and task_id is not None
    if remote:
        from missive_host.core.handlers.task import owner

        assert task_id is not None
        agent = owner(core, task_id, work.agent_alias)
        task, client = await core.agents.calling(agent, lambda client: client.cancel_task(task_id))
        await core.recorder.observed(agent, task, client.interface, observed_by="job_cancel")
    at = now()
    reason = core.report(_cancelled(command.job_id))

    def write(tables: Tables) -> j.JobView:
        was = find(tables, command.job_id)
        state = tables.work.cancel(was.work_id, at=at, error=_builtins(reason))
        if not was.ended:
            tables.events.append(_cancel_event(was.work_id, was.agent_alias, state=state, remote=remote, at=at))
        return job_view(tables, find(tables, command.job_id), tables.work.leases(at=at))

    job = await core.commit(write)
    core.new_work()
    told = f"job {job.job_id} is cancelled" if job.state == "cancelled" else f"job {job.job_id} is being stopped"
    if wanted and not remote and not work.ended:
        told += "; no task of an agent is known that could be cancelled"
    await emit(Output(j.JobCancelResult(profile=core.profile, job=job, remote=remote, message=told)))


def _cancelled(job_id: str) -> Exception:
    from missive_host.errors import TaskCancelledError

    return TaskCancelledError(f"job {job_id} was cancelled")


def _builtins(report: ErrorReport) -> Any:
    import msgspec

    return msgspec.to_builtins(report)


def _cancel_event(job_id: str, agent: str | None, *, state: str, remote: bool, at: str) -> Any:
    from missive_host.core.recorder import journal_event

    payload = {"job_id": job_id, "was_running": state == "running", "remote": remote}
    return journal_event(
        "missive.job.cancelled", source="core", agent_alias=agent, work_id=job_id, payload=payload, at=at
    )


# --- schedules


def _schedule(core: Core, request: JobRequest, options: c.JobOptions) -> Data:
    at = now()
    kind = "every" if options.every is not None else "cron"
    expression = options.every or options.cron or ""
    zone(options.time_zone)
    first = next_time(kind, expression, options.time_zone, after=moment(at), anchor=moment(at))
    if first is None:
        raise ValidationError(f"field `options.{kind}`: '{expression}' never comes")
    row = ScheduleRow(
        schedule_id=f"schedule/{core.own_id('schedule')}",
        kind=kind,
        expression=expression,
        time_zone=options.time_zone,
        request=request.stored(),
        command=c.tag_of(request.command),
        next_run_at=first,
        created_at=at,
        updated_at=at,
    )

    def write(tables: Tables) -> bool:
        if tables.schedules.get(row.schedule_id) is None:  # else it was made before a crash
            tables.schedules.put(row)
            tables.events.append(schedule_event("create", row, at))
        return bool(tables.work.leases(at=at))

    running = core.store.write(write)
    return j.JobScheduleResult(
        profile=core.profile,
        schedule=schedule_view(row),
        gateway_running=running,
        message=f"{row.schedule_id} starts its first job at {first}{'' if running else _NOBODY}",
    )


def job_schedule_list(core: Core, command: c.JobScheduleList) -> Output:  # noqa: ARG001 - every handler gets its command
    rows = core.store.read(lambda tables: tables.schedules.list())
    return Output(
        j.JobScheduleListResult(
            profile=core.profile,
            count=len(rows),
            schedules=tuple(schedule_view(row, brief=True) for row in rows),
            message=f"{len(rows)} schedule{'' if len(rows) == 1 else 's'}",
        )
    )


def job_schedule_show(core: Core, command: c.JobScheduleShow) -> Output:
    row = core.store.read(lambda tables: _find_schedule(tables, command.schedule_id))
    due = f"is due {row.next_run_at}" if row.enabled and row.next_run_at else "is paused"
    return Output(
        j.JobScheduleShowResult(profile=core.profile, schedule=schedule_view(row), message=f"{row.schedule_id} {due}")
    )


def job_schedule_pause(core: Core, command: c.JobSchedulePause) -> Output:
    at = now()

    def write(tables: Tables) -> ScheduleRow:
        row = _find_schedule(tables, command.schedule_id)
        tables.schedules.move(row.schedule_id, row.next_run_at, at=at, enabled=False)
        tables.events.append(schedule_event("pause", row, at))
        return _find_schedule(tables, row.schedule_id)

    row = core.store.write(write)
    return Output(
        j.JobSchedulePauseResult(
            profile=core.profile, schedule=schedule_view(row), message=f"{row.schedule_id} is paused"
        )
    )


def job_schedule_resume(core: Core, command: c.JobScheduleResume) -> Output:
    at = now()

    def write(tables: Tables) -> ScheduleRow:
        row = _find_schedule(tables, command.schedule_id)
        if not row.enabled:
            anchor = moment(row.next_run_at or row.created_at)
            due = next_time(row.kind, row.expression, row.time_zone, after=moment(at), anchor=anchor)
            tables.schedules.move(row.schedule_id, due, at=at)
            tables.events.append(schedule_event("resume", row, at))
        return _find_schedule(tables, row.schedule_id)

    row = core.store.write(write)
    core.new_work()
    return Output(
        j.JobScheduleResumeResult(
            profile=core.profile,
            schedule=schedule_view(row),
            message=f"{row.schedule_id} goes on; it is due {row.next_run_at}",
        )
    )


def job_schedule_delete(core: Core, command: c.JobScheduleDelete) -> Output:
    def write(tables: Tables) -> ScheduleRow:
        row = _find_schedule(tables, command.schedule_id)
        tables.schedules.delete(row.schedule_id)
        tables.events.append(schedule_event("delete", row, now()))
        return row

    row = core.store.write(write)
    return Output(
        j.JobScheduleDeleteResult(
            profile=core.profile,
            schedule=schedule_view(row),
            message=f"{row.schedule_id} is deleted; jobs that it has started go on",
        )
    )


def _find_schedule(tables: Tables, schedule_id: str) -> ScheduleRow:
    row = tables.schedules.get(schedule_id)
    if row is None:
        known = [each.schedule_id for each in tables.schedules.list()]
        raise ValidationError(
            f"there is no schedule '{schedule_id[:80]}'{nearest(schedule_id[:80], known)}",
            help="see `missive job schedule list`",
        )
    return row


def schedule_event(action: str, row: ScheduleRow, at: str) -> Any:
    """Return the event of something that is done with a schedule."""
    from missive_host.core.recorder import journal_event

    payload = {"schedule_id": row.schedule_id, "kind": row.kind, "expression": row.expression, "command": row.command}
    kept = None
    if action == "create":
        kept = {"row": {"time_zone": row.time_zone, "request_sha256": request_digest(row.request)}}
    return journal_event(f"missive.job.schedule.{action}", source="core", payload=payload, metadata=kept, at=at)
