"""The gates that a message has to pass before it reaches an agent. The first one that is shut decides.

======  ====================  ===========================================================================
gate    what it asks          shut
======  ====================  ===========================================================================
0       authentic?            ignored, and logged
1       not ours, no robot?   ignored; other bots, too, unless `bots` is set, and then only so many a minute
2       not too old?          ignored
3       may write directly?   by `dm_policy`; with ``pairing`` a stranger gets a code
4       may this channel?     by `group_policy`; then the sender, if `users` are named
5       is it for us?         in channels: a mention, an answer to us, or a thread that we are in; else it is kept
6       may give commands?    `admins`, if any are named
7       too many?             a polite word once a minute, and nothing more
======  ====================  ===========================================================================

Everything is told by ids, never by names. That an event was seen already is known before: see `inbox`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Literal

from missive_chat.platform import Inbound

Action = Literal["act", "ignore", "keep", "pair", "say"]
BOT_RATE = 20
"""Messages a minute of one bot: two bots that answer each other end here."""
MINUTE = 60.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a message: it is acted on, ignored, kept for later, or gets a word from the bridge itself."""

    action: Action
    why: str = ""
    say: str = ""


ACT = Verdict("act")


@dataclass(frozen=True, slots=True)
class Rules:
    """The options that the gates ask."""

    dm_policy: str
    group_policy: str
    users: frozenset[str]
    channels: frozenset[str]
    admins: frozenset[str]
    approvers: frozenset[str]
    mention: bool
    mention_in_threads: bool
    bots: bool
    rate: int
    max_age: float

    @classmethod
    def of(cls, options: dict[str, Any]) -> Rules:
        values = {name: options[name] for name in cls.__dataclass_fields__}
        for name in ("users", "channels", "admins", "approvers"):
            values[name] = frozenset(values[name])
        return cls(**values)


class Rate:
    """Counts what each sender has said within the last minute."""

    def __init__(self) -> None:
        self._heard: dict[str, deque[float]] = {}
        self._told: dict[str, float] = {}

    def is_over(self, sender: str, limit: int, now: float) -> bool:
        """Count one message; True if it is one too many."""
        if len(self._heard) > 10_000:
            self._heard = {key: times for key, times in self._heard.items() if times and times[-1] > now - MINUTE}
        times = self._heard.setdefault(sender, deque())
        while times and times[0] <= now - MINUTE:
            times.popleft()
        if len(times) >= limit:
            return True
        times.append(now)
        return False

    def may_tell(self, sender: str, now: float) -> bool:
        """True once a minute: whoever is told too often is told nothing."""
        if now - self._told.get(sender, -MINUTE) < MINUTE:
            return False
        if len(self._told) > 10_000:
            self._told = {key: at for key, at in self._told.items() if at > now - MINUTE}
        self._told[sender] = now
        return True


def is_user(rules: Rules, sender: str, paired: Collection[str]) -> bool:
    return sender in rules.users | rules.admins | rules.approvers or sender in paired


def judge(
    inbound: Inbound,
    rules: Rules,
    *,
    paired: Collection[str],
    is_reply_to_us: Callable[[], bool],
    in_our_thread: Callable[[], bool],
    rate: Rate,
    now: float,
) -> Verdict:
    """Say what becomes of a message (not of a pressed button). `now` is in seconds since 1970."""
    sender = inbound.sender
    if inbound.unauthentic is not None:
        return Verdict("ignore", f"not authentic: {inbound.unauthentic}")
    if sender.is_me:
        return Verdict("ignore", "our own")
    if inbound.automatic is not None:
        return Verdict("ignore", f"automatic: {inbound.automatic}")
    if sender.is_bot and (not rules.bots or rate.is_over(f"bot {sender.id}", BOT_RATE, now)):
        return Verdict("ignore", "a bot")
    if inbound.sent_at is not None and now - inbound.sent_at > rules.max_age:
        return Verdict("ignore", "too old")
    shut = _direct(inbound, rules, paired) if inbound.place.is_direct else _channel(inbound, rules, paired)
    if shut is not None:
        return shut
    if not inbound.place.is_direct and rules.mention and not inbound.mentions_me and not is_reply_to_us():
        ours = not rules.mention_in_threads and in_our_thread()
        if not ours:
            return Verdict("keep", "not for us")
    if rate.is_over(sender.id, rules.rate, now):
        polite = "That is too much at once; please wait a minute." if rate.may_tell(sender.id, now) else ""
        return Verdict("say", "too many", polite)
    return ACT


def _direct(inbound: Inbound, rules: Rules, paired: Collection[str]) -> Verdict | None:
    policy = rules.dm_policy
    if policy == "open":
        return None
    if policy == "disabled":
        return Verdict("ignore", "direct messages are disabled")
    if is_user(rules, inbound.sender.id, paired if policy == "pairing" else ()):
        return None
    return Verdict("pair", "not paired") if policy == "pairing" else Verdict("ignore", "not in `users`")


def _channel(inbound: Inbound, rules: Rules, paired: Collection[str]) -> Verdict | None:
    if rules.group_policy == "disabled":
        return Verdict("ignore", "channels are disabled")
    if rules.group_policy == "allowlist" and inbound.place.chat not in rules.channels:
        return Verdict("ignore", "not in `channels`")
    if rules.users and not is_user(rules, inbound.sender.id, paired):
        return Verdict("ignore", "not in `users`")
    return None
