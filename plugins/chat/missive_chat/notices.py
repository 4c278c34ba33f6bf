"""From events of the journal to what somebody is told: which of them say how a job or a task has come out, in words."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from missive_host.errors import nearest
from missive_host.protocols import JournalEvent

TYPES = (
    "missive.job.*", "missive.gateway.dead_letter",
    "a2a.*.task", "a2a.*.status_update", "a2a.send.response", "a2a.task.updated",
)  # fmt: skip
LONGEST_TEXT = 1000
_OUTCOMES = {
    "TASK_STATE_COMPLETED": "completed",
    "TASK_STATE_FAILED": "failed",
    "TASK_STATE_REJECTED": "rejected",
    "TASK_STATE_CANCELED": "cancelled",
    "TASK_STATE_INPUT_REQUIRED": "input-required",
    "TASK_STATE_AUTH_REQUIRED": "auth-required",
}
OUTCOMES = (*_OUTCOMES.values(), "dead-letter")
BAD = ("failed", "rejected", "dead-letter")
WAITING = ("input-required", "auth-required")


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """How something has come out. Its fields are the names that a template may use."""

    what: str
    """``job``, ``task`` or ``delivery``."""
    outcome: str
    agent: str = ""
    task: str = ""
    context: str = ""
    job: str = ""
    text: str = ""
    """What the agent or the error says."""
    time: str = ""
    question: str = ""
    """What tells one question of a task from its next one."""

    @property
    def key(self) -> str:
        """The same for two events that say the same."""
        about = (self.agent, self.task, self.question) if self.task else (self.job, self.time)
        return "\n".join((self.outcome, *about))

    @property
    def title(self) -> str:
        return f"{self.what.capitalize()} {self.outcome}" + (f": {self.agent}" if self.agent else "")

    @property
    def body(self) -> str:
        where = ", ".join(f"{name} {value}" for name, value in (("task", self.task), ("job", self.job)) if value)
        return "\n".join(each for each in (self.text, where) if each) or self.outcome


def notice_of(event: JournalEvent, *, about: Sequence[str]) -> Notice | None:
    """Return what an event has to say about ``jobs`` or ``tasks``, if it has."""
    payload = event.payload
    common = {"agent": event.agent or "", "task": event.task or "", "context": event.context or "", "time": event.at}
    if event.type == "missive.gateway.dead_letter":
        text = f"`{payload.get('command')}` of adapter {payload.get('adapter')} ({payload.get('work_id')})"
        return Notice(what="delivery", outcome="dead-letter", text=text, **common)
    if event.type.startswith("missive.job."):
        outcome = event.type.removeprefix("missive.job.")
        if "jobs" not in about or outcome not in ("completed", "failed", "cancelled"):
            return None
        if outcome == "completed" and event.task and "tasks" in about:
            return None  # how its task has come out is told already, and that may be another way
        text = _plain(str((payload.get("error") or {}).get("message", "")))
        return Notice(what="job", outcome=outcome, job=str(payload.get("job_id", "")), text=text, **common)
    found = payload.get("statusUpdate") or payload.get("task")
    if "tasks" not in about or not isinstance(found, Mapping):
        return None
    status = found.get("status") or {}
    known = _OUTCOMES.get(status.get("state", ""))
    if known is None:
        return None
    said = _texts((status.get("message") or {}).get("parts"))
    for artifact in found.get("artifacts") or ():
        said = said or _texts(artifact.get("parts"))
    if known in WAITING:
        common["question"] = str((status.get("message") or {}).get("messageId") or status.get("timestamp") or "")
    common["task"] = common["task"] or str(found.get("taskId") or found.get("id") or "")
    return Notice(what="task", outcome=known, text=_plain(said), **common)


def _texts(parts: Any) -> str:
    return "\n".join(part["text"] for part in parts or () if isinstance(part.get("text"), str))


_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_PINGS = re.compile(r"(@)(?=(?:everyone|here|channel|all|room)\b)|(<)(?=[!@&#])", re.IGNORECASE)


def _plain(text: str) -> str:
    """Return text of others, harmless and not too long: it pings nobody."""
    text = _PINGS.sub(lambda match: f"{match[0]}\u200b", _CONTROLS.sub("", text)).strip()
    return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1] + "…"


# --- in words of the operator's

_NAME = re.compile(r"\{(\w*)\}")
NAMES = tuple(field.name for field in fields(Notice) if field.name != "question")


def fault_of(template: str) -> str | None:
    """Return what is wrong with a template."""
    for name in _NAME.findall(template):
        if name not in NAMES:
            return f"there is no `{{{name[:32]}}}`{nearest(name, NAMES)}; there are " + ", ".join(NAMES)
    return None


def filled(template: str, notice: Notice) -> str:
    """Return a template with the fields of a notice; what they say is not looked into again."""
    return _NAME.sub(lambda match: str(getattr(notice, match[1])), template)


@dataclass(frozen=True, slots=True)
class Words:
    """A message as it is sent."""

    title: str
    body: str
    tone: str
    """``failure``, ``warning``, ``success`` or ``info``."""


def words_for(notice: Notice, *, title: str | None, template: str | None) -> Words:
    """Return what is said of one notice."""
    said = notice.title if title is None else filled(title, notice)
    body = notice.body if template is None else filled(template, notice)
    return Words(" ".join(said.split()), body.strip() or notice.body, _tone((notice,)))


def digest(notices: Sequence[Notice], *, most: int = 20) -> Words:
    """Return one message of many."""
    lines = [f"- {each.title}: {' '.join(each.body.split())[:120]}" for each in notices[:most]]
    if len(notices) > most:
        lines.append(f"… and {len(notices) - most} more")
    return Words(f"{len(notices)} outcomes", "\n".join(lines), _tone(notices))


def _tone(notices: Sequence[Notice]) -> str:
    outcomes = {each.outcome for each in notices}
    if outcomes & set(BAD):
        return "failure"
    return "warning" if outcomes & set(WAITING) else "success" if outcomes == {"completed"} else "info"
