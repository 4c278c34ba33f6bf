"""Taking the results in, and what all reducers say about them.

Results are put into rank order when all are in, so the order in which they arrived changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from missive_host.specs import AgentResult, Reduced, ReductionContext
from missive_reducers.values import fault, written

GATHERED = "gathered"
"""The status of a result that holds something. Any other says why there is nothing."""
MOST_NAMED = 20
"""How many members or conflicts are named in one note."""


@dataclass(frozen=True, slots=True)
class Gathered:
    """All that came in, in rank order."""

    context: ReductionContext
    everything: tuple[AgentResult, ...]
    """One for each member that gave a result, also those that hold nothing."""
    inputs: tuple[AgentResult, ...]
    """Those that hold something."""
    absent: tuple[str, ...]
    """The members that gave nothing: ``b``, or ``b (failed)`` if it is known why."""

    @property
    def members(self) -> int:
        """How many members there are, whether they gave something or not."""
        return max(len(set(self.context.expected)), len({each.agent for each in self.inputs}) + len(self.absent))

    def notes(self, *more: str) -> tuple[str, ...]:
        """Return the notes of an answer: who is missing, then `more`."""
        missing = (f"nothing from {listed(self.absent)}",) if self.absent else ()
        return (*missing, *more)

    def without(self, used: Iterable[AgentResult], why: str) -> tuple[str, ...]:
        """Return a note that names the inputs that are not among `used`, or none."""
        taken = {each.agent for each in used}
        return left_out({each.agent: why for each in self.inputs if each.agent not in taken})

    def nothing(self) -> Reduced:
        """Return the answer when there is no input."""
        return Reduced(f"No answer: no member of the group '{self.context.group}' gave anything.", notes=self.notes())


Answer = Callable[[Gathered], Reduced]


class Collecting:
    """A reduction that takes all results and answers at the end."""

    def __init__(self, context: ReductionContext, answer: Answer) -> None:
        self._context = context
        self._answer = answer
        self._results: list[AgentResult] = []

    def add(self, result: AgentResult) -> Reduced | None:
        """Keep the result."""
        self._results.append(result)
        return None

    def close(self, missing: tuple[str, ...]) -> Reduced:
        """Answer from what is there."""
        return self._answer(gather(self._context, self._results, missing))


def gather(context: ReductionContext, results: list[AgentResult], missing: tuple[str, ...]) -> Gathered:
    """Put the results into rank order: as the members are expected, then by rank, alias, task and text."""
    position = {agent: number for number, agent in enumerate(context.expected)}

    def key(result: AgentResult) -> tuple[int, str, str, str, str]:
        place = position.get(result.agent, len(position))
        return place, result.rank, result.agent, result.task_id or "", result.text or ""

    everything = tuple(sorted(results, key=key))
    inputs = tuple(each for each in everything if each.status == GATHERED)
    there = {each.agent for each in inputs}
    absent = {each.agent: f"{each.agent} ({each.status})" for each in everything if each.agent not in there}
    for agent in sorted(missing, key=lambda name: (position.get(name, len(position)), name)):
        if agent not in there:
            absent.setdefault(agent, agent)
    return Gathered(context, everything, inputs, tuple(absent.values()))


def answering(strategy: Answer) -> Answer:
    """Return `strategy`, but with the plain answer when there is no input."""

    def answer(gathered: Gathered) -> Reduced:
        return strategy(gathered) if gathered.inputs else gathered.nothing()

    return answer


def said(result: AgentResult) -> str:
    """Return what a member said: its text, else its JSON, else the names of its files."""
    if result.text is not None:
        return result.text
    if result.data and not any(fault(value) for value in result.data):
        return "\n".join(written(value) for value in result.data)
    if result.files:
        return f"[artifact output: {', '.join(result.files)}]"
    return "[no text output]"


def agents(results: Iterable[AgentResult]) -> tuple[str, ...]:
    """Return the aliases, each once."""
    return tuple(dict.fromkeys(each.agent for each in results))


def left_out(why: Mapping[str, str]) -> tuple[str, ...]:
    """Return a note for each reason why an agent's result was left out."""
    reasons: dict[str, list[str]] = {}
    for agent, reason in why.items():
        reasons.setdefault(reason, []).append(agent)
    return tuple(f"left out, {reason}: {listed(names)}" for reason, names in reasons.items())


def source(result: AgentResult) -> str:
    """Return ``rank (agent)``."""
    return f"{result.rank} ({result.agent})"


def listed(names: Iterable[str]) -> str:
    """Return ``a, b, c and 5 more``."""
    every = list(names)
    more = len(every) - MOST_NAMED
    return ", ".join(every[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def single(data: tuple[Any, ...]) -> Any:
    """Return the one value, or all of several as a list, or None."""
    return data[0] if len(data) == 1 else (list(data) or None)
