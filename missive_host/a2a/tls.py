"""The TLS side of the client: one context, made when the first ``https`` address is called."""

from __future__ import annotations

from typing import TYPE_CHECKING

from missive_host.errors import ConfigError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    from missive_host.a2a.http_head import Url


class Tls:
    """Holds the client's one `ssl.SSLContext`. Reading the CA bundle takes 13 ms, so it waits for the first use."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._context: ssl.SSLContext | None = None

    def context(self) -> ssl.SSLContext:
        """Return the context. Raises `ConfigError` when the CA files named by the environment cannot be read."""
        if self._context is None:
            self._context = _make(self._environ)
        return self._context


async def certificate_end(url: Url, environ: Mapping[str, str]) -> float | None:
    """Return until when the certificate of an ``https`` address holds, in seconds since 1970.

    None if it is reached through a proxy. Raises `OSError`, of which `ssl.SSLError` is one, and `ConfigError`.
    """
    import ssl

    import anyio
    from anyio.streams.tls import TLSAttribute

    from missive_host.a2a.proxy import Proxies

    if Proxies(environ).proxy_for(url) is not None:
        return None
    stream = await anyio.connect_tcp(
        url.host, url.port, tls=True, ssl_context=Tls(environ).context(), tls_standard_compatible=False
    )
    try:
        found = stream.extra(TLSAttribute.peer_certificate) or {}  # noqa: S610 - not Django
    finally:
        await anyio.aclose_forcefully(stream)
    ends = found.get("notAfter")
    return float(ssl.cert_time_to_seconds(ends)) if isinstance(ends, str) else None


def _make(environ: Mapping[str, str]) -> ssl.SSLContext:
    import ssl

    cafile = environ.get("SSL_CERT_FILE") or None
    capath = environ.get("SSL_CERT_DIR") or None
    if cafile is None and capath is None:
        paths = ssl.get_default_verify_paths()
        if not (paths.cafile or paths.capath):
            cafile = _bundled()  # a Python without a system store, as some builds for macOS are
    try:
        context = ssl.create_default_context(cafile=cafile, capath=capath)
    except OSError as error:
        reason = error.strerror or "it is not a file of PEM certificates"
        raise ConfigError(
            f"the CA certificates in {cafile or capath} could not be loaded: {reason}",
            help="set SSL_CERT_FILE to a readable PEM file, or unset it to use the system's certificates",
        ) from error
    context.set_alpn_protocols(["http/1.1"])
    # Where this is on by default, a body without a length that was cut off would look whole (RFC 9112, 9.8).
    context.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)  # OpenSSL 1.1 does not know it
    return context


def _bundled() -> str | None:
    try:
        import certifi
    except ImportError:
        return None
    return certifi.where()
