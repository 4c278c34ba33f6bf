"""A frame in the body of a request, and its answer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from http_kit import JSON, MESSAGES, ROOT, serving
from missive_http.documents import STATUS_OF

from missive_host import errors
from missive_host.commands import Send

if TYPE_CHECKING:
    from support.cores import Home

    from missive_host.demo.fleet import AgentProcess

HI = {"command": "send", "agent": "echo", "message": "hi"}


async def test_a_frame_is_run_and_answered(home: Home, agent: AgentProcess) -> None:
    async with serving(home, agent) as door:
        answer = await door.post({"id": "r-1", **HI})
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "application/json"
        document = answer.json()
        assert (document["id"], document["kind"]) == ("r-1", "http_result")
        (output,) = document["outputs"]
        assert output["kind"] == "send_result"
        assert "hi" in output["data"]["response"]["text"]
        again = await door.get(answer.headers["content-location"])
        assert (again.status_code, again.json()) == (200, document)


async def test_a_frame_without_an_id_gets_one(home: Home, agent: AgentProcess) -> None:
    async with serving(home, agent) as door:
        first, second = (await door.post(HI)).json(), (await door.post(HI)).json()
        assert len({first["id"], second["id"], first["receipt_id"], second["receipt_id"]}) == 4


@pytest.mark.parametrize(
    ("frame", "status", "said"),
    [
        (b"{", 400, "the frame is not valid JSON"),
        (b"\xff", 400, "the frame is not valid UTF-8 at byte 0"),
        (b"[]", 400, "the frame is an array"),
        (b"", 400, "the frame is not valid JSON"),
        ({"command": "sned"}, 400, "did you mean 'send'?"),
        ({**HI, "mesage": "x"}, 400, "did you mean 'message'?"),
        ({**HI, "schema_version": "missive.stdio.v1"}, 400, "this door reads missive.http.v1"),
        ({"command": "agent_remove", "agent": "echo"}, 400, "unknown command"),
        ({**HI, "agent": "ecko"}, 422, "ecko"),
        ({**HI, "message": None}, 422, "there is nothing to send"),
    ],
)
async def test_what_is_wrong_is_told(home: Home, agent: AgentProcess, frame: Any, status: int, said: str) -> None:
    async with serving(home, agent) as door:
        answer = await door.post(frame)
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        document = answer.json()
        assert said in document["detail"]
        assert document["error"]["category"] == "validation"
        assert ("receipt_id" in document) is (status == 422)


async def test_a_refused_frame_tells_its_id(home: Home) -> None:
    async with serving(home) as door:
        assert (await door.post({"id": "mine", "command": "x"})).json()["id"] == "mine"


@pytest.mark.parametrize(
    ("text", "timeout", "status", "code"),
    [("crash", None, 502, 76), ("slow 9", "200ms", 504, 82)],
)
async def test_the_status_of_commands_that_fail(
    home: Home, agent: AgentProcess, text: str, timeout: str | None, status: int, code: int
) -> None:
    async with serving(home, agent) as door:
        answer = await door.post({"id": "f", **HI, "command": "stream", "message": text, "timeout": timeout})
        assert (answer.status_code, answer.json()["error"]["exit_code"]) == (status, code)
        later = await door.get(f"{ROOT}/v1/receipts/{answer.json()['receipt_id']}")
        assert later.status_code == 200
        assert later.json() == answer.json()


def test_every_error_has_a_status() -> None:
    tree = [cls for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, errors.MissiveError)]
    assert {cls.exit_code for cls in tree} == set(STATUS_OF)


async def test_an_agent_that_is_not_there(home: Home) -> None:
    async with serving(home, "http://127.0.0.1:9") as door:
        answer = await door.post(HI)
        assert (answer.status_code, answer.json()["error"]["category"]) == (502, "transport")


# --- waiting


async def test_without_patience_there_is_a_receipt(home: Home, agent: AgentProcess) -> None:
    async with serving(home, agent) as door:
        answer = await door.post({"id": "w", **HI, "message": "task 1"}, Prefer="wait=0")
        assert answer.status_code == 202
        assert answer.headers["preference-applied"] == "wait=0"
        assert answer.headers["retry-after"] == "1"
        document = answer.json()
        assert (document["kind"], document["id"]) == ("http_receipt", "w")
        assert answer.headers["location"] == document["location"]
        open_still = await door.get(document["location"])
        assert open_still.status_code == 202
        done = await door.get(document["location"], Prefer="wait=20")
        assert (done.status_code, done.json()["kind"], done.json()["id"]) == (200, "http_result", "w")


async def test_the_preferences_of_clients(home: Home, agent: AgentProcess) -> None:
    async with serving(home, agent, wait=0.05, max_wait="20s") as door:
        slow = {**HI, "message": "slow 0.6"}
        assert (await door.post(slow)).status_code == 202
        answer = await door.post(slow, Prefer='foo, wait="900"')
        assert (answer.status_code, answer.headers["preference-applied"]) == (200, "wait=20")
        answer = await door.post(slow, Prefer="respond-async, wait=10")
        assert (answer.status_code, answer.headers["preference-applied"]) == (202, "respond-async")
        assert "preference-applied" not in (await door.post(HI, Prefer="handling=strict")).headers


async def test_a_gateway_that_stops_gives_a_receipt(home: Home, agent: AgentProcess) -> None:
    async with serving(home, agent) as door:
        import anyio

        async with anyio.create_task_group() as group:

            async def stop() -> None:
                while not door.intake.kept:
                    await anyio.sleep(0.01)
                door.intake.retry()

            group.start_soon(stop)
            answer = await door.post({**HI, "message": "slow 20"})
        assert answer.status_code == 202


async def test_a_full_gateway(home: Home, agent: AgentProcess) -> None:
    async with serving(home, agent, limit=1) as door:
        assert (await door.post({**HI, "message": "slow 5"}, Prefer="wait=0")).status_code == 202
        answer = await door.post({"id": "x", **HI})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert answer.json()["id"] == "x"


# --- idempotency


async def test_a_known_key_gives_the_recorded_answer(home: Home, agent: AgentProcess) -> None:
    async with serving(home, agent) as door:
        first = await door.post({"id": "a", **HI}, Idempotency_Key="k-1")
        second = await door.post({"id": "b", **HI}, Idempotency_Key="k-1")
        assert door.intake.runs == 1
        assert "idempotency-replayed" not in first.headers
        assert second.headers["idempotency-replayed"] == "true"
        assert second.json() == {**first.json(), "id": "b"}
        third = await door.post({"id": "c", **HI, "idempotency_key": "k-1"})
        assert third.json()["receipt_id"] == first.json()["receipt_id"]
        other = await door.post({**HI, "message": "something else"}, Idempotency_Key="k-1")
        assert other.status_code == 422


@pytest.mark.parametrize("key", ["", "a b", "x" * 257])
async def test_a_key_that_is_none(home: Home, key: str) -> None:
    async with serving(home) as door:
        answer = await door.post(HI, Idempotency_Key=key)
        assert answer.status_code == 400
        assert "Idempotency-Key" in answer.json()["detail"]


async def test_two_keys_that_differ(home: Home) -> None:
    async with serving(home) as door:
        assert (await door.post({**HI, "idempotency_key": "a"}, Idempotency_Key="b")).status_code == 400


# --- the words of HTTP


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("application/json", 200),
        ("application/json; charset=utf-8", 200),
        ("Application/JSON", 200),
        ("application/json; charset=latin-1", 415),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("", 415),
    ],
)
async def test_what_a_body_may_be(home: Home, agent: AgentProcess, kind: str, status: int) -> None:
    async with serving(home, agent) as door:
        answer = await door.post(HI, Content_Type=kind)
        assert answer.status_code == status, answer.text


async def test_a_compressed_body_is_refused(home: Home) -> None:
    async with serving(home) as door:
        assert (await door.post(b"\x1f\x8b", Content_Encoding="gzip")).status_code == 415


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("*/*", "application/json"),
        ("application/*", "application/json"),
        ("application/problem+json, application/json;q=0.5", "application/json"),
        ("text/event-stream", "text/event-stream"),
        ("application/x-ndjson, application/json;q=0.9", "application/x-ndjson"),
        ("text/html, */*;q=0.1", "application/json"),
        ("text/html", None),
        ("application/json;q=0", None),
    ],
)
async def test_what_an_answer_may_be(home: Home, agent: AgentProcess, accept: str, kind: str | None) -> None:
    async with serving(home, agent) as door:
        answer = await door.post(HI, Accept=accept)
        if kind is None:
            assert answer.status_code == 406
        else:
            assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (200, kind)


@pytest.mark.parametrize(
    ("method", "path", "status", "allowed"),
    [
        ("GET", MESSAGES, 405, {"POST"}),
        ("OPTIONS", MESSAGES, 405, {"POST"}),
        ("PUT", MESSAGES, 405, {"POST"}),
        ("POST", f"{ROOT}/v1/receipts/x", 405, {"GET", "HEAD"}),
        ("DELETE", f"{ROOT}/healthz", 405, {"GET", "HEAD"}),
        ("GET", f"{ROOT}/v1/nothing", 404, None),
        ("GET", f"{MESSAGES}/", 404, None),
        ("GET", "/", 404, None),
        ("GET", f"{ROOT}/v1/receipts/nobody", 404, None),
        ("HEAD", f"{ROOT}/healthz", 200, None),
        ("HEAD", f"{ROOT}/v1/receipts/nobody", 404, None),
    ],
)
async def test_methods_and_paths(home: Home, method: str, path: str, status: int, allowed: set[str] | None) -> None:
    async with serving(home) as door:
        answer = await door.client.request(method, path)
        assert answer.status_code == status
        if status >= 400:
            assert answer.headers["content-type"] == "application/problem+json"
        if method == "HEAD":
            assert answer.content == b""
        elif status >= 400:
            assert answer.json()["status"] == status
        if allowed is not None:
            assert set(answer.headers["allow"].split(", ")) == allowed
        assert not [name for name in answer.headers if name.startswith("access-control")]


async def test_the_health_of_the_door(home: Home) -> None:
    async with serving(home) as door:
        answer = await door.get(f"{ROOT}/healthz")
        assert (answer.status_code, answer.json()["status"]) == (200, "ok")


async def test_a_body_that_is_too_long(home: Home, agent: AgentProcess) -> None:
    async with serving(home, agent, max_body="2KiB") as door:
        frame = json.dumps({**HI, "message": "x" * 3000}).encode()
        assert (await door.post(frame)).status_code == 413

        async def chunks() -> Any:
            for start in range(0, len(frame), 100):
                yield frame[start : start + 100]

        answer = await door.client.post(MESSAGES, content=chunks(), headers=JSON)
        assert answer.status_code == 413
        assert (await door.post(HI)).status_code == 200


async def test_frames_of_a_session_keep_their_names(home: Home, agent: AgentProcess) -> None:
    async with serving(home, agent) as door:
        await door.post({**HI, "source": {"source_id": "app", "resume_name": "thread-1"}})
        await door.post(HI)
        first, second = (kept.delivery.envelope for kept in door.intake.kept.values())
        assert first.session == ("app", "thread-1")
        assert (second.session, second.source.source_id) == (None, "http")
        assert first.command == Send(agent="echo", message="hi")
