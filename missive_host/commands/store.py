"""The store itself: for the operator."""

from __future__ import annotations

from typing import ClassVar

from missive_host.commands.base import Command


class _Store(Command, frozen=True, kw_only=True, omit_defaults=True):
    operator: ClassVar[bool] = True
    store_only: ClassVar[bool] = True


class StoreCheck(_Store, frozen=True, kw_only=True, omit_defaults=True, tag="store_check"):
    """Read all of the store and say whether it is whole, and what takes how much room. Changes nothing."""
