"""Jobs as they lie in the store: putting them there, what is told of them, and their results as they come.

A job's request is a document ``missive.job.v1``: the command, its options, and which files it may read, which is what
whoever started it might read.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET

from missive_host import commands as c, outputs_jobs as j
from missive_host.core.views import given
from missive_host.errors import ErrorReport, MissiveError, TaskCancelledError, ValidationError, nearest
from missive_host.outputs import Data, Json, Output
from missive_host.store.rows import WorkRow
from missive_host.telemetry import current_trace, trace_fields
from missive_host.telemetry.spans import PRODUCER, entering, messaging

if TYPE_CHECKING:
    from missive_host.a2a.parts import FileAccess
    from missive_host.core.core import Core, Emit
    from missive_host.store import ScheduleRow, Tables, WorkOutputRow
    from missive_host.store.rows import EventRow

JOB = "missive.job.v1"
ADAPTER = "job"
"""What stands in the column ``adapter`` of a job."""
SHOWN = 80
"""Characters of a text in the request that a list shows."""
PAUSE = 0.05
"""Seconds between two looks for something new."""


class JobFiles(msgspec.Struct, frozen=True, kw_only=True):
    """Which files the command may read: relative paths begin at ``base``; ``confined``: none outside of it."""

    base: str
    confined: bool


class JobRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``missive.job.v1``: what a job is to do."""

    schema: str = msgspec.field(name="schema_version", default=JOB)
    command: c.JobCommand
    options: c.JobOptions
    """Of these, what counts once it is started."""
    files: JobFiles | None = None
    """None: it may read no files."""
    schedule_id: str | None = None
    """The schedule that has started it."""

    @classmethod
    def of(cls, command: c.JobCommand, options: c.JobOptions, files: FileAccess | None) -> JobRequest:
        return cls(
            command=command,
            options=c.JobOptions(
                max_attempts=options.max_attempts, cancel_remote_on_cancel=options.cancel_remote_on_cancel
            ),
            files=None if files is None else JobFiles(base=str(files.base.absolute()), confined=files.confined),
        )

    def stored(self) -> Json:
        """Return it as the store keeps it."""
        found: Json = msgspec.to_builtins(self)
        return {"schema_version": JOB, **found}

    @property
    def access(self) -> FileAccess | None:
        """Which files its command may read, for `Core.files`."""
        from missive_host.a2a.parts import FileAccess

        return None if self.files is None else FileAccess(Path(self.files.base), confined=self.files.confined)

    @property
    def kind(self) -> str:
        return kind_of(c.tag_of(self.command))


def request_of(stored: Json) -> JobRequest:
    """Return a request that the store has kept."""
    return msgspec.convert(stored, JobRequest)


def kind_of(tag: str) -> str:
    """Return the kind of job that runs the command of this tag."""
    return tag.removeprefix("task_")


# --- putting


def enqueue(tables: Tables, request: JobRequest, *, own_id: str, at: str, run_at: str | None = None) -> WorkRow:
    """Put a job, and its event, into the store; it is due from `run_at` on, or at once.

    One that is there already stays as it is: who starts it does so a second time after a crash. It belongs to the trace
    of whoever starts it, or begins one.
    """
    work_id, tag = f"job/{request.kind}/{own_id}", c.tag_of(request.command)
    known = tables.work.get(work_id)
    if known is not None:
        return known
    with entering("create job", PRODUCER, current_trace(), messaging("create", ADAPTER, work_id, tag)):
        return _put(tables, request, work_id, at, run_at)


def _put(tables: Tables, request: JobRequest, work_id: str, at: str, run_at: str | None) -> WorkRow:
    from missive_host.core.recorder import journal_event

    command, kind = request.command, request.kind
    work = tables.work.put(
        WorkRow(
            work_id=work_id,
            kind="job",
            adapter=ADAPTER,
            command=c.tag_of(command),
            agent_alias=getattr(command, "agent", None),
            group=getattr(command, "group", None),
            request={**request.stored(), **trace_fields()},
            max_attempts=request.options.max_attempts,
            run_at=run_at or at,
            accepted_at=at,
        )
    )
    context_id = getattr(command, "context", None)
    if context_id is not None:  # for lists: the agent's task, and the context if it names none, are noted as it runs
        tables.work.note(work.work_id, context_id=context_id)
    told: Json = {"job_id": work.work_id, "kind": kind, "group": work.group, "run_at": work.run_at}
    told |= {"max_attempts": work.max_attempts, "schedule_id": request.schedule_id}
    tables.events.append(
        journal_event(
            "missive.job.enqueued",
            source="core",
            agent_alias=work.agent_alias,
            context_id=context_id,
            work_id=work.work_id,
            payload={name: value for name, value in told.items() if value is not None},
            at=at,
        )
    )
    return find(tables, work.work_id)


