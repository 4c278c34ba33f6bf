"""Templates of the caller: ``{{name}}`` is replaced by a value, in one pass.

What is put in is never looked at again, so an answer that holds ``{{group}}`` stays as it is. The reference replaces
one name after another and does expand it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from missive_host.errors import ValidationError, nearest

PLACEHOLDERS = ("group", "context_id", "strategy", "input_count", "inputs", "default_reduction")

_PLACEHOLDER = re.compile(r"\{\{[ \t]*([A-Za-z_][A-Za-z0-9_-]*)[ \t]*\}\}")


class Template:
    """A template that has been read. Braces around anything but a name are ordinary text.

    Raises `ValidationError` if it is empty or has a placeholder that is not known.
    """

    def __init__(self, text: str) -> None:
        if not text.strip():
            raise ValidationError("the template is empty", help=f"placeholders are {_all()}")
        # texts and names take turns, and a text comes first and last
        self._pieces = _PLACEHOLDER.split(text)
        for name in self._pieces[1::2]:
            if name not in PLACEHOLDERS:
                near = nearest(name, PLACEHOLDERS)
                raise ValidationError(
                    f"the template has the placeholder `{{{{{name}}}}}`, which is not known{near}",
                    help=f"placeholders are {_all()}",
                )

    def render(self, values: Mapping[str, Callable[[], str]]) -> str:
        """Return the text with the values. Each is asked for once, and only if the template has its name."""
        known = {name: values[name]() for name in dict.fromkeys(self._pieces[1::2])}
        return "".join(known[piece] if odd % 2 else piece for odd, piece in enumerate(self._pieces))


def _all() -> str:
    return ", ".join(f"{{{{{name}}}}}" for name in PLACEHOLDERS)
