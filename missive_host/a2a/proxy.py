"""The route of a request: which proxy, if any, it goes through.

``HTTP_PROXY``, ``HTTPS_PROXY``, ``ALL_PROXY`` and ``NO_PROXY`` are read. The lower-case names win, as they do in curl.
Addresses of this machine (``localhost``, 127.0.0.0/8, ::1) are always called directly: a proxy elsewhere could not
reach them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from missive_host.a2a.http_head import Url, bracketed, parse_url
from missive_host.errors import ConfigError, ValidationError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from ipaddress import IPv4Address, IPv6Address


class Proxy:
    """An HTTP proxy. The credential is kept out of ``repr``."""

    __slots__ = ("authorization", "host", "port")

    def __init__(self, host: str, port: int, authorization: str | None = None) -> None:
        self.host = host
        self.port = port
        self.authorization = authorization
        """The value of ``Proxy-Authorization``."""

    @property
    def origin(self) -> str:
        """``http://host:port``, for messages and as a key."""
        return f"http://{bracketed(self.host)}:{self.port}"

    def __repr__(self) -> str:
        return f"Proxy({self.origin!r})"


class Route(NamedTuple):
    """Where a connection leads: the pool's key. Two requests with equal routes can share a connection."""

    scheme: str
    host: str
    port: int
    proxy: Proxy | None

    @property
    def name(self) -> str:
        """How messages call it: ``scheme://host:port``, and the proxy on the way."""
        origin = f"{self.scheme}://{bracketed(self.host)}:{self.port}"
        return origin if self.proxy is None else f"{origin} (through the proxy {self.proxy.origin})"


class Proxies:
    """The proxy settings of one environment."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        # A CGI server puts the client's "Proxy:" header into HTTP_PROXY (CVE-2016-5385).
        http = ("http_proxy",) if "REQUEST_METHOD" in environ else ("http_proxy", "HTTP_PROXY")
        every = ("all_proxy", "ALL_PROXY")
        self._settings = {
            "http": _first(environ, *http, *every),
            "https": _first(environ, "https_proxy", "HTTPS_PROXY", *every),
        }
        self._parsed: dict[str, Proxy] = {}
        none = _first(environ, "no_proxy", "NO_PROXY") or ("", "")
        self._exceptions = [entry for entry in none[1].lower().replace(",", " ").split() if entry]

    def proxy_for(self, url: Url) -> Proxy | None:
        """Return the proxy for an address, None for a direct connection. Raises `ConfigError` for a bad setting."""
        setting = self._settings[url.scheme]
        if setting is None or not setting[1] or _is_here(url.host) or self._excepted(url):
            return None
        proxy = self._parsed.get(url.scheme)
        if proxy is None:
            proxy = self._parsed[url.scheme] = _parse(*setting)
        return proxy

    def _excepted(self, url: Url) -> bool:
        return any(_matches(entry, url) for entry in self._exceptions)


def _first(environ: Mapping[str, str], *names: str) -> tuple[str, str] | None:
    """Return name and value of the first variable that is set; an empty value counts: it says "no proxy"."""
    for name in names:
        if name in environ:
            return name, environ[name].strip()
    return None


def _address(text: str) -> IPv4Address | IPv6Address | None:
    from ipaddress import ip_address

    try:
        return ip_address(text)
    except ValueError:
        return None


def _is_here(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    address = _address(host)
    return address is not None and address.is_loopback


def _matches(entry: str, url: Url) -> bool:
    """Match ``*``, ``host``, ``.domain``, ``*.domain``, an IP address, a network, each but the last with ``:port``."""
    if entry == "*":
        return True
    if "/" in entry:
        return _in_network(entry, url.host)
    name, port = entry, ""
    if entry.startswith("["):
        name, _, port = entry[1:].partition("]")
        port = port.removeprefix(":")
    elif entry.count(":") == 1:
        name, _, port = entry.partition(":")
    if port and port != str(url.port):
        return False
    if (address := _address(name)) is not None:
        return address == _address(url.host)
    name = name.removeprefix("*").removeprefix(".")
    return bool(name) and (url.host == name or url.host.endswith("." + name))


def _in_network(entry: str, host: str) -> bool:
    from ipaddress import ip_network

    address = _address(host)
    try:
        return address is not None and address in ip_network(entry, strict=False)
    except ValueError:
        return False


def _parse(variable: str, value: str) -> Proxy:
    scheme, separator, rest = value.partition("://")
    if not separator:
        scheme, rest = "http", value
    if scheme.lower() != "http":
        raise ConfigError(
            f"the proxy in {variable} is not an http:// proxy",
            help=f"set {variable} to http://host:port, or name the agent's host in NO_PROXY",
        )
    credential, _, authority = rest.rpartition("@")
    try:
        url = parse_url(f"http://{authority}")
    except ValidationError as error:
        raise ConfigError(
            f"the address of the proxy in {variable} is not valid", help=f"set {variable} to http://host:port"
        ) from error
    return Proxy(url.host, url.port, _basic(credential) if credential else None)


def _basic(credential: str) -> str:
    from base64 import b64encode
    from urllib.parse import unquote

    user, _, password = credential.partition(":")
    return "Basic " + b64encode(f"{unquote(user)}:{unquote(password)}".encode()).decode("ascii")
