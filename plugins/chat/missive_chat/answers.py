"""From results to what a person reads: a text that grows, then the whole answer, each artifact once and in order."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from msgspec import UNSET

from missive_chat.names import safe_name
from missive_host.protocols import Done, Outcome

if TYPE_CHECKING:
    from missive_host.outputs import Output

Json = dict[str, Any]

_WORDS = {
    "failed": "The task failed",
    "rejected": "The agent rejected this",
    "cancelled": "The task was cancelled",
    "unknown": "The task ended in a state that is not known",
}
_STATES = {f"TASK_STATE_{name}": name.lower() for name in (
    "SUBMITTED", "WORKING", "COMPLETED", "FAILED", "REJECTED", "INPUT_REQUIRED", "AUTH_REQUIRED"
)} | {"TASK_STATE_CANCELED": "cancelled"}  # fmt: skip
INTERRUPTED = ("input_required", "auth_required")


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file of an answer, with its bytes in base64."""

    name: str
    media_type: str | None
    raw: str


@dataclass(slots=True)
class Artifact:
    """One artifact as far as it has come (A2A spec 4.1.7)."""

    name: str | None = None
    text: str = ""
    files: list[FoundFile] = field(default_factory=list)

    def add(self, artifact: Json, *, append: bool) -> None:
        """Take what an update brings: in the place of what there was, or after it."""
        if not append:
            self.text, self.files = "", []
        self.name = artifact.get("name") or self.name
        text, files = read_parts(artifact.get("parts", ()), joined="" if append else "\n")
        self.text += text
        self.files += files


@dataclass(frozen=True, slots=True)
class Final:
    """The whole answer."""

    text: str
    files: tuple[FoundFile, ...] = ()
    state: str | None = None
    """The task's last state, if there was a task."""
    task: str | None = None
    agent: str | None = None
    failed: bool = False


