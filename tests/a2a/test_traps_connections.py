"""Connections: as many as there are calls at once and no more, and one TLS context for all of them."""

from __future__ import annotations

import json
import ssl
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from raw_http import CHUNKED, RawServer, Reader, Writer, make_certificate
from support.cores import QUICK, assert_journal_agrees

from missive_host import commands as c

if TYPE_CHECKING:
    from pathlib import Path

    from support.cores import Home

    from missive_host.demo.fleet import AgentProcess

MESSAGE = {"message": {"messageId": "m", "role": "ROLE_AGENT", "parts": [{"text": "ok"}]}}


class Counted:
    """An agent that counts its connections and waits until `together` calls are in flight before it answers one."""

    def __init__(self, binding: str, *, together: int = 1, tls: ssl.SSLContext | None = None) -> None:
        self.server = RawServer(self._handle, tls=tls)
        self._binding = binding
        self._together = together
        self._waiting = 0
        self._full = anyio.Event()
        self.most = 0

    async def _handle(self, server: RawServer, number: int, reader: Reader, writer: Writer) -> None:
        while request := await server.read(number, reader):
            self._waiting += 1
            self.most = max(self.most, self._waiting)
            if self._waiting >= self._together:
                self._full.set()
            await self._full.wait()
            self._waiting -= 1
            document = json.loads(request.body)
            answer: dict[str, Any] = MESSAGE
            if self._binding == "JSONRPC":
                answer = {"jsonrpc": "2.0", "id": document["id"], "result": MESSAGE}
            body = json.dumps(answer).encode()
            if b"event-stream" in request.headers["accept"].encode():
                event = b"data: " + body + b"\n\n"
                writer.write(
                    CHUNKED.replace(b"text/plain", b"text/event-stream") + b"%x\r\n%s\r\n" % (len(event), event)
                )
                await writer.drain()
                await anyio.sleep(0)  # the end comes in a segment of its own
                writer.write(b"0\r\n\r\n")
            else:
                head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
                writer.write(head % len(body) + body)
            await writer.drain()

    def card(self, home: Home) -> str:
        """Return the path of a file with the agent's card."""
        file = home.folder / f"card-{self.server.port}.json"
        interface = {"url": self.server.url, "protocolBinding": self._binding, "protocolVersion": "1.0"}
        file.write_text(
            json.dumps({"name": "counted", "capabilities": {"streaming": True}, "supportedInterfaces": [interface]})
        )
        return str(file)


@pytest.mark.parametrize("binding", ["JSONRPC", "HTTP+JSON"])
async def test_64_in_flight_use_64_connections_for_640_calls(home: Home, binding: str) -> None:
    agent = Counted(binding, together=64)
    async with agent.server, home.core() as core:
        core.add("a", agent.card(home))
        left = iter(range(640))

        async def work() -> None:
            for _ in left:
                await core.one(c.Send(agent="a", message="hi"))

        async with anyio.create_task_group() as group:
            for _ in range(64):
                group.start_soon(work)
        assert agent.most == 64
        assert agent.server.connections <= 64
        assert len(agent.server.requests) == 640
        assert len(core.requests()) == 640
        core.read(assert_journal_agrees)


@pytest.mark.parametrize("binding", ["JSONRPC", "HTTP+JSON"])
async def test_a_message_that_ends_a_stream_does_not_cost_the_connection(home: Home, binding: str) -> None:
    agent = Counted(binding)
    async with agent.server, home.core() as core:
        core.add("a", agent.card(home))
        for _ in range(10):
            assert len(await core.all(c.Stream(agent="a", message="hi"))) == 2
            await core.one(c.Send(agent="a", message="hi"))
        assert agent.server.connections == 1
        assert len(agent.server.requests) == 20


async def test_all_of_a_process_share_one_tls_context(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make_certificate(tmp_path)
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs.load_cert_chain(made.certificate, made.key)
    contexts: list[ssl.SSLContext] = []
    create = ssl.create_default_context

    def counting(*args: Any, **kwargs: Any) -> ssl.SSLContext:
        contexts.append(create(*args, **kwargs))
        return contexts[-1]

    monkeypatch.setattr(ssl, "create_default_context", counting)
    monkeypatch.setenv("SSL_CERT_FILE", str(made.certificate))
    agents = [Counted("JSONRPC", tls=theirs), Counted("HTTP+JSON", tls=theirs)]
    async with agents[0].server, agents[1].server, home.core() as core:
        for number, agent in enumerate(agents):
            core.add(f"a{number}", agent.card(home))
        for _ in range(3):
            for number in range(2):
                await core.one(c.Send(agent=f"a{number}", message="hi"))
                await core.all(c.Stream(agent=f"a{number}", message="hi"))
        assert [agent.server.connections for agent in agents] == [1, 1]
        assert len(contexts) == 1


async def test_plain_http_needs_no_tls_context(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: Any, **_kwargs: Any) -> ssl.SSLContext:
        raise AssertionError("reading the CA bundle takes longer than a call")

    monkeypatch.setattr(ssl, "create_default_context", refuse)
    agent = Counted("JSONRPC")
    async with agent.server, home.core() as core:
        core.add("a", agent.card(home))
        await core.one(c.Send(agent="a", message="hi"))


@pytest.mark.parametrize("binding", ["json-rpc", "http+json", "grpc"])
async def test_side_by_side_on_a_real_agent(home: Home, agent: AgentProcess, binding: str) -> None:
    """Calls and streams of all sorts at once, none of which sees another one's answer."""
    home.configure(QUICK)
    async with home.core() as core:
        core.add("a", agent)

        async def send(number: int) -> None:
            answer = await core.one(c.Send(agent="a", message=f"echo {number}", binding=binding))
            assert answer.response.text == str(number)

        async def stream(number: int) -> None:
            outputs = await core.all(c.Stream(agent="a", message=f"stream {number % 4 + 1}", binding=binding))
            assert len(outputs) == 2 + 2 * (number % 4 + 1) + 2

        async with anyio.create_task_group() as group:
            for number in range(60):
                group.start_soon(stream if number % 3 == 0 else send, number)
        assert {row.status for row in core.requests()} == {"sent"}
        core.read(assert_journal_agrees)
