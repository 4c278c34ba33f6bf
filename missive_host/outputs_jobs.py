"""The result documents of jobs and schedules."""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from missive_host.errors import ErrorReport
from missive_host.outputs import Data, Json

JobState = Literal["queued", "running", "succeeded", "failed", "cancelled", "retrying"]


class JobResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a job has come to so far. Its results themselves are what ``job_logs`` gives."""

    operation: str
    """The job's kind."""
    status: JobState
    output_count: int
    output_kind: str | UnsetType = UNSET
    """``kind`` of the last result."""
    message: str | UnsetType = UNSET
    """What the last result says in one sentence."""


class JobView(msgspec.Struct, frozen=True, kw_only=True):
    """A job."""

    job_id: str
    kind: str
    """``send``, ``stream``, ``wait``, ``reduce``, ``allreduce`` or ``bcast``."""
    state: JobState
    retry_count: int
    """How often it was tried again."""
    max_attempts: int
    created_at: str
    updated_at: str
    request: Json
    """The command; in lists long texts are cut."""
    metadata: Json
    """``schedule_id`` of the schedule that has started it."""
    agent: str | UnsetType = UNSET
    group: str | UnsetType = UNSET
    context_id: str | UnsetType = UNSET
    task_id: str | UnsetType = UNSET
    """The agent's task, as soon as it is known."""
    next_run_at: str | UnsetType = UNSET
    """When it is to be tried next; of jobs that wait."""
    locked_by: str | UnsetType = UNSET
    """The process that runs it."""
    locked_until: str | UnsetType = UNSET
    """Until when that process is believed to live; it says so again and again."""
    completed_at: str | UnsetType = UNSET
    result: JobResult | UnsetType = UNSET
    error: ErrorReport | UnsetType = UNSET
    """Why it has failed, or why it has to be tried again."""


class JobStartResult(Data, frozen=True, kw_only=True):
    """A job was started. With ``attach`` the results of its command follow."""

    kind = "job_start"
    profile: str
    job: JobView
    attached: bool
    gateway_running: bool
    """False: nobody is there to run it yet; it waits for ``missive gateway run``."""
    message: str


class JobListResult(Data, frozen=True, kw_only=True):
    kind = "job_list"
    profile: str
    filters: Json
    count: int
    jobs: tuple[JobView, ...]
    message: str


class JobShowResult(Data, frozen=True, kw_only=True):
    kind = "job_show"
    profile: str
    job: JobView
    message: str


class JobCancelResult(Data, frozen=True, kw_only=True):
    kind = "job_cancel"
    profile: str
    job: JobView
    """As it is now: ``cancelled``, or ``running`` until whoever runs it has stopped it."""
    remote: bool
    """True: the agent was asked to cancel its task."""
    message: str


class ScheduleView(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule by which jobs are started."""

    schedule_id: str
    kind: Literal["every", "cron"]
    expression: str
    time_zone: str
    enabled: bool
    job_kind: str
    request: Json
    """The command of its jobs; in lists long texts are cut."""
    max_attempts: int
    created_at: str
    updated_at: str
    agent: str | UnsetType = UNSET
    group: str | UnsetType = UNSET
    next_run_at: str | UnsetType = UNSET
    last_run_at: str | UnsetType = UNSET
    last_job_id: str | UnsetType = UNSET


class JobScheduleResult(Data, frozen=True, kw_only=True):
    """A schedule was made."""

    kind = "job_schedule"
    profile: str
    schedule: ScheduleView
    gateway_running: bool
    """False: nobody is there to start its jobs yet."""
    message: str


class JobScheduleListResult(Data, frozen=True, kw_only=True):
    kind = "job_schedule_list"
    profile: str
    count: int
    schedules: tuple[ScheduleView, ...]
    message: str


class JobScheduleShowResult(Data, frozen=True, kw_only=True):
    kind = "job_schedule_show"
    profile: str
    schedule: ScheduleView
    message: str


class JobSchedulePauseResult(Data, frozen=True, kw_only=True):
    kind = "job_schedule_pause"
    profile: str
    schedule: ScheduleView
    message: str


class JobScheduleResumeResult(Data, frozen=True, kw_only=True):
    kind = "job_schedule_resume"
    profile: str
    schedule: ScheduleView
    message: str


class JobScheduleDeleteResult(Data, frozen=True, kw_only=True):
    kind = "job_schedule_delete"
    profile: str
    schedule: ScheduleView
    """As it was."""
    message: str
