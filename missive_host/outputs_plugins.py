"""The result documents of commands that plugins bring."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import msgspec

from missive_host.outputs import Data, Json, Output, all_kinds

OWN: Mapping[str, str] = {"chat": "missive_host.outputs_chat"}
"""The nouns whose results are kinds of ``missive.output.v1``, and where those are declared."""


class PluginResult(Data, frozen=True, kw_only=True):
    """What a plugin's command has to say, where that is no kind of missive's own."""

    kind = "plugin_result"
    profile: str
    plugin: str
    command: str
    """What was run, as it is typed after ``missive``: ``pigeon list``."""
    result_kind: str
    """The plugin's own word for what ``result`` is."""
    result: Json


def result_output(kind: str, data: dict[str, Any], *, profile: str, plugin: str, command: str) -> Output:
    """Return what a command said as a document. Raises `msgspec.ValidationError`."""
    module = OWN.get(command.partition(" ")[0])
    if module is not None:
        import_module(module)
        cls = all_kinds().get(kind)
        if cls is not None and cls.__module__ == module:
            return Output(msgspec.convert({"profile": profile, **data}, cls))
    made = {"profile": profile, "plugin": plugin, "command": command, "result_kind": kind, "result": data}
    return Output(msgspec.convert(made, PluginResult))
