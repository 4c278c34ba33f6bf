"""Plugins: found by metadata, gated before anything is imported, loaded one by one.

::

    records = catalog(gates)          what is installed; reads metadata, runs no plugin code
    plugins = load(records)           still imports nothing
    plugins.adapter("stdio")          imports the plugin that provides it, others only if need be
    plugins.factory(spec)             imports the module that does the work

A plugin that cannot be used is a `PluginRecord` with its reason. It is an error (`PluginError`) only for whoever
asks for something that it should have provided.
"""

from __future__ import annotations

from missive_host.plugins.catalogue import GROUP, Gates, PluginRecord, catalog, notices
from missive_host.plugins.loading import Plugins, load

__all__ = ["GROUP", "Gates", "PluginRecord", "Plugins", "catalog", "load", "notices"]
