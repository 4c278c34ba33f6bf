"""The reducer that makes one JSON value of many."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from missive_host.errors import OrchestrationError
from missive_host.specs import Reduced, ReductionContext
from missive_reducers.gathering import MOST_NAMED, Collecting, Gathered, agents, answering, left_out, listed
from missive_reducers.settings import Settings
from missive_reducers.values import brief, canonical, quoted, values_of, written

Piece = tuple[str, Any]
"""An alias and what it gave."""


class JsonMerge:
    """A deep merge of the members' JSON in rank order.

    Objects are merged name by name. Where members differ, and the values cannot be merged, that is a conflict: it is
    settled by the setting ``conflict``: ``first`` keeps the value of the member that comes first in rank order,
    ``last`` that of the last, ``error`` raises an `OrchestrationError`. Conflicts are in the notes and in the data.
    Setting ``lists``: ``union`` adds to the first list what the others have and it has not, ``concat`` puts lists one
    after another, and with ``whole`` different lists are a conflict.

    The data are ``{"value": …, "conflicts": [{"path", "kept", "value", "others": [{"agent", "value"}]}]}``.
    """

    def start(self, context: ReductionContext) -> Collecting:
        settings = Settings("json-merge", context.settings, "conflict", "lists")
        conflict = settings.choice("conflict", "first", "last", "error")
        lists = settings.choice("lists", "union", "concat", "whole")
        return Collecting(context, answering(partial(_merged, conflict=conflict, lists=lists)))


def _merged(gathered: Gathered, *, conflict: str, lists: str) -> Reduced:
    pieces: list[Piece] = []
    faults: dict[str, str] = {}
    for each in gathered.inputs:
        values, fault = values_of(each)
        pieces.extend((each.agent, value) for value in values)
        if fault is not None:
            faults[each.agent] = fault
    left = left_out(faults)
    if not pieces:
        return Reduced("No JSON: no member gave a value that can be merged.", notes=gathered.notes(*left))
    merge = _Merge(keep=-1 if conflict == "last" else 0, lists=lists)
    value = merge.merged(pieces, "")
    notes = [_note(each) for each in merge.conflicts[:MOST_NAMED]]
    if len(merge.conflicts) > MOST_NAMED:
        notes.append(f"{len(merge.conflicts) - MOST_NAMED} more conflicts")
    if notes and conflict == "error":
        raise OrchestrationError(
            f"the members contradict each other: {notes[0]}",
            help="set `conflict` to first or last, and the conflicts are reported",
            sources=tuple(notes[1:]),
        )
    gave = {agent for agent, _ in pieces}
    used = agents(each for each in gathered.inputs if each.agent in gave)
    data = {"value": value, "conflicts": merge.conflicts}
    return Reduced(written(value), data, used, gathered.notes(*left, *notes))


def _note(conflict: dict[str, Any]) -> str:
    others = listed(f"{brief(each['value'])} of {each['agent']}" for each in conflict["others"][:MOST_NAMED])
    more = len(conflict["others"]) - MOST_NAMED
    where = quoted(conflict["path"]) if conflict["path"] else "the top"
    kept = f"kept {brief(conflict['value'])} of {conflict['kept']}, left {others}"
    return f"conflict at {where}: {kept}" + (f" and {more} more" if more > 0 else "")


@dataclass(slots=True)
class _Merge:
    """One merge. All pieces of one place are merged at once, so each value is looked at once."""

    keep: int
    """Which of contradicting pieces stays: 0 the first, -1 the last."""
    lists: str
    conflicts: list[dict[str, Any]] = field(default_factory=list)

    def merged(self, pieces: list[Piece], path: str) -> Any:
        """Return the value of one place. The values are not nested deep, so this may recurse."""
        if len(pieces) == 1:
            return pieces[0][1]
        agent, kept = pieces[self.keep]
        like: list[Piece] = []
        others: list[Piece] = []
        matches = self._matcher(kept)
        for piece in pieces:
            (like if matches(piece[1]) else others).append(piece)
        if others:
            self.conflicts.append(
                {
                    "path": path,
                    "kept": agent,
                    "value": kept,
                    "others": [{"agent": giver, "value": value} for giver, value in others],
                }
            )
        if isinstance(kept, dict):
            return self._objects(like, path)
        if _is_list(kept) and self.lists != "whole":
            return self._lists([value for _, value in like])
        return kept

    def _matcher(self, kept: Any) -> Callable[[Any], bool]:
        """Return a test for values that can be merged with the one that is kept, or are equal to it."""
        if isinstance(kept, dict):
            return lambda value: isinstance(value, dict)
        if _is_list(kept) and self.lists != "whole":
            return _is_list
        same = canonical(kept)
        return lambda value: not isinstance(value, dict) and canonical(value) == same

    def _objects(self, pieces: list[Piece], path: str) -> dict[str, Any]:
        places: dict[str, list[Piece]] = {}
        for agent, value in pieces:
            for name, inner in value.items():
                places.setdefault(name, []).append((agent, inner))
        return {name: self.merged(inner, f"{path}/{_escaped(name)}") for name, inner in places.items()}

    def _lists(self, lists: list[Any]) -> list[Any]:
        if self.lists == "concat":
            return [item for each in lists for item in each]
        items = list(lists[0])
        known = {canonical(item) for item in items}
        for each in lists[1:]:
            for item in each:
                key = canonical(item)
                if key not in known:
                    known.add(key)
                    items.append(item)
        return items


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple))


def _escaped(name: str) -> str:
    """Escape a name in a JSON Pointer (RFC 6901)."""
    return name.replace("~", "~0").replace("/", "~1")
