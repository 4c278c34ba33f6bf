"""The ``policies`` plugin: the routing policies that come with missive.

This module only declares. Each policy is a class without state in one of the modules beside it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from missive_host.hookspecs import hookimpl
from missive_host.specs import PolicySpec

if TYPE_CHECKING:
    from collections.abc import Iterator

MISSIVE_API = 1

_POLICIES = (
    ("direct", "one:Direct", "The preferred agent, else the first that fits."),
    ("capability-match", "several:CapabilityMatch", "The best match first: more of what is asked, then more weight."),
    ("tag-match", "several:TagMatch", "Those with all the tags, in rank order; weight does not count."),
    ("round-robin", "turns:RoundRobin", "Each agent in turn."),
    ("weighted", "turns:Weighted", "Each agent in turn, as often as its weight says, evenly spread."),
    ("highest-weight", "one:HighestWeight", "The agent with the highest weight."),
    ("broadcast", "several:Broadcast", "All agents."),
    ("first-success", "several:FirstSuccess", "All agents that are not resting; the first that succeeds answers."),
    ("quorum", "several:Quorum", "All agents; done when enough of them have succeeded."),
    ("fallback", "several:Fallback", "One agent after another, until one takes the message."),
    ("sticky", "sticky:Sticky", "One context stays with one agent."),
    ("least-busy", "one:LeastBusy", "The agent with the fewest messages in flight for its weight."),
)
"""Name, module and class, summary."""


@hookimpl
def missive_routing_policies() -> Iterator[PolicySpec]:
    """Declare the policies."""
    for name, where, summary in _POLICIES:
        yield PolicySpec(name, f"missive_policies.{where}", summary)
