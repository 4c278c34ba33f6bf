"""What goes along with a call: versions, extensions, parameters, credentials, the tenant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from support.agents import BEARER_TOKEN
from support.cores import BINDINGS, QUICK, assert_journal_agrees
from support.misbehaving import Exchange
from support.secrets import planted

from missive_host import commands as c
from missive_host.demo.behaviours import fingerprint
from missive_host.demo.fleet import AgentSpec, Fleet
from missive_host.errors import AuthError, ConfigError, MissiveError, ValidationError

if TYPE_CHECKING:
    from support.cores import Commands, Home
    from support.misbehaving import Start

    from missive_host.demo.fleet import AgentProcess

WRONG = planted("wrong")

EXTENSION = "https://example.com/ext/v1"


async def seen_by(core: Commands, agent: str, binding: str | None = None) -> dict[str, Any]:
    """Return what the agent saw of a request."""
    answer = await core.one(c.Send(agent=agent, message="headers", binding=binding))
    seen: dict[str, Any] = answer.response.raw["parts"][1]["data"]
    return seen


@pytest.mark.parametrize("binding", BINDINGS)
async def test_version_extensions_and_parameters(home: Home, agent: AgentProcess, binding: str) -> None:
    home.configure(
        QUICK + f'[protocol]\nextensions = ["{EXTENSION}"]\nservice_parameters = {{ X-Region = "eu", X-Team = "a" }}\n'
    )
    flags: dict[str, Any] = {
        "extensions": ["urn:two"],
        "service_params": ["x-team=b", "X-More=c"],
        "headers": ["X-Own: d"],
    }
    async with home.core(**flags) as core:
        core.add("a", agent)
        seen = await seen_by(core, "a", binding)
        assert seen["a2a-version"] == "1.0"
        assert seen["a2a-extensions"] == f"{EXTENSION}, urn:two"
        assert {"x-region", "x-team", "x-more", "x-own"} <= set(seen["names"])
        assert seen["names"].count("x-team") == 1, "a flag replaces what the config says, whatever its case"
        assert seen["authorization"] is None
        stream = await core.all(c.Stream(agent="a", message="headers", binding=binding))
        streamed = stream[0].data.raw["message"]["parts"][1]["data"]  # type: ignore[attr-defined]
        assert streamed["a2a-extensions"] == seen["a2a-extensions"]
        assert {"x-region", "x-team", "x-more", "x-own"} <= set(streamed["names"])


@pytest.mark.parametrize("binding", ["json-rpc", "http+json"])
async def test_a_version_that_the_agent_refuses(home: Home, agent: AgentProcess, binding: str) -> None:
    async with home.core(protocol_version="2.0") as core:
        core.add("a", agent, binding)
        with pytest.raises(MissiveError) as caught:
            await core.all(c.Send(agent="a", message="hi"))
        assert caught.value.a2a is not None
        assert caught.value.a2a.name == "VersionNotSupportedError"


@pytest.mark.parametrize("protocol", ["1.0", "0.3"])
async def test_the_version_fits_the_interface(home: Home, protocol: str, request: pytest.FixtureRequest) -> None:
    agent = request.getfixturevalue("agent" if protocol == "1.0" else "agent_03")
    home.configure(QUICK + f'[protocol]\nprotocol_version = "0.3"\nextensions = ["{EXTENSION}"]\n')
    async with home.core() as core:
        core.add("a", agent)
        seen = await seen_by(core, "a")
        assert seen["a2a-version"] == protocol
        assert seen["a2a-extensions"] == EXTENSION
        assert seen["x-a2a-extensions"] == (EXTENSION if protocol == "0.3" else None)  # its name before 1.0


@pytest.mark.parametrize("binding", BINDINGS)
@pytest.mark.parametrize("tenant", ["acme"])
async def test_the_tenant_of_the_interface_is_sent_verbatim(home: Home, binding: str, tenant: str) -> None:
    with Fleet([AgentSpec("t", bindings=("json-rpc", "http+json", "grpc"), tenant=tenant)]) as fleet:
        async with home.core() as core:
            core.add("a", fleet["t"], binding)
            seen = await seen_by(core, "a")
            assert seen["tenant"] == tenant
            task = await core.one(c.Send(agent="a", message="task"))
            assert task.selected_interface.tenant == tenant
            got = await core.one(c.TaskGet(task_id=task.response.task_id, remote=True))
            assert got.task.state == "completed"
            listed = await core.one(c.TaskList(agent="a", remote=True))
            assert task.response.task_id in {view.task_id for view in listed.tasks}
            outputs = await core.all(c.Stream(agent="a", message="stream 1"))
            assert outputs[-1].data.final_state == "completed"  # type: ignore[attr-defined]


@pytest.mark.parametrize("binding", ["JSONRPC", "HTTP+JSON"])
async def test_an_odd_tenant_survives_the_road(home: Home, misbehaving: Start, binding: str) -> None:
    """A tenant is opaque (A2A spec 4.4.6): a segment of the path or more, and a member of the body."""

    def handle(exchange: Exchange) -> None:
        if exchange.request.method == "GET":
            interface = {"url": server.url + "/x/", "protocolBinding": binding, "protocolVersion": "1.0",
                         "tenant": "a/b c%é"}  # fmt: skip
            exchange.reply(200, {**server.card(), "supportedInterfaces": [interface]})
        else:
            message = {"messageId": "m", "role": "ROLE_AGENT", "parts": [{"text": "ok"}]}
            whole = {"message": message}
            exchange.reply(200, whole if binding == "HTTP+JSON" else {"jsonrpc": "2.0", "id": 1, "result": whole})

    server = misbehaving(handle, card=False)
    async with home.core() as core:
        core.add("a", server.url)
        await core.one(c.Send(agent="a", message="hi"))
        call = server.requests[-1]
        if binding == "HTTP+JSON":
            assert call.target == "/x/a/b%20c%25%C3%A9/message:send"
            assert call.json()["tenant"] == "a/b c%é"
        else:
            assert call.target == "/x/"
            assert call.json()["params"]["tenant"] == "a/b c%é"


# --- credentials


@pytest.mark.parametrize("binding", BINDINGS)
async def test_a_credential_is_asked_for_before_anything_is_sent(
    home: Home, bearer_agent: AgentProcess, binding: str
) -> None:
    async with home.core() as core:
        core.add("safe", bearer_agent, binding)
        for command in (
            c.Send(agent="safe", message="hi"),
            c.Stream(agent="safe", message="hi"),
            c.TaskList(agent="safe", remote=True),
        ):
            error = await core.fails(command, AuthError)
            assert error.exit_code == 77
            assert "HTTP bearer credential" in error.message.replace("Bearer", "bearer")
            assert "--bearer-token-env" in (error.help or "")
            assert "auth_refs.safe" in (error.help or "")
        assert {row.status for row in core.requests()} == {"failed"}
        core.read(assert_journal_agrees)


@pytest.mark.parametrize("binding", BINDINGS)
@pytest.mark.secrets_in("home/state/*")  # a message is kept as it was written, to be sent again
@pytest.mark.parametrize("way", ["flag", "header", "auth ref"])
async def test_ways_to_give_a_credential(home: Home, bearer_agent: AgentProcess, binding: str, way: str) -> None:
    home.environ["TOKEN"] = BEARER_TOKEN
    flags: dict[str, Any] = {}
    if way == "flag":
        flags["bearer_token_env"] = "TOKEN"
    elif way == "header":
        flags["headers"] = [f"authorization: Bearer {BEARER_TOKEN}"]
    else:
        home.configure(QUICK + '[auth_refs.mine]\nenv = "TOKEN"\n')
    async with home.core(**flags) as core:
        core.add("safe", bearer_agent, binding, auth_ref="mine" if way == "auth ref" else None)
        seen = await seen_by(core, "safe")
        assert seen["authorization"] == fingerprint(f"Bearer {BEARER_TOKEN}")
        outputs = await core.all(c.Stream(agent="safe", message="stream 1"))
        assert outputs[-1].data.final_state == "completed"  # type: ignore[attr-defined]
        # An agent that sends the token back does not get it into our output.
        echoed = await core.one(c.Send(agent="safe", message=f"echo {BEARER_TOKEN}"))
        assert BEARER_TOKEN not in repr(echoed)


async def test_which_credential_wins(home: Home, bearer_agent: AgentProcess) -> None:
    """Auth ref, then --bearer-token-env, then --header; of one header there is one."""
    home.environ.update(REF=planted("auth-ref"), FLAG=planted("flag"))
    home.configure(QUICK + '[auth_refs.mine]\nenv = "REF"\n')
    right = f"Authorization: Bearer {BEARER_TOKEN}"
    async with home.core() as core:
        core.add("safe", bearer_agent, auth_ref="mine")
        error = await core.fails(c.Send(agent="safe", message="hi"), AuthError)
        assert error.a2a is not None
        assert error.a2a.http_status == 401
        assert "asks for Bearer" in error.message
    home.environ["REF"] = BEARER_TOKEN
    async with home.core(bearer_token_env="FLAG") as core:
        await core.fails(c.Send(agent="safe", message="hi"), AuthError)
    async with home.core(bearer_token_env="FLAG", headers=[right]) as core:
        seen = await seen_by(core, "safe")
        assert seen["names"].count("authorization") == 1


@pytest.mark.parametrize("binding", BINDINGS)
async def test_a_wrong_credential(home: Home, bearer_agent: AgentProcess, binding: str) -> None:
    async with home.core(headers=[f"Authorization: Bearer {WRONG}"]) as core:
        core.add("safe", bearer_agent, binding)
        for command in (c.Send(agent="safe", message="hi"), c.Stream(agent="safe", message="hi")):
            error = await core.fails(command, AuthError)
            assert error.help
            assert WRONG not in str(core.core.report(error))
        assert {row.status for row in core.requests()} == {"failed"}


async def test_several_headers_of_one_auth_ref(home: Home, agent: AgentProcess) -> None:
    home.environ.update(KEY=planted("key"), TOKEN=planted("token"))
    home.configure(
        QUICK + '[[auth_refs.mine.headers]]\nenv = "KEY"\nheader = "X-Key"\nscheme = ""\n'
        '[[auth_refs.mine.headers]]\nenv = "TOKEN"\n'
    )
    async with home.core() as core:
        core.add("a", agent, auth_ref="mine")
        seen = await seen_by(core, "a")
        assert seen["authorization"] == fingerprint("Bearer " + planted("token"))
        assert "x-key" in seen["names"]


async def test_auth_refs_that_do_not_work(home: Home, agent: AgentProcess) -> None:
    home.configure(QUICK + '[auth_refs.mine]\nenv = "NOT_SET"\n')
    async with home.core() as core:
        await core.fails(c.AgentAdd(agent="x", url=agent.url, auth_ref="mien"), ValidationError)
        core.add("a", agent, auth_ref="mine")
        unset = await core.fails(c.Send(agent="a", message="hi"), AuthError)
        assert "NOT_SET" in unset.message
    home.configure(QUICK)
    async with home.core() as core:
        unknown = await core.fails(c.Send(agent="a", message="hi"), ConfigError)
        assert "'mine'" in unknown.message
        assert [row.status for row in core.requests()] == ["failed", "failed"]


SCHEMES = {
    "bearer": {"httpAuthSecurityScheme": {"scheme": "Bearer"}},
    "key": {"apiKeySecurityScheme": {"location": "header", "name": "X-Key"}},
    "cookie": {"apiKeySecurityScheme": {"location": "cookie", "name": "sid"}},
    "query": {"apiKeySecurityScheme": {"location": "query", "name": "k"}},
    "oauth": {"oauth2SecurityScheme": {"flows": {}}},
    "mtls": {"mtlsSecurityScheme": {}},
}


@pytest.mark.parametrize(
    ("requirements", "headers", "lacking"),
    [
        ([], [], None),
        ([["bearer"]], [], "an HTTP Bearer credential (scheme 'bearer')"),
        ([["bearer"]], ["Authorization: Bearer x"], None),
        ([["key"]], ["Authorization: Bearer x"], "an API key in the header X-Key"),
        ([["key"]], ["x-KEY: 1"], None),
        ([["key", "bearer"]], ["X-Key: 1"], "an HTTP Bearer credential"),
        ([["key"], ["bearer"]], ["X-Key: 1"], None),
        ([["key"], []], [], None),
        ([["oauth"], ["key"]], [], "an OAuth 2.0 access token (scheme 'oauth') or an API key in the header X-Key"),
        ([["cookie"]], [], "an API key in the cookie sid"),
        ([["cookie"]], ["Cookie: sid=1"], None),
        ([["query"]], ["X-Key: 1"], "query parameter k, which missive does not send"),
        ([["mtls"]], [], None),
        ([["unheard-of"]], [], None),
    ],
)
async def test_what_a_card_asks_for(
    home: Home, misbehaving: Start, requirements: list[list[str]], headers: list[str], lacking: str | None
) -> None:
    def handle(exchange: Exchange) -> None:
        if exchange.request.method == "GET":
            wanted: list[Any] = [{"schemes": {name: {"list": []} for name in names}} for names in requirements]
            exchange.reply(200, {**server.card(), "securitySchemes": SCHEMES, "securityRequirements": wanted})
        else:
            exchange.result({"message": {"messageId": "m", "role": "ROLE_AGENT", "parts": [{"text": "ok"}]}})

    server = misbehaving(handle, card=False)
    async with home.core(headers=headers) as core:
        core.add("a", server.url)
        if lacking is None:
            await core.one(c.Send(agent="a", message="hi"))
        else:
            error = await core.fails(c.Send(agent="a", message="hi"), AuthError)
            assert lacking in error.message
            assert [request.method for request in server.requests] == ["GET"]
