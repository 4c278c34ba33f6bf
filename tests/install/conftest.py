"""The wheel, built once for all."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from install_kit import ROOT, Installed, check_output


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built once."""
    out = tmp_path_factory.mktemp("wheel")
    here = ("--no-isolation",) if find_spec("hatchling") else ()
    check_output(sys.executable, "-m", "build", "--wheel", *here, "--outdir", out, ROOT, cwd=out)
    (file,) = out.glob("*.whl")
    return file


@pytest.fixture(scope="session")
def bench(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Where an author of plugins works: the wheel, and what builds and tests a plugin."""
    bench = Installed(tmp_path_factory.mktemp("bench"))
    bench.install(wheel, "-c", ROOT / "requirements" / "dev.txt", "hatchling", "editables", "pytest", "trio")
    return bench
