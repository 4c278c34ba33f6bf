"""Importing one plugin, and asking it what it declares."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

    import pluggy

    from missive_host.plugins.catalogue import PluginRecord
    from missive_host.specs import Spec

SLOW_SECONDS = 1.0
"""A declaration module that takes longer to import gets a warning."""
HEAVY_MODULES = 50
"""A declaration module that brings more modules in than this gets a warning."""


@contextlib.contextmanager
def stdout_on_stderr() -> Iterator[None]:
    """Send what a plugin prints while it is imported to stderr: stdout carries frames and documents."""
    with contextlib.redirect_stdout(sys.stderr):
        yield


@contextlib.contextmanager
def noting_deprecations(noted: list[str]) -> Iterator[None]:
    """Note what a plugin uses that goes away, with the line that uses it; other warnings go their way."""
    import warnings as python

    from missive_host.deprecation import MissiveDeprecationWarning

    with python.catch_warnings():
        shown = python.showwarning

        def note(message: Any, category: Any, filename: str, lineno: int, file: Any = None, line: Any = None) -> None:
            if issubclass(category, MissiveDeprecationWarning):
                noted.append(f"{message} ({filename}:{lineno})")
            else:
                shown(message, category, filename, lineno, file, line)

        python.showwarning = note
        python.simplefilter("always", MissiveDeprecationWarning)
        yield


def import_plugin(record: PluginRecord) -> ModuleType:
    if record.path is None:
        return _import_named(record.target)
    from importlib.util import module_from_spec, spec_from_file_location

    spec = spec_from_file_location(record.target, record.path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{record.path} cannot be imported")
    module = module_from_spec(spec)
    sys.modules[record.target] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(record.target, None)
        raise
    return module


def _import_named(name: str) -> ModuleType:
    from importlib import import_module

    return import_module(name)


def resolve(factory: str) -> Callable[..., Any]:
    """Import what ``module:attribute`` names."""
    from missive_host.plugins.checking import RefusedError

    module, _, attribute = factory.partition(":")
    found: Any = _import_named(module)
    for part in attribute.split("."):
        found = getattr(found, part)
    if not callable(found):
        raise RefusedError(f"`{factory}` is of type {type(found).__name__}, which cannot be called")
    return found  # type: ignore[no-any-return]


def ask(manager: pluggy.PluginManager, module: ModuleType, name: str) -> list[Spec]:
    """Check and register a plugin, and call its implementations one by one. A plugin that fails is forgotten."""
    from missive_host.plugins.checking import RefusedError, check_api, check_contract_names, check_hooks

    check_api(module)
    check_hooks(manager, module)
    if manager.is_registered(module):
        raise RefusedError(f"its module is that of the plugin `{manager.get_name(module)}`")
    manager.register(module, name)
    specs: dict[tuple[type[Spec], str], Spec] = {}
    try:
        for spec in _declarations(manager, module):
            _add(specs, spec)
        check_contract_names(name, specs.values())
    except BaseException:
        manager.unregister(module)
        raise
    return list(specs.values())


def _declarations(manager: pluggy.PluginManager, module: ModuleType) -> Iterator[Spec]:
    from missive_host.hookspecs import HOOKS
    from missive_host.plugins.checking import declared

    for hook in HOOKS:
        for implementation in getattr(manager.hook, hook).get_hookimpls():
            if implementation.plugin is module:
                yield from declared(hook, implementation.function())


def _add(specs: dict[tuple[type[Spec], str], Spec], spec: Spec) -> None:
    from missive_host.plugins.checking import RefusedError
    from missive_host.plugins.reasons import titled

    if specs.setdefault((type(spec), spec.name), spec) is not spec:
        raise RefusedError(f"{titled(spec)} is declared twice")


def unlisted(record: PluginRecord, specs: list[Spec]) -> Iterator[str]:
    from missive_host.plugins.catalogue import NOUN_GROUP, PROVIDER_GROUP
    from missive_host.specs import CommandSpec, SecretProviderSpec

    if record.path is not None:
        return
    for spec in specs:
        if isinstance(spec, CommandSpec) and spec.name not in record.commands:
            yield f"`missive --help` does not list {spec.name}: name it among the entry points `{NOUN_GROUP}`"
        if isinstance(spec, SecretProviderSpec) and spec.name not in (*record.secret_providers, record.name):
            yield f"{spec.name}: to be found at once, name it among the entry points `{PROVIDER_GROUP}`"


def warnings(seconds: float, modules: int) -> Iterator[str]:
    if seconds > SLOW_SECONDS:
        yield f"importing it takes {seconds:.1f} s: import what is slow in the factory's module"
    if modules > HEAVY_MODULES:
        yield f"importing it brings {modules} modules in: import what is heavy in the factory's module"
