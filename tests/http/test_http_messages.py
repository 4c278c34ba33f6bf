"""A frame in the body of a request, and its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from http_kit import serving

if TYPE_CHECKING:
    from support.cores import Home

    from missive_host.demo.fleet import AgentProcess


async def test_a_frame_is_run_and_answered(home: Home, agent: AgentProcess) -> None:
    async with serving(home, agent) as door:
        answer = await door.post({"id": "r-1", "command": "send", "agent": "echo", "message": "hi"})
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "application/json"
        document = answer.json()
        assert document["id"] == "r-1"
        assert document["kind"] == "http_result"
        (output,) = document["outputs"]
        assert output["kind"] == "send_result"
        assert "hi" in output["data"]["response"]["text"]
