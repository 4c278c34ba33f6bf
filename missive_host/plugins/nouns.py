"""The nouns of plugins, by metadata alone: for lists that must not import a plugin or read the config."""

from __future__ import annotations

from typing import TYPE_CHECKING

from missive_host.plugins.catalogue import Gates, catalog

if TYPE_CHECKING:
    from collections.abc import Container, Sequence


def listed(no_plugin: Sequence[str], taken: Container[str]) -> list[tuple[str, str]]:
    """Return each noun with whose it is, but those that are `taken`. What the config disables is there all the same."""
    no_table = Gates()
    records = catalog(Gates.of(no_table, no_plugin=tuple(no_plugin)))
    return sorted(
        (noun, f"Of the plugin `{record.name}`, {record.owner}.")
        for record in records
        if record.state == "found"
        for noun in record.commands
        if noun not in taken
    )
