"""Opening a connection: TCP, a proxy's CONNECT, TLS.

Everything here happens before a request is sent, so each failure is a `TransportError` with ``sent=False``.
"""

from __future__ import annotations

import errno
import socket
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING

import anyio
from anyio.streams.tls import TLSAttribute, TLSStream

from missive_host.a2a.connection import Connection, Exchange, reasons
from missive_host.a2a.http_head import bracketed
from missive_host.a2a.tcp import TcpStream, dial
from missive_host.errors import TransportError

if TYPE_CHECKING:
    from missive_host.a2a.proxy import Proxy, Route
    from missive_host.a2a.tls import Tls

PROBE_SECONDS = 30
"""A silent peer is probed this often, so that a stream to a machine that vanished ends within some two minutes."""
_PROBES = 3


async def connect(route: Route, tls: Tls, timeout: float) -> Connection:  # noqa: ASYNC109 - its own limit, with its own error
    """Open a connection within `timeout` seconds. Raises `TransportError` (``sent=False``), `ConfigError`."""
    try:
        with anyio.fail_after(timeout):
            stream, sock = await _tcp(route)
            try:
                tune(sock)
                return await _layers(stream, sock.fileno(), route, tls)
            except BaseException:
                await stream.aclose()
                raise
    except TimeoutError as error:
        raise TransportError(
            f"no connection to {route.name} within {timeout:g} s",
            sent=False,
            help="check that the host is up and reachable from here: address, firewall, VPN, proxy settings",
        ) from error


async def _tcp(route: Route) -> tuple[TcpStream, socket.socket]:
    host, port = (route.host, route.port) if route.proxy is None else (route.proxy.host, route.proxy.port)
    try:
        return await dial(host, port)
    except (OSError, UnicodeError) as error:
        raise _refused(route, error) from error


def tune(sock: socket.socket) -> None:
    """Set ``TCP_NODELAY`` and keep-alive probes, as far as the platform has them."""
    wanted = [(socket.IPPROTO_TCP, "TCP_NODELAY", 1), (socket.SOL_SOCKET, "SO_KEEPALIVE", 1)]
    idle = "TCP_KEEPIDLE" if hasattr(socket, "TCP_KEEPIDLE") else "TCP_KEEPALIVE"  # macOS calls it so
    wanted += [(socket.IPPROTO_TCP, name, PROBE_SECONDS) for name in (idle, "TCP_KEEPINTVL")]
    wanted.append((socket.IPPROTO_TCP, "TCP_KEEPCNT", _PROBES))
    for level, name, value in wanted:
        option = getattr(socket, name, None)
        if option is not None:
            with suppress(OSError):  # the peer may have hung up already: then the first write says so
                sock.setsockopt(level, option, value)


async def _layers(stream: TcpStream, fd: int, route: Route, tls: Tls) -> Connection:
    if route.scheme == "http":
        return Connection(stream, stream, fd, route, route.name)
    if route.proxy is not None:
        await _tunnel(Connection(stream, stream, fd, route, f"the proxy {route.proxy.origin}"), route, route.proxy)
    context = tls.context()
    try:
        secure = await TLSStream.wrap(stream, hostname=route.host, ssl_context=context)
    except (OSError, anyio.BrokenResourceError, anyio.EndOfStream, ValueError) as error:
        raise _untrusted(route, error) from error
    return Connection(secure, stream, fd, route, route.name, secure.extra_attributes[TLSAttribute.ssl_object]())


async def _tunnel(connection: Connection, route: Route, proxy: Proxy) -> None:
    target = f"{bracketed(route.host)}:{route.port}"
    head = f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n"
    if proxy.authorization is not None:
        head += f"Proxy-Authorization: {proxy.authorization}\r\n"
    exchange = Exchange(connection, head_only=True)
    try:
        await exchange.start((head + "\r\n").encode("ascii"), None)
    except TransportError as error:
        error.sent = False  # the agent itself was not reached
        raise
    if 200 <= exchange.status < 300:
        return
    if exchange.status == 407:
        advice = "give the proxy's user name and password in the proxy URL (HTTPS_PROXY=http://user:password@host:port)"
    else:
        advice = "check the agent's host and port, or name the host in NO_PROXY to call it directly"
    raise TransportError(
        f"the proxy {proxy.origin} did not connect to {target}: HTTP {exchange.status}", sent=False, help=advice
    )


def _refused(route: Route, error: BaseException) -> TransportError:
    where = route.name if route.proxy is None else f"the proxy {route.proxy.origin}"
    code = _errno(error)
    if isinstance(error, socket.gaierror | UnicodeError):
        advice = "check the host name, and that names are resolved on this machine"
    elif code == errno.ECONNREFUSED:
        advice = "nothing listens there: start the agent, or correct the port"
        if route.proxy is not None:
            advice = "nothing listens there: start the proxy, correct HTTP_PROXY/HTTPS_PROXY, or set NO_PROXY"
    else:
        advice = "check that the host is up and reachable from here: address, firewall, VPN, proxy settings"
    found = ("the host name is not valid",) if isinstance(error, UnicodeError) else tuple(reasons(error))
    reason = ", ".join(found) or "the connection failed"
    return TransportError(f"could not connect to {where}: {reason}", sent=False, help=advice, sources=found)


def _errno(error: BaseException) -> int | None:
    """Return the number of the first operating system error in the tree of causes."""
    if isinstance(error, BaseExceptionGroup):
        return next((code for part in error.exceptions if (code := _errno(part)) is not None), None)
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    return _errno(error.__cause__) if error.__cause__ is not None else None


def _untrusted(route: Route, error: BaseException) -> TransportError:
    found = tuple(reasons(error))
    if isinstance(error, ssl.SSLCertVerificationError):
        message = f"the certificate of {route.name} is not accepted: {error.verify_message}"
        advice = "if the agent uses a private CA, set SSL_CERT_FILE to its PEM file; else check name, date and issuer"
    else:
        message = f"no TLS connection to {route.name}: {', '.join(found) or 'the server hung up'}"
        advice = "check that this port speaks https; a plain agent is called with http://"
    return TransportError(message, sent=False, help=advice, sources=found)
