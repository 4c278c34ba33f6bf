"""Which events of the journal are told, and in which words."""

from __future__ import annotations

from typing import Any

import pytest
from missive_chat.notices import Notice, digest, fault_of, filled, notice_of, words_for

from missive_host.protocols import JournalEvent

BOTH = ("jobs", "tasks")


def event(kind: str, payload: dict[str, Any], **more: Any) -> JournalEvent:
    return JournalEvent(position=1, type=kind, at="2026-01-31T12:00:00Z", payload=payload, agent="echo", **more)


def status(state: str, text: str | None = None, **more: Any) -> dict[str, Any]:
    message = {"message": {"messageId": "m1", "parts": [{"text": text}]}} if text is not None else {}
    return {"state": state, **message, **more}


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        ("a2a.stream.status_update", {"statusUpdate": {"taskId": "t1", "status": status("TASK_STATE_FAILED", "no")}}),
        ("a2a.push.task", {"task": {"id": "t1", "status": status("TASK_STATE_FAILED", "no")}}),
        ("a2a.send.response", {"task": {"id": "t1", "status": status("TASK_STATE_FAILED", "no")}}),
        ("a2a.task.updated", {"observed_by": "x", "task": {"id": "t1", "status": status("TASK_STATE_FAILED", "no")}}),
    ],
)
def test_a_task_is_told_alike_by_whatever_road(kind: str, payload: dict[str, Any]) -> None:
    notice = notice_of(event(kind, payload), about=BOTH)
    assert notice is not None
    assert (notice.what, notice.outcome, notice.agent, notice.task, notice.text) == (
        "task",
        "failed",
        "echo",
        "t1",
        "no",
    )
    assert notice.key == "failed\necho\nt1\n"
    assert notice_of(event(kind, payload), about=("jobs",)) is None


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        ("a2a.stream.status_update", {"statusUpdate": {"taskId": "t1", "status": status("TASK_STATE_WORKING")}}),
        ("a2a.send.response", {"message": {"messageId": "m", "parts": [{"text": "hi"}]}}),
        ("missive.job.enqueued", {"job_id": "j"}),
        ("missive.job.schedule.skipped", {}),
    ],
)
def test_what_is_no_outcome_is_not_told(kind: str, payload: dict[str, Any]) -> None:
    assert notice_of(event(kind, payload), about=BOTH) is None


def test_jobs() -> None:
    failed = {"job_id": "job/send/1", "error": {"code": "missive::transport", "message": "it is gone"}}
    notice = notice_of(event("missive.job.failed", failed), about=BOTH)
    assert notice is not None
    assert (notice.what, notice.outcome, notice.job, notice.text) == ("job", "failed", "job/send/1", "it is gone")
    done = event("missive.job.completed", {"job_id": "job/send/1"}, task="t1")
    assert notice_of(done, about=BOTH) is None
    alone = notice_of(done, about=("jobs",))
    assert alone is not None
    assert alone.outcome == "completed"
    dead = notice_of(
        event("missive.gateway.dead_letter", {"command": "send", "adapter": "x", "work_id": "w"}), about=()
    )
    assert dead is not None
    assert (dead.outcome, dead.text) == ("dead-letter", "`send` of adapter x (w)")


def test_the_next_question_of_a_task_is_another_one() -> None:
    def asked(message_id: str) -> str:
        update: dict[str, Any] = {"taskId": "t", "status": status("TASK_STATE_INPUT_REQUIRED", "which?")}
        update["status"]["message"]["messageId"] = message_id
        notice = notice_of(event("a2a.stream.status_update", {"statusUpdate": update}), about=BOTH)
        assert notice is not None
        return notice.key

    assert asked("m1") == asked("m1") != asked("m2")


def test_a_completed_task_says_what_it_made() -> None:
    task = {
        "id": "t",
        "status": status("TASK_STATE_COMPLETED"),
        "artifacts": [{"parts": [{"data": 1}, {"text": "42"}]}],
    }
    notice = notice_of(event("a2a.send.response", {"task": task}), about=BOTH)
    assert notice is not None
    assert notice.text == "42"


def test_what_an_agent_says_pings_nobody_and_is_not_endless() -> None:
    text = "@everyone <!channel> <@U1> @room mail@here.test\x1b[31m" + "x" * 5000
    update = {"statusUpdate": {"taskId": "t", "status": status("TASK_STATE_FAILED", text)}}
    notice = notice_of(event("a2a.stream.status_update", update), about=BOTH)
    assert notice is not None
    assert notice.text.startswith("@\u200beveryone <\u200b!channel> <\u200b@U1> @\u200broom mail@\u200bhere.test[31m")
    assert len(notice.text) == 1000


def test_templates() -> None:
    notice = Notice(what="task", outcome="failed", agent="echo", task="t1", text="{job} @x", time="now")
    assert filled("{agent}/{task}: {text} {", notice) == "echo/t1: {job} @x {"
    assert fault_of("{agent} {text}") is None
    assert fault_of("{agnet}") == (
        "there is no `{agnet}`; did you mean 'agent'?; there are what, outcome, agent, task, context, job, text, time"
    )
    words = words_for(notice, title=None, template=None)
    assert (words.title, words.body, words.tone) == ("Task failed: echo", "{job} @x\ntask t1", "failure")
    assert words_for(notice, title="{outcome}\n!", template="").title == "failed !"


def test_many_become_one() -> None:
    notices = [Notice(what="task", outcome="completed", agent="echo", task=f"t{n}", text="fine") for n in range(30)]
    words = digest(notices)
    assert (words.title, words.tone) == ("30 outcomes", "success")
    assert words.body.splitlines()[0] == "- Task completed: echo: fine task t0"
    assert words.body.splitlines()[-1] == "… and 10 more"
    assert digest([*notices, Notice(what="job", outcome="failed")]).tone == "failure"
