"""Signed webhooks become messages."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from http_kit import ROOT, Door, checked, options, serving
from missive_http.documents import ProblemError
from missive_http.webhooks import routes_of
from support.secrets import planted

from missive_host.errors import ConfigError, MissiveError
from missive_host.security.secrets import Secret

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx
    from support.cores import Home

    from missive_host.demo.fleet import AgentProcess

GITHUB = planted("github")
KEY = planted("webhook").encode()
STANDARD = "whsec_" + base64.b64encode(KEY).decode()
ENVIRON = {"GITHUB_SECRET": GITHUB, "STANDARD_SECRET": STANDARD}
ROUTES = {
    "repo": {"scheme": "github", "secret": {"secret": "env:GITHUB_SECRET"}, "agent": "echo", "message": "echo-parts"},
    "shop": {"scheme": "standard", "secret": {"secret": "env:STANDARD_SECRET"}, "agent": "echo"},
}
BODY = json.dumps({"action": "opened", "number": 7}).encode()


def github(body: bytes, secret: str = GITHUB, delivery: str = "d-1", event: str = "issues") -> dict[str, str]:
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {"X-Hub-Signature-256": f"sha256={digest}", "X-GitHub-Delivery": delivery, "X-GitHub-Event": event}


def standard(body: bytes, key: bytes = KEY, delivery: str = "msg_1", at: float | None = None) -> dict[str, str]:
    moment = str(int(time.time() if at is None else at))
    digest = base64.b64encode(hmac.new(key, f"{delivery}.{moment}.".encode() + body, hashlib.sha256).digest()).decode()
    return {"webhook-id": delivery, "webhook-timestamp": moment, "webhook-signature": f"v1,AAAA v1,{digest}"}


async def call(door: Door, route: str, headers: dict[str, str], body: bytes = BODY) -> httpx.Response:
    answer = await door.client.post(
        f"{ROOT}/v1/hooks/{route}", content=body, headers={"Content-Type": "application/json", **headers}
    )
    for secret in (GITHUB, STANDARD):
        assert secret not in answer.text
    return checked(answer)


async def test_an_event_of_github_becomes_a_message(home: Home, agent: AgentProcess) -> None:
    async with serving(home, agent, routes=ROUTES, environ=ENVIRON) as door:
        answer = await call(door, "repo", github(BODY))
        assert answer.status_code == 202
        document = (await door.get(answer.headers["location"], Prefer="wait=20")).json()
        parts = document["outputs"][0]["data"]["response"]["raw"]["parts"]
        assert {"action": "opened", "number": 7} in [part.get("data") for part in parts]
        metadata = document["outputs"][0]["data"]["request"]["metadata"]
        assert metadata["webhook.x-github-event"] == "issues"
        assert metadata["webhook.route"] == "repo"


async def test_what_comes_again_is_not_run_again(home: Home, agent: AgentProcess) -> None:
    async with serving(home, agent, routes=ROUTES, environ=ENVIRON) as door:
        for route, headers in (("repo", github(BODY)), ("shop", standard(BODY))):
            first, second = await call(door, route, headers), await call(door, route, headers)
            assert (first.status_code, second.status_code) == (202, 202)
            assert second.json()["receipt_id"] == first.json()["receipt_id"]
        assert door.intake.runs == 2
        other = b'{"action":"closed"}'
        assert (await call(door, "repo", github(other), other)).status_code == 422


async def test_a_ping_is_no_message(home: Home) -> None:
    async with serving(home, routes=ROUTES, environ=ENVIRON) as door:
        assert (await call(door, "repo", github(BODY, event="ping"))).status_code == 204
        assert door.intake.kept == {}


@pytest.mark.parametrize(
    ("route", "headers"),
    [
        ("repo", dict),
        ("repo", lambda: github(BODY, secret="another")),
        ("repo", lambda: github(BODY + b" ")),
        ("repo", lambda: {**github(BODY), "X-Hub-Signature-256": "sha1=abc"}),
        ("repo", lambda: {**github(BODY), "X-Hub-Signature-256": ""}),
        ("shop", dict),
        ("shop", lambda: standard(BODY, key=b"another key of that length")),
        ("shop", lambda: standard(BODY, at=time.time() - 400)),
        ("shop", lambda: standard(BODY, at=time.time() + 400)),
        ("shop", lambda: {**standard(BODY), "webhook-id": "msg_2"}),
        ("shop", lambda: {**standard(BODY), "webhook-timestamp": "soon"}),
    ],
)
async def test_what_is_not_signed_is_refused(home: Home, route: str, headers: Callable[[], dict[str, str]]) -> None:
    async with serving(home, routes=ROUTES, environ=ENVIRON) as door:
        assert (await call(door, route, headers())).status_code == 401
        assert door.intake.kept == {}


async def test_other_refusals(home: Home) -> None:
    async with serving(home, routes=ROUTES, environ=ENVIRON) as door:
        assert (await call(door, "nothing", github(BODY))).status_code == 404
        assert (await call(door, "repo", github(b"{"), b"{")).status_code == 400
        form = {**github(b"payload=x"), "Content-Type": "application/x-www-form-urlencoded"}
        assert (await call(door, "repo", form, b"payload=x")).status_code == 415
        assert (await call(door, "repo", github(BODY, delivery="a b"))).status_code == 400


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"scheme": "github", "agent": "echo"}, "secret: expected a reference"),
        ({"scheme": "gitlab", "agent": "echo", "secret": Secret("s")}, "field `scheme`"),
        ({"scheme": "github", "secret": Secret("s")}, "`agent` or `group`"),
        ({"scheme": "github", "secret": Secret("s"), "agent": "a", "group": "b"}, "`agent` or `group`"),
        ({"scheme": "github", "secret": Secret("s"), "agent": "a", "mesage": "x"}, "mesage"),
        ({"scheme": "standard", "secret": Secret("short"), "agent": "a"}, "Standard Webhooks"),
        ("github", "expected a table"),
    ],
)
def test_routes_that_cannot_be(table: Any, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        routes_of({"r": table}, "http")
    assert said in caught.value.message
    assert "short" not in str(caught.value)


def test_secrets_in_tables_are_resolved() -> None:
    from missive_host.security.secrets import secrets_in

    found = options(routes=ROUTES, environ=ENVIRON)
    assert [secret.reveal() for secret in secrets_in(found)] == [GITHUB, STANDARD]
    assert GITHUB not in repr(found)
    with pytest.raises(MissiveError, match="GITHUB_SECRET"):
        options(routes=ROUTES, environ={})
    with pytest.raises(MissiveError, match="expected a table"):
        options(routes="x")


def test_the_clock_of_a_route() -> None:
    (route,) = routes_of({"shop": {"scheme": "standard", "secret": Secret(STANDARD), "agent": "echo"}}, "http").values()
    assert route.verify(standard(b"x"), b"x") == "msg_1"
    with pytest.raises(ProblemError):
        route.verify({**standard(b"x"), "webhook-signature": "v1,"}, b"x")
