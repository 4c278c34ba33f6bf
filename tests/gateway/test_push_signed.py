"""Signed notifications: real keys, a real JWKS document over HTTP."""

from __future__ import annotations

import hashlib
import json
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from push_kit import receiving, started

from missive_host import commands as c
from missive_host.gateway import signatures
from missive_host.gateway.listener import HttpListener

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from support.cores import Commands, Home

    from missive_host.demo.fleet import AgentProcess

pytestmark = pytest.mark.anyio


class Signer:
    """An agent's keys, published over HTTP."""

    def __init__(self) -> None:
        self.keys: dict[str, ec.EllipticCurvePrivateKey] = {}
        self.requests = 0
        self.status = 200
        self.url = ""

    def add(self, kid: str) -> None:
        self.keys[kid] = ec.generate_private_key(ec.SECP256R1())

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.requests += 1
        keys = [
            {
                **json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key())),
                "kid": kid,
                "use": "sig",
                "alg": "ES256",
            }
            for kid, key in self.keys.items()
        ]
        await send({"type": "http.response.start", "status": self.status,
                    "headers": [(b"content-type", b"application/json")]})  # fmt: skip
        await send({"type": "http.response.body", "body": json.dumps({"keys": keys}).encode()})

    def token(self, body: bytes, kid: str = "one", **claims: Any) -> str:
        given: dict[str, Any] = {
            "iat": int(time.time()),
            "exp": int(time.time()) + 60,
            "request_body_sha256": hashlib.sha256(body).hexdigest(),
            **claims,
        }
        given = {name: value for name, value in given.items() if value is not None}
        return jwt.encode(given, self.keys[kid], algorithm="ES256", headers={"kid": kid})


@asynccontextmanager
async def publishing() -> AsyncIterator[Signer]:
    signer = Signer()
    signer.add("one")
    listener = HttpListener("127.0.0.1:0")
    async with anyio.create_task_group() as group:
        await group.start(listener.serve)
        with listener.mount("/jwks.json", signer):
            signer.url = listener.url + "/jwks.json"
            yield signer
        listener.stop()


def status(task_id: str, state: str = "WORKING") -> bytes:
    return json.dumps({"statusUpdate": {"taskId": task_id, "status": {"state": f"TASK_STATE_{state}"}}}).encode()


async def send(url: str, body: bytes, token: str) -> int:
    headers = {"content-type": "application/json", "authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(trust_env=False) as http:
        return (await http.post(url, content=body, headers=headers)).status_code


async def prepared(core: Commands, agent: AgentProcess, url: str, jwks: str) -> str:
    core.add("signing", agent, metadata={signatures.METADATA_KEY: jwks})
    task_id = await started(core, "signing", "ask")
    await core.one(c.PushCreate(agent="signing", task_id=task_id, url=url, config_id="mine"))
    return task_id


async def test_a_signed_notification(home: Home, push_agent: AgentProcess) -> None:
    async with publishing() as signer, home.core() as core, receiving(core) as (_, url):
        task_id = await prepared(core, push_agent, url, signer.url)
        working, done = status(task_id), status(task_id, "COMPLETED")
        token = signer.token(working, jti="n-1")
        assert await send(url, working, token) == 202
        assert await send(url, working, token) == 409, "it is good for one notification"
        assert await send(url, working, signer.token(working, jti="n-1")) == 409, "a jti is used once"
        bare = signer.token(done, request_body_sha256=None, task_id=task_id)
        assert await send(url + "/mine", done, bare) == 202
        assert await send(url, working, bare) == 409, "nor for another body"
        assert core.task(task_id).state == "completed"
        assert signer.requests == 1, "keys are kept"


async def test_what_is_not_genuine(home: Home, push_agent: AgentProcess) -> None:
    async with publishing() as signer, home.core() as core, receiving(core) as (_, url):
        task_id = await prepared(core, push_agent, url, signer.url)
        body = status(task_id, "COMPLETED")
        stranger = Signer()
        stranger.add("one")
        past = int(time.time()) - 3600
        public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(signer.keys["one"].public_key()))
        bad = {
            "another's key": stranger.token(body),
            "another body": signer.token(status(task_id)),
            "another task": signer.token(body, task_id="another"),
            "no iat": signer.token(body, iat=None),
            "too old": signer.token(body, iat=past, exp=None),
            "expired": signer.token(body, exp=past),
            "not signed": jwt.encode({"iat": int(time.time())}, "", algorithm="none"),
            "a symmetric signature": jwt.encode({"iat": int(time.time())}, public["x"], algorithm="HS256"),
            "no token": "rubbish",
        }
        for what, token in bad.items():
            assert await send(url, body, token) == 401, what
        assert core.task(task_id).state != "completed"
        assert await send(url, body, signer.token(body)) == 202


async def test_keys_that_change(home: Home, push_agent: AgentProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    async with publishing() as signer, home.core() as core, receiving(core) as (_, url):
        signer.status = 500
        task_id = await prepared(core, push_agent, url, signer.url)
        assert await send(url, status(task_id), signer.token(status(task_id))) == 401
        signer.status = 200
        assert await send(url, status(task_id), signer.token(status(task_id))) == 401, "not asked again so soon"
        assert signer.requests == 1
        monkeypatch.setattr(signatures, "RETRY_SECONDS", 0.0)
        assert await send(url, status(task_id), signer.token(status(task_id), jti="a")) == 202
        signer.add("two")
        done = status(task_id, "COMPLETED")
        assert await send(url, done, signer.token(done, "two")) == 202
        assert core.task(task_id).state == "completed"


async def test_an_agent_whose_keys_are_not_known(home: Home, push_agent: AgentProcess) -> None:
    async with publishing() as signer, home.core() as core, receiving(core) as (_, url):
        task_id = await prepared(core, push_agent, url, "file:///etc/passwd")
        assert await send(url, status(task_id), signer.token(status(task_id))) == 401
        assert signer.requests == 0
