"""Who is let in, what for, and how often."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from http_kit import MESSAGES, ROOT, options, serving
from missive_http.adapter import HttpAdapter
from missive_http.documents import ProblemError
from missive_http.guard import Buckets

from missive_host import commands as c
from missive_host.errors import ConfigError
from missive_host.gateway.listener import HttpListener
from missive_host.gateway.tokens import Authenticator
from missive_host.protocols import AdapterContext, Principal

if TYPE_CHECKING:
    from pathlib import Path

    from support.cores import Commands, Home

    from missive_host.demo.fleet import AgentProcess

HI = {"command": "send", "agent": "echo", "message": "hi"}


def create(core: Commands, name: str, **fields: Any) -> str:
    secret: str = core.local(c.TokenCreate(name=name, **fields)).secret
    return secret


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def test_a_token_is_needed_and_counts_at_once(home: Home, agent: AgentProcess) -> None:
    with home.store() as store:
        async with serving(home, agent, auth="token", authenticate=Authenticator(store)) as door:
            answer = await door.post(HI)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == 'Bearer realm="missive"'
            assert answer.json()["error"]["category"] == "auth"
            first = create(door.core, "ci")
            assert (await door.post(HI, **bearer(first))).status_code == 200
            second = create(door.core, "ci", replace=True)
            answer = await door.post(HI, **bearer(first))
            assert (answer.status_code, 'error="invalid_token"' in answer.headers["www-authenticate"]) == (401, True)
            assert (await door.post(HI, **bearer(second))).status_code == 200
            door.core.local(c.TokenRevoke(name="ci"))
            assert (await door.post(HI, **bearer(second))).status_code == 401
            assert door.intake.runs == 2


async def test_each_token_has_sessions_of_its_own(home: Home, agent: AgentProcess) -> None:
    frame = {**HI, "source": {"source_id": "app", "resume_name": "thread-1"}}
    with home.store() as store:
        async with serving(home, agent, auth="token", authenticate=Authenticator(store)) as door:
            for name in ("ci", "nightly"):
                assert (await door.post(frame, **bearer(create(door.core, name)))).status_code == 200
            sessions = [kept.delivery.envelope.session for kept in door.intake.kept.values()]
            assert sessions == [("ci:app", "thread-1"), ("nightly:app", "thread-1")]
            long = {**HI, "source": {"source_id": "a" * 256}}
            answer = await door.post(long, **bearer(create(door.core, "other")))
            assert (answer.status_code, answer.json()["error"]["category"]) == (400, "validation")
            assert "250 characters" in answer.json()["error"]["message"]
            assert door.intake.runs == 2


@pytest.mark.parametrize("header", ["", "Bearer", "Basic {}", "Bearer x{}", "{}", "Bearer " + "y" * 5000])
async def test_what_is_no_token(home: Home, header: str, caplog: pytest.LogCaptureFixture) -> None:
    with home.store() as store:
        async with serving(home, auth="token", authenticate=Authenticator(store)) as door:
            token = create(door.core, "ci")
            answer = await door.post(HI, Authorization=header.format(token))
            assert answer.status_code == 401
            assert token not in answer.text
            answer = await door.get(f"{ROOT}/v1/receipts/x", Authorization=header.format(token))
            assert answer.status_code == 401
            assert token not in caplog.text
            said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
            assert [text.partition(" of ")[0] for text in said] == [
                f"POST {ROOT}/v1/messages",
                f"GET {ROOT}/v1/receipts/x",
            ]
            assert all("is refused (401): " in text for text in said)


async def test_a_token_for_certain_things(home: Home, agent: AgentProcess) -> None:
    with home.store() as store:
        async with serving(home, agent, auth="token", authenticate=Authenticator(store)) as door:
            sends = bearer(create(door.core, "sends", commands=("send",)))
            others = bearer(create(door.core, "others", agents=("other",)))
            assert (await door.post(HI, **sends)).status_code == 200
            answer = await door.post({"id": "x", "command": "agent_list"}, **sends)
            assert (answer.status_code, answer.json()["id"]) == (403, "x")
            answer = await door.post(HI, **others)
            assert (answer.status_code, "may not be used for 'echo'" in answer.text) == (403, True)
            assert door.intake.runs == 1


async def test_answers_are_for_whom_asked(home: Home, agent: AgentProcess) -> None:
    with home.store() as store:
        async with serving(home, agent, auth="token", authenticate=Authenticator(store)) as door:
            mine, theirs = bearer(create(door.core, "a")), bearer(create(door.core, "b"))
            answer = await door.post(HI, **mine, Idempotency_Key="k")
            place = answer.headers["content-location"]
            assert (await door.get(place, **mine)).status_code == 200
            assert (await door.get(place, **theirs)).status_code == 404
            assert (await door.get(place, **theirs, Accept="text/event-stream")).status_code == 404
            assert (await door.get(place)).status_code == 401
            # and a key is one's own
            other = await door.post({**HI, "message": "other"}, **theirs, Idempotency_Key="k")
            assert other.status_code == 200


def test_expired_tokens(home: Home) -> None:
    with home.store() as store:
        from missive_host.store import TokenRow

        def put(name: str, digest: str, end: str | None) -> None:
            row = TokenRow(name=name, token_sha256=digest, created_at="2026-01-01T00:00:00.000000Z", expires_at=end)
            store.write(lambda tables: tables.tokens.put(row))

        from hashlib import sha256

        put("old", sha256(b"msv_old").hexdigest(), "2026-01-02T00:00:00.000000Z")
        put("new", sha256(b"msv_new").hexdigest(), "9999-01-02T00:00:00.000000Z")
        authenticate = Authenticator(store)
        assert authenticate("msv_old") is None
        assert authenticate("msv_new") == Principal("new")
        assert authenticate("") is None


# --- without tokens


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:7347"}, 200),
        ({"Host": "[::1]:7347"}, 200),
        ({"Host": "127.0.0.1"}, 200),
        ({"Host": "rebound.example:7347"}, 403),
        ({"Host": "127.0.0.1.rebound.example"}, 403),
        ({"Origin": "https://page.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
    ],
)
async def test_web_pages_are_not_let_in(home: Home, agent: AgentProcess, headers: dict[str, str], status: int) -> None:
    async with serving(home, agent) as door:
        answer = await door.client.post(MESSAGES, json=HI, headers=headers)
        assert answer.status_code == status
        assert door.intake.runs == (status == 200)


def context(tmp_path: Path, bind: str, **given: Any) -> tuple[HttpListener, AdapterContext]:
    listener = HttpListener(bind)
    log = logging.getLogger("missive.http")
    return listener, AdapterContext("http", options(**given), log, tmp_path, listener, lambda _: None)


def test_beyond_this_machine_it_asks_for_tokens(tmp_path: Path) -> None:
    listener, open_to_all = context(tmp_path, "0.0.0.0:0", auth="none")
    with pytest.raises(ConfigError, match="loopback"):
        HttpAdapter(open_to_all)
    HttpAdapter(replace(open_to_all, options=options()))
    with pytest.raises(ConfigError, match="tokens"):
        HttpAdapter(replace(open_to_all, options=options(), authenticate=None))
    with pytest.raises(ConfigError, match="in the gateway only"):
        HttpAdapter(replace(open_to_all, listener=None))
    listener.close()


# --- how often


async def test_too_many_requests(home: Home, agent: AgentProcess) -> None:
    async with serving(home, agent, rate_limit=1, burst=2) as door:
        assert [(await door.post(HI)).status_code for _ in range(3)] == [200, 200, 429]
        answer = await door.post(HI)
        assert 1 <= int(answer.headers["retry-after"]) <= 61
        assert (await door.get(f"{ROOT}/healthz")).status_code == 200


async def test_those_who_are_not_let_in_take_nothing_from_others(home: Home, agent: AgentProcess) -> None:
    with home.store() as store:
        async with serving(home, agent, auth="token", authenticate=Authenticator(store), rate_limit=1, burst=1) as door:
            a, b = bearer(create(door.core, "a")), bearer(create(door.core, "b"))
            for _ in range(5):
                assert (await door.post(HI, **bearer("msv_wrong"))).status_code == 401
            assert [(await door.post(HI, **who)).status_code for who in (a, a, b)] == [200, 429, 200]


def test_a_bucket_fills_again() -> None:
    clock = [0.0]
    buckets = Buckets(60, 2, clock=lambda: clock[0])

    def takes() -> bool:
        try:
            buckets.take("x")
        except ProblemError:
            return False
        return True

    assert [takes(), takes(), takes()] == [True, True, False]
    clock[0] = 0.9
    assert not takes()
    clock[0] = 1.0
    assert [takes(), takes()] == [True, False]
    clock[0] = 1000.0
    assert [takes(), takes(), takes()] == [True, True, False]
