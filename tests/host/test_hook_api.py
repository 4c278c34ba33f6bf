"""What plugins are written against, as a committed snapshot: a change of it is a visible diff.

A new field has a default and a new hook breaks nobody. When something goes away or changes, `HOOK_API` rises. To
write the snapshot anew: ``python tests/host/test_hook_api.py``.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
from pathlib import Path
from typing import Any, get_args

from missive_host import hookspecs, protocols, specs

SNAPSHOT = Path(__file__).with_name("hook_api.json")


def describe() -> dict[str, Any]:
    """Return hooks, declarations and protocols with their exact signatures."""
    return {
        "hook_api": hookspecs.HOOK_API,
        "project": hookspecs.PROJECT,
        "hooks": {name: signature(getattr(hookspecs, name)) for name in hookspecs.HOOKS},
        "declarations": own(specs, dataclasses.is_dataclass, fields),
        "literals": {name: list(get_args(getattr(specs, name))) for name in ("Status", "OptionType")},
        "values": own(protocols, dataclasses.is_dataclass, fields),
        "protocols": own(protocols, lambda cls: getattr(cls, "_is_protocol", False), methods),
        "outcomes": [cls.__name__ for cls in get_args(protocols.Outcome)],
    }


def own(module: Any, wanted: Any, describe_one: Any) -> dict[str, Any]:
    found = {name: value for name, value in vars(module).items() if isinstance(value, type)}
    return {
        name: describe_one(value)
        for name, value in sorted(found.items())
        if value.__module__ == module.__name__ and wanted(value)
    }


def signature(function: Any) -> str:
    prefix = "async " if inspect.iscoroutinefunction(function) else ""
    return prefix + str(inspect.signature(function)).replace("'", "")


def fields(cls: Any) -> list[str]:
    described = []
    for item in dataclasses.fields(cls):
        text = f"{item.name}: {item.type}"
        if item.default is not dataclasses.MISSING:
            text += f" = {item.default!r}"
        elif item.default_factory is not dataclasses.MISSING:
            factory: Any = item.default_factory
            text += f" = {factory.__name__}()"
        described.append(text)
    return described


def methods(cls: Any) -> dict[str, str]:
    described = {}
    for name, value in vars(cls).items():
        if isinstance(value, property):
            described[name] = "property " + signature(value.fget)
        elif inspect.isfunction(value) and not name.startswith("_"):
            described[name] = signature(value)
    return described


def test_the_hook_api_is_what_was_committed() -> None:
    assert describe() == json.loads(SNAPSHOT.read_text()), (
        "hooks, declarations or protocols have changed: read the docstring of this file"
    )


def test_every_hook_is_listed_and_specified() -> None:
    marked = {name for name, value in vars(hookspecs).items() if hasattr(value, "missive_spec")}
    assert marked == set(hookspecs.HOOKS)
    for name in hookspecs.HOOKS:
        assert name.startswith("missive_")
        assert not inspect.signature(getattr(hookspecs, name)).parameters
        assert f"Since API {hookspecs.HOOK_API}" in (inspect.getdoc(getattr(hookspecs, name)) or "")


def test_every_declaration_is_frozen_and_can_grow() -> None:
    for cls in get_args(specs.Spec):
        assert cls.__dataclass_params__.frozen
        required = [field.name for field in dataclasses.fields(cls) if field.default is dataclasses.MISSING]
        others = {specs.CommandSpec: ["name", "summary", "verbs"], specs.ContractSpec: ["name", "package", "summary"]}
        assert required == others.get(cls, ["name", "factory", "summary"])


if __name__ == "__main__":
    SNAPSHOT.write_text(json.dumps(describe(), indent=2) + "\n")
