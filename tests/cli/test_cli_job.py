"""``missive job``: what is typed, what is shown, attached and followed, with a gateway beside it."""

from __future__ import annotations

import io
import json
import signal
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from cli_kit import build

from missive_host import commands as c, outputs as o, outputs_jobs as j
from missive_host.cli.human import HumanRenderer, renderer_of
from missive_host.cli.human_jobs import RENDERERS
from missive_host.cli.screen import Screen
from missive_host.errors import ErrorReport

if TYPE_CHECKING:
    from collections.abc import Iterator

    from missive_host.demo.fleet import AgentProcess

WHEN = "2026-01-02T03:04:05.000000Z"
O = c.JobOptions  # noqa: E741 - many of them, in short lines


CASES: list[tuple[str, c.Command]] = [
    ("job start send a hi", c.JobStartSend(agent="a", message="hi")),
    (
        "job start send a hi --max-attempts 3 --cancel-remote-on-cancel --timeout 5m --async",
        c.JobStartSend(
            agent="a",
            message="hi",
            timeout="5m",
            return_immediately=True,
            options=O(max_attempts=3, cancel_remote_on_cancel=True),
        ),
    ),
    (
        "job start send --group team hi --policy least-busy --tag x",
        c.JobStartSend(group="team", message="hi", policy="least-busy", requirements=c.Requirements(tags=("x",))),
    ),
    ("job start send a hi --at +10m", c.JobStartSend(agent="a", message="hi", options=O(at="+10m"))),
    ("job start send a hi --every 1h", c.JobStartSend(agent="a", message="hi", options=O(every="1h"))),
    (
        "job start stream a --file f --force --attach --attach-timeout 1m",
        c.JobStartStream(agent="a", files=("f",), force=True, options=O(attach=True, attach_timeout="1m")),
    ),
    ("job start wait t --interval 2s", c.JobStartWait(task_id="t", interval="2s")),
    (
        "job start reduce g --context c --command wc --setting a=1",
        c.JobStartReduce(group="g", context="c", reducer_command=("wc",), settings={"a": 1}),
    ),
    ("job start allreduce g hi --strategy vote", c.JobStartAllreduce(group="g", message="hi", strategy="vote")),
    ("job start bcast g hi --stream", c.JobStartBcast(group="g", message="hi", stream=True)),
    (
        "job list --kind wait --state RETRYING --agent a --context c --limit 5",
        c.JobList(kind="wait", state="retrying", agent="a", context="c", limit=5),
    ),
    ("job list --state canceled", c.JobList(state="cancelled")),
    ("job show j", c.JobShow(job_id="j")),
    ("job cancel j --remote", c.JobCancel(job_id="j", remote=True)),
    ("job schedule list", c.JobScheduleList()),
    ("job schedule pause s", c.JobSchedulePause(schedule_id="s")),
    ("job schedule resume s", c.JobScheduleResume(schedule_id="s")),
    ("job schedule show s", c.JobScheduleShow(schedule_id="s")),
    ("job schedule delete s", c.JobScheduleDelete(schedule_id="s")),
]


@pytest.mark.parametrize(("line", "command"), CASES, ids=[line for line, _ in CASES])
def test_a_line_is_a_command(line: str, command: c.Command) -> None:
    assert build(*line.split(" ")) == command


def test_a_cron_expression_is_one_word() -> None:
    command = build("job", "start", "send", "a", "hi", "--cron", "0 7 * * MON-FRI", "--time-zone", "Europe/Berlin")
    assert command == c.JobStartSend(
        agent="a", message="hi", options=O(cron="0 7 * * MON-FRI", time_zone="Europe/Berlin")
    )


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--header", "X-Key: abc"), "--header: is not kept"),
        (("--bearer-token-env", "TOKEN"), "--bearer-token-env: is not kept"),
        (("--service-param", "a=b"), "--service-param: is not kept"),
        (("--max-attempts", "0"), "--max-attempts: "),
        (("--max-attempts", "many"), "--max-attempts: expected a whole number"),
        (("--every", "1d"), "--every: expected a duration"),
        (("--at", "noon"), "options.at"),
        (("--cron", "0 25 * * *"), "cron"),
        (("--attach", "--every", "1h"), "exclude each other"),
    ],
)
def test_what_is_refused(missive, words: tuple[str, ...], sentence: str) -> None:  # type: ignore[no-untyped-def]
    missive.ok("agent", "add", "echo", "http://127.0.0.1:9")
    error = missive.error("job", "start", "send", "echo", "hi", *words)
    assert error["exit_code"] == 64
    assert sentence in error["message"]
    assert missive.json("job", "list")["count"] == 0


# --- with processes


