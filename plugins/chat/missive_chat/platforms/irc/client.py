"""The platform ``irc``: one nick on one network."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from missive_chat.platform import (
    Attachment,
    Button,
    ChatCapabilities,
    ChatError,
    ChatLoginError,
    Check,
    Inbound,
    Outgoing,
    Place,
    PlatformContext,
    Reaction,
    Receive,
)
from missive_chat.platforms.irc import doctor
from missive_chat.platforms.irc.channels import Channels
from missive_chat.platforms.irc.inbound import Translator
from missive_chat.platforms.irc.link import Fence, Link, Pace, connect
from missive_chat.platforms.irc.login import Login
from missive_chat.platforms.irc.wire import LINE, TEXT, clean, command, pieces, target
from missive_chat.platforms.plain import plain

if TYPE_CHECKING:
    from irctokens.line import Line

PATIENCE = 30.0
"""Seconds within which a server must have dealt with what we said to it."""
_LONGEST_PAUSE = 60.0
_QUEUE = 10_000
"""Messages that wait while the bridge has no room. If there are more, the server has to wait, and our sending, too."""
_AGAIN = {"263", "439", "480"}
"""Numerics that say: not now."""


class IrcPlatform:
    """See `Platform`. A message may be of several lines: a PING behind the last one tells when all were taken."""

    def __init__(self, context: PlatformContext) -> None:
        options = context.options
        self._context = context
        self._log = context.log
        self._server = str(options["server"])
        self._tls = bool(options["tls"])
        self._port = int(options["port"] or (6697 if self._tls else 6667))
        self._nick = str(options["nick"])
        self._ping = float(options["ping"])
        self._trust_nicks = bool(options["trust_nicks"])
        self._pace = Pace(float(options["line_interval"]), int(options["line_burst"]))
        self._channels = Channels(options["channels"], options["channel_keys"] or {}, context.cursor)
        people = (name for key in ("users", "admins", "approvers") for name in options[key])
        self._translator = Translator(
            nick=self._nick, names=(*people, *options["channels"]), trust_nicks=self._trust_nicks
        )
        self._link: Link | None = None
        self._listening = False
        self._reading = anyio.Lock()
        self._full = False
        self._heard: tuple[MemoryObjectSendStream[Inbound], MemoryObjectReceiveStream[Inbound]] | None = None

    @property
    def capabilities(self) -> ChatCapabilities:
        return ChatCapabilities(max_text=4 * TEXT, unit="bytes", send_interval=0.0, dialect="plain")

    @property
    def identity(self) -> str:
        return f"{self._nick}@{self._server}:{self._port}"

    # --- the connection

    async def open(self) -> None:
        if self._heard is None:
            self._heard = anyio.create_memory_object_stream[Inbound](_QUEUE)
        self._link = await self._connect()

    async def listen(self, receive: Receive) -> None:
        assert self._heard is not None, "open it first"
        self._listening = True
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._stay)
                await self._hand_over(self._heard[1], receive)
        finally:
            self._listening = False

    async def close(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            with anyio.CancelScope(shield=True):
                if link.lost is None:
                    try:
                        await link.write(command("QUIT", "goodbye"), seconds=2)
                    except ChatError:
                        self._log.debug("the server was gone before we could say goodbye")
                await link.close()
        if self._heard is not None:
            for stream in self._heard:
                stream.close()
            self._heard = None

    async def _stay(self) -> None:
        """Be connected: when the connection is lost, make another one, at longer and longer intervals."""
        pause = 1.0
        while True:
            began = time.monotonic()
            if (link := self._link) is not None:
                await self._serve(link)
                await link.close()
                if link.cut_while_sending:
                    self._pace.slower()
                slower = ", and sending more slowly" if link.cut_while_sending else ""
                self._log.warning("%s: %s; connecting again%s", self._server, link.lost, slower)
            if time.monotonic() - began > _LONGEST_PAUSE:
                pause = 1.0
            await anyio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - no secret is made of it
            pause = min(2 * pause, _LONGEST_PAUSE)
            try:
                self._link = await self._connect()
                self._log.info("%s: connected again as %s", self._server, self._link.nick)
            except (ChatError, ChatLoginError) as error:  # what was right once may be refused for a while
                self._link = None
                self._log.warning("%s", error.message)

    async def _connect(self) -> Link:
        options = self._context.options
        password, sasl_password = options["password"], options["sasl_password"]
        if (options["sasl_user"] is None) != (sasl_password is None):
            raise ChatLoginError("SASL needs both `sasl_user` and `sasl_password`")
        sasl = (str(options["sasl_user"]), sasl_password.reveal()) if sasl_password else None
        ca_file = Path(options["ca_file"]) if options["ca_file"] else None
        stream = await connect(self._server, self._port, tls=self._tls, ca_file=ca_file, seconds=PATIENCE)
        link = Link(stream)
        user = "".join(c for c in self._nick if c.isalnum())[:9] or "missive"
        login = Login(self._nick, user=user, password=password.reveal() if password else None, sasl=sasl)
        try:
            with anyio.fail_after(PATIENCE):
                await self._log_in(link, login)
            await self._enter(link)
        except TimeoutError:
            await link.close()
            raise ChatError(f"{self._server} has not let us in within {PATIENCE:g} s") from None
        except BaseException:
            with anyio.CancelScope(shield=True):
                await link.close()
            raise
        return link

    async def _log_in(self, link: Link, login: Login) -> None:
        await link.write(*login.begin())
        while not login.is_done():
            for line in await link.read():
                if login.is_done():
                    await self._handle(link, line)
                    continue
                link.learn(line)
                if answer := login.handle(line):
                    await link.write(*answer)
            self._context.alive()
            link.nick, link.caps, link.account = login.nick, frozenset(login.caps), login.account
        if link.bot_mode:
            await link.write(command("MODE", link.nick, f"+{link.bot_mode}"))

    async def _enter(self, link: Link) -> None:
        """Join the channels; a channel that does not let us in is no reason not to be in the others."""
        await self._channels.join(link)
        with anyio.move_on_after(PATIENCE):
            while self._channels.unanswered(link):
                for line in await link.read():
                    await self._handle(link, line)
        for name, words in link.refused.items():
            self._log.warning("the channel %s does not let us in: %s", name, words)

    async def _serve(self, link: Link) -> None:
        """Read until the connection is lost."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._watch, link)
            await self._read(link)
            tasks.cancel_scope.cancel()

    async def _read(self, link: Link) -> None:
        async with self._reading:
            try:
                while link.lost is None:
                    for line in await link.read():
                        await self._handle(link, line)
                    self._context.alive()
            except ChatError:
                return  # `link.lost` says why, and whoever waits knows

    async def _watch(self, link: Link) -> None:
        """Ask whether the server is still there, and come back to where we were thrown out."""
        asked = 0.0
        while link.lost is None:
            await anyio.sleep(min(self._ping / 4, 1.0))
            silent = time.monotonic() - link.heard
            try:
                if silent > 2 * self._ping and not self._full:
                    raise link.lose(f"it has said nothing for {silent:.0f} s")
                if silent > self._ping and asked != link.heard:
                    asked = link.heard
                    await link.write(command("PING", "missive"), seconds=self._ping)
                    if not link.is_me(self._nick):
                        await link.write(command("NICK", self._nick))
                await self._channels.join_again(link)
            except ChatError:
                break
        await link.close()  # the reader wakes up

    # --- what comes in

    async def _handle(self, link: Link, line: Line) -> None:
        link.learn(line)
        match line.command:
            case "PING":
                await link.write(command("PONG", *line.params[-1:]))
            case "PONG" if line.params:
                link.pass_fence(line.params[-1])
            case "ERROR":
                raise link.lose(line.params[-1] if line.params else "without a reason")
            case "JOIN" | "PART" | "KICK":
                await self._channels.moved(link, line)
            case "PRIVMSG" | "NOTICE":
                await self._said(link, line)
            case _ if line.command.isdigit() or line.command == "FAIL":
                self._channels.answered(link, line)
                about = line.params[1] if len(line.params) > 2 else None
                if (fence := link.fence_of(link.label_of(line), about)) is not None:
                    fence.answers.append(line)

    async def _said(self, link: Link, line: Line) -> None:
        if line.source and link.is_me(line.hostmask.nickname):
            link.mask = line.source if "@" in line.source else link.mask
            fence = link.fence_of(link.label_of(line), line.params[0] if line.params else None)
            if fence is not None and (message_id := (line.tags or {}).get("msgid")):
                fence.ids.append(message_id)
            return
        inbound = self._translator.inbound(line, link)
        if inbound is None or self._heard is None:
            return
        if link.batch_of(line) == "chathistory" and self._channels.is_old(inbound):
            return
        try:
            self._heard[0].send_nowait(inbound)
        except anyio.WouldBlock:
            if self._listening:
                self._full = True
                await self._heard[0].send(inbound)
                self._full = False

    async def _hand_over(self, heard: MemoryObjectReceiveStream[Inbound], receive: Receive) -> None:
        async for inbound in heard:
            await receive(inbound)
            await self._channels.seen(inbound)

    # --- what goes out

    def render(self, text: str) -> str:
        return clean(plain(text))

    async def send(self, message: Outgoing) -> str:
        link = self._connected()
        name = await self._whom(link, message.place)
        width = min(TEXT, LINE - len(f":{self._mask(link)} PRIVMSG {name} :".encode()))
        text = self.render(message.text)
        if len(text.encode("utf-8", "replace")) > self.capabilities.max_text:
            raise ChatError(f"a message may have {self.capabilities.max_text} bytes", permanent=True)
        lines = list(pieces(text, width))
        if not lines:
            raise ChatError("there is no text in the message", permanent=True)
        with link.fence(name) as fence:
            for number, text in enumerate(lines, 1):
                await self._pace.take()
                await self._write(
                    link, fence, command("PRIVMSG", name, text, tags=self._tags(link, fence, number, message))
                )
            await self._passed(link, fence)
            self._raise_refusal(fence, name)
            return fence.ids[0] if fence.ids else message.key

    def _connected(self) -> Link:
        if (link := self._link) is None or link.lost is not None:
            raise ChatError(f"not connected to the IRC server {self._server} at the moment", retry_after=5.0)
        return link

    async def _whom(self, link: Link, place: Place) -> str:
        """Return the channel, or the nick that the account has now: an answer must not go to who took an old nick."""
        nick = str(place.facts.get("nick") or place.chat)
        name = target(nick if place.is_direct else place.chat)
        if link.is_channel(name) or link.is_channel(name[1:]):
            if self._channels.are_ours(link, name) and link.fold(name) not in link.joined:
                words = link.refused.get(link.fold(name), "we are not in it at the moment")
                raise ChatError(f"the channel {name} cannot be spoken in: {words}", retry_after=10.0)
            return name
        if self._trust_nicks or "account-tag" not in link.caps:
            return name
        with link.fence(name) as fence:
            await self._pace.take()
            await link.write(command("WHOIS", name))
            await self._passed(link, fence)
            accounts = [line.params[2] for line in fence.answers if line.command == "330" and len(line.params) > 2]
        if link.fold(place.chat) not in map(link.fold, accounts):
            raise ChatError(
                f"nobody who is logged in as {place.chat} has the nick {name} at the moment", retry_after=30.0
            )
        return name

    async def _write(self, link: Link, fence: Fence, line: bytes) -> None:
        try:
            await link.write(line)
        except ChatError as error:
            error.maybe_sent = fence.written
            raise
        fence.written = True

    async def _passed(self, link: Link, fence: Fence) -> None:
        """Wait until the server has dealt with what was written within a fence."""
        written = fence.written
        await self._write(link, fence, command("PING", fence.token))
        fence.written = written
        try:
            with anyio.fail_after(PATIENCE):
                if self._listening:
                    await fence.passed.wait()
                else:
                    async with anyio.create_task_group() as tasks:
                        tasks.start_soon(self._read, link)
                        await fence.passed.wait()
                        tasks.cancel_scope.cancel()
        except TimeoutError:
            raise ChatError(f"no answer from the IRC server within {PATIENCE:g} s", maybe_sent=fence.written) from None
        if fence.error is not None:
            raise fence.error

    def _raise_refusal(self, fence: Fence, name: str) -> None:
        for line in fence.answers:
            if line.command == "FAIL" or "400" <= line.command <= "599" or line.command in {"263", "716"}:
                words = f"the IRC server did not take the message to {name}: {line.params[-1]}"
                if line.command in _AGAIN:
                    raise ChatError(words, retry_after=30.0)
                raise ChatError(words, permanent=True)

    def _mask(self, link: Link) -> str:
        return link.mask or f"{link.nick}!{'u' * 10}@{'h' * 63}"

    def _tags(self, link: Link, fence: Fence, number: int, message: Outgoing) -> dict[str, str]:
        tags = {}
        if "labeled-response" in link.caps:
            tags["label"] = f"{fence.token}.{number}"
        if "message-tags" in link.caps and message.reply_to and number == 1:
            tags["+draft/reply"] = message.reply_to
        return tags

    async def check(self) -> tuple[Check, ...]:
        return doctor.look(self._connected(), self._channels, nick=self._nick, tls=self._tls, trust=self._trust_nicks)

    # --- what IRC does not have: it is not declared, so the bridge never calls it

    async def edit(
        self, place: Place, message_id: str, text: str, *, buttons: tuple[Button, ...] = (), final: bool = False
    ) -> None:
        raise NotImplementedError("IRC changes no message")

    async def find(self, message: Outgoing) -> str | None:
        raise NotImplementedError("IRC cannot be asked for a message")

    async def react(self, place: Place, message_id: str, reaction: Reaction, *, instead_of: Reaction | None) -> None:
        raise NotImplementedError("IRC has no reactions")

    async def typing(self, place: Place) -> None:
        raise NotImplementedError("IRC does not show who types")

    async def download(self, attachment: Attachment, path: Path, *, limit: int) -> int:
        raise NotImplementedError("IRC has no files")
