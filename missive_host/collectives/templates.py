"""Templates: ``{{name}}`` is replaced, in one pass, so that what is filled in is never expanded itself."""

from __future__ import annotations

import re
from collections.abc import Mapping

from missive_host.errors import ValidationError, nearest

_PLACEHOLDER = re.compile(r"\{\{[ \t]*([A-Za-z_][A-Za-z0-9_-]*)[ \t]*\}\}")


def placeholders(template: str) -> frozenset[str]:
    """Return the names that a template uses."""
    return frozenset(_PLACEHOLDER.findall(template))


def check(template: str, known: tuple[str, ...]) -> None:
    """Raise `ValidationError` if a template uses a name that nothing is filled in for, or is empty."""
    if not template.strip():
        raise ValidationError("field `template`: it is empty")
    for name in sorted(placeholders(template)):
        if name not in known:
            raise ValidationError(
                f"field `template`: unknown placeholder {{{{{name}}}}}{nearest(name, known)}",
                help="known: " + ", ".join(f"{{{{{each}}}}}" for each in known),
            )


def fill(template: str, values: Mapping[str, str]) -> str:
    """Return the template with its placeholders replaced; `check` has been passed."""
    return _PLACEHOLDER.sub(lambda match: values[match[1]], template)
