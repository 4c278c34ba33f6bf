"""What goes away: a warning at the line of whoever uses it, for at least one minor release.

::

    from missive_host.deprecation import deprecated


    def old_name(text: str) -> str:
        deprecated("`old_name`", since="0.4", instead="`new_name`")
        return new_name(text)

It warns in every 0.4.x, and 0.5 must not have it any more; of 1.4 it would be 2.0, as semantic versions want it. A test
reads the numbers in the sources. A hook that goes
away says the same by ``hookspec(warn_on_impl=deprecation("`missive_old`", since=…))``.
"""

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

_NOT_AUTHORS = frozenset(("missive_host", "pluggy", "importlib", "dataclasses", "msgspec"))
"""Packages between an author's line and what goes away."""


class MissiveDeprecationWarning(DeprecationWarning):
    """Something that plugins are written against goes away."""


def deprecation(what: str, *, since: str, instead: str | None = None) -> MissiveDeprecationWarning:
    """Return the warning that `what`, deprecated in the release `since`, goes away."""
    use = f"; use {instead}" if instead else ""
    return MissiveDeprecationWarning(f"{what} goes away in missive-host {gone_in(since)}{use}")


def gone_in(since: str) -> str:
    """Return the release that must not have any more what was deprecated in `since`."""
    major, minor = map(int, since.split("."))
    return f"{major + 1}.0" if major else f"0.{minor + 1}"


def deprecated(what: str, *, since: str, instead: str | None = None) -> None:
    """Warn whoever has called this, at the innermost line that is not the host's own."""
    warning = deprecation(what, since=since, instead=instead)
    frame = _author(sys._getframe(1))
    warnings.warn_explicit(
        warning,
        MissiveDeprecationWarning,
        frame.f_code.co_filename,
        frame.f_lineno,
        module=str(frame.f_globals.get("__name__", "?")),
        registry=frame.f_globals.setdefault("__warningregistry__", {}),
    )


def _author(frame: FrameType) -> FrameType:
    """Return the innermost frame that is an author's; if all are the host's, the outermost."""
    while frame.f_back is not None and not _is_authors(frame):
        frame = frame.f_back
    return frame


def _is_authors(frame: FrameType) -> bool:
    # "<string>" is an __init__ that a dataclass made; "<frozen importlib…>" is what imports a plugin
    if frame.f_code.co_filename.startswith("<"):
        return False
    return str(frame.f_globals.get("__name__", "")).partition(".")[0] not in _NOT_AUTHORS
