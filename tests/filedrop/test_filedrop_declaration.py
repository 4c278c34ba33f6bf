"""The plugin as a stranger would write it: what it declares, and what it costs until it is used."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import missive_filedrop
from filedrop_kit import SPEC, Drop

from missive_host.hookspecs import HOOK_API
from missive_host.protocols import Adapter, Restoring, Summarizing


def test_the_declaration() -> None:
    assert SPEC.name == "file-drop"
    assert SPEC.accepts == SPEC.emits == ("missive.file_drop.v1",)
    assert missive_filedrop.MISSIVE_API == HOOK_API
    options = {option.name: option for option in SPEC.options}
    assert [name for name in options if options[name].required] == ["inbox", "outbox"]
    assert options["error"].flag == "--error-dir"
    assert SPEC.file_root_option == "inbox"
    assert all(option.help for option in SPEC.options)
    assert SPEC.examples


def test_the_factory_makes_an_adapter(drop: Drop) -> None:
    module, _, name = SPEC.factory.partition(":")
    door = drop.adapter()
    assert type(door) is getattr(import_module(module), name)
    assert isinstance(door, Adapter)
    assert isinstance(door, Restoring)
    assert isinstance(door, Summarizing)


def test_in_the_gateway_it_watches(drop: Drop) -> None:
    assert drop.adapter(durable=True)._once is False
    assert drop.adapter(durable=True, mode="once")._once is True
    assert drop.adapter()._once is True


def test_once_needs_no_events() -> None:
    """What watches is imported when something is watched."""
    code = "import sys, missive_filedrop.adapter; print('watchdog' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
