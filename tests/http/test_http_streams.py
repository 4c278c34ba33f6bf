"""Answers as they come: events, lines, where they were broken off, many that wait."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from http_kit import MESSAGES, RESPONSE, ROOT, Door, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx
    from support.cores import Home

    from missive_host.demo.fleet import AgentProcess

EVENTS = {"Accept": "text/event-stream", "Content-Type": "application/json"}
STREAM = {"id": "s", "command": "stream", "agent": "echo", "message": "stream 3"}


async def events(answer: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    """The events of a stream, each a mapping of its fields; comments are under the name ``""``."""
    fields: dict[str, Any] = {}
    async for line in answer.aiter_lines():
        if not line and fields:
            if "data" in fields:
                fields["data"] = json.loads(fields["data"])
                assert RESPONSE(fields["data"]) == (), fields
            yield fields
            fields = {}
        elif line:
            name, _, value = line.partition(":")
            fields[name] = value.strip()


async def all_events(door: Door, frame: dict[str, Any]) -> list[dict[str, Any]]:
    async with door.client.stream("POST", MESSAGES, json=frame, headers=EVENTS) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store"
        return [event async for event in events(answer) if "data" in event]


async def test_events_have_ids_and_an_end(home: Home, agent: AgentProcess) -> None:
    async with serving(home, agent) as door:
        receipt, *outputs, end = await all_events(door, STREAM)
        assert (receipt["event"], "id" in receipt) == ("receipt", False)
        assert [event["event"] for event in outputs] == ["output"] * len(outputs)
        assert [event["id"] for event in outputs] == [str(number + 1) for number in range(len(outputs))]
        assert [event["data"]["sequence"] for event in outputs] == list(range(len(outputs)))
        assert outputs[-1]["data"]["data"]["kind"] == "stream_result"
        assert (end["event"], end["id"], end["data"]["kind"]) == ("result", str(len(outputs)), "http_result")
        assert {event["data"]["id"] for event in (receipt, *outputs, end)} == {"s"}


async def test_events_come_while_the_agent_works(home: Home, agent: AgentProcess) -> None:
    async with serving(home, agent) as door:
        frame = {**STREAM, "message": "stream 2 0.2"}
        async with door.client.stream("POST", MESSAGES, json=frame, headers=EVENTS) as answer:
            async for event in events(answer):
                if event.get("event") == "output":
                    break
            (kept,) = door.intake.kept.values()
            assert kept.outcome is None


async def test_a_failure_ends_the_stream(home: Home, agent: AgentProcess) -> None:
    async with serving(home, agent) as door:
        *_, end = await all_events(door, {**STREAM, "message": "crash"})
        assert (end["event"], end["data"]["kind"], end["data"]["status"]) == ("error", "http_error", 502)


async def test_a_broken_stream_is_taken_up_again(home: Home, agent: AgentProcess) -> None:
    async with serving(home, agent) as door:
        frame = {**STREAM, "message": "stream 4 0.1"}
        async with door.client.stream("POST", MESSAGES, json=frame, headers=EVENTS) as answer:
            place = answer.headers["content-location"]
            seen = []
            async for event in events(answer):
                if event.get("event") == "output":
                    seen.append(event)
                if len(seen) == 2:
                    break
        headers = {**EVENTS, "Last-Event-ID": seen[-1]["id"]}
        async with door.client.stream("GET", place, headers=headers) as answer:
            rest = [event async for event in events(answer) if "id" in event]
        numbers = [event["data"]["sequence"] for event in (*seen, *rest) if event["event"] == "output"]
        assert numbers == list(range(len(numbers)))
        assert rest[-1]["event"] == "result"
        (kept,) = door.intake.kept.values()
        assert len(numbers) == len(kept.outputs)


@pytest.mark.parametrize("number", ["x", "-1", "99", "1.5", "9" * 20])
async def test_an_event_that_was_never_sent(home: Home, agent: AgentProcess, number: str) -> None:
    async with serving(home, agent) as door:
        place = (await door.post(STREAM)).headers["content-location"]
        answer = await door.get(place, Accept="text/event-stream", Last_Event_ID=number)
        assert answer.status_code == 400
        assert "Last-Event-ID" in answer.json()["detail"]


async def test_who_has_had_more_than_there_is_now_gets_the_rest(home: Home, agent: AgentProcess) -> None:
    """A crash has made the request begin anew: its first results are not there yet."""
    async with serving(home, agent) as door:
        frame = {"command": "send", "agent": "echo", "message": "sleep 1"}
        place = (await door.post(frame, Prefer="wait=0")).headers["location"]
        answer = await door.get(place, Accept="text/event-stream", Last_Event_ID="2")
        assert answer.status_code == 200
        assert "event: output" in answer.text
        assert "event: result" in answer.text


async def test_lines_instead_of_events(home: Home, agent: AgentProcess) -> None:
    async with serving(home, agent) as door:
        answer = await door.post(STREAM, Accept="application/x-ndjson")
        kinds = [json.loads(line)["kind"] for line in answer.text.splitlines()]
        assert kinds[0] == "http_receipt"
        assert set(kinds[1:-1]) == {"http_command_output"}
        assert kinds[-1] == "http_result"


async def test_a_silent_stream_says_that_it_lives(home: Home, agent: AgentProcess) -> None:
    async with serving(home, agent, heartbeat="50ms") as door:
        frame = {**STREAM, "command": "send", "message": "slow 0.5"}
        async with door.client.stream("POST", MESSAGES, json=frame, headers=EVENTS) as answer:
            found = [event async for event in events(answer)]
        assert {"": "still here"} in found
        assert found[-1]["event"] == "result"


async def test_a_gateway_that_stops_ends_the_stream_without_a_result(home: Home, agent: AgentProcess) -> None:
    async with serving(home, agent) as door:
        frame = {**STREAM, "message": "stream 9 0.3"}
        async with door.client.stream("POST", MESSAGES, json=frame, headers=EVENTS) as answer:
            found = []
            async for event in events(answer):
                found.append(event.get("event"))
                if event.get("event") == "output":
                    door.intake.retry()
        assert "output" in found
        assert not {"result", "error"} & set(found)


async def test_a_reader_that_stops_reading_holds_up_nobody(home: Home, agent: AgentProcess) -> None:
    """The command goes on, others are answered, and the answer is there in the end."""
    async with serving(home, agent) as door:
        sock = await anyio.to_thread.run_sync(door.connect)
        frame = json.dumps({"command": "stream", "agent": "echo", "message": "big 12"}).encode()
        head = f"POST {MESSAGES} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(frame)}\r\n\r\n"
        await anyio.to_thread.run_sync(sock.sendall, head.encode() + frame)
        with anyio.fail_after(20):
            while not any(kept.outcome for kept in door.intake.kept.values()):
                await anyio.sleep(0.02)
        assert (await door.post({"command": "send", "agent": "echo", "message": "hi"})).status_code == 200
        sock.close()


async def test_several_hundred_that_wait(home: Home, agent: AgentProcess) -> None:
    """Idle streams of one receipt; then all of them get the end."""
    many = 300
    async with serving(home, agent) as door:
        frame = {"command": "stream", "agent": "echo", "message": "sleep 60"}
        answer = await door.post(frame, Prefer="wait=0")
        place = answer.json()["location"]
        ended = 0
        connected = anyio.Event()
        ready = 0

        async def follow() -> None:
            nonlocal ended, ready
            stream = await anyio.connect_tcp("127.0.0.1", int(door.listener.url.rpartition(":")[2]))
            async with stream:
                await stream.send(
                    f"GET {place} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n".encode()
                )
                text = b""
                while b"event: receipt" not in text:
                    text += await stream.receive()
                ready += 1
                if ready == many:
                    connected.set()
                while b"event: result" not in text:
                    text += await stream.receive()
                ended += 1

        async with anyio.create_task_group() as group:
            for _ in range(many):
                group.start_soon(follow)
            with anyio.fail_after(60):
                await connected.wait()
                assert door.listener.connections >= many
                assert (await door.get(f"{ROOT}/healthz")).status_code == 200
                task = await _task_of(door)
                cancel = {"command": "task_cancel", "agent": "echo", "task_id": task}
                assert (await door.post(cancel)).status_code == 200
        assert ended == many


async def _task_of(door: Door) -> str:
    while True:
        (kept,) = [kept for kept in door.intake.kept.values() if kept.delivery.envelope.command.timeout is None]  # type: ignore[attr-defined]
        for output in kept.outputs:
            task_id = getattr(output.data, "task_id", None)
            if isinstance(task_id, str):
                return task_id
        await anyio.sleep(0.02)
