"""The HTTP client over TLS and through proxies, with real handshakes and a real CONNECT."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest
from raw_http import CHUNKED, Certificate, RawServer, Reader, Writer, answering, chunk, make_certificate, ok

from missive_host.a2a.http import HttpClient
from missive_host.a2a.http_head import parse_url
from missive_host.a2a.proxy import Proxies
from missive_host.errors import ConfigError, TransportError


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def agent_certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("tls"), "agent.test")


def server_context(made: Certificate, *, alpn: tuple[str, ...] = ("h2", "http/1.1")) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.certificate, made.key)
    context.set_alpn_protocols(list(alpn))
    return context


def trusting(made: Certificate, **environ: str) -> HttpClient:
    return HttpClient(environ={"SSL_CERT_FILE": str(made.certificate), **environ})


# ---------------------------------------------------------------------- TLS


async def test_https_with_reuse_server_name_and_alpn(certificate: Certificate) -> None:
    names: list[str | None] = []
    protocols: list[str | None] = []
    context = server_context(certificate)
    context.sni_callback = lambda _connection, name, _context: names.append(name)

    async def handle(server: RawServer, number: int, reader: Reader, writer: Writer) -> None:
        protocols.append(writer.get_extra_info("ssl_object").selected_alpn_protocol())
        while request := await server.read(number, reader):
            writer.write(ok(request.body))

    async with RawServer(handle, tls=context) as server, trusting(certificate) as client:
        for size in (0, 1, 1_000_000, 3):
            assert (await client.request("POST", server.url, body=b"x" * size)).body == b"x" * size
    assert (names, protocols) == (["localhost"], ["http/1.1"])
    assert server.requests[0].headers["host"] == f"localhost:{server.port}"
    assert server.connections == 1


async def test_a_folder_of_certificates_is_honoured(certificate: Certificate, tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        "openssl", "x509", "-hash", "-noout", "-in", str(certificate.certificate), stdout=asyncio.subprocess.PIPE
    )
    name, _ = await process.communicate()
    (tmp_path / f"{name.decode().strip()}.0").write_bytes(certificate.certificate.read_bytes())
    client = HttpClient(environ={"SSL_CERT_DIR": str(tmp_path)})
    async with RawServer(answering(ok()), tls=server_context(certificate)) as server, client:
        assert (await client.request("GET", server.url)).body == b"ok"


async def test_a_server_that_closed_while_idle_is_noticed_under_tls(certificate: Certificate) -> None:

    async def handle(server: RawServer, number: int, reader: Reader, writer: Writer) -> None:
        await server.read(number, reader)
        writer.write(ok())
        await go.wait()
        go.clear()
        writer.close()
        gone.set()

    go, gone = asyncio.Event(), asyncio.Event()
    async with RawServer(handle, tls=server_context(certificate)) as server, trusting(certificate) as client:
        for count in range(1, 4):
            await client.request("POST", server.url, body=b"{}")
            go.set()
            await gone.wait()
            gone.clear()
            assert len(server.requests) == count
    assert server.connections == 3


async def test_bytes_after_an_answer_spoil_the_connection_under_tls(certificate: Certificate) -> None:
    """They can come as a record of their own within the same segment: then they wait inside TLS, not in the socket."""

    async def handle(server: RawServer, number: int, reader: Reader, writer: Writer) -> None:
        while await server.read(number, reader):
            writer.writelines([ok(b"mine" * 4096), ok(b"nobody's")])

    async with RawServer(handle, tls=server_context(certificate)) as server, trusting(certificate) as client:
        for _ in range(3):
            assert (await client.request("GET", server.url)).body == b"mine" * 4096
    assert server.connections == 3


async def test_a_certificate_that_nobody_vouches_for(certificate: Certificate) -> None:
    async with RawServer(answering(ok()), tls=server_context(certificate)) as server, HttpClient(environ={}) as client:
        with pytest.raises(TransportError, match="is not accepted: self-signed certificate") as caught:
            await client.request("POST", server.url, body=b"{}")
    assert not caught.value.sent
    assert f"https://localhost:{server.port}" in caught.value.message
    assert "SSL_CERT_FILE" in (caught.value.help or "")
    assert server.requests == []


async def test_a_certificate_for_another_host(agent_certificate: Certificate) -> None:
    async with (
        RawServer(answering(ok()), tls=server_context(agent_certificate)) as server,
        trusting(agent_certificate) as client,
    ):
        with pytest.raises(TransportError, match="Hostname mismatch") as caught:
            await client.request("POST", server.url, body=b"{}")
    assert not caught.value.sent


async def test_https_to_a_plain_port_and_http_to_a_tls_port(certificate: Certificate) -> None:
    async def plain(server: RawServer, number: int, reader: Reader, writer: Writer) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with trusting(certificate) as client:
        async with RawServer(plain) as server:
            with pytest.raises(TransportError, match="no TLS connection") as caught:
                await client.request("GET", server.url.replace("http:", "https:"))
            assert not caught.value.sent
            assert "http://" in (caught.value.help or "")
        async with RawServer(answering(ok()), tls=server_context(certificate)) as server:
            with pytest.raises(TransportError) as caught:
                await client.request("GET", server.url.replace("https:", "http:"))
            assert "http" in (caught.value.help or "")


async def test_a_server_that_says_nothing_to_the_handshake(certificate: Certificate) -> None:
    async def silent(server: RawServer, number: int, reader: Reader, writer: Writer) -> None:
        while await reader.read(1000):
            pass

    async with RawServer(silent) as server, HttpClient(connect_timeout=0.1, environ={}) as client:
        with pytest.raises(TransportError, match=r"no connection to https://.* within 0\.1 s") as caught:
            await client.request("GET", server.url.replace("http:", "https:"))
        assert not caught.value.sent
        await server.closed.wait()


@pytest.mark.parametrize("farewell", [True, False])
async def test_the_end_of_an_unframed_body_needs_the_tls_farewell(certificate: Certificate, farewell: bool) -> None:
    """Without it, somebody on the way could cut a body off unseen (RFC 9112, 9.8)."""

    async def handle(server: RawServer, number: int, reader: Reader, writer: Writer) -> None:
        await server.read(number, reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nall of it")
        await writer.drain()
        if not farewell:
            await received.wait()
            raw = writer.get_extra_info("socket").dup()
            raw.shutdown(1)
            raw.close()
            await asyncio.sleep(60)

    received = asyncio.Event()
    async with (
        RawServer(handle, tls=server_context(certificate)) as server,
        trusting(certificate) as client,
        client.stream("GET", server.url) as response,
    ):
        assert await response.receive() == b"all of it"
        received.set()
        if farewell:
            assert await response.receive() == b""
        else:
            with pytest.raises(TransportError, match="broke after 9 bytes"):
                await response.receive()


async def test_a_large_request_that_is_refused_before_it_was_read_under_tls(certificate: Certificate) -> None:
    async def handle(server: RawServer, number: int, reader: Reader, writer: Writer) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head, end, body = ok(b"too large", status="413 Content Too Large").partition(b"\r\n\r\n")
        writer.write(head + end)
        await asyncio.sleep(0.01)  # so that head and body are read one after the other
        writer.write(body)
        await over.wait()

    over = asyncio.Event()
    async with RawServer(handle, tls=server_context(certificate)) as server, trusting(certificate) as client:
        response = await client.request("POST", server.url, body=b"x" * 20_000_000)
        assert (response.status, response.body) == (413, b"too large")
        over.set()
        await server.closed.wait()


@pytest.mark.parametrize("content", [None, b"no certificate"])
async def test_ca_files_that_cannot_be_used(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    async with RawServer(answering(ok())) as server, HttpClient(environ={"SSL_CERT_FILE": str(path)}) as client:
        with pytest.raises(ConfigError, match="could not be loaded"):
            await client.request("GET", server.url.replace("http:", "https:"))
        assert (await client.request("GET", server.url)).body == b"ok"  # plain http does not care


async def test_a_redirect_from_https_to_http_is_refused_and_the_other_way_followed(certificate: Certificate) -> None:
    async with RawServer(answering(ok(b"plain"))) as plain, trusting(certificate) as client:
        down = ok(b"", f"Location: {plain.url}", status="302 Found")
        async with RawServer(answering(down, ok(b"secure")), tls=server_context(certificate)) as secure:
            with pytest.raises(TransportError, match="from https to http"):
                await client.request("GET", secure.url, follow=True)
            up = ok(b"", f"Location: {secure.url}", status="302 Found")
            async with RawServer(answering(up)) as lower:
                headers = [("Authorization", "Bearer s")]
                response = await client.request("GET", lower.url, headers=headers, follow=True)
    assert (response.body, plain.requests) == (b"secure", [])
    assert "authorization" not in secure.requests[-1].headers


# ---------------------------------------------------------------------- proxies


def proxy_to(port: int, answer: bytes = b"HTTP/1.1 200 Connection established\r\n\r\n") -> RawServer:
    """A proxy that answers CONNECT with `answer` and, if that is a 200, leads each tunnel to one port here."""

    async def pump(reader: Reader, writer: Writer) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def handle(server: RawServer, number: int, reader: Reader, writer: Writer) -> None:
        assert await server.read(number, reader)
        writer.write(answer)
        if b" 200 " in answer:
            there, back = await asyncio.open_connection("127.0.0.1", port)
            try:
                await asyncio.gather(pump(reader, back), pump(there, writer))
            finally:
                back.transport.abort()

    return RawServer(handle)


async def test_plain_http_through_a_proxy() -> None:
    """The host name is the proxy's to resolve; here nobody could."""
    async with RawServer(answering(ok(b"through"))) as proxy:
        setting = f"http://us%40er:s3cret@localhost:{proxy.port}"
        async with HttpClient(environ={"HTTP_PROXY": setting}) as client:
            for _ in range(2):
                response = await client.request("POST", "http://agent.test/rpc?x=1", body=b"{}")
                assert response.body == b"through"
            await client.request("GET", "http://other.test:81/")
    first, _, third = proxy.requests
    assert (first.line, third.line) == ("POST http://agent.test/rpc?x=1 HTTP/1.1", "GET http://other.test:81/ HTTP/1.1")
    assert first.headers["host"] == "agent.test"
    assert first.headers["proxy-authorization"] == "Basic dXNAZXI6czNjcmV0"
    assert [request.connection for request in proxy.requests] == [1, 1, 2]