def ended_event(tables: Tables, work: WorkRow, state: str, report: ErrorReport | None) -> EventRow | None:
    """Return the event of a job's end; None for a delivery, and for a job that was cancelled, which was told then."""
    from missive_host.core.recorder import journal_event

    name = {"done": "completed", "failed": "failed", "dead": "failed"}.get(state)
    if work.kind != "job" or name is None:
        return None
    row = tables.work.get(work.work_id) or work
    told: Json = {"job_id": work.work_id, "command": work.command, "group": work.group, "attempts": work.attempts}
    if report is not None:
        told["error"] = {"code": report.code, "message": report.message}
    return journal_event(
        f"missive.job.{name}",
        source="core",
        agent_alias=row.agent_alias,
        context_id=row.context_id,
        task_id=row.task_id,
        work_id=work.work_id,
        payload={key: value for key, value in told.items() if value is not None},
    )


def find(tables: Tables, job_id: str) -> WorkRow:
    """Return a job. Raises `ValidationError` if there is none with this id."""
    work = tables.work.get(job_id)
    if work is None or work.kind != "job":
        known = [row.work_id for row in tables.work.list(kind="job", limit=100)]
        raise ValidationError(
            f"there is no job '{job_id[:80]}'{nearest(job_id[:80], known)}", help="see `missive job list`"
        )
    return work


# --- telling

_STATES: dict[str, j.JobState] = {
    "queued": "queued",
    "ready": "queued",
    "running": "running",
    "done": "succeeded",
    "failed": "failed",
    "dead": "failed",
    "cancelled": "cancelled",
}


def state_of(work: WorkRow) -> j.JobState:
    """Return the state of a job in the words that users see."""
    if work.state in ("queued", "ready") and work.attempts:
        return "retrying"
    return _STATES[work.state]


def stored_states(state: str | None) -> dict[str, Any]:
    """Return the filter of `Work.list` for a state in the words that users see."""
    if state is None:
        return {}
    if state in ("queued", "retrying"):
        return {"states": ("queued", "ready"), "tried": state == "retrying"}
    return {"states": tuple(name for name, shown in _STATES.items() if shown == state)}


def job_view(tables: Tables, work: WorkRow, leases: dict[str, str], *, brief: bool = False) -> j.JobView:
    """Return a job as people and programs see it; `brief`: as in a list."""
    state = state_of(work)
    request = request_of(work.request)
    waits = state in ("queued", "retrying")
    own_task = getattr(request.command, "task_id", None)
    return j.JobView(
        job_id=work.work_id,
        kind=request.kind,
        state=state,
        agent=given(work.agent_alias),
        group=given(work.group),
        context_id=given(work.context_id),
        task_id=given(work.task_id or own_task),
        retry_count=work.attempts if waits else max(0, work.attempts - 1),
        max_attempts=work.max_attempts,
        next_run_at=work.run_at if waits else UNSET,
        locked_by=given(work.owner),
        locked_until=given(leases.get(work.owner)) if work.owner else UNSET,
        created_at=work.accepted_at,
        updated_at=work.updated_at,
        completed_at=given(work.finished_at),
        request=shown_request(request.command, brief=brief),
        result=UNSET if brief or not work.attempts else _result(tables, work, request.kind),
        error=UNSET if work.error is None else msgspec.convert(work.error, ErrorReport),
        metadata={} if request.schedule_id is None else {"schedule_id": request.schedule_id},
    )


