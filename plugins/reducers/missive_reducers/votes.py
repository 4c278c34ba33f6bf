"""Reducers that count who says the same: vote by text, majority-json by value."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from string import ascii_lowercase, ascii_uppercase
from typing import Any

from missive_host.errors import OrchestrationError
from missive_host.specs import AgentResult, Reduced, ReductionContext
from missive_reducers.gathering import Collecting, Gathered, agents, answering, left_out, single, source
from missive_reducers.settings import Settings
from missive_reducers.texts import templated
from missive_reducers.values import canonical, quoted, values_of, written

_LOWER = str.maketrans(ascii_uppercase, ascii_lowercase)


@dataclass(slots=True)
class Option:
    """One answer that was given, as its first voter gave it."""

    key: str
    value: Any
    voters: list[AgentResult] = field(default_factory=list)

    @property
    def votes(self) -> int:
        return len(self.voters)


def counted(ballots: Iterable[tuple[str, Any, AgentResult]]) -> list[Option]:
    """Count ballots of key, value and voter; return the options sorted by key."""
    options: dict[str, Option] = {}
    for key, value, voter in ballots:
        option = options.get(key)
        if option is None:
            option = options[key] = Option(key, value)
        option.voters.append(voter)
    return sorted(options.values(), key=lambda option: option.key)


def leading(options: list[Option]) -> list[Option]:
    """Return those with the most votes, sorted by key."""
    most = max((option.votes for option in options), default=0)
    return [option for option in options if option.votes == most]


def vote_key(text: str) -> str:
    """Return what makes two texts the same vote: white space collapsed, ASCII letters in lower case."""
    return " ".join(text.split()).translate(_LOWER)


class Vote:
    """The text that most members gave.

    Settings: ``quorum``, how many votes the winner needs (none: 1); ``tie``, what is done if several have the most:
    ``smallest`` takes the first in the order of letters, as the reference does, ``first`` the one whose first voter
    comes first in rank order, ``none`` names no winner, ``error`` raises an `OrchestrationError`; ``template``.
    """

    def start(self, context: ReductionContext) -> Collecting:
        settings = Settings("vote", context.settings, "quorum", "tie", "template")
        quorum = settings.count("quorum", len(context.expected))
        tie = settings.choice("tie", "smallest", "first", "none", "error")
        return Collecting(context, templated("vote", settings, answering(partial(_voted, quorum=quorum, tie=tie))))


def _voted(gathered: Gathered, *, quorum: int | None, tie: str) -> Reduced:
    voters = [each for each in gathered.inputs if each.text and not each.text.isspace()]
    left = gathered.without(voters, "there is no text")
    if not voters:
        return Reduced("No vote: no member gave a text.", notes=gathered.notes(*left))
    options = counted((vote_key(each.text or ""), each.text, each) for each in voters)
    tied = leading(options)
    winner: Option | None = tied[0]
    of = f"{tied[0].votes} of {len(voters)} vote(s)"
    notes = list(left)
    if len(tied) > 1:
        notes.append(f"{len(tied)} answers tied at {of}")
        if tie == "error":
            raise OrchestrationError(
                f"the vote is tied: {notes[-1]}", help="set `tie` to smallest, first or none, or ask one more member"
            )
        # voters are in rank order, so the option that was met first has the voter that comes first
        first = {each.agent: place for place, each in reversed(list(enumerate(voters)))}
        winner = (
            None
            if tie == "none"
            else winner
            if tie == "smallest"
            else min(tied, key=lambda o: first[o.voters[0].agent])
        )
    if quorum is not None and tied[0].votes < quorum:
        winner = None
        notes.append(f"no answer has the {quorum} vote(s) that it needs")
    if winner is None:
        head = f"Vote result: none, {notes[-1]}."
    else:
        head = f"Vote result: {quoted(winner.value)} received {of}."
    tallies = [f"- {quoted(o.value)}: {o.votes} vote(s) from {', '.join(map(source, o.voters))}" for o in options]
    data = {
        "winner": winner.value if winner else None,
        "votes": tied[0].votes,
        "of": len(voters),
        "quorum": quorum,
        "tied": [option.value for option in tied] if len(tied) > 1 else [],
        "tally": _tally(options, "text"),
    }
    text = "\n".join([head, "Tallies:", *tallies])
    return Reduced(text, data, agents(winner.voters) if winner else (), gathered.notes(*notes))


def _tally(options: list[Option], name: str) -> list[dict[str, Any]]:
    return [{name: option.value, "votes": option.votes, "agents": list(agents(option.voters))} for option in options]


class MajorityJson:
    """The JSON value that more than half of the members gave, those that gave nothing included.

    Values are equal as JSON: the order of names does not matter, and 1.0 is 1. Setting: ``quorum``, how many must agree
    instead of more than half; if several values have that many and as many votes, the first in canonical form is taken.
    """

    def start(self, context: ReductionContext) -> Collecting:
        quorum = Settings("majority-json", context.settings, "quorum").count("quorum", len(context.expected))
        return Collecting(context, answering(partial(_agreed, quorum=quorum)))


def _agreed(gathered: Gathered, *, quorum: int | None) -> Reduced:
    ballots: list[tuple[str, Any, AgentResult]] = []
    faults: dict[str, str] = {}
    for each in gathered.inputs:
        values, fault = values_of(each)
        if fault is not None:
            faults[each.agent] = fault
        else:
            value = single(values)
            ballots.append((canonical(value), value, each))
    options = counted(ballots)
    needed = gathered.members // 2 + 1 if quorum is None else quorum
    tied = leading(options)
    votes = tied[0].votes if tied else 0
    agreed = votes >= needed
    notes = list(left_out(faults))
    if agreed and len(tied) > 1:
        notes.append(f"{len(tied)} values tied at {votes} vote(s)")
    data = {
        "agreed": agreed,
        "value": tied[0].value if agreed else None,
        "votes": votes,
        "of": gathered.members,
        "quorum": needed,
        "tally": _tally(options, "value"),
    }
    if agreed:
        text, used = written(tied[0].value), agents(tied[0].voters)
    else:
        text, used = f"No majority: {votes} of {gathered.members} member(s) agree, {needed} must.", ()
    return Reduced(text, data, used, gathered.notes(*notes))
