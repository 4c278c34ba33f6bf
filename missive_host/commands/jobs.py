"""Jobs: commands that the gateway runs in the background, once or by a schedule."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, get_args

import msgspec
from msgspec import Meta

from missive_host.commands.base import Calling, Command, Duration, Name, NonEmpty, OpaqueId, Timestamp
from missive_host.commands.collective import Allreduce, Bcast, Reduce
from missive_host.commands.messages import Send, Stream, TaskWait

JobKind = Literal["send", "stream", "wait", "reduce", "allreduce", "bcast"]
JobState = Literal["queued", "running", "succeeded", "failed", "cancelled", "retrying"]


class JobOptions(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """How a job is run, and when."""

    max_attempts: Annotated[
        Annotated[int, Meta(ge=1, le=1000)],
        Meta(description="How often to try at the most. Only what is safe is tried again."),
    ] = 1
    attach: Annotated[
        bool, Meta(description="Show what it does as if it ran here, and end as it ends. It goes on without us.")
    ] = False
    attach_timeout: Annotated[
        Duration | None, Meta(description="Watch it for this long at the most; the job is not stopped by that.")
    ] = None
    cancel_remote_on_cancel: Annotated[bool, Meta(description="Who cancels the job cancels the agent's task, too.")] = (
        False
    )
    at: Annotated[
        Timestamp | None, Meta(description="Run it at this time: RFC 3339, or `+10m` for a time from now.")
    ] = None
    every: Annotated[Duration | None, Meta(description="Run it again and again, this far apart.")] = None
    cron: Annotated[
        Annotated[str, Meta(min_length=1, max_length=256)] | None,
        Meta(description="Run it at the times of a cron expression, such as `0 7 * * MON-FRI`."),
    ] = None
    time_zone: Annotated[
        NonEmpty | None, Meta(description="Time zone of the cron expression, such as Europe/Berlin; UTC without it.")
    ] = None


Options = Annotated[JobOptions, Meta(description="How the job is run, and when.")]


class JobStartSend(Send, frozen=True, kw_only=True, omit_defaults=True, tag="job_start_send"):
    """Let the gateway send a message to an agent and wait for its answer."""

    own_deadline: ClassVar[bool] = True  # the timeout is that of the command in the job
    options: Options = msgspec.field(default_factory=JobOptions)


class JobStartStream(Stream, frozen=True, kw_only=True, omit_defaults=True, tag="job_start_stream"):
    """Let the gateway send a message to an agent and keep its updates as they happen."""

    own_deadline: ClassVar[bool] = True
    options: Options = msgspec.field(default_factory=JobOptions)


class JobStartWait(TaskWait, frozen=True, kw_only=True, omit_defaults=True, tag="job_start_wait"):
    """Let the gateway wait until a task has ended or waits for us."""

    options: Options = msgspec.field(default_factory=JobOptions)


class JobStartReduce(Reduce, frozen=True, kw_only=True, omit_defaults=True, tag="job_start_reduce"):
    """Let the gateway make one answer of what the members of a group answered in a context."""

    own_deadline: ClassVar[bool] = True
    options: Options = msgspec.field(default_factory=JobOptions)


class JobStartAllreduce(Allreduce, frozen=True, kw_only=True, omit_defaults=True, tag="job_start_allreduce"):
    """Let the gateway broadcast, wait, gather and reduce."""

    options: Options = msgspec.field(default_factory=JobOptions)


class JobStartBcast(Bcast, frozen=True, kw_only=True, omit_defaults=True, tag="job_start_bcast"):
    """Let the gateway send one message to all members of a group."""

    options: Options = msgspec.field(default_factory=JobOptions)


JobStart = JobStartSend | JobStartStream | JobStartWait | JobStartReduce | JobStartAllreduce | JobStartBcast
JobCommand = Send | Stream | TaskWait | Reduce | Allreduce | Bcast
"""What a job can run."""


def command_of(start: JobStart) -> JobCommand:
    """Return the command that the job is to run: the base of the one that starts it."""
    cls: type[JobCommand] = type(start).__bases__[0]
    assert cls in get_args(JobCommand)
    return cls(**{name: getattr(start, name) for name in cls.__struct_fields__})


class JobList(Command, frozen=True, kw_only=True, omit_defaults=True, tag="job_list"):
    """List jobs in the order in which they were started."""

    store_only: ClassVar[bool] = True
    kind: Annotated[JobKind | None, Meta(description="Only jobs of this kind.")] = None
    state: Annotated[JobState | None, Meta(description="Only jobs in this state.")] = None
    agent: Annotated[Name | None, Meta(description="Only jobs that call this agent.")] = None
    context: Annotated[OpaqueId | None, Meta(description="Only jobs in this context.")] = None
    limit: Annotated[Annotated[int, Meta(ge=1)] | None, Meta(description="The newest of them: this many.")] = None


class JobShow(Command, frozen=True, kw_only=True, omit_defaults=True, tag="job_show"):
    """Show one job: what it is to do, how it stands, and how it ended."""

    store_only: ClassVar[bool] = True
    job_id: Annotated[OpaqueId, Meta(description="The job's id.")]


class JobCancel(Calling, frozen=True, kw_only=True, omit_defaults=True, tag="job_cancel"):
    """Cancel a job: one that waits never runs, one that runs is stopped."""

    job_id: Annotated[OpaqueId, Meta(description="The job's id.")]
    remote: Annotated[bool, Meta(description="Ask the agent to cancel the task first.")] = False


class JobLogs(Calling, frozen=True, kw_only=True, omit_defaults=True, tag="job_logs"):
    """Show the results of a job as if its command ran here; if it has failed, fail as it did."""

    own_deadline: ClassVar[bool] = True
    job_id: Annotated[OpaqueId, Meta(description="The job's id.")]
    follow: Annotated[bool, Meta(description="Go on until it has ended.")] = False


class JobScheduleList(Command, frozen=True, kw_only=True, omit_defaults=True, tag="job_schedule_list"):
    """List the schedules by which jobs are started."""

    store_only: ClassVar[bool] = True


class JobScheduleShow(Command, frozen=True, kw_only=True, omit_defaults=True, tag="job_schedule_show"):
    """Show one schedule and the job that it starts."""

    store_only: ClassVar[bool] = True
    schedule_id: Annotated[OpaqueId, Meta(description="The schedule's id.")]


class JobSchedulePause(Command, frozen=True, kw_only=True, omit_defaults=True, tag="job_schedule_pause"):
    """Let a schedule start no jobs until it is resumed."""

    store_only: ClassVar[bool] = True
    schedule_id: Annotated[OpaqueId, Meta(description="The schedule's id.")]


class JobScheduleResume(Command, frozen=True, kw_only=True, omit_defaults=True, tag="job_schedule_resume"):
    """Let a paused schedule go on, with the next of its times from now."""

    store_only: ClassVar[bool] = True
    schedule_id: Annotated[OpaqueId, Meta(description="The schedule's id.")]


class JobScheduleDelete(Command, frozen=True, kw_only=True, omit_defaults=True, tag="job_schedule_delete"):
    """Delete a schedule. Jobs that it has started go on."""

    store_only: ClassVar[bool] = True
    schedule_id: Annotated[OpaqueId, Meta(description="The schedule's id.")]
