"""The store itself: for the operator."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from missive_host.commands.base import Command, NonEmpty

_AGE = r"^0*[1-9][0-9]*(s|m|h|d)$(?!\n)"
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

Age = Annotated[str, Meta(pattern=_AGE, max_length=10)]
"""A whole number and ``s``, ``m``, ``h`` or ``d``, more than zero: ``12h``, ``30d``."""


def age_seconds(text: str) -> int:
    """Return an `Age` in seconds. The text has been validated already."""
    return int(text[:-1]) * _UNITS[text[-1]]


class _Store(Command, frozen=True, kw_only=True, omit_defaults=True):
    operator: ClassVar[bool] = True
    store_only: ClassVar[bool] = True


class StoreCheck(_Store, frozen=True, kw_only=True, omit_defaults=True, tag="store_check"):
    """Read all of the store and say whether it is whole, and what takes how much room. Changes nothing."""


class StoreBackup(_Store, frozen=True, kw_only=True, omit_defaults=True, tag="store_backup"):
    """Copy the store as it is now into a file of its own, and check the copy. A gateway may go on meanwhile."""

    file: Annotated[NonEmpty, Meta(description="The file to make. It must not exist.")]


class StoreRestore(_Store, frozen=True, kw_only=True, omit_defaults=True, tag="store_restore"):
    """Put a backup in the store's place, after checking it. No gateway may run. What was is kept beside it."""

    file: Annotated[NonEmpty, Meta(description="The backup.")]


class StoreVacuum(_Store, frozen=True, kw_only=True, omit_defaults=True, tag="store_vacuum"):
    """Write the file of the store anew, without the room that was freed. Who wants to write waits meanwhile."""


class StorePrune(_Store, frozen=True, kw_only=True, omit_defaults=True, tag="store_prune"):
    """Forget what is old and not referred to any more: journal, messages, tasks, contexts, sessions, ended work."""

    older_than: Annotated[Age, Meta(description="How long it has been at rest, e.g. `30d` or `12h`.")]
    dry_run: Annotated[bool, Meta(description="Say what would go, and change nothing.")] = False