@contextmanager
def gateway(missive: Any) -> Iterator[None]:
    """Run a gateway on the home of `missive`."""
    words = ("gateway", "run", "--port", "0", "--ndjson")
    with missive.start(*words, stderr=subprocess.DEVNULL) as process:
        try:
            for line in process.stdout:
                if json.loads(line)["kind"] == "gateway_started":
                    break
            yield
        finally:
            process.terminate()
            process.communicate(timeout=30)


def test_without_a_gateway(missive, agent: AgentProcess) -> None:  # type: ignore[no-untyped-def]
    missive.ok("agent", "add", "echo", agent.url)
    assert missive.ok("job", "list") == "no jobs\n"
    done = missive.run("job", "start", "send", "echo", "hello")
    (job_id,) = done.stdout.splitlines()
    assert "no gateway runs, so nothing happens yet" in done.stderr
    assert f"missive job logs {job_id} --follow" in done.stderr
    head, line = missive.ok("job", "list").splitlines()
    assert head.split() == ["JOB", "KIND", "STATE", "TO", "CREATED", "MESSAGE"]
    assert line.split()[:4] == [job_id, "send", "queued", "echo"]
    shown = missive.ok("job", "show", job_id)
    assert "message  hello\n" in shown
    assert "state    queued\n" in shown
    assert missive.ok("job", "cancel", job_id) == f"job {job_id} is cancelled\n"
    ended = missive.run("job", "logs", job_id)
    assert (ended.returncode, ended.stdout) == (81, "")
    attached = missive.run("job", "start", "send", "echo", "x", "--attach", "--attach-timeout", "200ms")
    assert (attached.returncode, attached.stdout) == (82, "")
    assert "no gateway runs" in attached.stderr
    assert "it goes on: see `missive job logs" in attached.stderr


def test_attached_it_looks_as_if_it_ran_here(missive, agent: AgentProcess) -> None:  # type: ignore[no-untyped-def]
    missive.ok("agent", "add", "echo", agent.url)
    with gateway(missive):
        for verb, message in (("send", "echo hi"), ("stream", "stream 2 0.1"), ("send", "unicode")):
            here = missive.run(verb, "echo", message)
            there = missive.run("job", "start", verb, "echo", message, "--attach")
            assert there.stdout == here.stdout
            assert there.returncode == here.returncode == 0
            first, rest = there.stderr.split("\n", 1)
            assert "it goes on without us" in first
            assert rest.count("\n") == here.stderr.count("\n")
        for verb, target, message in (
            ("send", "echo", "crash"),
            ("bcast", "team", "fail"),
            ("stream", "echo", "crash"),
        ):
            here = missive.run(verb, target, message, "--json")
            there = missive.run("job", "start", verb, target, message, "--attach", "--json")
            assert there.returncode == here.returncode != 0
            assert json.loads(there.stderr)["data"]["code"] == json.loads(here.stderr)["data"]["code"]
        one = json.loads(missive.ok("job", "start", "stream", "echo", "stream 2 0.1", "--attach", "--json"))
        assert one["kind"] == "stream_result"
        assert len(one["data"]["events"]) == one["data"]["event_count"]
        many = missive.ok("job", "start", "stream", "echo", "stream 2 0.1", "--attach", "--ndjson")
        documents = [json.loads(line) for line in many.splitlines()]
        assert [document["sequence"] for document in documents] == list(range(len(documents)))
        kinds = [document["kind"] for document in documents]
        assert (kinds[0], kinds[-1], set(kinds[1:-1])) == ("job_start", "stream_result", {"stream_event"})
        states = [job["state"] for job in missive.json("job", "list")["jobs"]]
        assert states == ["succeeded"] * 3 + ["failed"] * 2 + ["succeeded"] * 2
        (first_job, *_) = missive.json("job", "list")["jobs"]
        assert missive.ok("job", "logs", first_job["job_id"]) == "hi\n"
        table = missive.ok("job", "list", "--state", "failed", "--limit", "1").splitlines()
        assert "ENDED" in table[0]
        assert len(table) == 2


def test_followed_and_left(missive, agent: AgentProcess) -> None:  # type: ignore[no-untyped-def]
    """Whoever watches may go: the job goes on."""
    missive.ok("agent", "add", "echo", agent.url)
    with gateway(missive):
        job_id = missive.ok("job", "start", "stream", "echo", "stream 6 0.4").strip()
        with missive.start("job", "logs", job_id, "--follow", "--ndjson") as watching:
            assert json.loads(watching.stdout.readline())["kind"] == "stream_event"
            watching.send_signal(signal.SIGINT)
            watching.communicate(timeout=30)
        assert watching.returncode == 130
        assert missive.json("job", "show", job_id)["job"]["state"] in ("queued", "running")
        out = missive.ok("job", "logs", job_id, "-f", "--ndjson")
        kinds = [json.loads(line)["kind"] for line in out.splitlines()]
        assert kinds[-1] == "stream_result"
        assert missive.json("job", "show", job_id)["job"]["state"] == "succeeded"


