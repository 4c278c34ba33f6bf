"""Agent Cards: where they are found, how long they are good for, and when they are fetched again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from msgspec import UNSET
from support.cores import assert_journal_agrees
from support.misbehaving import CARD_PATH, Exchange, in_turn, raw, reply

from missive_host import commands as c
from missive_host.demo.fleet import AgentSpec, Fleet
from missive_host.errors import AuthError, IoError, MissiveError, ProtocolError, TransportError, ValidationError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.cores import Commands, Home
    from support.misbehaving import Misbehaving, Start

    from missive_host.demo.fleet import AgentProcess

    Handler = Callable[[Exchange], None]

NAME = {"name": "carded", "supportedInterfaces": [], "capabilities": {}}


class Carded:
    """An agent whose card requests go to `card`; calls are answered with a message. `misbehaving` keeps the record."""

    def __init__(self, misbehaving: Start, card: Handler | None = None) -> None:
        self.card = card or self.give()
        self.server: Misbehaving = misbehaving(self._handle, card=False)
        self.url = self.server.url

    def give(self, *, headers: dict[str, str] | None = None, **changed: Any) -> Handler:
        """Return a handler that gives this server's card, changed."""

        def handle(exchange: Exchange) -> None:
            exchange.reply(200, {**self.server.card(), **changed}, headers=headers)

        return handle

    def _handle(self, exchange: Exchange) -> None:
        if exchange.request.method == "GET":
            self.card(exchange)
        else:
            exchange.result({"message": {"messageId": "m", "role": "ROLE_AGENT", "parts": [{"text": "ok"}]}})

    @property
    def fetches(self) -> list[Any]:
        return [request for request in self.server.requests if request.method == "GET"]


async def inspect(core: Commands, **fields: Any) -> Any:
    return await core.one(c.AgentInspect(agent="it", **fields))


# --- where it is found


@pytest.mark.parametrize("suffix", ["", "/", CARD_PATH])
async def test_by_base_url_or_full_url(home: Home, misbehaving: Start, suffix: str) -> None:
    agent = Carded(misbehaving)
    async with home.core() as core:
        core.add("it", agent.url + suffix)
        seen = await inspect(core)
        assert (seen.cache.status, seen.cache.discovery_url) == ("fetched", agent.url + CARD_PATH)
        assert seen.card.name == seen.raw_card["name"] == "misbehaving"
        assert [request.target for request in agent.fetches] == [CARD_PATH]
        assert (await core.one(c.Send(agent="it", message="hi"))).response.text == "ok"


async def test_under_a_path_and_at_the_old_place(home: Home, misbehaving: Start) -> None:
    def card(exchange: Exchange) -> None:
        if exchange.request.target == "/base/.well-known/agent.json":
            agent.give()(exchange)
        else:
            exchange.reply(404)

    agent = Carded(misbehaving, card)
    async with home.core() as core:
        core.add("it", agent.url + "/base/?x=1")
        seen = await inspect(core)
        assert seen.cache.discovery_url == agent.url + "/base/.well-known/agent.json"
        assert [request.target for request in agent.fetches] == [
            "/base/.well-known/agent-card.json", "/base/.well-known/agent.json",
        ]  # fmt: skip


async def test_in_a_local_file(home: Home, misbehaving: Start, tmp_path: Path) -> None:
    agent = Carded(misbehaving)
    file = tmp_path / "a card.json"
    file.write_text(json.dumps(agent.server.card()))
    async with home.core() as core:
        core.add("it", str(file))
        assert core.local(c.AgentShow(agent="it")).agent.base_url == file.as_uri()
        assert (await core.one(c.Send(agent="it", message="hi"))).response.text == "ok"
        assert agent.fetches == []
        # A file is read again each time: it costs nothing, and it may have been edited.
        file.write_text(json.dumps({**agent.server.card(), "name": "edited"}))
        assert (await inspect(core)).card.name == "edited"
        file.unlink()
        await core.fails(c.AgentInspect(agent="it"), IoError)


