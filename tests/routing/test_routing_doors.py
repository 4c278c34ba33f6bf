"""Routing from the command line and in frames: what is typed, what is shown, exit codes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from cli_kit import build
from route_kit import answer, document, events, gang, nobody, run, says, task
from support.doors import StdioProcess

from missive_host import commands as c
from missive_host.outputs import SendResult, StreamResult
from missive_host.outputs_routes import RouteExplainResult, RouteResult

if TYPE_CHECKING:
    from support.cores import Home
    from support.misbehaving import Start

    from missive_host.demo.fleet import AgentProcess


ALL_NEEDS = c.Requirements(
    tags=("fast", "eu"),
    capabilities=("python",),
    input_modes=("text/plain",),
    output_modes=("application/json",),
    streaming=True,
    push_notifications=True,
)
NEEDS = "--tag fast --tag eu --capability python --input-mode text/plain --output-mode application/json --streaming"
CASES: list[tuple[str, c.Command]] = [
    ("send --group gang hello", c.Send(group="gang", message="hello")),
    ("send hello --group gang", c.Send(group="gang", message="hello")),
    ("send ann hello", c.Send(agent="ann", message="hello")),
    ("send --group gang --part text=x", c.Send(group="gang", text_parts=("x",))),
    ("send --group gang ann hello", c.Send(agent="ann", group="gang", message="hello")),
    (
        f"send --group gang hello --policy quorum --quorum 2 --preferred-agent ann {NEEDS} --push-notifications",
        c.Send(group="gang", message="hello", policy="quorum", quorum=2, preferred_agent="ann", requirements=ALL_NEEDS),
    ),
    (
        f"stream --group gang hello --policy fallback {NEEDS} --push",
        c.Stream(group="gang", message="hello", policy="fallback", requirements=ALL_NEEDS),
    ),
    (
        f"route explain --group gang --cursor 3 --context c --refresh-capabilities {NEEDS} --push",
        c.RouteExplain(group="gang", cursor=3, context="c", refresh_capabilities=True, requirements=ALL_NEEDS),
    ),
    (
        "route explain --agent ann --agent bob --policy direct --preferred-agent bob --quorum 2",
        c.RouteExplain(agents=("ann", "bob"), policy="direct", preferred_agent="bob", quorum=2),
    ),
]


@pytest.mark.parametrize(("line", "command"), CASES, ids=[line for line, _ in CASES])
def test_a_line_is_a_command(line: str, command: c.Command) -> None:
    assert build(*line.split(" ")) == command


async def test_for_people(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        gang(core, "fallback", ann=nobody(), bob=agent)
    done = run(home, "send", "--group", "gang", "echo hello")
    assert (done.returncode, done.stdout) == (0, "hello\n")
    first, second = done.stderr.splitlines()
    assert first.startswith("ann: failed: transport error: could not connect to ")
    assert second == "bob answers for group gang, by the policy fallback"
    done = run(home, "stream", "--group", "gang", "stream 2")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "chunk 1\nchunk 2\n"
    assert "ann: failed: " in done.stderr
    assert "bob answers for group gang, by the policy fallback\n" in done.stderr
    done = run(home, "send", "--group", "gang", "echo hello", "--policy", "broadcast")
    assert done.returncode == 70
    assert done.stdout == "bob:\nhello\n"
    assert "1 of 2 members of group 'gang' succeeded: partial" in done.stderr
    assert "error: 1 of 2 members of group 'gang' succeeded, 2 are needed" in done.stderr
    done = run(home, "route", "explain", "--group", "gang")
    assert done.returncode == 0
    head, *rows = done.stdout.splitlines()
    assert head.split() == ["AGENT", "RANK", "ORDER", "WEIGHT", "REASON"]
    assert [row.split()[:2] for row in rows] == [["ann", "1"], ["bob", "2"]]
    assert "mode ordered_attempts" in done.stderr


async def test_documents(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        gang(core, "fallback", ann=nobody(), bob=agent)
    sent = msgspec.convert(document(home, "send", "--group", "gang", "echo x"), SendResult)
    assert sent.route
    assert sent.route.attempts[0].error
    explained = msgspec.convert(document(home, "route", "explain", "--group", "gang"), RouteExplainResult)
    assert explained.plan.selected == ("ann", "bob")
    lines = run(home, "stream", "--group", "gang", "stream 1", "--ndjson").stdout.splitlines()
    documents = [json.loads(line) for line in lines]
    assert [each["sequence"] for each in documents] == list(range(len(documents)))
    streamed = msgspec.convert(documents[-1]["data"], StreamResult)
    assert streamed.route
    assert [each.agent for each in streamed.route.attempts] == ["ann", "bob"]


async def test_a_missed_quorum_gives_the_document_first(home: Home) -> None:
    async with home.core() as core:
        gang(core, "quorum", ann=nobody(), bob=nobody(), cid=nobody())
    done = run(home, "send", "--group", "gang", "echo x", "--json")
    assert done.returncode == 70
    result = msgspec.convert(json.loads(done.stdout)["data"], RouteResult)
    assert (result.status, result.success_count, result.required) == ("failed", 0, 2)
    error = json.loads(done.stderr)["data"]
    assert (error["exit_code"], error["category"]) == (70, "orchestration")
    assert len(error["sources"]) == 3


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("send", "ann", "x", "--group", "gang"), "fields `group` and `agent` exclude each other"),
        (("send",), "field `agent` is missing"),
        (("send", "ann", "x", "--policy", "direct"), "field `policy` needs a `group`"),
        (
            ("send", "--group", "gang", "x", "--policy", "directly"),
            "no routing policy `directly`; did you mean 'direct'?",
        ),
        (("route", "explain"), "name a `group`, or `agents`, and not both"),
        (("stream", "--group", "gang", "x", "--policy", "quorum"), "the policy 'quorum' sends to several agents"),
    ],
)
async def test_what_is_refused(home: Home, agent: AgentProcess, words: tuple[str, ...], sentence: str) -> None:
    async with home.core() as core:
        gang(core, "direct", ann=agent)
    done = run(home, *words)
    assert done.returncode in (64, 78)
    assert sentence in done.stderr


async def test_frames(home: Home, agent: AgentProcess, misbehaving: Start) -> None:
    async with home.core() as core:
        refusing = says(
            SendMessage=answer({"task": task("REJECTED")}),
            SendStreamingMessage=events({"task": task("REJECTED")}),
        )
        gang(core, "direct", ann=misbehaving(refusing).url, bob=agent)
        core.local(c.GroupAdd(group="gang", agent="bob", rank="2", tags=("night",)))
    frames: list[dict[str, Any]] = [
        {"id": "1", "command": "send", "group": "gang", "message": "echo hi", "requirements": {"tags": ["night"]}},
        {"id": "2", "command": "stream", "group": "gang", "message": "stream 1", "policy": "fallback"},
        {"id": "3", "command": "route_explain", "group": "gang", "policy": "round-robin", "cursor": 1},
        {"id": "4", "command": "send", "message": "x"},
        {"id": "5", "command": "send", "agent": "bob", "group": "gang", "message": "x"},
        {"id": "6", "command": "send", "group": "gang", "message": "x", "requirements": {"tag": ["night"]}},
        {"id": "7", "command": "send", "group": "gang", "message": "echo x", "policy": "quorum", "quorum": 2},
    ]
    with StdioProcess(home) as process:
        process.put(*frames)
        process.end()
        process.finished()
    found: dict[str, list[dict[str, Any]]] = {}
    for frame in process.frames:
        found.setdefault(frame["id"], []).append(frame)
    (sent,) = found["1"]
    assert (sent["data"]["data"]["agent"], sent["data"]["data"]["route"]["policy"]) == ("bob", "direct")
    streamed = [frame["data"]["data"] for frame in found["2"]]
    assert {each["agent"] for each in streamed} == {"bob"}
    assert [each["status"] for each in streamed[-1]["route"]["attempts"]] == ["refused", "answered"]
    (explained,) = found["3"]
    assert explained["data"]["data"]["plan"]["selected"] == ["bob"]
    errors = {number: found[number][-1]["error"] for number in "4567"}
    assert errors["4"]["message"] == "validation error: field `agent` is missing"
    assert errors["4"]["help"] == "name an agent, or a `group` of which one is chosen"
    assert errors["5"]["message"] == "validation error: fields `group` and `agent` exclude each other"
    assert "requirements" in errors["6"]["message"]
    assert errors["7"]["exit_code"] == 70
    assert found["7"][0]["data"]["kind"] == "route_result"
