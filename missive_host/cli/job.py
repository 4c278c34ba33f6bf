"""``missive job`` and ``missive job schedule``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from missive_host import commands as c
from missive_host.cli.collective import CONTEXT, REDUCING
from missive_host.cli.kit import Field, Group, Options, verb
from missive_host.cli.send import PARTS, MessageVerb, content_options
from missive_host.cli.verbs import Verb
from missive_host.errors import ValidationError

if TYPE_CHECKING:
    from missive_host.cli.app import App
    from missive_host.commands import Command as CommandStruct

job = Group(
    "job",
    help="Let the gateway work in the background: now, later, or again and again.",
    examples=(
        'missive job start send writer "A long story"',
        "missive job list --state running",
        "missive job logs JOB --follow",
        'missive job start send writer "Good morning" --cron "0 7 * * MON-FRI" --time-zone Europe/Berlin',
    ),
)
start = Group(
    "start",
    help="""Start a job: the gateway runs the command, and keeps what comes back.

A job outlives the terminal, the network and the gateway: what was running when the gateway ended is taken up again.
`missive gateway run` runs it; until one does, it waits.""",
    examples=(
        'missive job start send writer "A long story" --max-attempts 5',
        'missive job start stream writer "A long story" --attach',
        'missive job start send writer "Are you there?" --every 10m',
    ),
)
schedule = Group(
    "schedule",
    help="See and change the schedules of `missive job start … --every` and `--cron`.",
    examples=("missive job schedule list", "missive job schedule pause SCHEDULE"),
)
job.add_command(start)

_WHEN: Options = {
    "options.at": Field(metavar="TIME"),
    "options.cron": Field(metavar="EXPR"),
    "options.time_zone": Field(metavar="ZONE"),
}
_JOB: Options = {"job_id": Field(metavar="JOB")}
_SCHEDULE: Options = {"schedule_id": Field(metavar="SCHEDULE")}
_HERE_ONLY = ("header", "bearer_token_env", "a2a_extension", "service_param", "protocol_version")


class _Start(MessageVerb):
    """Starts a job. What only this process knows cannot go with it."""

    def build(self, app: App, values: dict[str, Any]) -> CommandStruct:
        for name in _HERE_ONLY:
            if getattr(app.flags, name):
                raise ValidationError(
                    f"--{name.replace('_', '-')}: is not kept, and the gateway runs the job",
                    help="credentials come from the agent's auth ref, the others from [protocol] in the config",
                )
        command = super().build(app, values)
        if getattr(command, "stream", False):
            _show_all_members(app)
        return command


class _Logs(Verb):
    """Shows results as the command of the job would have."""

    def build(self, app: App, values: dict[str, Any]) -> CommandStruct:
        command = super().build(app, values)
        assert isinstance(command, c.JobLogs)
        shown: Any = app.core().run_local(c.JobShow(job_id=command.job_id)).data
        if shown.job.request.get("stream"):
            _show_all_members(app)
        return command


def _show_all_members(app: App) -> None:
    from missive_host.cli.live_group import GroupView

    app.stream_view = GroupView


def _starting(name: str, struct: type[CommandStruct], *, more: str = "", **settings: Any) -> None:
    options = {**settings.pop("options"), **_WHEN}
    arguments = settings.pop("arguments", ())
    start.add_command(_Start(name, struct, arguments, options, settings.pop("examples"), (struct.__doc__ or "") + more))


_starting(
    "send",
    c.JobStartSend,
    more=PARTS,
    arguments=("agent", "message"),
    options=content_options(return_immediately="--async"),
    examples=(
        'missive job start send writer "A long story"',
        'missive job start send writer "A long story" --max-attempts 5 --attach',
        'missive job start send writer "Good night" --at 2026-01-31T22:00:00+01:00',
        'missive job start send writer "Good morning" --cron "0 7 * * MON-FRI" --time-zone Europe/Berlin',
        'missive job start send --group reviewers "Who has time?" --policy least-busy',
    ),
)
_starting(
    "stream",
    c.JobStartStream,
    more=PARTS,
    arguments=("agent", "message"),
    options=content_options(),
    examples=(
        'missive job start stream writer "A long story"',
        'missive job start stream writer "A long story" --attach --attach-timeout 1m',
    ),
)
_starting(
    "wait",
    c.JobStartWait,
    options={"task_id": Field(metavar="TASK")},
    examples=("missive job start wait task-1 --timeout 2h", "missive job start wait task-1 --attach"),
)
_starting(
    "reduce",
    c.JobStartReduce,
    options={**CONTEXT, **REDUCING},
    examples=("missive job start reduce reviewers --context ctx-1 --reducer-agent writer",),
)
_starting(
    "allreduce",
    c.JobStartAllreduce,
    arguments=("message",),
    options=content_options(settings="--setting"),
    examples=('missive job start allreduce reviewers "Is this safe?" --strategy vote --timeout 10m',),
)
_starting(
    "bcast",
    c.JobStartBcast,
    arguments=("message",),
    options=content_options(return_immediately="--async"),
    examples=(
        'missive job start bcast reviewers "Is this safe?" --timeout 10m',
        'missive job start bcast reviewers "What is new?" --every 1h --failure-policy continue',
    ),
)

job.add_command(
    verb(
        "list",
        c.JobList,
        examples=("missive job list", "missive job list --state failed --limit 20", "missive job list --json"),
    )
)
job.add_command(verb("show", c.JobShow, options=_JOB, examples=("missive job show JOB", "missive job show JOB --json")))
job.add_command(
    _Logs(
        "logs",
        c.JobLogs,
        (),
        {**_JOB, "follow": ("-f", "--follow")},
        ("missive job logs JOB", "missive job logs JOB --follow", "missive job logs JOB --json"),
        None,
    )
)
job.add_command(
    verb("cancel", c.JobCancel, options=_JOB, examples=("missive job cancel JOB", "missive job cancel JOB --remote"))
)
job.add_command(schedule)

schedule.add_command(verb("list", c.JobScheduleList, examples=("missive job schedule list",)))
schedule.add_command(
    verb("show", c.JobScheduleShow, options=_SCHEDULE, examples=("missive job schedule show SCHEDULE",))
)
schedule.add_command(
    verb("pause", c.JobSchedulePause, options=_SCHEDULE, examples=("missive job schedule pause SCHEDULE",))
)
schedule.add_command(
    verb("resume", c.JobScheduleResume, options=_SCHEDULE, examples=("missive job schedule resume SCHEDULE",))
)
schedule.add_command(
    verb("delete", c.JobScheduleDelete, options=_SCHEDULE, examples=("missive job schedule delete SCHEDULE",))
)
