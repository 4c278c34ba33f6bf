"""The store itself: for the operator."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from missive_host.commands.base import Command, NonEmpty


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
