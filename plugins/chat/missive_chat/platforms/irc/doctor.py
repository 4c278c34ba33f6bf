"""What ``missive chat doctor`` says of an IRC account."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from missive_chat.platform import Check

if TYPE_CHECKING:
    from missive_chat.platforms.irc.channels import Channels
    from missive_chat.platforms.irc.link import Link


def look(link: Link, channels: Channels, *, nick: str, tls: bool, trust: bool) -> tuple[Check, ...]:
    return tuple(_checks(link, channels, nick=nick, tls=tls, trust=trust))


def _checks(link: Link, channels: Channels, *, nick: str, tls: bool, trust: bool) -> Iterator[Check]:
    login = f"logged in as {link.account}" if link.account else "not logged in to an account"
    yield Check("login", "ok", f"connected as {link.nick}, {login}")
    if not link.is_me(nick):
        yield Check("nick", "warn", f"the nick {nick} is taken; we have {link.nick}", "end whoever has it")
    yield Check("tls", "ok", "the connection is encrypted" if tls else "no TLS: the server is on this machine")
    if "account-tag" in link.caps:
        yield Check("accounts", "ok", "the server says which account a message is from (account-tag)")
    elif trust:
        words = "`trust_nicks`: whoever takes a nick of `users` is taken for him"
        yield Check("accounts", "warn", words, "let only people connect whom you know")
    else:
        yield Check(
            "accounts",
            "fail",
            "the server does not say which account a message is from (account-tag), so no message can be answered",
            "choose a network that has it, or set `trust_nicks = true` on a closed one",
        )
    if "message-tags" not in link.caps:
        words = "messages have no ids here: a line that is played back would be answered again"
        yield Check("msgid", "warn", words, "let no bouncer play lines back, or choose a server with message-tags")
    for name, reason in channels.reasons(link).items():
        if reason is None:
            yield Check(f"channel {name}", "ok", f"we are in {name}")
        else:
            yield Check(
                f"channel {name}", "fail", f"{name}: {reason}", "invite the nick, or set its key in `channel_keys`"
            )