async def test_through_redirects(home: Home, misbehaving: Start) -> None:
    def card(exchange: Exchange) -> None:
        if exchange.request.target == CARD_PATH:
            exchange.reply(302, headers={"Location": "/elsewhere.json"})
        else:
            agent.give()(exchange)

    agent = Carded(misbehaving, card)
    async with home.core() as core:
        core.add("it", agent.url)
        assert (await inspect(core)).card.name == "misbehaving"


@pytest.mark.parametrize(
    "url", ["ftp://x", "nonsense", "http://", "http://user:secret@host", "http://user@host", "/no/such/file.json"]
)
async def test_addresses_that_are_refused(home: Home, url: str) -> None:
    async with home.core() as core:
        error = await core.fails(c.AgentAdd(agent="it", url=url), ValidationError)
        assert "secret" not in error.message


# --- how long it is good for


async def test_it_is_fetched_once(home: Home, misbehaving: Start) -> None:
    agent = Carded(misbehaving)
    agent.card = agent.give(headers={"Cache-Control": "public, max-age=60", "ETag": '"1"'})
    async with home.core() as core:
        core.add("it", agent.url)
        for _ in range(3):
            await core.one(c.Send(agent="it", message="hi"))
        seen = await inspect(core)
        assert (seen.cache.status, seen.cache.etag) == ("cached", '"1"')
    async with home.core() as core:  # also by another process
        await core.one(c.Send(agent="it", message="hi"))
        view = core.local(c.AgentShow(agent="it")).agent
        assert view.agent_card_etag == '"1"'
        assert view.agent_card_expires_at > view.agent_card_fetched_at
    assert len(agent.fetches) == 1


async def test_validators_and_not_modified(home: Home, misbehaving: Start) -> None:
    modified = "Wed, 21 Oct 2015 07:28:00 GMT"
    agent = Carded(misbehaving)
    validators = {"ETag": 'W/"1"', "Last-Modified": modified}
    agent.card = in_turn(
        agent.give(headers={"Cache-Control": "max-age=0", **validators}),
        reply(304, headers={"Cache-Control": "max-age=60"}),
        reply(304),
        agent.give(name="new", headers={"ETag": '"2"'}),
    )
    async with home.core() as core:
        core.add("it", agent.url)
        assert (await inspect(core)).cache.status == "fetched"
        again = await inspect(core)
        assert (again.cache.status, again.cache.etag, again.card.name) == ("not_modified", 'W/"1"', "misbehaving")
        assert again.cache.last_modified == modified
        assert (await inspect(core)).cache.status == "cached"  # the 304 said for how long
        assert (await inspect(core, refresh=True)).cache.status == "not_modified"
        last = await core.one(c.AgentRefresh(agent="it"))
        assert (last.kind, last.cache.status, last.card.name) == ("agent_refresh", "refreshed", "new")
        assert (last.cache.etag, last.cache.last_modified) == ('"2"', UNSET)
    first, *others = agent.fetches
    assert "if-none-match" not in first.headers
    for request in others:
        assert (request.headers["if-none-match"], request.headers["if-modified-since"]) == ('W/"1"', modified)


@pytest.mark.parametrize("directive", ["no-store", "no-cache", "max-age=0"])
async def test_cards_that_must_be_asked_for_each_time(home: Home, misbehaving: Start, directive: str) -> None:
    agent = Carded(misbehaving)
    agent.card = agent.give(headers={"Cache-Control": directive})
    async with home.core() as core:
        core.add("it", agent.url)
        for _ in range(3):
            await core.one(c.Send(agent="it", message="hi"))
    assert len(agent.fetches) == 3


