"""The frames of ``missive demo``, one after another, and what has to come of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from missive_host.demo.outputs import DemoGroup, DemoMember, DemoStep

Json = dict[str, Any]
Answers = Mapping[str, Sequence[Json]]
"""The frames that came back so far, by the request's ``id``."""

UPDATES = 4
"""How many steps the stream of the demo has."""
_PAUSE = 0.25
GROUP = "crew"
"""The group of all three agents. Their ranks are 1, 2 and 3."""
QUESTION = "choose tea coffee"
"""What the group is asked: two of the three like tea."""
STRATEGY = "vote"


class UnexpectedError(Exception):
    """What came back is not what had to come; the text says how."""


@dataclass(frozen=True)
class Step:
    """One frame for the adapter."""

    title: str
    why: str
    """A sentence for a reader who does not know A2A."""
    frame: Callable[[Answers], Json]
    """Makes the frame; it may need what came back before."""
    outcome: Callable[[Sequence[Json]], str]
    """Says in words what came of it. Raises `UnexpectedError`."""
    act: str = ""
    """Heading of what begins with this step."""


def is_last(frame: Json) -> bool:
    """Return True if no further frame answers the same request (in ndjson framing)."""
    return not frame.get("ok") or frame.get("data", {}).get("kind") != "stream_event"


def _data(frames: Sequence[Json], kind: str) -> Json:
    """Return the ``data`` of the last frame, which must be a result of this kind."""
    last = frames[-1]
    if not last["ok"]:
        raise UnexpectedError(last["error"]["message"])
    if last["data"]["kind"] != kind:
        raise UnexpectedError(f"a result of kind {kind} was expected, not {last['data']['kind']}")
    data: Json = last["data"]["data"]
    return data


def _must(what: str, found: object, expected: object) -> None:
    if found != expected:
        raise UnexpectedError(f"{what} is {found!r}, not {expected!r}")


def _message(frames: Sequence[Json]) -> str:
    response = _data(frames, "send_result")["response"]
    _must("the answer's shape", response["shape"], "message")
    _must("the answer's text", response.get("text"), "hello")
    return "the agent answered with a message: hello"


def _stream(frames: Sequence[Json]) -> str:
    result = _data(frames, "stream_result")
    _must("the last state", result.get("final_state"), "completed")
    _must("the number of frames", len(frames), result["event_count"] + 1)
    texts = "".join(_event_text(frame) for frame in frames if _event_type(frame) == "artifact_update")
    _must("the artifact", texts, "".join(f"chunk {number}\n" for number in range(1, UPDATES + 1)))
    return f"{result['event_count']} events came one by one; the task is completed"


def _event_type(frame: Json) -> object:
    return frame["data"]["data"].get("event_type")


def _event_text(frame: Json) -> str:
    return str(frame["data"]["data"].get("text", ""))


def _question(frames: Sequence[Json]) -> str:
    response = _data(frames, "send_result")["response"]
    _must("the task's state", response.get("state"), "input_required")
    _must("the question", response.get("text"), "What is your name?")
    return "the task waits for an answer to: What is your name?"


def _answer(answers: Answers) -> Json:
    task_id = answers["req-3"][-1]["data"]["data"]["response"]["task_id"]
    return {"id": "req-4", "command": "send", "agent": "asker", "message": "Ada", "task": task_id}


def _answered(frames: Sequence[Json]) -> str:
    response = _data(frames, "send_result")["response"]
    _must("the task's state", response.get("state"), "completed")
    _must("the answer", response.get("text"), "You answered: Ada")
    return "the same task is completed: You answered: Ada"


def _tasks(frames: Sequence[Json]) -> str:
    tasks = _data(frames, "task_list")["tasks"]
    found = sorted((task["agent"], task["state"]) for task in tasks)
    _must("the list of tasks", found, [("asker", "completed"), ("worker", "completed")])
    return "missive has kept both tasks: the worker's and the asker's are completed"


def _voted(frames: Sequence[Json]) -> str:
    group = _group(_data(frames, "allreduce_result"))
    found = [(member.rank, member.agent, member.state, member.text) for member in group.members]
    agents = (("echo", "tea"), ("worker", "coffee"), ("asker", "tea"))
    expected = [(str(rank), agent, "completed", text) for rank, (agent, text) in enumerate(agents, 1)]
    _must("what the members answered", found, expected)
    _must("the vote", group.reduced_text.partition("\n")[0], 'Vote result: "tea" received 2 of 3 vote(s).')
    slowest = max(member.duration_ms for member in group.members)
    return f"all three were asked at once: {group.elapsed_ms} ms in all, the slowest took {slowest} ms"


def _group(data: Json) -> DemoGroup:
    """Return the table in an ``allreduce_result``."""
    tasks = {member["agent"]: member for member in data["barrier"]["members"]}
    answers = {member["agent"]: member for member in data["gather"]["members"]}
    return DemoGroup(
        group=data["group"],
        strategy=data["strategy"],
        members=tuple(
            DemoMember(
                rank=member["rank"],
                agent=agent,
                state=tasks[agent]["state"],
                text=answers[agent]["text"],
                duration_ms=member["duration_ms"],
            )
            for member in data["bcast"]["members"]
            for agent in (member["agent"],)
        ),
        reduced_text=data["reduced_text"],
        elapsed_ms=data["elapsed_ms"],
    )


def group_of(step: DemoStep) -> DemoGroup | None:
    """Return the table of an allreduce that came out as expected."""
    if step.request["command"] != "allreduce" or not isinstance(step.outcome, str):
        return None
    return _group(step.responses[-1]["data"]["data"])


STEPS = (
    Step(
        "Send a message",
        "The agent echo answers at once, with a message.",
        lambda _: {"id": "req-1", "command": "send", "agent": "echo", "message": "echo hello"},
        _message,
        act="First act: one agent at a time",
    ),
    Step(
        "Stream",
        "The agent worker takes a while. Each of its updates is a frame, as it happens.",
        lambda _: {"id": "req-2", "command": "stream", "agent": "worker", "message": f"stream {UPDATES} {_PAUSE}"},
        _stream,
    ),
    Step(
        "Be asked",
        "The agent asker opens a task, and needs to know something first.",
        lambda _: {"id": "req-3", "command": "send", "agent": "asker", "message": "ask What is your name?"},
        _question,
    ),
    Step(
        "Answer",
        "The next frame names that task, so the agent goes on with it.",
        _answer,
        _answered,
    ),
    Step(
        "List the tasks",
        "missive has written down what it saw; no agent is called for this.",
        lambda _: {"id": "req-5", "command": "task_list"},
        _tasks,
    ),
    Step(
        "Ask all of them, and count the votes",
        f"The three are the group {GROUP}. Each chooses for itself; missive counts.",
        lambda _: {
            "id": "req-6",
            "command": "allreduce",
            "group": GROUP,
            "message": QUESTION,
            "strategy": STRATEGY,
        },
        _voted,
        act="Second act: one question for a group of agents",
    ),
)
"""In the order in which they are sent. Each waits for its answer: they build on each other."""