class Answer:
    """The answer to one message. It takes the results as they come, also all of them once more after a restart."""

    def __init__(self, code: str) -> None:
        self._code = code
        self._artifacts: dict[str, Artifact] = {}
        self._message = ""
        self._message_files: list[FoundFile] = []
        self._said: str | None = None
        """What the task's status says."""
        self._sections: list[tuple[str, str]] = []
        self._reduced: str | None = None
        self._is_group = False
        self.state: str | None = None
        self.task: str | None = None
        self.agent: str | None = None

    def take(self, output: Output) -> bool:
        """Take one result; True if there is more to be read than before."""
        before = self.progress
        data: Any = output.data
        match output.kind:
            case "stream_event":
                self.agent = data.agent
                self._event(data.raw)
            case "send_result":
                self.agent = data.agent
                self._payload(data.response.shape, data.response.raw)
            case "allreduce_result" | "bcast_result":
                self._collective(data)
            case "route_result":
                self._is_group = True
                self._sections = [_section(each) for each in data.results]
        return self.progress != before

    @property
    def progress(self) -> str:
        """What can be read of it so far."""
        blocks = self._blocks()
        if self._said is not None and self.state == "working" and self._said not in blocks:
            blocks.append(f"_{self._said}_" if "\n" not in self._said else self._said)
        return "\n\n".join(blocks)

    @property
    def text(self) -> str:
        """The same without what the agent says it is doing: where nothing can be taken back that was shown."""
        return "\n\n".join(self._blocks())

    def final(self, outcome: Outcome) -> Final:
        """Return the answer as it is at the end. Failures are said in words, with the code they are found by."""
        blocks = self._blocks()
        if not isinstance(outcome, Done):
            blocks.append(self._failure(outcome.error.message.partition(": ")[2] or outcome.error.message))
        elif self.state in _WORDS:
            words = _WORDS[self.state]
            blocks.append(self._failure(f"{words}: {self._said}" if self._said else words))
        elif self._said is not None and self._said not in [*blocks, *(each.text for each in self._artifacts.values())]:
            blocks.append(self._said)
        if self._reduced is not None:
            blocks.append(f"**All together**\n{self._reduced}" if self._sections else self._reduced)
        files = [file for artifact in self._artifacts.values() for file in artifact.files]
        return Final(
            text="\n\n".join(blocks),
            files=(*self._message_files, *files),
            state=self.state,
            task=self.task,
            agent=self.agent,
            failed=not isinstance(outcome, Done) or self.state in _WORDS,
        )

    def _failure(self, words: str) -> str:
        return f"⚠️ {words.rstrip('.')}. (code `{self._code}`)"

    def _blocks(self) -> list[str]:
        blocks = [self._message] if self._message else []
        shown = [artifact for artifact in self._artifacts.values() if artifact.text]
        many = len(self._artifacts) > 1
        blocks += [f"**{each.name}**\n{each.text}" if many and each.name else each.text for each in shown]
        return blocks + [f"**{agent}**\n{text}" for agent, text in self._sections]

    # --- what A2A's objects say

    def _event(self, event: Json) -> None:
        for shape in ("task", "message", "statusUpdate", "artifactUpdate"):
            if shape in event:
                self._payload(shape, event[shape])

    def _payload(self, shape: str, value: Json) -> None:
        if shape == "message":
            # a message is the whole answer: another one is that of the agent asked once more after a crash
            self._message, self._message_files = read_parts(value.get("parts", ()))
            return
        self.task = value.get("taskId") or value.get("id") or self.task
        if shape == "artifactUpdate":
            artifact = value.get("artifact", {})
            known = self._artifacts.setdefault(str(artifact.get("artifactId", "")), Artifact())
            known.add(artifact, append=bool(value.get("append")))
            return
        status = value.get("status", {})
        self.state = _STATES.get(status.get("state", ""), "unknown")
        message = status.get("message")
        if message is not None or self.state != "working":
            self._said = read_parts((message or {}).get("parts", ()))[0] or None
        if shape == "task":
            for artifact in value.get("artifacts", ()):
                self._artifacts.setdefault(str(artifact.get("artifactId", "")), Artifact()).add(artifact, append=False)

    def _collective(self, data: Any) -> None:
        self._is_group = True
        bcast = getattr(data, "bcast", data)
        gathered = getattr(data, "gather", UNSET)
        fuller = {} if gathered is UNSET else {each.agent: each for each in gathered.members if each.text is not UNSET}
        self._sections = []
        for member in bcast.members:
            full = fuller.get(member.agent)
            self._sections.append(_section(member) if full is None else (member.agent, _with_files(full)))
        reduced = getattr(data, "reduced_text", UNSET)
        self._reduced = None if reduced is UNSET else reduced


def _with_files(member: Any) -> str:
    files = () if member.files is UNSET else member.files
    return "\n".join((member.text, *(f"(file: {name})" for name in files)))


def _section(member: Any) -> tuple[str, str]:
    text = getattr(member, "text", UNSET)
    if text is not UNSET and text:
        return member.agent, text
    error = getattr(member, "error", UNSET)
    if error is not UNSET and error is not None:
        return member.agent, f"⚠️ {error.message}"
    state = getattr(member, "state", UNSET)
    return member.agent, f"({state if state is not UNSET else member.status})"


def read_parts(parts: Any, *, joined: str = "\n") -> tuple[str, list[FoundFile]]:
    """Return the parts of a message or artifact (A2A spec 4.1.6) as Markdown, and its files."""
    texts: list[str] = []
    files: list[FoundFile] = []
    for part in parts:
        name = part.get("filename")
        if "text" in part:
            texts.append(part["text"])
        elif "data" in part:
            texts.append(f"```json\n{json.dumps(part['data'], ensure_ascii=False, indent=2)}\n```")
        elif "url" in part:
            texts.append(f"[{name or part['url']}]({part['url']})")
        elif "raw" in part:
            files.append(
                FoundFile(safe_name(name, part.get("mediaType") or "unknown"), part.get("mediaType"), part["raw"])
            )
    return joined.join(texts), files
