"""Jobs, run by gateways that are processes of their own, and are stopped and killed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest
from support.agents import BEARER_TOKEN, BEARER_VARIABLE
from support.cores import QUICK
from support.gateways import GatewayProcess

from missive_host import commands as c, outputs_jobs as j
from missive_host.a2a.parts import FileAccess
from missive_host.errors import TaskCancelledError

if TYPE_CHECKING:
    from pathlib import Path

    from support.cores import Commands, Home

    from missive_host.demo.fleet import AgentProcess


async def start(core: Commands, command: c.JobStart) -> str:
    started: j.JobStartResult = await core.one(command)
    return started.job.job_id


def show(core: Commands, job_id: str) -> j.JobView:
    job: j.JobView = core.local(c.JobShow(job_id=job_id)).job
    return job


async def until(core: Commands, job_id: str, *states: str) -> j.JobView:
    with anyio.fail_after(60):
        while (job := show(core, job_id)).state not in states:
            await anyio.sleep(0.05)
    return job


def gateway(home: Home) -> GatewayProcess:
    return GatewayProcess(home).ready()


async def test_jobs_run_at_the_same_time(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        core.add("echo", agent)
        with gateway(home):
            started = await core.one(c.JobStartSend(agent="echo", message="sleep 1"))
            assert started.gateway_running
            ids = [started.job.job_id, await start(core, c.JobStartSend(agent="echo", message="sleep 1"))]
            with anyio.fail_after(60):
                while {show(core, job_id).state for job_id in ids} != {"running"}:
                    await anyio.sleep(0.02)
            for job_id in ids:
                assert (await until(core, job_id, "succeeded", "failed")).state == "succeeded"


async def test_what_a_job_has_learnt_is_shown(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        core.add("echo", agent)
        job_id = await start(core, c.JobStartStream(agent="echo", message="stream 3 0.3"))
        with gateway(home):
            kinds = [output.kind for output in await core.all(c.JobLogs(job_id=job_id, follow=True))]
        assert kinds[-1] == "stream_result"
        job = show(core, job_id)
        assert (job.state, job.retry_count) == ("succeeded", 0)
        assert isinstance(job.task_id, str)
        assert core.task(job.task_id).state == "completed"
        assert job.context_id == core.task(job.task_id).context_id


async def test_a_busy_agent_is_asked_again(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        core.add("gone", "http://127.0.0.1:9")
        options = c.JobOptions(max_attempts=5)
        job_id = await start(core, c.JobStartSend(agent="gone", message="echo hi", options=options))
        once = await start(core, c.JobStartSend(agent="gone", message="echo hi"))
        with gateway(home):
            retrying = await until(core, job_id, "retrying")
            assert retrying.error
            assert retrying.error.category == "transport"
            assert (await until(core, once, "failed")).retry_count == 0
            core.local(c.AgentUpdate(agent="gone", url=agent.url))
            job = await until(core, job_id, "succeeded", "failed")
        assert job.state == "succeeded"
        assert job.retry_count >= 1


async def test_killed_in_the_middle_it_is_taken_up_again(home: Home, agent: AgentProcess) -> None:
    """With one attempt: that the gateway was killed is not the job's fault."""
    async with home.core() as core:
        core.add("echo", agent)
        streaming = await start(core, c.JobStartStream(agent="echo", message="stream 4 0.5"))
        sending = await start(core, c.JobStartSend(agent="echo", message="sleep 2"))
        with gateway(home) as first:
            await until(core, sending, "running")
            with anyio.fail_after(60):
                while not core.read(lambda tables: tables.work.outputs(streaming)):
                    await anyio.sleep(0.02)
            first.kill()
        assert {show(core, job_id).state for job_id in (streaming, sending)} == {"running"}
        with gateway(home):
            for job_id in (streaming, sending):
                job = await until(core, job_id, "succeeded", "failed")
                assert job.state == "succeeded", job.error
        assert len(core.requests()) == 2, "one message each, however often it was sent"