async def test_https_through_a_proxy_tunnel(agent_certificate: Certificate) -> None:
    async with (
        RawServer(answering(ok(b"tunnelled")), tls=server_context(agent_certificate)) as server,
        proxy_to(server.port) as proxy,
        trusting(agent_certificate, HTTPS_PROXY=f"http://user:s3cret@localhost:{proxy.port}") as client,
    ):
        for _ in range(3):
            assert (await client.request("POST", "https://agent.test/rpc", body=b"{}")).body == b"tunnelled"
    (connect,) = proxy.requests
    assert connect.line == "CONNECT agent.test:443 HTTP/1.1"
    assert connect.headers == {"host": "agent.test:443", "proxy-authorization": "Basic dXNlcjpzM2NyZXQ="}
    assert server.connections == 1
    assert all("proxy-authorization" not in request.headers for request in server.requests)


@pytest.mark.parametrize(
    ("answer", "message", "advice"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n", "HTTP 407", "user name"),
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 3\r\n\r\nno!", "HTTP 502", "NO_PROXY"),
        (b"", "closed before an answer came", ""),
        (b"220 smtp.test ESMTP\r\n", "did not answer in HTTP", ""),
    ],
)
async def test_a_proxy_that_refuses(answer: bytes, message: str, advice: str) -> None:
    async with proxy_to(0, answer) as proxy:
        setting = f"user:s3cret@localhost:{proxy.port}"
        async with HttpClient(environ={"ALL_PROXY": setting}) as client:
            with pytest.raises(TransportError, match=message) as caught:
                await client.request("POST", "https://agent.test/rpc", body=b"{}")
    assert not caught.value.sent
    assert f"proxy http://localhost:{proxy.port}" in caught.value.message
    assert advice in (caught.value.help or "")
    assert "s3cret" not in str(caught.value.report())


