"""Services of an InspIRCd network: the server that knows the accounts, linked by InspIRCd's own protocol (1205).

InspIRCd itself has no accounts; networks link Anope or Atheme. This one knows SASL PLAIN and accounts, and no more.
"""

from __future__ import annotations

import base64
import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

SERVICES = "services.localhost"
SID = "0SV"
AGENT = f"{SID}AAAAAA"


class Services:
    """Linked for as long as the context is open. `accounts`: name -> password."""

    def __init__(self, port: int, accounts: dict[str, str]) -> None:
        self.accounts = accounts
        self._socket = socket.create_connection(("127.0.0.1", port), 10)
        self._socket.settimeout(None)
        self._linked = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._say("CAPAB START 1205", "CAPAB END", f"SERVER {SERVICES} link 0 {SID} :accounts")
        self._thread.start()
        assert self._linked.wait(10), "the services could not be linked"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self._socket.close()

    def _say(self, *lines: str) -> None:
        self._socket.sendall("".join(f"{line}\r\n" for line in lines).encode())

    def _run(self) -> None:
        with suppress(ConnectionError), self._socket.makefile("r", encoding="utf-8") as lines:
            for line in lines:
                self._heard(line.rstrip("\n"))

    def _heard(self, line: str) -> None:
        words = line.split(" ")
        if words[0] == "SERVER":
            now = int(time.time())
            self._say(
                f":{SID} BURST {now}",
                f":{SID} UID {AGENT} {now} SaslServ localhost localhost sasl 127.0.0.1 {now} +i :accounts",
                f":{SID} ENDBURST",
            )
        elif "ENDBURST" in words:
            self._linked.set()
        elif len(words) > 3 and words[1] == "PING":
            self._say(f":{SID} PONG {words[3]} {words[2]}")
        elif "SASL" in words:
            self._sasl(words[0].lstrip(":"), words[words.index("SASL") + 1 :])

    def _sasl(self, server: str, words: list[str]) -> None:
        user, _, kind, *rest = words
        data = rest[0].lstrip(":") if rest else ""
        if kind == "S":
            self._answer(user, "C", "+")
        elif kind == "C":
            try:
                _, name, password = base64.b64decode(data).decode().split("\0")
            except ValueError:
                name = password = ""
            if password and self.accounts.get(name) == password:
                self._say(f":{SID} METADATA {user} accountname :{name}")
                self._answer(user, "D", "S")
            else:
                self._answer(user, "D", "F")

    def _answer(self, user: str, kind: str, data: str) -> None:
        self._say(f":{SID} ENCAP * SASL {AGENT} {user} {kind} :{data}")
