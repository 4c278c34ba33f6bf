"""JSON values from outside: which can be worked with, when two are equal, and how they are written.

Nothing here trusts a value. One that is nested too deep for a parser, or that is no JSON at all, is left out by the
reducers with a note, instead of ending in an error.
"""

from __future__ import annotations

import json
import math
from typing import Any

from missive_host.specs import AgentResult

MOST_LEVELS = 100
"""How deep a value may be nested, as in the protocol's own parsers."""
_MOST_BITS = 4096
"""The largest whole number, so that writing it takes no time to speak of."""


def fault(value: Any) -> str | None:
    """Say why a value cannot be used, or return None. It does not recurse."""
    level: list[Any] = [value]
    for _ in range(MOST_LEVELS + 1):
        below: list[Any] = []
        for each in level:
            if isinstance(each, dict):
                if not all(isinstance(name, str) for name in each):
                    return "there is a name that is no text"
                below.extend(each.values())
            elif isinstance(each, (list, tuple)):
                below.extend(each)
            elif (wrong := _scalar_fault(each)) is not None:
                return wrong
        if not below:
            return None
        level = below
    return f"the JSON is nested more than {MOST_LEVELS} levels deep"


def _scalar_fault(value: Any) -> str | None:
    if isinstance(value, float):
        return None if math.isfinite(value) else "there is a number that is not finite"
    if isinstance(value, int):
        return None if value.bit_length() <= _MOST_BITS else "there is a number that is too large"
    return None if value is None or isinstance(value, str) else f"there is a {type(value).__name__}, which is no JSON"


def canonical(value: Any) -> str:
    """Return a text that is the same for equal values: names sorted, and 1.0 is 1. The value has no `fault`."""
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return int(value) if value.is_integer() else value
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return value


def written(value: Any) -> str:
    """Return a value as people read it. The value has no `fault`."""
    return json.dumps(value, indent=2, ensure_ascii=False)


def quoted(text: str) -> str:
    """Return a text in quotes on one line."""
    return json.dumps(text, ensure_ascii=False)


def brief(value: Any, most: int = 60) -> str:
    """Return the beginning of a value on one line."""
    text = canonical(value)
    return text if len(text) <= most else text[: most - 1] + "…"


def values_of(result: AgentResult) -> tuple[tuple[Any, ...], str | None]:
    """Return a member's JSON values, or why there are none.

    They are its data parts; a member without any that answered with a text which is JSON has given that.
    """
    if result.data:
        faults = [wrong for value in result.data if (wrong := fault(value)) is not None]
        return ((), faults[0]) if faults else (result.data, None)
    if result.text is None:
        return (), "there is neither data nor text"
    try:
        value = json.loads(result.text)
    except (ValueError, RecursionError):  # a ValueError is also what a number with thousands of digits gives
        return (), "the text is not JSON"
    wrong = fault(value)
    return ((), wrong) if wrong is not None else ((value,), None)