@pytest.mark.parametrize("trouble", [reply(500), reply(503), raw(b""), raw(b"HTTP/1.1 nonsense\r\n\r\n")])
async def test_a_stale_card_is_better_than_none(home: Home, misbehaving: Start, trouble: Handler) -> None:
    agent = Carded(misbehaving)
    agent.card = in_turn(agent.give(headers={"Cache-Control": "max-age=0"}), trouble)
    async with home.core() as core:
        core.add("it", agent.url)
        await core.one(c.Send(agent="it", message="hi"))
        assert (await core.one(c.Send(agent="it", message="hi"))).response.text == "ok"
        assert (await inspect(core)).cache.status == "cached"
        # Who asks for a new one is told that there is none.
        await core.fails(c.AgentRefresh(agent="it"), TransportError)
        await core.fails(c.AgentInspect(agent="it", refresh=True), TransportError)


async def test_a_new_address_forgets_the_card(home: Home, misbehaving: Start) -> None:
    one, two = Carded(misbehaving), Carded(misbehaving)
    async with home.core() as core:
        core.add("it", one.url)
        await core.one(c.Send(agent="it", message="hi"))
        core.local(c.AgentUpdate(agent="it", url=two.url))
        await core.one(c.Send(agent="it", message="hi"))
        assert len(two.fetches) == 1
        assert "if-none-match" not in two.fetches[0].headers
        assert [request.method for request in two.server.requests] == ["GET", "POST"]


# --- cards that are none


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        pytest.param(reply(200, "<!DOCTYPE html><p>Welcome", content_type="text/html"), "an HTML page", id="HTML"),
        pytest.param(reply(200, ""), "an empty body", id="empty"),
        pytest.param(reply(200, "{"), "not A2A", id="truncated"),
        pytest.param(reply(200, "[]"), "not A2A", id="array"),
        pytest.param(reply(200, "null"), "not A2A", id="null"),
        pytest.param(reply(200, '"name"'), "not A2A", id="text"),
        pytest.param(reply(200, b"\xff\xfe"), "not A2A", id="not UTF-8"),
        pytest.param(reply(200, "{}"), "no name", id="empty object"),
        pytest.param(reply(200, {"name": 7}), "not A2A", id="wrong type"),
        pytest.param(reply(200, {**NAME, "supportedInterfaces": "x"}), "not A2A", id="wrong shape"),
        pytest.param(reply(200, {**NAME, "supportedInterfaces": [7]}), "not A2A", id="wrong element"),
        pytest.param(reply(200, {**NAME, "securitySchemes": ["x"]}), "not A2A", id="wrong map"),
        pytest.param(reply(200, {**NAME, "securitySchemes": {"x": None}}), "not A2A", id="null in a map"),
        pytest.param(reply(200, "[" * 100_000), "not A2A", id="deeply nested"),
    ],
)
async def test_answers_that_are_no_card(home: Home, misbehaving: Start, answer: Handler, said: str) -> None:
    agent = Carded(misbehaving, answer)
    async with home.core() as core:
        core.add("it", agent.url)
        error = await core.fails(c.AgentInspect(agent="it"), ProtocolError)
        assert said in error.message
        assert "card at http" in error.message
        await core.fails(c.Send(agent="it", message="hi"), ProtocolError)
        assert [row.status for row in core.requests()] == ["failed"], "nothing was sent"
        core.read(assert_journal_agrees)