async def test_a_proxy_that_is_not_there() -> None:
    async with RawServer(answering(ok())) as proxy:
        pass
    async with HttpClient(environ={"http_proxy": f"http://localhost:{proxy.port}"}) as client:
        with pytest.raises(TransportError, match="could not connect to the proxy") as caught:
            await client.request("GET", "http://agent.test/")
    assert not caught.value.sent
    assert "HTTP_PROXY" in (caught.value.help or "")


P, Q = "http://p:1", "http://q:2"


@pytest.mark.parametrize(
    ("environ", "url", "proxy"),
    [
        ({}, "http://a/", None),
        ({"HTTP_PROXY": P}, "http://a/", P),
        ({"HTTP_PROXY": P}, "https://a/", None),
        ({"HTTPS_PROXY": P}, "https://a/", P),
        ({"HTTP_PROXY": P, "http_proxy": Q}, "http://a/", Q),
        ({"HTTP_PROXY": P, "http_proxy": ""}, "http://a/", None),
        ({"ALL_PROXY": P}, "https://a/", P),
        ({"ALL_PROXY": P, "HTTPS_PROXY": Q}, "https://a/", Q),
        ({"HTTP_PROXY": "p:1"}, "http://a/", P),
        ({"HTTP_PROXY": "http://[::1]:1/"}, "http://a/", "http://[::1]:1"),
        ({"HTTP_PROXY": "HTTP://u:a/b@p:1"}, "http://a/", P),
        ({"HTTP_PROXY": P, "REQUEST_METHOD": "GET"}, "http://a/", None),
        ({"HTTP_PROXY": P}, "http://localhost/", None),
        ({"HTTP_PROXY": P}, "http://x.localhost:9/", None),
        ({"HTTP_PROXY": P}, "http://127.8.0.1/", None),
        ({"HTTP_PROXY": P}, "http://[::1]/", None),
        ({"HTTP_PROXY": P, "NO_PROXY": "*"}, "http://a/", None),
        ({"HTTP_PROXY": P, "NO_PROXY": "b, a.test c"}, "http://a.test/", None),
        ({"HTTP_PROXY": P, "NO_PROXY": "a.test"}, "http://x.A.test/", None),
        ({"HTTP_PROXY": P, "NO_PROXY": ".a.test"}, "http://x.a.test/", None),
        ({"HTTP_PROXY": P, "NO_PROXY": "*.a.test"}, "http://x.a.test/", None),
        ({"HTTP_PROXY": P, "NO_PROXY": "a.test"}, "http://ba.test/", P),
        ({"HTTP_PROXY": P, "NO_PROXY": "a.test:80"}, "http://a.test/", None),
        ({"HTTP_PROXY": P, "NO_PROXY": "a.test:81"}, "http://a.test/", P),
        ({"HTTP_PROXY": P, "NO_PROXY": "10.0.0.0/8"}, "http://10.1.2.3/", None),
        ({"HTTP_PROXY": P, "NO_PROXY": "10.0.0.0/8"}, "http://11.1.2.3/", P),
        ({"HTTP_PROXY": P, "NO_PROXY": "10.0.0.0/8,x/y"}, "http://a/", P),
        ({"HTTP_PROXY": P, "NO_PROXY": "10.0.0.1"}, "http://10.0.0.1/", None),
        ({"HTTP_PROXY": P, "NO_PROXY": "10.0.0.1"}, "http://10.0.0.11/", P),
        ({"HTTP_PROXY": P, "NO_PROXY": "fe80:0::1"}, "http://[fe80::1]/", None),
        ({"HTTP_PROXY": P, "NO_PROXY": "[fe80::1]:80"}, "http://[fe80::1]/", None),
        ({"HTTP_PROXY": P, "NO_PROXY": ","}, "http://a/", P),
    ],
)
def test_which_proxy(environ: dict[str, str], url: str, proxy: str | None) -> None:
    found = Proxies(environ).proxy_for(parse_url(url))
    assert (found and found.origin) == proxy


@pytest.mark.parametrize("value", ["https://u:s3cret@p:1", "socks5://u:s3cret@p", "http://u:s3cret@", "u:s3cret@p:x"])
async def test_proxies_that_cannot_be_used(value: str) -> None:
    async with HttpClient(environ={"HTTP_PROXY": value}) as client:
        with pytest.raises(ConfigError, match="HTTP_PROXY") as caught:
            await client.request("GET", "http://agent.test/")
    assert "s3cret" not in str(caught.value.report())


def test_a_proxy_does_not_show_its_password() -> None:
    proxy = Proxies({"HTTP_PROXY": "http://user:s3cret@p:1"}).proxy_for(parse_url("http://a/"))
    assert proxy is not None
    assert repr(proxy) == "Proxy('http://p:1')"


async def test_streams_work_over_tls(certificate: Certificate) -> None:
    answer = CHUNKED + chunk(b"event") + b"0\r\n\r\n"
    async with (
        RawServer(answering(answer), tls=server_context(certificate)) as server,
        trusting(certificate) as client,
    ):
        for _ in range(3):
            async with client.stream("POST", server.url, body=b"{}") as response:
                assert await response.receive() == b"event"
    assert server.connections == 1
