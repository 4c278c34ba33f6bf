"""A small strict IRC server: it stands in for ngIRCd and InspIRCd where neither can be installed. A program of its own.

``plain`` is IRC as it was, ``ircv3`` has capabilities, ids, accounts of a linked services server, and a history.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import ssl
import sys
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from irctokens.line import Line, build, tokenise

CAPS = {"message-tags", "server-time", "echo-message", "account-tag", "batch", "labeled-response", "sasl"}
NAME = "irc.localhost"
NICK = re.compile(r"[A-Za-z\[\]\\`_^{|}][A-Za-z0-9\[\]\\`_^{|}-]{0,29}")
FOLD = str.maketrans("[]\\~ABCDEFGHIJKLMNOPQRSTUVWXYZ", "{}|^abcdefghijklmnopqrstuvwxyz")


def fold(name: str) -> str:
    return name.translate(FOLD)


@dataclass
class Channel:
    name: str
    members: dict[str, Client] = field(default_factory=dict)
    operators: set[str] = field(default_factory=set)
    key: str | None = None
    moderated: bool = False
    keeps: bool = False
    history: deque[tuple[Line, dict[str, str]]] = field(default_factory=lambda: deque(maxlen=50))


class Client:
    def __init__(self, server: Irc, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.server, self.reader, self.writer = server, reader, writer
        self.uid = f"0AA{next(server.numbers):06}"
        self.nick = self.user = self.password = ""
        self.account: str | None = None
        self.caps: set[str] = set()
        self.negotiating = self.registered = self.is_bot = False
        self.label: str | None = None
        self.seen: deque[float] = deque(maxlen=server.threshold)

    @property
    def mask(self) -> str:
        return f"{self.nick}!{self.user}@127.0.0.1"

    def send(self, line: Line, tags: dict[str, str] | None = None) -> None:
        """Send a line with those of the tags that the client has asked for."""
        tags = dict(tags or {})
        if "server-time" in self.caps:
            tags.setdefault("time", _now())
        allowed = {
            "account": "account-tag", "batch": "batch", "label": "labeled-response", "time": "server-time",
        }  # fmt: skip
        kept = {key: value for key, value in tags.items() if allowed.get(key, "message-tags") in self.caps}
        if not self.writer.is_closing():
            self.writer.write((Line(kept or None, line.source, line.command, line.params).format() + "\r\n").encode())

    def say(self, command: str, *params: str) -> None:
        tags = {"label": self.label} if self.label else {}
        self.send(build(command, [self.nick or "*", *params], source=NAME), tags)

    def end(self, why: str) -> None:
        self.send(build("ERROR", [f"Closing link: ({self.mask}) [{why}]"]))
        self.writer.close()


class Irc:
    def __init__(self, *, ircv3: bool, password: str, threshold: int) -> None:
        self.ircv3, self.password, self.threshold = ircv3, password, threshold
        self.numbers: Iterator[int] = itertools.count(1)
        self.clients: dict[str, Client] = {}
        self.channels: dict[str, Channel] = {}
        self.services: asyncio.StreamWriter | None = None
        self.logging_in: dict[str, Client] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = Client(self, reader, writer)
        try:
            while raw := await reader.readline():
                body = raw.partition(b" ")[2] if raw.startswith(b"@") else raw
                if len(body) > 512:
                    client.end("Request too long")
                    break
                client.seen.append(time.monotonic())
                if len(client.seen) == self.threshold and client.seen[-1] - client.seen[0] < 1:
                    client.end("Excess Flood")
                    break
                if raw.strip():
                    self.handle(client, tokenise(raw.rstrip(b"\r\n")))
                if writer.is_closing():
                    break
                await writer.drain()
        except (ConnectionError, ValueError, asyncio.LimitOverrunError):
            pass
        self.gone(client)
        writer.close()

    def gone(self, client: Client) -> None:
        if self.clients.get(fold(client.nick)) is client:
            del self.clients[fold(client.nick)]
        for name, channel in list(self.channels.items()):
            if channel.members.pop(client.uid, None) is not None:
                for other in channel.members.values():
                    other.send(build("QUIT", ["gone"], source=client.mask))
                if not channel.members and not channel.keeps:
                    del self.channels[name]

    def handle(self, client: Client, line: Line) -> None:
        client.label = (line.tags or {}).get("label")
        method = getattr(self, f"on_{line.command.lower()}", None)
        early = line.command in {"CAP", "PASS", "NICK", "USER", "AUTHENTICATE", "PING", "PONG", "QUIT"}
        if method is None:
            client.say("421", line.command, "Unknown command")
        elif not client.registered and not early:
            client.say("451", line.command, "You have not registered.")
        elif not line.params and line.command not in {"QUIT", "PONG"}:
            client.say("461", line.command, "Not enough parameters")
        else:
            method(client, line)

    # --- logging in

    def on_cap(self, client: Client, line: Line) -> None:
        if not self.ircv3:
            client.say("CAP", "LS", "multi-prefix") if line.params[0] == "LS" else None
            client.negotiating = line.params[0] != "END"
        elif line.params[0] == "LS":
            client.negotiating = True
            client.send(build("CAP", ["*", "LS", " ".join(sorted(CAPS))], source=NAME))
        elif line.params[0] == "REQ":
            wanted = set(line.params[-1].split())
            answer = "ACK" if wanted <= CAPS else "NAK"
            client.caps |= wanted if answer == "ACK" else set()
            client.send(build("CAP", ["*", answer, line.params[-1]], source=NAME))
        elif line.params[0] == "END":
            client.negotiating = False
        self.welcome(client)

    def on_pass(self, client: Client, line: Line) -> None:
        client.password = line.params[0]

    def on_nick(self, client: Client, line: Line) -> None:
        nick = line.params[0]
        holder = self.clients.get(fold(nick))
        if not NICK.fullmatch(nick):
            client.say("432", nick.partition(" ")[0], "Erroneous nickname")
        elif holder is not None and holder is not client:
            client.say("433", nick, "Nickname is already in use.")
        else:
            old = client.mask
            self.clients.pop(fold(client.nick), None)
            client.nick = nick
            self.clients[fold(nick)] = client
            if client.registered:
                for each in {client, *self.around(client)}:
                    each.send(build("NICK", [nick], source=old))
            self.welcome(client)

    def on_user(self, client: Client, line: Line) -> None:
        client.user = line.params[0]
        self.welcome(client)

    def on_authenticate(self, client: Client, line: Line) -> None:
        if self.services is None:
            client.say("904", "SASL authentication failed")
            return
        self.logging_in[client.uid] = client
        kind, data = ("S", "PLAIN") if line.params[0] == "PLAIN" else ("C", line.params[0])
        self.services.write(f":0AA ENCAP * SASL {client.uid} * {kind} {data}\n".encode())

    def welcome(self, client: Client) -> None:
        if client.registered or client.negotiating or not client.nick or not client.user:
            return
        if self.password and client.password != self.password:
            client.send(build("ERROR", ["Access denied: Bad password?"]))
            client.writer.close()
            return
        client.registered = True
        client.say("001", f"Welcome {client.mask}")
        client.say("005", "CASEMAPPING=rfc1459", "CHANTYPES=#", *(["BOT=B"] if self.ircv3 else []), "are supported")
        client.say("422", "MOTD file is missing")

    # --- channels

    def around(self, client: Client) -> set[Client]:
        return {
            other for channel in self.channels.values() if client.uid in channel.members
            for other in channel.members.values()
        }  # fmt: skip

    def on_join(self, client: Client, line: Line) -> None:
        name, key = line.params[0], (line.params[1] if len(line.params) > 1 else None)
        channel = self.channels.setdefault(fold(name), Channel(name))
        if channel.key is not None and key != channel.key:
            client.say("475", channel.name, "Cannot join channel (+k) (bad key)")
            return
        if not channel.members:
            channel.operators.add(client.uid)
        channel.members[client.uid] = client
        for other in channel.members.values():
            other.send(build("JOIN", [channel.name], source=client.mask))
        self.on_names(client, line)
        if channel.keeps and channel.history and "batch" in client.caps:
            client.send(build("BATCH", ["+h", "chathistory", channel.name], source=NAME))
            for said, tags in channel.history:
                client.send(said, {**tags, "batch": "h"})
            client.send(build("BATCH", ["-h"], source=NAME))

    def on_names(self, client: Client, line: Line) -> None:
        channel = self.channels.get(fold(line.params[0]))
        if channel is not None:
            client.say("353", "=", channel.name, " ".join(each.nick for each in channel.members.values()))
        client.say("366", channel.name if channel else line.params[0], "End of /NAMES list.")

    def on_kick(self, client: Client, line: Line) -> None:
        channel, victim = self.channels.get(fold(line.params[0])), self.clients.get(fold(line.params[1]))
        if channel is None or victim is None or client.uid not in channel.operators:
            client.say("482", line.params[0], "You are not an operator of the channel")
            return
        for other in list(channel.members.values()):
            other.send(build("KICK", [channel.name, victim.nick, line.params[-1]], source=client.mask))
        channel.members.pop(victim.uid, None)

    def on_mode(self, client: Client, line: Line) -> None:
        mode = line.params[1] if len(line.params) > 1 else ""
        channel = self.channels.get(fold(line.params[0]))
        if channel is None:
            client.is_bot = client.is_bot or "B" in mode
        elif client.uid in channel.operators:
            channel.key = line.params[2] if "k" in mode else channel.key
            channel.moderated = channel.moderated or "m" in mode
            channel.keeps = channel.keeps or "H" in mode

    # --- talking

    def on_privmsg(self, client: Client, line: Line) -> None:
        name, text = line.params[0], line.params[-1]
        tags = {key: value for key, value in (line.tags or {}).items() if key.startswith("+")}
        if self.ircv3:
            tags |= {"msgid": f"m{next(self.numbers)}", "time": _now()}
            tags |= {"account": client.account} if client.account else {}
            tags |= {"bot": ""} if client.is_bot else {}
        channel = self.channels.get(fold(name))
        if channel is None and fold(name) not in self.clients:
            code, words = ("403", "No such channel") if name.startswith("#") else ("401", "No such nick")
            client.say(code, name, words)
            return
        may_speak = (
            channel is None
            or client.uid in channel.operators
            or (client.uid in channel.members and not channel.moderated)
        )
        if channel is not None and not may_speak:
            client.say("404", channel.name, "Cannot send to channel")
            return
        said = build(line.command, [channel.name if channel else name, text], source=client.mask)
        for other in channel.members.values() if channel else [self.clients[fold(name)]]:
            if other is not client:
                other.send(said, tags)
        if channel is not None and line.command == "PRIVMSG":
            channel.history.append((said, tags))
        if "echo-message" in client.caps:
            client.send(said, {**tags, **({"label": client.label} if client.label else {})})

    on_notice = on_privmsg

    def on_whois(self, client: Client, line: Line) -> None:
        who = self.clients.get(fold(line.params[-1]))
        if who is None:
            client.say("401", line.params[-1], "No such nick")
        else:
            client.say("311", who.nick, who.user, "127.0.0.1", "*", who.nick)
            if who.account:
                client.say("330", who.nick, who.account, "is logged in as")
            if who.is_bot:
                client.say("335", who.nick, "is a bot")
        client.say("318", line.params[-1], "End of /WHOIS list.")

    def on_ping(self, client: Client, line: Line) -> None:
        client.send(build("PONG", [NAME, line.params[-1]], source=NAME))

    def on_pong(self, client: Client, line: Line) -> None: ...

    def on_quit(self, client: Client, line: Line) -> None:
        client.end("Client exited")

    # --- the services that know the accounts

    async def link(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.services = writer
        writer.write(b"SERVER irc.localhost link 0 0AA :a test\n:0AA BURST 1\n:0AA ENDBURST\n")
        while raw := await reader.readline():
            words = raw.decode().split()
            if "METADATA" in words:
                self.logging_in[words[2]].account = words[4].lstrip(":")
            elif "SASL" in words:
                self._sasl(*words[words.index("SASL") + 2 :])

    def _sasl(self, uid: str, kind: str, data: str) -> None:
        client = self.logging_in[uid]
        if kind == "C":
            client.send(build("AUTHENTICATE", [data.lstrip(":")]))
        elif data == ":S":
            client.say("900", client.mask, client.account or "", f"You are now logged in as {client.account}")
            client.say("903", "SASL authentication successful")
        else:
            client.say("904", "SASL authentication failed")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


async def main(mode: str, password: str, threshold: str, port: str, *more: str) -> None:
    irc = Irc(ircv3=mode == "ircv3", password=password, threshold=int(threshold))
    host = "127.0.0.1"
    servers = []
    if more:
        servers.append(await asyncio.start_server(irc.link, host, int(more[0])))
    if len(more) > 1:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(more[2], more[3])
        servers.append(await asyncio.start_server(irc.serve, host, int(more[1]), ssl=context))
    servers.append(await asyncio.start_server(irc.serve, host, int(port)))  # the last: it is by it that we are ready
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
