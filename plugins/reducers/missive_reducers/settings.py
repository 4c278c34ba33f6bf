"""What a caller may set of a reducer. What is not known or does not fit is refused before anything is reduced."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from missive_host.errors import ValidationError, nearest


class Settings:
    """The settings of one reduction, which may come from a command line: a number may be written as text.

    Raises `ValidationError` for a name that is not among `known`. A value of None counts as not given.
    """

    def __init__(self, reducer: str, given: Mapping[str, Any], *known: str) -> None:
        for name in given:
            if name not in known:
                raise ValidationError(
                    f"the reducer `{reducer}` has no setting `{name}`{nearest(str(name), known)}",
                    help=f"it has {', '.join(known)}" if known else "it has none",
                )
        self._reducer = reducer
        self._given = {name: value for name, value in given.items() if value is not None}

    def text(self, name: str) -> str | None:
        """Return a text, or None if it is not given."""
        value = self._given.get(name)
        if value is None or isinstance(value, str):
            return value
        raise self._refused(name, "must be a text")

    def choice(self, name: str, *choices: str) -> str:
        """Return one of several words; the first is the default."""
        value = self._given.get(name, choices[0])
        if value in choices:
            return str(value)
        near = nearest(value, choices) if isinstance(value, str) else ""
        raise self._refused(name, f"must be one of {', '.join(choices)}{near}")

    def count(self, name: str, most: int) -> int | None:
        """Return a whole number from 1 to `most`, or None if it is not given. A `most` of 0 is no limit."""
        value = self._given.get(name)
        if value is None:
            return None
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
            value = int(value)
        if type(value) is int and 1 <= value <= (most or value):
            return value
        raise self._refused(
            name, f"must be a whole number from 1 to {most}" if most else "must be a whole number from 1 on"
        )

    def _refused(self, name: str, why: str) -> ValidationError:
        return ValidationError(f"the setting `{name}` of the reducer `{self._reducer}` {why}")
