"""The ``reducers`` plugin: the reducers that come with missive.

This module only declares. The work is in the modules beside it, which are imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from missive_host.hookspecs import hookimpl
from missive_host.specs import ReducerSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

MISSIVE_API = 1

_REDUCERS = (
    ("summarise", "texts:Summarise", "One line for each answer.", False),
    ("merge", "texts:Merge", "One section for each answer.", False),
    ("vote", "votes:Vote", "The text that most members gave.", False),
    ("rank", "texts:Rank", "The answers in order of how much they hold.", False),
    ("custom", "texts:Custom", "What a template of the caller makes of the answers.", False),
    ("json-merge", "json_merge:JsonMerge", "One JSON value, merged from all; conflicts are reported.", False),
    ("concat", "texts:Concat", "The texts one after another.", False),
    ("first", "texts:First", "The first answer in rank order, as soon as it is there.", True),
    ("majority-json", "votes:MajorityJson", "The JSON value that more than half of the members gave.", False),
)
"""Name, module and class, summary, whether the order of arrival matters."""


@hookimpl
def missive_reducers() -> Iterator[ReducerSpec]:
    """Declare the reducers."""
    for name, where, summary, ordered in _REDUCERS:
        yield ReducerSpec(name, f"missive_reducers.{where}", summary, ordered=ordered)