def _result(tables: Tables, work: WorkRow, kind: str) -> j.JobResult:
    last = tables.work.outputs(work.work_id, after=work.outputs - 1)[-1:] if work.outputs else ()
    return j.JobResult(
        operation=kind,
        status=state_of(work),
        output_count=work.outputs,
        output_kind=last[0].kind if last else UNSET,
        message=given(last[0].data.get("message")) if last else UNSET,
    )


def schedule_view(row: ScheduleRow, *, brief: bool = False) -> j.ScheduleView:
    """Return a schedule as people and programs see it; `brief`: as in a list."""
    request = request_of(row.request)
    return j.ScheduleView(
        schedule_id=row.schedule_id,
        kind="cron" if row.kind == "cron" else "every",
        expression=row.expression,
        time_zone=row.time_zone or "UTC",
        enabled=row.enabled,
        job_kind=request.kind,
        request=shown_request(request.command, brief=brief),
        max_attempts=request.options.max_attempts,
        agent=given(getattr(request.command, "agent", None)),
        group=given(getattr(request.command, "group", None)),
        next_run_at=given(row.next_run_at) if row.enabled else UNSET,
        last_run_at=given(row.last_run_at),
        last_job_id=given(row.last_work_id),
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def shown_request(command: c.Command, *, brief: bool) -> Json:
    """Return a command as a document; `brief`: with long texts cut."""
    found: Json = msgspec.json.decode(msgspec.json.encode(command))
    if not found.get("requirements", True):  # a struct of its own, and so not left out when it says nothing
        del found["requirements"]
    return {name: _cut(value) for name, value in found.items()} if brief else found


def _cut(value: Any) -> Any:
    return value[: SHOWN - 1] + "…" if isinstance(value, str) and len(value) > SHOWN else value


# --- results


class RecordedError(MissiveError):
    """The error with which work ended that somebody else has run."""

    def __init__(self, report: ErrorReport) -> None:
        super().__init__(report.message, help=report.help, sources=report.sources, a2a=report.a2a)
        self._report = report

    def report(self) -> ErrorReport:
        return self._report


class Results:
    """Results as the store keeps them, made into what a command's handler gave once."""

    def __init__(self) -> None:
        from importlib import import_module

        from missive_host.outputs import all_kinds

        for noun in ("collectives", "groups", "jobs", "push", "routes"):  # what doors may ask for
            import_module(f"missive_host.outputs_{noun}")  # its kinds are known once it is imported
        self._kinds: dict[str, type[Data]] = all_kinds()

    def restored(self, row: WorkOutputRow, before: int = 0) -> Output:
        """Return a result; `before` is how many others its command has given that are not the job's."""
        return Output(msgspec.convert(row.data, self._kinds[row.kind]), before + row.sequence)


async def show_results(core: Core, job_id: str, emit: Emit, *, follow: bool, before: int = 0) -> None:
    """Hand on what a job gives, after `before` other results, then fail as it did if it has failed.

    With `follow` this goes on until it has ended. Raises `ValidationError` if there is no such job, or if it goes away.
    """
    import anyio

    results = Results()
    shown = 0
    while True:
        version = core.store.version()  # first, so that nothing that comes while we read is missed
        work, rows = core.store.read(lambda tables: _news(tables, job_id, shown))  # noqa: B023 - it is run at once
        if work.outputs < shown:  # it is tried again from the beginning
            shown = 0
            continue
        for row in rows:
            await emit(results.restored(row, before))
            shown = row.position + 1
        if work.ended or not follow:
            break
        while core.store.version() == version:  # noqa: ASYNC110 - it is another process that writes
            await anyio.sleep(PAUSE)
    error = ending(work)
    if error is not None:
        raise error


def _news(tables: Tables, job_id: str, shown: int) -> tuple[WorkRow, tuple[WorkOutputRow, ...]]:
    return find(tables, job_id), tables.work.outputs(job_id, after=shown)


def ending(work: WorkRow) -> MissiveError | None:
    """Return the error with which a job has ended, None if it has succeeded or goes on."""
    if work.state == "cancelled":
        return TaskCancelledError(f"job {work.work_id} was cancelled")
    if work.state not in ("failed", "dead"):
        return None
    if work.error is None:
        return MissiveError(f"job {work.work_id} has failed", help="see `missive job show`")
    return RecordedError(msgspec.convert(work.error, ErrorReport))