@pytest.mark.parametrize("url", ["http://127.0.0.1:99999/a2a", "http://host:abc/", "http://[::1/x"])
async def test_an_address_in_a_card_that_is_none(home: Home, misbehaving: Start, url: str) -> None:
    interface = {"url": url, "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}
    agent = Carded(misbehaving, reply(200, {**NAME, "supportedInterfaces": [interface]}))
    async with home.core() as core:
        core.add("it", agent.url)
        error = await core.fails(c.Send(agent="it", message="hi"), ValidationError)
        assert "URL" in error.message
        assert [row.status for row in core.requests()] == ["failed"], "nothing was sent"


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (reply(404), TransportError, "HTTP 404"),
        (reply(500), TransportError, "HTTP 500"),
        (reply(401, headers={"WWW-Authenticate": "Bearer realm=x"}), AuthError, "asks for Bearer"),
        (reply(200, "x" * (1024 * 1024 + 1)), TransportError, "1048576"),
        (reply(302, headers={"Location": "/again.json"}), TransportError, "redirects more than 5"),
    ],
)
async def test_cards_that_cannot_be_had(
    home: Home, misbehaving: Start, answer: Handler, kind: type[MissiveError], said: str
) -> None:
    agent = Carded(misbehaving, answer)
    async with home.core() as core:
        core.add("it", agent.url)
        error = await core.fails(c.Send(agent="it", message="hi"), kind)
        assert said in error.message
        assert [row.status for row in core.requests()] == ["failed"]


async def test_a_file_that_is_too_large(home: Home, tmp_path: Path) -> None:
    file = tmp_path / "big.json"
    file.write_text("x" * (1024 * 1024 + 1))
    async with home.core() as core:
        core.add("it", str(file))
        await core.fails(c.AgentInspect(agent="it"), ValidationError)


async def test_members_that_nobody_knows_are_no_fault(home: Home, misbehaving: Start) -> None:
    agent = Carded(misbehaving)
    members: dict[str, Any] = {"x-extra": {"a": 1}, "futureField": [1], "iconUrl": "http://i"}
    agent.card = agent.give(**members)
    async with home.core() as core:
        core.add("it", agent.url)
        assert (await inspect(core)).card.icon_url == "http://i"


async def test_a_card_of_0_3_is_brought_into_the_new_shape(home: Home, misbehaving: Start) -> None:
    old = {
        "name": "old", "description": "d", "version": "1", "url": "http://old/rpc", "protocolVersion": "0.3.0",
        "preferredTransport": "JSONRPC",
        "additionalInterfaces": [{"transport": "HTTP+JSON", "url": "http://old/rest"}],
        "capabilities": {"streaming": True}, "defaultInputModes": ["text/plain"], "defaultOutputModes": [],
        "skills": [{"id": "s", "name": "S", "description": "", "tags": ["t"]}],
        "securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "X-Key"}},
        "security": [{"key": []}],
    }  # fmt: skip
    agent = Carded(misbehaving, reply(200, old))
    async with home.core() as core:
        core.add("it", agent.url)
        seen = await inspect(core)
        assert seen.card.protocol_versions == ("0.3.0",)
        assert [(i["protocolBinding"], i["url"]) for i in seen.card.supported_interfaces] == [
            ("JSONRPC", "http://old/rpc"), ("HTTP+JSON", "http://old/rest"),
        ]  # fmt: skip
        assert seen.selected_interface.protocol_version.startswith("0.3")
        assert seen.card.security_schemes == ("key",)
        error = await core.fails(c.Send(agent="it", message="hi"), AuthError)
        assert "X-Key" in error.message


async def test_a_card_for_both_versions_keeps_its_new_interfaces(home: Home, misbehaving: Start) -> None:
    agent = Carded(misbehaving)
    agent.card = agent.give(
        url=agent.url + "/old", preferredTransport="JSONRPC", protocolVersion="0.3.0",
        additionalInterfaces=[{"transport": "JSONRPC", "url": agent.url + "/old"}],
    )  # fmt: skip
    async with home.core() as core:
        core.add("it", agent.url)
        selected = (await inspect(core)).selected_interface
        assert (selected.url, selected.protocol_version) == (agent.url, "1.0")
        assert (await core.one(c.Send(agent="it", message="hi"))).response.text == "ok"


# --- when it proves out of date


