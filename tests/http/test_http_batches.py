"""Several frames in one request, one a line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from http_kit import Door, serving

if TYPE_CHECKING:
    from support.cores import Home

    from missive_host.demo.fleet import AgentProcess

NDJSON = "application/x-ndjson"


async def batch(door: Door, *frames: Any, **headers: str) -> list[dict[str, Any]]:
    body = b"\n".join(frame if isinstance(frame, bytes) else json.dumps(frame).encode() for frame in frames)
    answer = await door.post(body, Content_Type=NDJSON, **headers)
    assert (answer.status_code, answer.headers["content-type"]) == (200, NDJSON), answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


def send(frame_id: str, message: str, **fields: Any) -> dict[str, Any]:
    return {"id": frame_id, "command": "send", "agent": "echo", "message": message, **fields}


async def test_each_is_answered_when_it_has_ended(home: Home, agent: AgentProcess) -> None:
    async with serving(home, agent) as door:
        slow, quick = send("slow", "slow 1"), send("quick", "hi")
        answers = await batch(door, slow, b"", quick, b"{", {"command": "task_list"})
        assert len(answers) == 4
        by_line = {answer["line"]: answer for answer in answers}
        assert [by_line[line]["kind"] for line in (1, 3, 4, 5)] == [
            "http_result", "http_result", "http_error", "http_result",
        ]  # fmt: skip
        assert (by_line[1]["id"], by_line[3]["id"], by_line[4]["status"]) == ("slow", "quick", 400)
        assert answers[-1]["id"] == "slow"


async def test_what_takes_too_long_gets_a_receipt(home: Home, agent: AgentProcess) -> None:
    async with serving(home, agent) as door:
        answers = await batch(door, send("slow", "slow 5"), send("quick", "hi"), Prefer="wait=1")
        assert {answer["id"]: answer["kind"] for answer in answers} == {"quick": "http_result", "slow": "http_receipt"}


async def test_a_session_keeps_its_order(home: Home, agent: AgentProcess) -> None:
    async with serving(home, agent) as door:
        source = {"source_id": "app"}
        await batch(door, *[send(f"f{number}", "hi", source=source) for number in range(20)])
        assert [kept.reply_to["id"] for kept in door.intake.kept.values()] == [f"f{number}" for number in range(20)]


async def test_many_frames(home: Home, agent: AgentProcess) -> None:
    async with serving(home, agent, limit=1000) as door:
        answers = await batch(door, *[send(f"f{number}", "hi") for number in range(300)])
        assert {answer["id"] for answer in answers} == {f"f{number}" for number in range(300)}
        assert {answer["kind"] for answer in answers} == {"http_result"}


async def test_batches_that_are_refused(home: Home, agent: AgentProcess) -> None:
    async with serving(home, agent) as door:
        assert (await door.post(b"\n\n", Content_Type=NDJSON)).status_code == 400
        assert (await door.post(b"{}", Content_Type=NDJSON, Idempotency_Key="k")).status_code == 400
        assert (await door.post(b"{}", Content_Type=NDJSON, Accept="text/event-stream")).status_code == 406


async def test_each_frame_counts(home: Home, agent: AgentProcess) -> None:
    async with serving(home, agent, rate_limit=1, burst=2) as door:
        answers = await batch(door, send("a", "hi"), send("b", "hi"), send("c", "hi"))
        assert sorted(answer.get("status", 200) for answer in answers) == [200, 200, 429]