def test_schedules(missive, agent: AgentProcess) -> None:  # type: ignore[no-untyped-def]
    missive.ok("agent", "add", "echo", agent.url)
    assert missive.ok("job", "schedule", "list") == "no schedules\n"
    done = missive.run("job", "start", "send", "echo", "Hello", "--cron", "0 7 * * *", "--time-zone", "Asia/Tokyo")
    (name,) = done.stdout.splitlines()
    assert "the first job is started at" in done.stderr
    assert "T22:00:00" in done.stderr
    head, line = missive.ok("job", "schedule", "list").splitlines()
    assert head.split() == ["SCHEDULE", "WHEN", "KIND", "TO", "NEXT", "MESSAGE"]
    assert "0 7 * * * (Asia/Tokyo)" in line
    assert missive.ok("job", "schedule", "pause", name) == f"{name} is paused\n"
    assert "paused" in missive.ok("job", "schedule", "list")
    assert missive.ok("job", "schedule", "resume", name).startswith(f"{name} goes on; it is due ")
    assert "Hello" in missive.ok("job", "schedule", "show", name)
    assert missive.ok("job", "schedule", "delete", name) == f"{name} is deleted; jobs that it has started go on\n"
    assert missive.error("job", "schedule", "show", name)["exit_code"] == 64


def test_jobs_and_schedules_are_completed(missive) -> None:  # type: ignore[no-untyped-def]
    missive.ok("agent", "add", "echo", "http://127.0.0.1:9")
    job_id = missive.ok("job", "start", "send", "echo", "hello").strip()
    name = missive.ok("job", "start", "send", "echo", "hello", "--every", "1h").strip()

    def bash(line: str) -> list[str]:
        out = missive.ok(_MISSIVE_COMPLETE="bash_complete", _MISSIVE_WORDS=line)
        return [entry.partition("\t")[2] for entry in out.splitlines()]

    assert bash("missive job show ") == [job_id]
    assert bash("missive job logs job/w") == []
    assert bash("missive job schedule pause sched") == [name]
    assert bash("missive job start send e") == ["echo"]


def test_a_local_command_needs_no_event_loop(missive) -> None:  # type: ignore[no-untyped-def]
    import sys

    code = (
        "import sys, json\nsys.argv = ['missive', 'job', 'list', '-q']\nfrom missive_host.cli import main\n"
        "try:\n    main()\nexcept SystemExit as leave:\n    assert not leave.code\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], env=missive.env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    tops = {name.partition(".")[0] for name in json.loads(done.stdout)}
    assert tops & {"a2a", "anyio", "asyncio", "httpx", "cronsim", "zoneinfo"} == set()


# --- what is shown


def shown(data: o.Data) -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    renderer = HumanRenderer(Screen(out=out, err=err))
    renderer.emit(o.Output(data))
    renderer.close()
    return out.getvalue(), err.getvalue()


def job(**values: Any) -> j.JobView:
    made = {
        "job_id": "job/send/1", "kind": "send", "state": "queued", "retry_count": 0, "max_attempts": 1,
        "created_at": WHEN, "updated_at": WHEN, "request": {"command": "send", "message": "hi"}, "metadata": {},
        **values,
    }  # fmt: skip
    return j.JobView(**made)


def test_every_kind_of_job_has_a_renderer() -> None:
    kinds = {
        value.kind
        for value in vars(j).values()
        if isinstance(value, type) and issubclass(value, o.Data) and value.__module__ == j.__name__
    }
    assert kinds == set(RENDERERS)
    assert all(renderer_of(kind) is RENDERERS[kind] for kind in kinds)


def test_a_job_that_has_to_be_tried_again_says_why() -> None:
    error = ErrorReport("missive::transport", "transport", "transport error: agent 'a' is not there", 69)
    view = job(state="retrying", retry_count=2, max_attempts=5, agent="a", next_run_at=WHEN, error=error)
    out, _ = shown(j.JobShowResult(profile="default", job=view, message="-"))
    assert "retries  2 of 4\n" in out
    assert "state    retrying\n" in out
    assert "error    transport error: agent 'a' is not there\n" in out
    out, _ = shown(j.JobListResult(profile="default", filters={}, count=1, jobs=(view,), message="-"))
    assert "agent 'a' is not there" in out