async def test_a_job_that_runs_is_cancelled(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        core.add("echo", agent)
        job_id = await start(core, c.JobStartStream(agent="echo", message="stream 100 0.2"))
        with gateway(home):
            with anyio.fail_after(60):
                while not isinstance(show(core, job_id).task_id, str):
                    await anyio.sleep(0.05)
            cancelled = await core.one(c.JobCancel(job_id=job_id))
            assert not cancelled.remote
            job = await until(core, job_id, "cancelled", "succeeded", "failed")
            assert job.state == "cancelled"
            await core.fails(
                c.JobLogs(job_id=job_id), TaskCancelledError, *["stream_event"] * len(await outputs(core, job_id))
            )


async def outputs(core: Commands, job_id: str) -> tuple[Any, ...]:
    return core.read(lambda tables: tables.work.outputs(job_id))


async def test_the_agents_task_is_cancelled_with_it(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        core.add("echo", agent)
        options = c.JobOptions(cancel_remote_on_cancel=True)
        job_id = await start(core, c.JobStartStream(agent="echo", message="sleep 60", options=options))
        with gateway(home):
            with anyio.fail_after(60):
                while not isinstance(task := show(core, job_id).task_id, str):
                    await anyio.sleep(0.05)
            assert (await core.one(c.JobCancel(job_id=job_id))).remote
            await until(core, job_id, "cancelled", "succeeded", "failed")
            got = await core.one(c.TaskGet(task_id=task, agent="echo", remote=True))
            assert got.task.state == "cancelled"


async def test_a_job_reads_the_files_of_whoever_started_it(home: Home, agent: AgentProcess, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("content")
    async with home.core(files=FileAccess(tmp_path, confined=True)) as core:
        core.add("echo", agent)
        job_id = await start(core, c.JobStartSend(agent="echo", message="echo-parts", file_bytes=("a.txt",)))
        with gateway(home):
            await until(core, job_id, "succeeded", "failed")
        answer = await core.one(c.JobLogs(job_id=job_id))
        assert "Y29udGVudA==" in str(answer.response.raw)


async def test_a_job_has_the_credentials_of_the_gateway(home: Home, bearer_agent: AgentProcess) -> None:
    """Whoever starts it needs none, and the store has none."""
    home.configure(
        f'{QUICK}[auth_refs.r]\nenv = "{BEARER_VARIABLE}"\n'
        f'[agents.guarded]\nbase_url = "{bearer_agent.url}"\nauth_ref = "r"\n'
    )
    async with home.core() as core:
        job_id = await start(core, c.JobStartSend(agent="guarded", message="echo hi"))
        with GatewayProcess(home, env={BEARER_VARIABLE: BEARER_TOKEN}).ready():
            job = await until(core, job_id, "succeeded", "failed")
        assert job.state == "succeeded", job.error
        database = core.core.settings.paths.database
    for file in database.parent.glob(database.name + "*"):
        assert BEARER_TOKEN.encode() not in file.read_bytes()


async def test_a_schedule_is_kept_by_the_gateway(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        core.add("echo", agent)
        made = await core.one(c.JobStartSend(agent="echo", message="echo x", options=c.JobOptions(every="1s")))
        with gateway(home), anyio.fail_after(60):
            while core.local(c.JobList(state="succeeded")).count < 2:
                await anyio.sleep(0.1)
        jobs = core.local(c.JobList()).jobs
        assert {job.metadata["schedule_id"] for job in jobs} == {made.schedule.schedule_id}


@pytest.mark.parametrize("options", [c.JobOptions(), c.JobOptions(every="1h")])
async def test_a_delivery_that_is_run_again_starts_one_job(
    home: Home, agent: AgentProcess, options: c.JobOptions
) -> None:
    from missive_host.core.core import WorkContext

    async with home.core() as core:
        core.add("echo", agent)
        told = []
        for attempt in (1, 2):
            twin = core.core.for_work(WorkContext("delivery-1", attempt=attempt))

            async def emit(output: Any) -> None:
                told.append(output.data)

            await twin.run(c.JobStartSend(agent="echo", message="x", options=options), emit)
        first, second = told
        if options.every is None:
            assert first.job.job_id == second.job.job_id
        else:
            assert first.schedule.schedule_id == second.schedule.schedule_id
        assert core.local(c.JobList()).count + core.local(c.JobScheduleList()).count == 1
        assert len([e for e in core.read(lambda t: t.events.list()) if e.event_type.startswith("missive.job")]) == 1
