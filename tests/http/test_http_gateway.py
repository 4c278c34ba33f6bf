"""The door in a real gateway process: durable receipts, tokens, files, a kill, a stop."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from http_kit import MESSAGES, ROOT, checked
from support.gateways import GatewayProcess
from support.secrets import planted

from missive_host import commands as c
from missive_host.gateway.control import ask

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.cores import Home

    from missive_host.demo.fleet import AgentProcess

CONFIG = """
[qos]
retry_backoff = "10ms"

[gateway]
drain = "500ms"

[adapters.web]
kind = "http"

[adapters.web.settings]
auth = "token"
"""
HOOK_SECRET = planted("hook")
HI = {"id": "h", "command": "send", "agent": "echo", "message": "hi"}


@pytest.fixture
def token(home: Home, agent: AgentProcess) -> str:
    home.configure(CONFIG)
    import asyncio

    async def prepare() -> str:
        async with home.core() as core:
            core.add("echo", agent)
            secret: str = core.local(c.TokenCreate(name="ci")).secret
            return secret

    return asyncio.run(prepare())


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


class Client(httpx.Client):
    def __init__(self, gateway: GatewayProcess, token: str | None) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        super().__init__(base_url=gateway.url, headers=headers, timeout=30)

    def send(self, *args: Any, **kwargs: Any) -> httpx.Response:
        answer = super().send(*args, **kwargs)
        return answer if kwargs.get("stream") else checked(answer)


def test_while_the_door_cannot_be_opened_clients_are_told_to_come_again(home: Home, token: str) -> None:
    home.configure(CONFIG + '[adapters.web.settings.routes.hub]\nscheme = "github"\nsecret = "plain"\nagent = "echo"\n')
    with GatewayProcess(home) as gateway:
        wait_until(lambda: "adapter 'web' has failed" in gateway.errors)
        assert "env:NAME" in gateway.errors, "the help says what to write"
        with httpx.Client(base_url=gateway.url, headers={"Authorization": f"Bearer {token}"}) as client:
            answer = client.post(MESSAGES, json=HI)
            assert answer.status_code == 503
            assert answer.headers["retry-after"] == "1"
            home.configure(CONFIG)
            ask(home.settings().paths, {"command": "reload"})
            gateway.ready()
            assert client.post(MESSAGES, json=HI).status_code == 200
            assert client.get("/nothing").status_code == 404


def test_messages_receipts_and_streams(home: Home, token: str) -> None:
    with GatewayProcess(home) as gateway:
        gateway.ready()
        with Client(gateway, None) as nobody:
            assert nobody.post(MESSAGES, json=HI).status_code == 401
        with Client(gateway, token) as client:
            answer = client.post(MESSAGES, json=HI, headers={"Idempotency-Key": "k"})
            assert answer.status_code == 200
            again = client.get(answer.headers["content-location"])
            assert again.json() == answer.json()
            replayed = client.post(MESSAGES, json=HI, headers={"Idempotency-Key": "k"})
            assert (replayed.headers["idempotency-replayed"], replayed.json()) == ("true", answer.json())
            other = client.post(MESSAGES, json={**HI, "message": "other"}, headers={"Idempotency-Key": "k"})
            assert other.status_code == 422
            stream = {**HI, "command": "stream", "message": "stream 3"}
            lines = client.post(MESSAGES, json=stream, headers={"Accept": "application/x-ndjson"}).text.splitlines()
            documents = [json.loads(line) for line in lines]
            assert documents[-1]["kind"] == "http_result"
            events = client.get(
                f"{ROOT}/v1/receipts/{documents[0]['receipt_id']}",
                headers={"Accept": "text/event-stream", "Last-Event-ID": "2"},
            ).text
            numbers = [json.loads(line[6:]).get("sequence") for line in events.splitlines() if line.startswith("data:")]
            assert [number for number in numbers if number is not None] == list(range(2, len(documents) - 2))
            body = "\n".join(json.dumps({**HI, "id": f"b{number}"}) for number in range(50))
            batch = client.post(MESSAGES, content=body, headers={"Content-Type": "application/x-ndjson"})
            assert len(batch.text.splitlines()) == 50
            assert {json.loads(line)["kind"] for line in batch.text.splitlines()} == {"http_result"}
        assert gateway.stop() == 0
        assert token not in gateway.errors + json.dumps(gateway.documents)


def test_files_reach_the_agent(home: Home, token: str) -> None:
    with GatewayProcess(home) as gateway:
        gateway.ready()
        with Client(gateway, token) as client:
            frame = json.dumps({**HI, "message": "echo-parts"})
            answer = client.post(MESSAGES, files={"frame": (None, frame), "file": ("a.txt", b"abc", "text/plain")})
            assert answer.status_code == 200, answer.text
            assert "a.txt" in answer.text
            folder = home.settings().paths.data / "adapters" / "web" / "uploads"
            wait_until(lambda: not list(folder.iterdir()))
            hostile = {**HI, "file_bytes": ["/etc/hostname"]}
            assert client.post(MESSAGES, json=hostile).status_code == 400


def test_what_was_accepted_survives_a_kill(home: Home, token: str) -> None:
    with GatewayProcess(home) as gateway:
        gateway.ready()
        with Client(gateway, token) as client:
            frame = json.dumps({**HI, "message": "sleep 2"})
            answer = client.post(
                MESSAGES,
                files={"frame": (None, frame), "file": ("a.txt", b"abc", "text/plain")},
                headers={"Prefer": "respond-async"},
            )
            assert answer.status_code == 202
            place = answer.headers["location"]
        gateway.kill()
    with GatewayProcess(home) as gateway:
        gateway.ready()
        with Client(gateway, token) as client:
            done = client.get(place, headers={"Prefer": "wait=30"})
            assert done.status_code == 200
            assert (done.json()["kind"], done.json()["id"]) == ("http_result", "h"), done.text + gateway.errors
            folder = home.settings().paths.data / "adapters" / "web" / "uploads"
            wait_until(lambda: not list(folder.iterdir()))


def test_who_waits_gets_a_receipt_when_the_gateway_stops(home: Home, token: str) -> None:
    answers: list[httpx.Response] = []
    with GatewayProcess(home) as gateway:
        gateway.ready()

        def ask(client: Client, accept: str) -> None:
            answers.append(client.post(MESSAGES, json={**HI, "message": "sleep 30"}, headers={"Accept": accept}))

        with Client(gateway, token) as client:
            threads = [
                threading.Thread(target=ask, args=(client, accept))
                for accept in ("application/json", "text/event-stream")
            ]
            for thread in threads:
                thread.start()
            wait_until(lambda: gateway.status()["queue"]["running"] == 2)
            assert gateway.stop() == 0
            for thread in threads:
                thread.join(20)
    by_status = {answer.status_code: answer for answer in answers}
    assert set(by_status) == {200, 202}
    assert "event: result" not in by_status[200].text
    assert by_status[202].json()["kind"] == "http_receipt"


def test_a_route_of_the_config(home: Home, agent: AgentProcess, token: str) -> None:
    import hashlib
    import hmac

    home.configure(
        CONFIG
        + '\n[adapters.web.settings.routes.repo]\nscheme = "github"\nagent = "echo"\n'
        + 'secret = { secret = "env:HOOK_SECRET" }\n'
    )
    with GatewayProcess(home, env={"HOOK_SECRET": HOOK_SECRET}) as gateway:
        gateway.ready()
        body = b'{"action":"opened"}'
        digest = hmac.new(HOOK_SECRET.encode(), body, hashlib.sha256).hexdigest()
        headers = {
            "X-Hub-Signature-256": f"sha256={digest}",
            "X-GitHub-Delivery": "d1",
            "Content-Type": "application/json",
        }
        with Client(gateway, token) as client:
            answer = client.post(f"{ROOT}/v1/hooks/repo", content=body, headers=headers)
            assert answer.status_code == 202
            assert client.get(answer.headers["location"], headers={"Prefer": "wait=20"}).status_code == 200
        assert gateway.stop() == 0
        assert HOOK_SECRET not in gateway.errors + json.dumps(gateway.documents)


def test_the_files_of_a_dead_letter_are_there_when_it_is_tried_again(home: Home, token: str) -> None:
    home.configure(CONFIG.replace('drain = "500ms"', "max_attempts = 1"))
    form = {
        "frame": (None, json.dumps({**HI, "message": "sleep 2"}).encode(), "application/json"),
        "file": ("a.txt", b"abc", "text/plain"),
    }
    with GatewayProcess(home) as gateway:
        gateway.ready()
        with Client(gateway, token) as client:
            receipt = client.post(MESSAGES, files=form, headers={"Prefer": "wait=0"}).headers["location"]
            wait_until(lambda: gateway.status()["queue"]["running"] == 1)
        gateway.kill()
    with GatewayProcess(home) as gateway:
        gateway.ready()
        with Client(gateway, token) as client:
            assert client.get(receipt, headers={"Prefer": "wait=20"}).json()["kind"] == "http_error"
            command = [sys.executable, "-m", "missive_host", "--config", str(home.config), "intake", "retry", "--all"]
            subprocess.run(command, env=home.environ, capture_output=True, timeout=60, check=True)
            again = client.get(receipt, headers={"Prefer": "wait=20"}).json()
            assert again["kind"] == "http_result", again
            folder = home.settings().paths.data / "adapters" / "web" / "uploads"
            wait_until(lambda: list(folder.iterdir()) == [])


def test_a_full_gateway_says_when_to_come_again(home: Home, token: str) -> None:
    home.configure(CONFIG.replace('drain = "500ms"', 'drain = "500ms"\ncapacity = 1'))
    with GatewayProcess(home) as gateway:
        gateway.ready()
        with Client(gateway, token) as client:
            slow = client.post(MESSAGES, json={**HI, "message": "sleep 2"}, headers={"Prefer": "wait=0"})
            assert slow.status_code == 202
            files: dict[str, Any] = {"frame": (None, json.dumps(HI)), "file": ("a.txt", b"abc", "text/plain")}
            full = client.post(MESSAGES, files=files)
            assert (full.status_code, full.headers["retry-after"], full.json()["id"]) == (503, "1", "h")
            assert client.get(slow.headers["location"], headers={"Prefer": "wait=20"}).status_code == 200
            assert client.post(MESSAGES, json=HI).status_code == 200
            folder = home.settings().paths.data / "adapters" / "web" / "uploads"
            assert list(folder.iterdir()) == []


def test_tokens_change_while_it_runs(home: Home, token: str) -> None:
    def missive(*words: str) -> str:
        command = [sys.executable, "-m", "missive_host", "--config", str(home.config), *words]
        done = subprocess.run(command, env=home.environ, capture_output=True, text=True, timeout=60, check=True)
        return done.stdout.strip()

    with GatewayProcess(home) as gateway:
        gateway.ready()
        with Client(gateway, None) as client:

            def status(secret: str) -> int:
                return client.post(MESSAGES, json=HI, headers={"Authorization": f"Bearer {secret}"}).status_code

            assert status(token) == 200
            other = missive("token", "create", "ci", "--replace")
            assert (status(token), status(other)) == (401, 200)
            missive("token", "revoke", "ci")
            assert status(other) == 401
