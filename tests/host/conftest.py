"""A site folder with made-up distributions, used by child processes as an installed one is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

LOAD = """
import dataclasses, json, sys
from missive_host.plugins import Gates, catalog, load, notices
gates = Gates(**{gates!r})
records = catalog(gates, files={files!r})
plugins = load(records)
result = None
{code}
print(json.dumps({{"records": [dataclasses.asdict(r) for r in plugins.records], "result": result,
                   "notices": notices(records, gates), "modules": sorted(sys.modules)}}))
"""


class Site:
    """Distributions in a folder on the path of child processes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.home.mkdir(parents=True)

    def install(
        self,
        distribution: str,
        points: dict[str, str],
        modules: dict[str, str],
        *,
        version: str = "1.2",
        where: str = ".",
        nouns: tuple[str, ...] = (),
        providers: tuple[str, ...] = (),
    ) -> Path:
        """Write a distribution's metadata and modules, as an installer leaves them."""
        site = self.folder / where
        info = site / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        lines = "\n".join(f"{name} = {target}" for name, target in points.items())
        commands = "\n".join(f"{noun} = {target}" for noun in nouns for target in points.values())
        secrets = "\n".join(f"{provider} = {target}" for provider in providers for target in points.values())
        (info / "entry_points.txt").write_text(
            f"[console_scripts]\nx = y:z\n\n[missive.plugins]\n{lines}\n\n[missive.commands]\n{commands}\n"
            f"\n[missive.secret_providers]\n{secrets}\n"
        )
        for name, source in modules.items():
            path = site / (name.replace(".", "/") + ".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(dedent(source))
        return info

    def plugin(self, name: str, source: str, *, nouns: tuple[str, ...] = (), **modules: str) -> None:
        """Install a distribution ``missive-NAME`` with one declaration module ``NAME_plugin``."""
        module = f"{name}_plugin"
        self.install(f"missive-{name}", {name: module}, {module: source, **modules}, nouns=nouns)

    def python(
        self, code: str, *, path: tuple[str, ...] = (), cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        return self._run([sys.executable, "-c", code], path, cwd)

    def missive(self, *words: str, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
        return self._run([sys.executable, "-m", "missive_host", *words], (), cwd, env)

    def _run(
        self, words: list[str], path: tuple[str, ...], cwd: Path | None, env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        folders = [str(self.folder), *(str(self.folder / extra) for extra in path)]
        keep = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
        return subprocess.run(
            words,
            env={
                **keep,
                "PYTHONPATH": os.pathsep.join(folders),
                "MISSIVE_HOME": str(self.home),
                "HOME": str(self.home),
                **(env or {}),
            },
            cwd=cwd or self.home,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def load(
        self, code: str = "plugins.load_all()", *, files: tuple[str, ...] = (), path: tuple[str, ...] = (), **gates: Any
    ) -> Loaded:
        """Run `code` on the loaded ``plugins`` in a child process. It may set ``result``."""
        done = self.python(LOAD.format(gates=gates, files=list(files), code=dedent(code)), path=path)
        assert done.returncode == 0, done.stderr
        return Loaded(json.loads(done.stdout), done.stderr)


class Loaded:
    """What a child process says about its plugins."""

    def __init__(self, document: dict[str, Any], stderr: str) -> None:
        self.records: list[dict[str, Any]] = document["records"]
        self.result: Any = document["result"]
        self.notices: list[str] = document["notices"]
        self.modules: list[str] = document["modules"]
        self.stderr = stderr

    def __getitem__(self, name: str) -> dict[str, Any]:
        (record,) = [record for record in self.records if record["name"] == name]
        return record


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "site")
