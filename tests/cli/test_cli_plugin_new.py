"""``missive plugin new``: names, places, and that nothing is ever written over. The rest is in tests/install."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest

from missive_host.errors import IoError, ValidationError
from missive_host.scaffold import KINDS, Plan, write

EXPECTED = {"README.md", "pyproject.toml", "missive_pigeon/__init__.py", "tests/test_pigeon.py"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_project_has_all_that_it_needs(kind: Any, tmp_path: Path) -> None:
    files = write(Plan("pigeon", kind), tmp_path / "new")
    assert set(files) >= EXPECTED
    for name in files:
        text = (tmp_path / "new" / name).read_text("utf-8")
        assert text.endswith("\n")
        if name.endswith(".py"):
            assert max(len(line) for line in text.splitlines()) <= 120, name
            compile(text, name, "exec")


def test_a_contract_of_its_own_comes_with_examples(tmp_path: Path) -> None:
    files = write(Plan("carrier-pigeon", "adapter", own_contract=True), tmp_path)
    folder = "missive_carrier_pigeon/contracts/missive.carrier_pigeon.v1"
    assert f"{folder}/request.schema.json" in files
    assert any(name.startswith(f"{folder}/examples/valid/") for name in files)
    assert any(name.startswith(f"{folder}/examples/refused/") for name in files)
    assert not set(files) & set(write(Plan("carrier-pigeon", "adapter"), tmp_path / "x")) - {
        "README.md",
        "pyproject.toml",
        "missive_carrier_pigeon/__init__.py",
        "missive_carrier_pigeon/adapter.py",
        "tests/test_carrier_pigeon.py",
    }


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("CarrierPigeon", "carrier-pigeon"),
        ("carrier pigeon", "carrier-pigeon"),
        ("2fast", "fast"),
        ("a--b", "a-b"),
        ("a.b", "a-b"),
        ("../../etc", "etc"),
        ("x" * 32, None),
        ("", None),
        ("\x1b[2J", "j"),
        ("täube", "t-ube"),
    ],
)
def test_a_name_that_is_none_is_refused_with_one_that_will_do(name: str, hint: str | None) -> None:
    with pytest.raises(ValidationError) as raised:
        Plan(name, "policy")
    assert (f"did you mean '{hint}'?" in raised.value.message) == (hint is not None)
    assert raised.value.help


def test_the_prefix_is_not_said_twice() -> None:
    with pytest.raises(ValidationError, match="did you mean 'pigeon'"):
        Plan("missive-pigeon", "policy")


def test_only_an_adapter_has_a_contract() -> None:
    with pytest.raises(ValidationError, match="no contract of its own"):
        Plan("pigeon", "reducer", own_contract=True)


# --- places


def test_what_is_there_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(ValidationError, match="something in"):
        write(Plan("pigeon", "policy"), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]
    assert (tmp_path / "README.md").read_text() == "mine"
    with pytest.raises(ValidationError, match="is not a folder"):
        write(Plan("pigeon", "policy"), tmp_path / "README.md")


def test_an_empty_folder_will_do_and_folders_above_are_made(tmp_path: Path) -> None:
    write(Plan("pigeon", "policy"), tmp_path)
    write(Plan("pigeon", "policy"), tmp_path / "a" / "b" / "c")
    assert (tmp_path / "a" / "b" / "c" / "pyproject.toml").is_file()


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full at the last file."""
    real, written = Path.open, []

    def full(self: Path, mode: str = "r", **more: Any) -> Any:
        if mode == "x":
            written.append(self.name)
            if self.name.startswith("test_"):
                raise OSError(28, "No space left on device", str(self))
        return real(self, mode, **more)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(IoError, match="No space left"):
        write(Plan("pigeon", "policy"), tmp_path / "a" / "b")
    assert len(written) > 1
    assert list(tmp_path.iterdir()) == []


# --- the command


def test_the_command_says_what_to_do_next(missive: Any, tmp_path: Path) -> None:
    folder = tmp_path / "with a blank"
    data = missive.json("plugin", "new", "pigeon", "--kind", "adapter", "--contract", "--dir", str(folder))
    assert (data["name"], data["plugin_kind"], data["contract"]) == ("pigeon", "adapter", "missive.pigeon.v1")
    assert shlex.split(data["next"][0]) == ["pip", "install", "-e", f"{folder}[test]"]
    assert data["folder"] == str(folder)
    assert set(data["files"]) >= EXPECTED
