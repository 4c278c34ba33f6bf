"""Jobs: started, listed, watched, cancelled; run by a small runner, with real agents."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import msgspec
import pytest
from jobs_kit import OWNER, run_due
from support.cores import QUICK

from missive_host import commands as c, outputs as o, outputs_jobs as j
from missive_host.a2a.parts import FileAccess
from missive_host.core.jobs import JOB, RecordedError, request_of
from missive_host.envelopes import STDIO, parse_envelope
from missive_host.errors import (
    DeadlineError,
    IoError,
    ProtocolError,
    TaskCancelledError,
    TransportError,
    ValidationError,
)
from missive_host.ids import now

if TYPE_CHECKING:
    from support.cores import Commands, Home

    from missive_host.demo.fleet import AgentProcess

NOWHERE = "http://127.0.0.1:9"


async def start(core: Commands, command: c.JobStart) -> j.JobView:
    started: j.JobStartResult = await core.one(command)
    return started.job


def show(core: Commands, job_id: str) -> j.JobView:
    job: j.JobView = core.local(c.JobShow(job_id=job_id)).job
    return job


def journal(core: Commands) -> list[tuple[str, dict[str, Any]]]:
    rows = core.read(lambda tables: tables.events.list())
    return [(row.event_type, row.payload) for row in rows if row.event_type.startswith("missive.job")]


def untimed(output: o.Output) -> Any:
    return msgspec.convert(msgspec.to_builtins(output.data), type(output.data)), output.sequence


# --- the life of a job


async def test_a_job_gives_what_the_command_gives(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        core.add("echo", agent)
        started = await core.one(c.JobStartSend(agent="echo", message="echo hi", options=c.JobOptions(max_attempts=3)))
        assert (started.kind, started.attached, started.gateway_running) == ("job_start", False, False)
        assert "no gateway runs" in started.message
        job = started.job
        assert job.job_id.startswith("job/send/")
        assert (job.kind, job.state, job.agent, job.retry_count, job.max_attempts) == ("send", "queued", "echo", 0, 3)
        assert job.request == {"command": "send", "agent": "echo", "message": "echo hi"}
        assert job.next_run_at == job.created_at
        assert await core.all(c.JobLogs(job_id=job.job_id)) == []

        (work,) = await run_due(core.core)
        assert work.state == "done"
        (output,) = await core.all(c.JobLogs(job_id=job.job_id))
        assert isinstance(output.data, o.SendResult)
        assert output.data.response.text == "hi"
        done = show(core, job.job_id)
        assert (done.state, done.next_run_at, done.locked_by) == ("succeeded", msgspec.UNSET, msgspec.UNSET)
        assert done.completed_at == work.finished_at
        assert isinstance(done.result, j.JobResult)
        assert (done.result.operation, done.result.status, done.result.output_count) == ("send", "succeeded", 1)
        assert (done.result.output_kind, done.result.message) == ("send_result", output.data.message)
        told = {"job_id": job.job_id, "kind": "send", "run_at": job.created_at, "max_attempts": 3}
        assert journal(core) == [("missive.job.enqueued", told)]
        stored = work.request
        assert stored["schema_version"] == JOB
        assert stored["options"] == {"max_attempts": 3}
        assert request_of(stored).command == c.Send(agent="echo", message="echo hi")


async def test_whoever_runs_jobs_is_told(home: Home, agent: AgentProcess) -> None:
    rung: list[int] = []
    async with home.core() as core:
        core.add("echo", agent)
        core.core.on_new_work = lambda: rung.append(len(core.read(lambda tables: tables.work.list())))
        job = await start(core, c.JobStartSend(agent="echo", message="x"))
        assert rung == [1], "after it is in the store"
        await core.one(c.JobCancel(job_id=job.job_id))
        await core.one(c.JobStartSend(agent="echo", message="x", options=c.JobOptions(every="1h")))
        assert len(rung) == 3


async def test_results_are_followed_as_they_come(home: Home, agent: AgentProcess) -> None:
    """Another process runs it: here another core, with a connection of its own."""
    seen: list[o.Output] = []
    told = anyio.Event()

    async with home.core() as core, home.core() as other:
        core.add("echo", agent)
        job = await start(core, c.JobStartStream(agent="echo", message="stream 3 0.3"))

        async def emit(output: o.Output) -> None:
            seen.append(output)
            told.set()

        async def follow() -> None:
            await core.core.run(c.JobLogs(job_id=job.job_id, follow=True), emit)

        async with anyio.create_task_group() as group:
            group.start_soon(follow)
            group.start_soon(run_due, other.core)
            with anyio.fail_after(30):
                await told.wait()
            running = show(core, job.job_id)
            assert (running.state, running.locked_by) == ("running", OWNER)
            assert isinstance(running.locked_until, str)
        kinds = [output.kind for output in seen]
        assert kinds[-1] == "stream_result"
        assert set(kinds[:-1]) == {"stream_event"}
        assert len(kinds) > 4
        assert [output.sequence for output in seen] == list(range(len(seen)))
        again = await core.all(c.JobLogs(job_id=job.job_id))
        assert list(map(untimed, again)) == list(map(untimed, seen))


async def test_an_attempt_that_begins_anew_is_shown_anew(home: Home, agent: AgentProcess) -> None:
    seen: list[int] = []
    async with home.core() as core, home.core() as other:
        core.add("echo", agent)
        done = await start(core, c.JobStartStream(agent="echo", message="stream 2"))
        await run_due(other.core)
        rows = core.read(lambda tables: tables.work.outputs(done.job_id))
        job = await start(core, c.JobStartStream(agent="echo", message="x"))

        def add(count: int) -> None:
            for row in rows[:count]:
                copy = msgspec.structs.replace(row, work_id=job.job_id)
                other.core.store.write(lambda tables, copy=copy: tables.work.add_output(copy))  # type: ignore[misc]

        async def emit(output: o.Output) -> None:
            seen.append(output.sequence)

        async def until(*sequences: int) -> None:
            with anyio.fail_after(30):
                while seen != list(sequences):
                    await anyio.sleep(0.01)

        async with anyio.create_task_group() as group:
            group.start_soon(core.core.run, c.JobLogs(job_id=job.job_id, follow=True), emit)
            add(2)
            await until(0, 1)
            other.core.store.write(lambda tables: tables.work.clear_outputs(job.job_id))
            add(1)
            await until(0, 1, 0)
            add(3)
            await until(0, 1, 0, 1, 2)
            group.cancel_scope.cancel()


async def test_attached_it_is_as_if_it_ran_here(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core, home.core() as other:
        core.add("echo", agent)
        seen: list[o.Output] = []
        started = anyio.Event()

        async def emit(output: o.Output) -> None:
            seen.append(output)
            started.set()

        attached = c.JobStartSend(agent="echo", message="task", options=c.JobOptions(attach=True))
        async with anyio.create_task_group() as group:
            group.start_soon(core.core.run, attached, emit)
            with anyio.fail_after(30):
                await started.wait()
            await run_due(other.core)
        first, second = (output.data for output in seen)
        assert isinstance(first, j.JobStartResult)
        assert first.attached
        assert isinstance(second, o.SendResult)
        assert second.response.state == "completed"


@pytest.mark.parametrize(
    ("message", "error", "exit_code"), [("crash", ProtocolError, 76), ("sleep 20", DeadlineError, 82)]
)
async def test_a_failed_job_fails_as_the_command_does(
    home: Home, agent: AgentProcess, message: str, error: type[Exception], exit_code: int
) -> None:
    async with home.core() as core:
        core.add("echo", agent)
        job = await start(core, c.JobStartSend(agent="echo", message=message, timeout="1s"))
        await run_due(core.core)
        failed = show(core, job.job_id)
        assert failed.state == "failed"
        assert failed.error
        raised = await core.fails(c.JobLogs(job_id=job.job_id), RecordedError)
        with pytest.raises(error) as direct:
            await core.all(c.Send(agent="echo", message=message, timeout="1s"))
        report = core.core.report(raised)
        assert report == failed.error
        assert (report.exit_code, report.category) == (exit_code, direct.value.category)  # type: ignore[attr-defined]


async def test_what_is_safe_is_tried_again(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        core.add("gone", NOWHERE)
        job = await start(core, c.JobStartSend(agent="gone", message="x", options=c.JobOptions(max_attempts=2)))
        (work,) = await run_due(core.core)
        waiting = show(core, job.job_id)
        assert (waiting.state, waiting.retry_count, waiting.next_run_at) == ("retrying", 1, work.run_at)
        assert waiting.error
        assert waiting.error.category == "transport"
        assert [view.job_id for view in core.local(c.JobList(state="retrying")).jobs] == [job.job_id]
        assert core.local(c.JobList(state="queued")).jobs == ()
        assert await run_due(core.core) == [], "not before its time"
        core.core.run_local(c.AgentUpdate(agent="gone", url=agent.url))
        (work,) = await run_due(core.core, at=work.run_at)
        assert work.state == "done"
        assert (show(core, job.job_id).retry_count, show(core, job.job_id).error) == (1, msgspec.UNSET)


async def test_a_job_that_is_never_run_is_waited_for_only_so_long(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        core.add("echo", agent)
        options = c.JobOptions(attach=True, attach_timeout="100ms")
        error = await core.fails(c.JobStartSend(agent="echo", message="x", options=options), DeadlineError, "job_start")
        (job,) = core.local(c.JobList()).jobs
        assert job.state == "queued"
        assert f"missive job logs {job.job_id} --follow" in (error.help or "")
        await core.fails(c.JobLogs(job_id=job.job_id, follow=True, timeout="100ms"), DeadlineError)


async def test_a_group_and_a_wait(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        for rank, alias in enumerate(("ann", "bob"), 1):
            core.add(alias, agent)
            if rank == 1:
                core.local(c.GroupCreate(group="team"))
            core.local(c.GroupAdd(group="team", agent=alias, rank=str(rank)))
        jobs = [
            await start(core, c.JobStartBcast(group="team", message="echo a", context="ctx")),
            await start(core, c.JobStartReduce(group="team", context="ctx", strategy="merge")),
            await start(core, c.JobStartAllreduce(group="team", message="echo yes", strategy="vote")),
        ]
        assert [work.state for work in await run_due(core.core)] == ["done"] * 3
        last = [(await core.all(c.JobLogs(job_id=job.job_id)))[-1].kind for job in jobs]
        assert last == ["bcast_result", "reduce_result", "allreduce_result"]
        assert [view.kind for view in core.local(c.JobList(context="ctx")).jobs] == ["bcast", "reduce"]
        assert {view.group for view in core.local(c.JobList()).jobs} == {"team"}

        task = (await core.one(c.Send(agent="ann", message="sleep 0.2", return_immediately=True))).response.task_id
        waiting = await start(core, c.JobStartWait(task_id=task, agent="ann", timeout="20s"))
        assert waiting.task_id == task
        await run_due(core.core)
        waited = await core.one(c.JobLogs(job_id=waiting.job_id))
        assert (waited.kind, waited.status) == ("task_wait", "completed")
        assert [view.job_id for view in core.local(c.JobList(kind="wait")).jobs] == [waiting.job_id]
        assert [view.kind for view in core.local(c.JobList(limit=2)).jobs] == ["allreduce", "wait"]
        assert [view.kind for view in core.local(c.JobList(agent="ann")).jobs] == ["wait"]


# --- what is refused at once


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (c.JobStartSend(message="x"), "field `agent` is missing"),
        (c.JobStartSend(agent="nobody", message="x"), "no agent 'nobody'"),
        (c.JobStartSend(agent="echo"), "there is nothing to send"),
        (c.JobStartSend(agent="echo", group="team", message="x"), "exclude each other"),
        (c.JobStartBcast(group="nobody", message="x"), "'nobody'"),
        (c.JobStartReduce(group="nobody", context="x"), "'nobody'"),
        (c.JobStartWait(task_id="nothing"), "'nothing'"),
        (c.JobStartSend(agent="echo", message="x" * 2_000_000), "more than the"),
        (c.JobStartSend(agent="echo", file_bytes=("x",)), "this door may not read files"),
        (
            c.JobStartSend(agent="echo", message="x", options=c.JobOptions(at="+1m", every="1m")),
            "fields `options.at` and `options.every` exclude each other",
        ),
        (
            c.JobStartSend(agent="echo", message="x", options=c.JobOptions(attach_timeout="1m")),
            "needs `options.attach`",
        ),
        (c.JobStartSend(agent="echo", message="x", options=c.JobOptions(time_zone="UTC")), "needs `options.cron`"),
        (c.JobStartSend(agent="echo", message="x", options=c.JobOptions(every="1m", attach=True)), "exclude each"),
        (c.JobStartSend(agent="echo", message="x", options=c.JobOptions(every="10ms")), "less than 1 s"),
        (c.JobStartSend(agent="echo", message="x", options=c.JobOptions(at="tomorrow")), "`options.at`"),
        (c.JobStartSend(agent="echo", message="x", options=c.JobOptions(at="+1 day")), "`options.at`"),
        (c.JobStartSend(agent="echo", message="x", options=c.JobOptions(at="2026-01-01T00:00:00")), "time zone"),
        (c.JobStartSend(agent="echo", message="x", options=c.JobOptions(cron="* * * *")), "five fields, not 4"),
        (c.JobStartSend(agent="echo", message="x", options=c.JobOptions(cron="61 * * * *")), "cannot be read"),
        (c.JobStartSend(agent="echo", message="x", options=c.JobOptions(cron="0 0 30 2 *")), "options.cron"),
        (
            c.JobStartSend(
                agent="echo", message="x", options=c.JobOptions(cron="0 0 * * *", time_zone="Europe/Berlim")
            ),
            "did you mean 'Europe/Berlin'?",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_what_cannot_work_is_refused_at_once(home: Home, command: c.JobStart, sentence: str) -> None:
    async with home.core() as core:
        core.add("echo", NOWHERE)
        error = await core.fails(command, ValidationError)
        assert sentence in error.message + (error.help or "")
        assert core.local(c.JobList()).jobs == ()
        assert core.local(c.JobScheduleList()).schedules == ()


async def test_unknown_jobs(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        core.add("echo", agent)
        job = await start(core, c.JobStartSend(agent="echo", message="x"))
        for command in (c.JobLogs(job_id=job.job_id[:-1]), c.JobCancel(job_id=job.job_id[:-1])):
            error = await core.fails(command, ValidationError)
            assert f"did you mean '{job.job_id}'?" in error.message
        with pytest.raises(ValidationError, match="there is no job 'x'"):
            core.local(c.JobShow(job_id="x"))


# --- files


async def test_files_are_those_of_whoever_started_it(home: Home, agent: AgentProcess, tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside.txt"
    inside.mkdir()
    (inside / "a.txt").write_text("content")
    outside.write_text("secret")
    async with home.core(files=FileAccess(inside, confined=True)) as core:
        core.add("echo", agent)
        job = await start(core, c.JobStartSend(agent="echo", message="echo-parts", file_bytes=("a.txt",)))
        for name, error in ((str(outside), ValidationError), ("../outside.txt", ValidationError), ("b", IoError)):
            await core.fails(c.JobStartSend(agent="echo", file_bytes=(name,)), error)
    async with home.core(files=None) as other:  # a gateway knows nothing of that folder
        (work,) = await run_due(other.core)
        assert work.state == "done"
        sent = await other.one(c.JobLogs(job_id=job.job_id))
        assert {part.get("raw") for part in sent.response.raw["parts"]} >= {"Y29udGVudA=="}
        access = request_of(work.request).access
        assert access == FileAccess(inside.absolute(), confined=True)


async def test_a_file_that_became_a_way_out_is_refused_when_the_job_runs(
    home: Home, agent: AgentProcess, tmp_path: Path
) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside.txt"
    inside.mkdir()
    outside.write_text("secret")
    (inside / "a.txt").write_text("content")
    async with home.core(files=FileAccess(inside, confined=True)) as core:
        core.add("echo", agent)
        job = await start(core, c.JobStartSend(agent="echo", file_bytes=("a.txt",)))
        (inside / "a.txt").unlink()
        (inside / "a.txt").symlink_to(outside)
        await run_due(core.core)
        assert show(core, job.job_id).state == "failed"


# --- cancelling


async def test_a_job_that_waits_is_cancelled(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        core.add("echo", agent)
        job = await start(core, c.JobStartSend(agent="echo", message="x"))
        cancelled = await core.one(c.JobCancel(job_id=job.job_id, remote=True))
        assert (cancelled.job.state, cancelled.remote) == ("cancelled", False)
        assert "no task of an agent is known" in cancelled.message
        assert await run_due(core.core) == []
        await core.one(c.JobCancel(job_id=job.job_id))
        assert [kind for kind, _ in journal(core)] == ["missive.job.enqueued", "missive.job.cancelled"]
        error = await core.fails(c.JobLogs(job_id=job.job_id), TaskCancelledError)
        assert error.exit_code == 81
        assert core.requests() == []


async def test_a_job_that_runs_is_told_to_stop(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        core.add("echo", agent)
        job = await start(core, c.JobStartSend(agent="echo", message="x"))
        at = now()
        await core.core.store.commit(lambda tables: tables.work.claim(OWNER, at=at, limit=1))
        stopping = await core.one(c.JobCancel(job_id=job.job_id))
        assert stopping.job.state == "running"
        assert "is being stopped" in stopping.message
        assert core.read(lambda tables: tables.work.to_cancel(OWNER)) == (job.job_id,)


@pytest.mark.parametrize("how", ["--remote", "cancel_remote_on_cancel"])
async def test_the_agents_task_is_cancelled_first(home: Home, agent: AgentProcess, how: str) -> None:
    async with home.core() as core:
        core.add("echo", agent)
        core.add("gone", NOWHERE)
        task = (await core.one(c.Send(agent="echo", message="sleep 30", return_immediately=True))).response.task_id
        options = c.JobOptions(cancel_remote_on_cancel=how != "--remote")
        job = await start(core, c.JobStartWait(task_id=task, agent="echo", options=options))
        lost = await start(core, c.JobStartWait(task_id="other", agent="gone", options=options))
        done = await core.one(c.JobCancel(job_id=job.job_id, remote=how == "--remote"))
        assert (done.remote, done.job.state) == (True, "cancelled")
        assert core.task(task).state == "cancelled"
        await core.fails(c.JobCancel(job_id=lost.job_id, remote=how == "--remote"), TransportError)
        assert show(core, lost.job_id).state == "queued", "it could not be cancelled there, so it is not here"


async def test_what_has_ended_is_not_cancelled(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        core.add("echo", agent)
        job = await start(core, c.JobStartSend(agent="echo", message="x"))
        await run_due(core.core)
        error = await core.fails(c.JobCancel(job_id=job.job_id), ValidationError)
        assert "has ended already: succeeded" in error.message


# --- later


async def test_a_job_for_later(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        core.add("echo", agent)
        options = c.JobOptions(at="2099-01-31T22:00:00+01:00")
        job = await start(core, c.JobStartSend(agent="echo", message="x", options=options))
        assert job.next_run_at == "2099-01-31T21:00:00.000000Z"
        soon = await start(core, c.JobStartSend(agent="echo", message="x", options=c.JobOptions(at="+10m")))
        assert isinstance(soon.next_run_at, str)
        assert soon.created_at < soon.next_run_at < job.next_run_at
        assert await run_due(core.core) == []
        late = await run_due(core.core, at="2099-02-01T00:00:00.000000Z")
        assert [work.state for work in late] == ["done", "done"]


# --- doors


async def test_a_frame_starts_a_job(home: Home, agent: AgentProcess) -> None:
    frame = {
        "id": "w1", "command": "job_start_send", "agent": "echo", "message": "echo hi", "metadata": {"k": 1},
        "options": {"max_attempts": 2, "cancel_remote_on_cancel": True},
    }  # fmt: skip
    async with home.core() as core:
        core.add("echo", agent)
        command = parse_envelope(msgspec.json.encode(frame), STDIO, default_source="s").command
        assert isinstance(command, c.JobStartSend)
        job = await start(core, command)
        assert job.request["metadata"] == {"k": 1}
        frame = {"id": "w2", "command": "job_list", "state": "QUEUED", "kind": "send"}
        listed = core.local(parse_envelope(msgspec.json.encode(frame), STDIO, default_source="s").command)
        assert [view.job_id for view in listed.jobs] == [job.job_id]
        with pytest.raises(ValidationError, match=r"options.*max_atempts"):
            parse_envelope(
                b'{"id":"w","command":"job_start_send","agent":"a","options":{"max_atempts":2}}',
                STDIO,
                default_source="s",
            )


async def test_secrets_do_not_reach_the_store(home: Home, agent: AgentProcess) -> None:
    """A job gets its credential when it runs, from the agent's auth ref: what lies in the store has none."""
    (home.folder / "token").write_text("the-secret-of-the-agent")
    (home.folder / "token").chmod(0o600)
    home.configure(QUICK + f'[auth_refs.r]\nfile = "token"\n[agents.echo]\nbase_url = "{agent.url}"\nauth_ref = "r"\n')
    async with home.core() as core:
        job = await start(core, c.JobStartSend(agent="echo", message="headers"))
        (work,) = await run_due(core.core)
        assert work.state == "done"
        (output,) = await core.all(c.JobLogs(job_id=job.job_id))
        assert "the-secret-of-the-agent" not in str(msgspec.to_builtins(output.data))
        database: Path = core.core.settings.paths.database
    assert b"the-secret-of-the-agent" not in database.read_bytes()