async def test_an_agent_that_moved_is_found_again(home: Home, misbehaving: Start) -> None:
    """The card has a new interface, and nothing listens at the old one."""
    old, new = Carded(misbehaving), Carded(misbehaving)
    registry = Carded(misbehaving)
    registry.card = in_turn(old.give(), new.give())
    async with home.core() as core:
        core.add("it", registry.url)
        await core.one(c.Send(agent="it", message="one"))
        old.server.stop()
        assert (await core.one(c.Send(agent="it", message="two"))).selected_interface.url == new.url
        assert (await core.one(c.Send(agent="it", message="three"))).response.text == "ok"
        assert len(registry.fetches) == 2
        calls = [request.json()["params"]["message"] for request in new.server.requests]
        assert [call["parts"][0]["text"] for call in calls] == ["two", "three"]
        assert [call["messageId"] for call in calls] == [row.message_id for row in core.requests()[1:]]
        core.read(assert_journal_agrees)


@pytest.mark.parametrize("binding", ["json-rpc", "http+json", "grpc"])
async def test_a_restarted_agent_is_found_at_its_new_port(home: Home, tmp_path: Path, binding: str) -> None:
    from missive_host.demo.server import listen

    listening = listen(0)
    port: int = listening.getsockname()[1]
    listening.close()
    first = AgentSpec("it", bindings=("json-rpc", "http+json", "grpc"), port=port)
    file = tmp_path / "card.json"

    def publish(agent: AgentProcess) -> None:
        interfaces = [
            {"protocolBinding": name, "protocolVersion": "1.0", "url": url} for name, url in agent.interfaces.items()
        ]
        file.write_text(json.dumps({"name": "it", "capabilities": {"streaming": True},
                                    "supportedInterfaces": interfaces}))  # fmt: skip

    async with home.core() as core:
        with Fleet([first]) as fleet:
            publish(fleet["it"])
            core.add("it", str(file), binding)
            asked = await core.one(c.Send(agent="it", message="echo one"))
        with Fleet([AgentSpec("it", bindings=("json-rpc", "http+json", "grpc"))]) as fleet:
            publish(fleet["it"])
            again = await core.one(c.Send(agent="it", message="echo two"))
            assert again.response.text == "two"
            assert again.selected_interface.url != asked.selected_interface.url
            outputs = await core.all(c.Stream(agent="it", message="stream 1"))
            assert outputs[-1].data.final_state == "completed"  # type: ignore[attr-defined]
        core.read(assert_journal_agrees)


VERSION_ERROR = {"jsonrpc": "2.0", "id": 1, "error": {"code": -32009, "message": "not that version"}}


async def test_a_refused_version_fetches_the_card_and_tries_the_new_interface(home: Home, misbehaving: Start) -> None:
    seen: list[str] = []

    def handle(exchange: Exchange) -> None:
        if exchange.request.method == "GET":
            path = "/old" if not seen else "/new"
            interface = {"url": server.url + path, "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}
            exchange.reply(200, {**server.card(), "supportedInterfaces": [interface]})
            return
        seen.append(exchange.request.target)
        if exchange.request.target == "/old":
            exchange.reply(200, VERSION_ERROR)
        else:
            exchange.result({"message": {"messageId": "m", "role": "ROLE_AGENT", "parts": [{"text": "ok"}]}})

    server = misbehaving(handle, card=False)
    async with home.core() as core:
        core.add("it", server.url)
        assert (await core.one(c.Send(agent="it", message="hi"))).response.text == "ok"
        assert seen == ["/old", "/new"]
        assert len(core.requests()) == 1


async def test_a_refused_version_that_a_new_card_does_not_cure(home: Home, misbehaving: Start) -> None:
    server = misbehaving(reply(200, VERSION_ERROR))
    async with home.core() as core:
        core.add("it", server.url)
        error = await core.fails(c.Send(agent="it", message="hi"), ProtocolError)
        assert error.a2a is not None
        assert error.a2a.name == "VersionNotSupportedError"
        assert "--protocol-version" in (error.help or "")
        assert (len(server.requests), server.card_requests) == (1, 2)
