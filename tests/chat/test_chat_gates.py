"""The gates, one by one; and pairing, as a stranger and an operator see it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from missive_chat import pairing
from missive_chat.gates import BOT_RATE, MINUTE, Rate, Rules, judge
from missive_chat.platform import Inbound, Place, Sender
from support.chat.bridges import bridge_of

from missive_host.errors import ValidationError

if TYPE_CHECKING:
    from support.cores import Home

    from missive_host.demo.fleet import AgentProcess

RULES = Rules(
    dm_policy="allowlist",
    group_policy="allowlist",
    users=frozenset({"ann"}),
    channels=frozenset({"lobby"}),
    admins=frozenset(),
    approvers=frozenset(),
    mention=True,
    mention_in_threads=False,
    bots=False,
    rate=20,
    max_age=86400.0,
)
NOW = 1_000_000.0
DIRECT = Inbound(
    event_id="1",
    message_id="1",
    place=Place(chat="d1", is_direct=True),
    sender=Sender(id="ann"),
    text="hi",
    sent_at=NOW,
)
CHANNEL = replace(DIRECT, place=Place(chat="lobby"), mentions_me=True)


def verdict(event: Inbound, rules: Rules = RULES, **facts: Any) -> tuple[str, str]:
    given: dict[str, Any] = {
        "paired": (), "is_reply_to_us": lambda: False, "in_our_thread": lambda: False, "rate": Rate(), "now": NOW,
    }  # fmt: skip
    found = judge(event, rules, **{**given, **facts})
    return found.action, found.why


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"unauthentic": "no DMARC"}, "not authentic: no DMARC"),
        ({"sender": Sender(id="ann", is_me=True)}, "our own"),
        ({"automatic": "a bounce"}, "automatic: a bounce"),
        ({"sender": Sender(id="ann", is_bot=True)}, "a bot"),
        ({"sent_at": NOW - 86401}, "too old"),
        ({"sender": Sender(id="bob")}, "not in `users`"),
    ],
)
@pytest.mark.parametrize("event", [DIRECT, CHANNEL], ids=["direct", "channel"])
def test_what_is_ignored(event: Inbound, change: dict[str, Any], why: str) -> None:
    assert verdict(replace(event, **change)) == ("ignore", why)


def test_the_order_of_the_gates() -> None:
    """What is not authentic is not even asked whose it is."""
    event = replace(DIRECT, unauthentic="x", automatic="y", sender=Sender(id="z", is_bot=True), sent_at=0.0)
    assert verdict(event)[1].startswith("not authentic")
    assert verdict(replace(event, unauthentic=None))[1].startswith("automatic")
    assert verdict(replace(event, unauthentic=None, automatic=None))[1] == "a bot"


@pytest.mark.parametrize(
    ("policy", "paired", "expected"),
    [
        ("allowlist", ("bob",), ("ignore", "not in `users`")),
        ("pairing", (), ("pair", "not paired")),
        ("pairing", ("bob",), ("act", "")),
        ("open", (), ("act", "")),
        ("disabled", ("bob",), ("ignore", "direct messages are disabled")),
    ],
)
def test_direct_messages(policy: str, paired: tuple[str, ...], expected: tuple[str, str]) -> None:
    bob = replace(DIRECT, sender=Sender(id="bob"))
    assert verdict(bob, replace(RULES, dm_policy=policy), paired=paired) == expected


@pytest.mark.parametrize(
    ("policy", "chat", "expected"),
    [
        ("allowlist", "lobby", ("act", "")),
        ("allowlist", "elsewhere", ("ignore", "not in `channels`")),
        ("open", "elsewhere", ("act", "")),
        ("disabled", "lobby", ("ignore", "channels are disabled")),
    ],
)
def test_channels(policy: str, chat: str, expected: tuple[str, str]) -> None:
    event = replace(CHANNEL, place=Place(chat=chat))
    assert verdict(event, replace(RULES, group_policy=policy)) == expected


def test_a_name_opens_nothing() -> None:
    assert verdict(replace(DIRECT, sender=Sender(id="eve", name="ann")))[0] == "ignore"


def test_mentions() -> None:
    event = replace(CHANNEL, mentions_me=False)
    assert verdict(event) == ("keep", "not for us")
    assert verdict(event, is_reply_to_us=lambda: True) == ("act", "")
    assert verdict(event, in_our_thread=lambda: True) == ("act", "")
    assert verdict(event, replace(RULES, mention_in_threads=True), in_our_thread=lambda: True)[0] == "keep"
    assert verdict(event, replace(RULES, mention=False)) == ("act", "")
    assert verdict(replace(DIRECT, mentions_me=False)) == ("act", "")


def test_two_bots_that_answer_each_other_end() -> None:
    rate, event = Rate(), replace(DIRECT, sender=Sender(id="ann", is_bot=True))
    rules = replace(RULES, bots=True, rate=1000)
    heard = [verdict(event, rules, rate=rate)[0] for _ in range(BOT_RATE + 5)]
    assert heard == ["act"] * BOT_RATE + ["ignore"] * 5


def test_the_rate_is_of_a_minute_and_of_each_sender() -> None:
    rate, rules = Rate(), replace(RULES, rate=2, dm_policy="open")
    assert [verdict(DIRECT, rules, rate=rate)[0] for _ in range(3)] == ["act", "act", "say"]
    assert verdict(replace(DIRECT, sender=Sender(id="bob")), rules, rate=rate)[0] == "act"
    assert verdict(DIRECT, rules, rate=rate, now=NOW + MINUTE)[0] == "act"


# --- pairing


async def test_a_stranger_is_let_in_by_an_operator(home: Home, agent: AgentProcess) -> None:
    settings = 'agent = "echo"\ndm_policy = "pairing"\n'
    async with bridge_of(home, agent, settings=settings) as town:
        town.say("echo hello", room="@ann")
        await town.until(town.texts)
        town.say("echo hello?", room="@ann")
        await town.quiet()
        assert len(town.texts()) == 1, "a stranger is told once"
        state = town.state()
        (asking,) = pairing.asking(state, NOW * 0)
        assert asking.sender == "ann"
        assert f"`{asking.code}`" in town.texts()[0]
        with pytest.raises(ValidationError, match="nobody waits"):
            pairing.decide(state, "WRONG234", approve=True, now=asking.asked_at)
        assert pairing.decide(state, asking.code.lower(), approve=True, now=asking.asked_at).state == "approved"
        await town.until(lambda: len(town.texts()) == 2)
        assert "let in" in town.texts()[1]
        town.say("echo hello!", room="@ann")
        await town.until(lambda: len(town.texts()) == 3)
        assert town.texts()[2] == "hello!"
        pairing.decide(state, "ann", approve=False, now=asking.asked_at + 1)
        town.say("echo still there?", room="@ann")
        await town.quiet()
        assert len(town.texts()) == 3
        state.close()


async def test_a_code_expires(home: Home, agent: AgentProcess) -> None:
    async with bridge_of(home, agent, settings='agent = "echo"\ndm_policy = "pairing"\n') as town:
        town.say("echo hello", room="@ann")
        await town.until(town.texts)
        state = town.state()
        (asking,) = pairing.asking(state, 0.0)
        assert pairing.asking(state, asking.expires_at + 1) == ()
        with pytest.raises(ValidationError, match="nobody waits"):
            pairing.decide(state, asking.code, approve=True, now=asking.expires_at + 1)
        state.close()


async def test_strangers_do_not_fill_the_table(home: Home, agent: AgentProcess) -> None:
    async with bridge_of(home, agent, settings='agent = "echo"\ndm_policy = "pairing"\n', start=False) as town:
        state = town.state()
        place = Place(chat="d", is_direct=True)
        for number in range(pairing.MOST + 10):
            state.change_now(partial(pairing.ask, sender=Sender(id=f"s{number}"), place=place, now=NOW))
        assert len(pairing.asking(state, NOW)) == pairing.MOST
        state.close()
