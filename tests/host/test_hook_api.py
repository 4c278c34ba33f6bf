"""Hooks and declarations: what holds for each. Their signatures are in ``public_api.txt``."""

from __future__ import annotations

import dataclasses
import inspect
from typing import get_args

from missive_host import hookspecs, specs


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
