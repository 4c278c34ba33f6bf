"""Logging in to an IRC server: capabilities, password, SASL, nick. No socket in it: lines in, lines out."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from missive_chat.platform import ChatError, ChatLoginError
from missive_chat.platforms.irc.wire import command

if TYPE_CHECKING:
    from irctokens.line import Line

WANTED = ("message-tags", "server-time", "echo-message", "account-tag", "batch", "labeled-response")
_SASL_PIECE = 400
_LONGEST_NICK_SEARCH = 20


class Login:
    """One login. `begin` gives the first lines; `handle` takes each line that comes and gives the answers to it."""

    def __init__(
        self, nick: str, *, user: str, password: str | None = None, sasl: tuple[str, str] | None = None
    ) -> None:
        self.nick = nick
        self.caps: set[str] = set()
        self.account: str | None = None
        self._done = False
        self._wanted_nick = nick
        self._user = user
        self._password = password
        self._sasl = sasl
        self._offered: set[str] = set()
        self._asked: list[str] = []
        self._welcome = False
        self._taken = 0

    def begin(self) -> list[bytes]:
        first = [command("CAP", "LS", "302")]
        if self._password is not None:
            first.append(command("PASS", self._password))
        return [*first, command("NICK", self.nick), command("USER", self._user, "0", "*", "missive")]

    def is_done(self) -> bool:
        """Tell whether the server has welcomed us, and said what it had to say about itself."""
        return self._done

    def handle(self, line: Line) -> list[bytes]:
        """Return what is to be said to this line. Raises `ChatLoginError` if we are not let in."""
        words = line.params[-1] if line.params else ""
        match line.command:
            case "PING":
                return [command("PONG", words)]
            case "CAP":
                return self._on_cap(line)
            case "AUTHENTICATE":
                return self._authenticate() if words == "+" else [command("AUTHENTICATE", "*")]
            case "900":
                self.account = line.params[2] if len(line.params) > 2 else None
            case "903" | "907":
                return [command("CAP", "END")]
            case "902" | "904" | "905" | "906" | "908":
                raise ChatLoginError(
                    f"the IRC server does not take the SASL user and password: {words}",
                    help="check `sasl_user` and `sasl_password`; the account must be registered on this network",
                )
            case "433" | "436" | "437":
                return self._another_nick(words)
            case "432":
                raise ChatLoginError(f"the IRC server does not take the nick `{self.nick}`: {words}")
            case "464" | "465":
                raise ChatLoginError(
                    f"the IRC server does not let us in: {words}",
                    help="check `password`; a ban is the operators' matter",
                )
            case "001":
                self._welcome = True
                self.nick = line.params[0] if line.params else self.nick
            case "376" | "422":
                self._done = self._welcome
            case "ERROR":
                raise self._refusal(words)
        return []

    def _on_cap(self, line: Line) -> list[bytes]:
        verb, *rest = line.params[1:] or [""]
        caps = (rest[-1] if rest else "").split()
        match verb.upper():
            case "LS":
                self._offered.update(cap.partition("=")[0] for cap in caps)
                return [] if rest[:1] == ["*"] else self._request()
            case "ACK":
                self.caps.update(caps)
            case "NAK" if len(caps) > 1:  # one of them it does not like: each by itself
                self._asked = caps
                return [command("CAP", "REQ", cap) for cap in caps]
            case "NEW" | "LIST":
                return []
            case "DEL":
                self.caps.difference_update(caps)
                return []
        self._asked = [cap for cap in self._asked if cap not in caps]
        return [] if self._asked else self._after_caps()

    def _request(self) -> list[bytes]:
        wanted = {*WANTED, "sasl"} if self._sasl else set(WANTED)
        self._asked = sorted(wanted & self._offered)
        return [command("CAP", "REQ", " ".join(self._asked))] if self._asked else self._after_caps()

    def _after_caps(self) -> list[bytes]:
        if self._sasl is None:
            return [command("CAP", "END")]
        if "sasl" not in self.caps:
            raise ChatLoginError(
                "the IRC server offers no SASL, but `sasl_user` is set",
                help="leave `sasl_user` out, or name a server that has accounts",
            )
        return [command("AUTHENTICATE", "PLAIN")]

    def _authenticate(self) -> list[bytes]:
        assert self._sasl is not None
        user, password = self._sasl
        text = base64.b64encode(f"{user}\0{user}\0{password}".encode()).decode()
        parts = [text[start : start + _SASL_PIECE] for start in range(0, len(text), _SASL_PIECE)]
        if len(parts[-1]) == _SASL_PIECE:
            parts.append("+")
        return [command("AUTHENTICATE", part) for part in parts]

    def _another_nick(self, words: str) -> list[bytes]:
        self._taken += 1
        if self._taken > _LONGEST_NICK_SEARCH:
            raise ChatError(f"the IRC server has no nick for us: {words}")
        ending = "_" if self._taken == 1 else f"_{self._taken}"
        self.nick = self._wanted_nick + ending
        return [command("NICK", self.nick)]

    def _refusal(self, words: str) -> Exception:
        if any(word in words.lower() for word in ("password", "banned", "k-line", "g-line", "not authorized", "sasl")):
            return ChatLoginError(f"the IRC server does not let us in: {words}")
        return ChatError(f"the IRC server has closed the connection: {words}")
