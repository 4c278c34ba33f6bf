"""The routing policy `by-language`: an agent that speaks the language of the message.

The message says its language as a tag, ``lang-de-ch``; a member says in its routing metadata what it speaks, the best
first: ``languages: ["de", "fr"]``. The lookup is that of RFC 4647: ``de-ch``, then ``de``, then who speaks ``*``.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from missive_host.hookspecs import hookimpl
from missive_host.specs import Candidate, Decision, PolicySpec, Requirements, RoutePlan, RouteRequest

PREFIX = "lang-"
ANY = "*"


@hookimpl
def missive_routing_policies() -> Iterator[PolicySpec]:
    yield PolicySpec("by-language", f"{__name__}:ByLanguage", "An agent that speaks the language of the message.")


class ByLanguage:
    """Of the agents that have all else that is required, those that speak the language best, one after another."""

    def plan(self, request: RouteRequest, candidates: tuple[Candidate, ...], state: Mapping[str, Any]) -> RoutePlan:  # noqa: ARG002
        needs = request.requirements
        wanted = next((tag.removeprefix(PREFIX) for tag in needs.tags if tag.startswith(PREFIX)), ANY)
        ranges = ranges_of(wanted)
        lacking = {each.agent: missing(needs, each) for each in candidates}
        spoken = {each.agent: rank(languages_of(each), ranges) for each in candidates}
        able = [each for each in candidates if not lacking[each.agent] and spoken[each.agent] is not None]
        able.sort(key=lambda each: (each.resting, spoken[each.agent]))
        targets = tuple(each.agent for each in able)
        decisions = []
        for each in candidates:
            found, lacks = spoken[each.agent], lacking[each.agent]
            if lacks:
                reason = f"lacks {lacks[0]}"
            elif found is None:
                reason, lacks = f"does not speak {wanted}", (f"tag:{PREFIX}{wanted}",)
            else:
                reason = f"speaks {ranges[found[0]]}" + (", but is resting" if each.resting else "")
            decisions.append(Decision(each.agent, each.agent in targets, reason, lacks))
        return RoutePlan("ordered_attempts", targets, tuple(decisions))


def ranges_of(wanted: str) -> tuple[str, ...]:
    """Return what will do, the best first: ``de-ch``, ``de``, ``*``."""
    parts = [] if wanted == ANY else wanted.split("-")
    return (*("-".join(parts[:length]) for length in range(len(parts), 0, -1)), ANY)


def languages_of(candidate: Candidate) -> list[str]:
    """Return what an agent speaks: from its metadata, or from tags of its own."""
    said = candidate.metadata.get("languages")
    if isinstance(said, list):
        return [each.lower() for each in said if isinstance(each, str)]
    return [tag.removeprefix(PREFIX) for tag in candidate.tags if tag.startswith(PREFIX)]


def rank(languages: list[str], ranges: tuple[str, ...]) -> tuple[int, int] | None:
    """Return how well an agent speaks the language, less is better; None if not at all."""
    if ranges == (ANY,):  # nobody said which language it is
        return (0, 0)
    ranks = [(ranges.index(each), place) for place, each in enumerate(languages) if each in ranges]
    return min(ranks, default=None)


def missing(needs: Requirements, agent: Candidate) -> tuple[str, ...]:
    """Return what an agent lacks, languages aside."""
    wanted = [("tag", tag, agent.tags) for tag in needs.tags if not tag.startswith(PREFIX)]
    wanted += [("capability", name, agent.capabilities) for name in needs.capabilities]
    wanted += [("input_mode", mode, agent.input_modes) for mode in needs.input_modes]
    wanted += [("output_mode", mode, agent.output_modes) for mode in needs.output_modes]
    found = [f"{what}:{label}" for what, label, has in wanted if label not in has]
    found += ["streaming"] if needs.streaming and not agent.streaming else []
    found += ["push_notifications"] if needs.push_notifications and not agent.push_notifications else []
    return tuple(found)
