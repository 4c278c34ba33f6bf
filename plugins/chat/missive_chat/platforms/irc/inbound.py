"""What is said on IRC, as the bridge takes it."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from missive_chat.platform import Inbound, Place, Sender
from missive_chat.platforms.irc.wire import without_codes
from missive_chat.platforms.plain import without_mention

if TYPE_CHECKING:
    from irctokens.line import Line

    from missive_chat.platforms.irc.link import Link

_NO_ACCOUNT = "{nick} is not logged in to an account, and a nick may be anybody's"
_REMEMBERED = 1000


class Translator:
    """Makes `Inbound` of PRIVMSG and NOTICE."""

    def __init__(self, *, nick: str, names: Iterable[str], trust_nicks: bool) -> None:
        """`names`: ids as the config spells them; the server may spell them otherwise."""
        self._nick = nick
        self._names = tuple(names)
        self._trust_nicks = trust_nicks
        self._same: OrderedDict[str, int] = OrderedDict()

    def inbound(self, line: Line, link: Link) -> Inbound | None:
        """Return what a person said to us or to a channel; None for everything else."""
        if line.source is None or "!" not in line.source or len(line.params) < 2:
            return None  # a server speaks
        tags = line.tags or {}
        nick = line.hostmask.nickname
        if link.is_me(nick) or not nick or not _is_place(line.params[0], link):
            return None
        said = self._text(line.params[1], nick)
        if said is None:
            return None
        sender, unauthentic = self._sender(line, tags, link)
        place = self._place(line.params[0], nick, sender.id, link)
        text, mentioned = without_mention(said, (link.nick, self._nick))
        sent_at = _seconds(tags.get("time"))
        message_id = tags.get("msgid") or self._made_id(line, sent_at)
        return Inbound(
            event_id=f"irc:{message_id}",
            place=place,
            message_id=message_id,
            sender=sender,
            text=text,
            mentions_me=mentioned or place.is_direct,
            reply_to=tags.get("+draft/reply") or tags.get("+reply"),
            sent_at=sent_at or time.time(),
            unauthentic=unauthentic,
            automatic="a notice, which nobody answers on IRC" if line.command == "NOTICE" else None,
        )

    def spelled(self, name: str, link: Link) -> str:
        """Return a name as the config has it, if it is there; else as the server compares it."""
        folded = link.fold(name)
        return next((known for known in self._names if link.fold(known) == folded), folded)

    def _text(self, said: str, nick: str) -> str | None:
        if said.startswith("\x01"):
            kind, _, rest = said.strip("\x01").partition(" ")
            # an answer to any other CTCP request would be a tool for flooding others
            return f"* {nick} {without_codes(rest)}" if kind.upper() == "ACTION" else None
        return without_codes(said) or None

    def _sender(self, line: Line, tags: Mapping[str, str], link: Link) -> tuple[Sender, str | None]:
        nick = line.hostmask.nickname
        account = tags.get("account") if "account-tag" in link.caps else None
        is_bot = "bot" in tags or "inspircd.org/bot" in tags or "draft/bot" in tags
        if account and account != "*":
            return Sender(id=self.spelled(account, link), name=nick, is_bot=is_bot), None
        if self._trust_nicks:
            return Sender(id=self.spelled(nick, link), name=nick, is_bot=is_bot), None
        return Sender(id=line.source or nick, name=nick, is_bot=is_bot), _NO_ACCOUNT.format(nick=nick)

    def _place(self, target: str, nick: str, sender: str, link: Link) -> Place:
        if link.is_me(target):
            # the conversation is the account's, whatever its nick is by now
            return Place(chat=sender, is_direct=True, facts={"nick": nick})
        return Place(chat=self.spelled(target, link))

    def _made_id(self, line: Line, sent_at: float | None) -> str:
        """Return an id for a message that the server gave none.

        With a server's time the same line gets the same id when it is played back. Without, nothing on IRC tells a
        line that comes again from one that is said again: each has an id of its own, and both are answered.
        """
        when = sent_at or time.time()
        said = "\0".join((line.source or "", *line.params))
        base = f"{when:.3f}-{hashlib.sha256(said.encode()).hexdigest()[:16]}"
        count = self._same.pop(base, 0) + 1
        self._same[base] = count
        if len(self._same) > _REMEMBERED:
            self._same.popitem(last=False)
        return f"{base}-{count}"


def _is_place(target: str, link: Link) -> bool:
    """A person, a channel, or those in a channel that have a rank (``@#ops``, which is a place of its own)."""
    return link.is_me(target) or link.is_channel(target) or link.is_channel(target[1:])


def _seconds(stamp: str | None) -> float | None:
    try:
        return datetime.fromisoformat(stamp).timestamp() if stamp else None
    except ValueError:
        return None
