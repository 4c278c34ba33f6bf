"""What holds for every plugin: it is installed, it loads, and declaring costs nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from missive_host.plugins import Gates, PluginRecord, Plugins, catalog, load
from missive_host.specs import AdapterSpec, PolicySpec, ReducerSpec

S = TypeVar("S", AdapterSpec, PolicySpec, ReducerSpec)

HEAVY = frozenset({
    "a2a", "aiohttp", "anyio", "asyncio", "click", "grpc", "httpx", "jsonschema", "numpy", "pandas",
    "pydantic", "requests", "socket", "sqlite3", "ssl", "starlette", "trio", "uvicorn",
})  # fmt: skip
"""Modules that no declaration needs, and that every command would pay for."""

_CHILD = """
import json, sys
import missive_host.hookspecs, missive_host.specs, missive_host.protocols, missive_host.envelopes, importlib.util
from pathlib import Path
before = set(sys.modules)
name, path = sys.argv[1:]
if path:
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
else:
    __import__(name)
brought = {each.partition(".")[0] for each in set(sys.modules) - before}
print(json.dumps([sorted(brought), sorted(sys.stdlib_module_names)]))
"""


class PluginContract(Generic[S]):
    """The tests that are the same for every kind of plugin."""

    plugin: ClassVar[str | Path]
    """The name of its entry point, which proves that it is installed; or the `Path` of a one-file plugin."""
    name: ClassVar[str] = ""
    """The adapter, policy or reducer under test; without it the only one of this kind that the plugin declares."""

    _kind: ClassVar[type[Any]]

    def plugins(self) -> Plugins:
        """Return the plugin, alone, in strict mode: its first fault is raised as it is."""
        if isinstance(self.plugin, Path):
            return load(catalog(Gates(enabled=()), files=[self.plugin]), strict=True)
        return load(catalog(Gates(enabled=(self.plugin,))), strict=True)

    @cached_property
    def record(self) -> PluginRecord:
        """What the host knows of the plugin after loading it."""
        (record,) = [each for each in self.plugins().load_all() if each.state != "disabled"]
        return record

    @cached_property
    def spec(self) -> S:
        """The declaration under test."""
        return self._found[0]

    def factory(self) -> Callable[..., Any]:
        """Return what the declaration names, imported."""
        spec, plugins = self._found
        return plugins.factory(spec)

    @cached_property
    def _found(self) -> tuple[S, Plugins]:
        plugins = self.plugins()
        name = self.plugin.stem if isinstance(self.plugin, Path) else self.plugin
        declared = [spec for spec in plugins.plugin(name)[1] if isinstance(spec, self._kind)]
        found = [spec for spec in declared if self.name in ("", spec.name)]
        names = [spec.name for spec in declared]
        assert found, f"the plugin {name} declares no {self._kind.__name__} {self.name or 'at all'}, but {names}"
        assert len(found) == 1, f"the plugin {name} declares several: set `name` to one of {names}"
        return found[0], plugins

    # --- the rules

    def test_it_is_installed_and_loads(self) -> None:
        """The plugin is found by its name, loads in strict mode, and nothing of it is refused or to be mended."""
        known = [each.name for each in self.plugins().records]
        wanted = self.plugin.stem if isinstance(self.plugin, Path) else self.plugin
        assert wanted in known, (
            f"no plugin `{wanted}` is installed in this environment (there are {known}): "
            'run `pip install -e .`, and look at [project.entry-points."missive.plugins"]'
        )
        (record,) = [each for each in self.plugins().check() if each.name == wanted]
        assert (record.state, record.reason) == ("loaded", None)
        assert not record.warnings, record.warnings
        assert self.spec.summary.strip(), "a line in the listing needs a summary"
        assert "\n" not in self.spec.summary

    def test_its_declaration_is_light(self) -> None:
        """Importing the declaration module brings nothing heavy, and nothing of others.

        Beside itself and light parts of the standard library that is what the host's public modules bring.
        """
        record = self.record
        path = "" if record.path is None else record.path
        command = [sys.executable, "-c", _CHILD, record.target, path]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        answer: list[list[str]] = json.loads(done.stdout)
        brought, allowed = answer[0], {*answer[1], record.target.partition(".")[0], "missive_host", "pluggy"} - HEAVY
        heavy = [name for name in brought if name not in allowed and not name.startswith("_")]
        assert not heavy, f"{record.target} imports {heavy}: import it in the module that the factory names"
