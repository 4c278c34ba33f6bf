"""One connection to an XMPP server: logging in, asking, waiting for an answer, going away without a trace."""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import anyio

from missive_chat.platform import ChatError, ChatLoginError

if TYPE_CHECKING:
    from slixmpp import ClientXMPP
    from slixmpp.stanza import Iq

PATIENCE = 30.0
LOOPBACK = re.compile(r"localhost|127(\.\d{1,3}){3}|::1")
_PLUGINS = ("xep_0030", "xep_0045", "xep_0199", "xep_0313")


class Stream:
    """Made for one connection, and used for no other: what slixmpp knows of an old one cannot do harm."""

    def __init__(self, options: Mapping[str, Any], account: str) -> None:
        self._options = options
        self._account = account
        self._ready: asyncio.Future[None] | None = None
        self._client: ClientXMPP | None = None
        self._refusals: list[str] = []
        self._failures: list[str] = []
        self.ended: asyncio.Event = asyncio.Event()
        self.why = "it was closed"

    @property
    def client(self) -> ClientXMPP:
        assert self._client is not None, "not open"
        return self._client

    async def open(self, prepare: Callable[[ClientXMPP], None]) -> None:
        """Connect and log in; `prepare` is called before, for handlers."""
        host, port, tls = self._options["host"], self._options["port"], self._options["tls"]
        if not tls and not (host and LOOPBACK.fullmatch(host)):
            raise ChatLoginError(
                "XMPP would be spoken without TLS",
                help="remove `tls = false`: only a server on this machine (`host`) is spoken to so",
            )
        client = self._client = self._made(tls=tls)
        ready = self._ready = asyncio.get_running_loop().create_future()
        prepare(client)
        client.connect(*((host, int(port or 5222)) if host else ()))
        try:
            with anyio.fail_after(PATIENCE):
                await ready
        except TimeoutError:
            await self.close()
            raise ChatError(f"the XMPP server of {self._account} has not let us in within {PATIENCE:g} s") from None
        except BaseException:
            with anyio.CancelScope(shield=True):
                await self.close()
            raise

    def _made(self, *, tls: bool) -> ClientXMPP:
        from slixmpp import ClientXMPP

        logging.getLogger("slixmpp").setLevel(logging.WARNING)  # what it says in detail has the password in it
        client = ClientXMPP(f"{self._account}/missive", self._options["password"].reveal())
        try:
            client.ssl_context = ssl.create_default_context(cafile=self._options["ca_file"])
        except OSError as error:
            raise ChatLoginError(f"the file of `ca_file` cannot be used: {error}") from None
        if not tls:
            client.enable_starttls = client.enable_direct_tls = False
            client.enable_plaintext = True
            mechanisms = client.plugin["feature_mechanisms"]
            mechanisms.unencrypted_scram = mechanisms.unencrypted_plain = True
        client.roster.auto_authorize = None  # type: ignore[assignment]  # neither yes nor no: we show no presence
        client.roster.auto_subscribe = False
        client.requested_jid.resource = f"missive-{id(client):x}"
        for plugin in _PLUGINS:
            client.register_plugin(plugin)
        for event, handler in {
            "session_start": self._on_start,
            "failed_auth": self._on_refusal,
            "failed_all_auth": self._on_no_login,
            "ssl_invalid_chain": self._on_bad_certificate,
            "connection_failed": self._on_failure,
            "reconnect_delay": self._on_nobody,
            "disconnected": self._on_end,
            "stream_error": self._on_stream_error,
        }.items():
            client.add_event_handler(event, handler)
        return client

    # --- what slixmpp tells

    def _settle(self, error: Exception | None = None) -> None:
        if self._ready is not None and not self._ready.done():
            if error is None:
                self._ready.set_result(None)
            else:
                self._ready.set_exception(error)

    def _on_start(self, _: object) -> None:
        self._settle()

    def _on_refusal(self, failure: Any) -> None:
        self._refusals.append(failure["text"] or failure["condition"])

    def _on_no_login(self, _: object) -> None:
        words = ", ".join(dict.fromkeys(self._refusals)) or "there is no way to log in that both sides know"
        if not self._refusals and self._options["tls"]:
            words += " (it may not offer TLS)"
        error = ChatLoginError(
            f"the XMPP server does not let {self._account} in: {words}", help="check `jid` and `password`"
        )
        self._settle(error)

    def _on_bad_certificate(self, error: object) -> None:
        words = getattr(error, "verify_message", None) or str(error)
        self._settle(
            ChatLoginError(
                f"the certificate of the XMPP server of {self._account} cannot be trusted: {words}",
                help="for an authority of your own set `ca_file`",
            )
        )

    def _on_failure(self, error: object) -> None:
        if isinstance(error, ssl.SSLCertVerificationError):
            self._on_bad_certificate(error)
        self._failures.append(str(error))

    def _on_nobody(self, _: object) -> None:
        words = ", ".join(dict.fromkeys(self._failures)) or "no answer"
        self._settle(ChatError(f"the XMPP server of {self._account} cannot be reached: {words}"))

    def _on_stream_error(self, error: Any) -> None:
        self.why = f"{error['condition']} {error['text']}".strip()

    def _on_end(self, reason: object) -> None:
        if self.ended.is_set():
            return
        self.why = str(reason) if reason else self.why
        self.ended.set()
        if isinstance(reason, ssl.SSLCertVerificationError):
            self._on_bad_certificate(reason)
        self._settle(ChatError(f"the XMPP server of {self._account} has closed the connection: {self.why}"))

    # --- asking

    def lost(self, *, maybe_sent: bool = False) -> ChatError:
        return ChatError(f"the connection to the XMPP server was lost: {self.why}", maybe_sent=maybe_sent)

    async def ask(self, iq: Iq, seconds: float = PATIENCE, *, outside: bool = False) -> Iq:
        """Return the answer. Raises `ChatError` with the server's words; `outside`: see `refusal`."""
        from slixmpp.exceptions import IqError, IqTimeout

        if self.ended.is_set():
            raise self.lost()
        try:
            answer: Iq = await iq.send(timeout=seconds)  # type: ignore[no-untyped-call]
        except IqTimeout:
            raise ChatError(f"no answer from {iq['to'] or 'the XMPP server'} within {seconds:g} s") from None
        except IqError as error:
            raise refusal(error.iq, f"{iq['to'] or 'the XMPP server'} refuses", outside=outside) from None
        return answer

    async def ping(self, seconds: float) -> None:
        """Ask whether the server is there, and has dealt with all that was sent before."""
        iq = self.client.make_iq_get(ito=self.client.boundjid.domain)
        iq.enable("ping")
        try:
            await self.ask(iq, seconds)
        except ChatError as error:
            if not error.permanent:
                raise  # a server that does not know pings has answered all the same

    async def close(self) -> None:
        """End the stream; never raises, and leaves no task."""
        client, self._client = self._client, None
        if client is None:
            return
        if self._ready is not None and not self._ready.done():
            self._ready.cancel()
        client.cancel_connection_attempt()
        if client.transport is not None and not self.ended.is_set():
            with anyio.move_on_after(3):
                await client.disconnect(wait=1.0, ignore_send_queue=True)
            client.abort()
        client.del_event_handler("disconnected", self._on_end)
        self._on_end(None)
        client._remove_schedules(None)
        filters = client._run_out_filters
        if filters is not None:
            filters.cancel()
            await asyncio.wait([filters], timeout=1)


def refusal(stanza: Any, what: str, *, outside: bool = False) -> ChatError:
    """Return an error stanza as an error of ours. `outside`: ``not-acceptable`` means that we are not in the room."""
    error = stanza["error"]
    words = error["text"] or error["condition"] or "without a reason"
    if error["type"] == "wait" or error["condition"] == "remote-server-timeout":
        return ChatError(f"{what}: {words}", retry_after=30.0)
    if outside and error["condition"] == "not-acceptable":
        return ChatError(f"{what}: {words}", retry_after=10.0)
    return ChatError(f"{what}: {words}", permanent=True)
