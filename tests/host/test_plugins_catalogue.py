"""The catalogue: metadata, gates, clashes, files. No plugin code runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from missive_host.errors import ConfigError
from missive_host.plugins import Gates, PluginRecord, catalog, notices

TELLTALE = "import pathlib\npathlib.Path({path!r}).write_text('ran')\n"
LIST_ONLY = "pass"


def test_the_built_in_plugin_is_found_like_any_other() -> None:
    (record,) = [record for record in catalog() if record.name == "stdio"]
    assert record.target == "missive_stdio"
    assert record.distribution == "missive-host"
    assert record.state == "found"
    assert record.version


def test_no_plugin_code_runs(site: Any, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    site.plugin("tell", TELLTALE.format(path=str(marker)))
    listed = site.load(LIST_ONLY)
    assert listed["tell"]["state"] == "found"
    assert listed["tell"]["distribution"] == "missive-tell"
    assert listed["tell"]["version"] == "1.2"
    assert "tell_plugin" not in listed.modules
    assert "pluggy" not in listed.modules
    assert not marker.exists()
    site.load()
    assert marker.exists()


def test_a_name_claimed_twice_loads_neither(site: Any, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    source = TELLTALE.format(path=str(marker))
    site.install("pigeons-a", {"pigeon": "pigeon_a"}, {"pigeon_a": source}, version="1.0")
    site.install("pigeons-b", {"pigeon": "pigeon_b"}, {"pigeon_b": source}, version="2.0")
    pigeons = [record for record in site.load().records if record["name"] == "pigeon"]
    assert [record["distribution"] for record in pigeons] == ["pigeons-a", "pigeons-b"]
    for record in pigeons:
        assert record["state"] == "failed"
        assert "pigeons-a 1.0 (pigeon_a) and pigeons-b 2.0 (pigeon_b); neither is loaded" in record["reason"]
    assert not marker.exists()


def test_disabling_a_name_that_is_claimed_twice_ends_the_quarrel(site: Any) -> None:
    site.install("pigeons-a", {"pigeon": "pigeon_a"}, {})
    site.install("pigeons-b", {"pigeon": "pigeon_b"}, {})
    pigeons = [record for record in site.load(no_plugin=("pigeon",)).records if record["name"] == "pigeon"]
    assert [record["state"] for record in pigeons] == ["disabled", "disabled"]


def test_two_copies_of_one_distribution_are_one_plugin(site: Any) -> None:
    for where, version in ((".", "2.0"), ("older", "1.0")):
        site.install("Missive.Pigeon", {"pigeon": "pigeon"}, {"pigeon": ""}, version=version, where=where)
    record = site.load(LIST_ONLY, path=("older",))["pigeon"]
    assert (record["state"], record["version"]) == ("found", "2.0")


@pytest.mark.parametrize(
    ("gates", "gate"),
    [
        ({"disabled": ("tell",)}, "[plugins] disabled"),
        ({"enabled": ("stdio",)}, "[plugins] enabled"),
        ({"enabled": ()}, "[plugins] enabled"),
        ({"no_plugin": ("tell",)}, "--no-plugin"),
        ({"environment": ("tell",)}, "MISSIVE_PLUGINS_DISABLED"),
        ({"enabled": ("tell",), "no_plugin": ("tell",)}, "--no-plugin"),
    ],
)
def test_a_gate_is_closed_before_anything_is_imported(
    site: Any, tmp_path: Path, gates: dict[str, tuple[str, ...]], gate: str
) -> None:
    marker = tmp_path / "marker"
    site.plugin("tell", TELLTALE.format(path=str(marker)))
    record = site.load(**gates)["tell"]
    assert (record["state"], record["gate"]) == ("disabled", gate)
    assert not marker.exists()


def test_the_variable_is_a_list_with_commas() -> None:
    class Table:
        disabled = ("a",)
        enabled = None

    gates = Gates.of(Table(), no_plugin=("b",), env={"MISSIVE_PLUGINS_DISABLED": " c, d,,"})
    assert gates == Gates(disabled=("a",), no_plugin=("b",), environment=("c", "d"))


def test_enabled_and_disabled_exclude_each_other() -> None:
    with pytest.raises(ConfigError, match="both `disabled` and `enabled`"):
        Gates(disabled=("a",), enabled=("b",))


def test_a_name_that_is_no_plugin_is_noticed() -> None:
    records = (
        PluginRecord("pigeon", "pigeon", "missive-pigeon", "1.2"),
        PluginRecord("dove", "doves", "doves", "3"),
        PluginRecord("owl", "owls", "doves", "3"),
    )
    gates = Gates(disabled=("Missive_Pigeon", "pigeno", "dove"), no_plugin=("doves",), environment=("zzz",))
    assert notices(records, gates) == (
        "--no-plugin: no plugin `doves`; did you mean `dove` or `owl`, from doves 3?",
        "MISSIVE_PLUGINS_DISABLED: no plugin `zzz`",
        "[plugins] disabled: no plugin `Missive_Pigeon`; did you mean `pigeon`, from missive-pigeon 1.2?",
        "[plugins] disabled: no plugin `pigeno`; did you mean 'pigeon'?",
    )


@pytest.mark.parametrize(
    ("points", "name", "reason"),
    [
        ({"Big": "big"}, "Big", "`Big` is not a plugin name"),
        ({"a b": "big"}, "a b", "`a b` is not a plugin name"),
        ({"attr": "big:plugin"}, "attr", "must name a module, not `big:plugin`"),
        ({"junk": "big/../x"}, "junk", "must name a module"),
    ],
)
def test_an_entry_point_that_cannot_work_is_a_record(site: Any, points: dict[str, str], name: str, reason: str) -> None:
    site.install("big", points, {"big": ""})
    record = site.load(LIST_ONLY)[name]
    assert record["state"] == "failed"
    assert reason in record["reason"]


def test_strangers_with_broken_metadata_do_not_matter(site: Any) -> None:
    for number, text in enumerate(
        (b"[missive.plugins]\nx = \xff\xfe\n", b"\x00\x00", b"[missive.plugins]\nno equals sign\n")
    ):
        info = site.install(f"broken-{number}", {}, {})
        (info / "entry_points.txt").write_bytes(text)
    nameless = site.install("nameless", {"ghost": "ghost"}, {"ghost": ""})
    (nameless / "METADATA").write_text("Metadata-Version: 2.1\n")
    site.plugin("pigeon", "")
    listed = site.load(LIST_ONLY)
    assert listed["pigeon"]["state"] == "found"
    assert listed["stdio"]["state"] == "found"
    assert listed["ghost"]["distribution"] == "(no name)"


# --- one-file plugins


def test_a_file_is_a_plugin_called_by_its_stem(tmp_path: Path) -> None:
    file = tmp_path / "my_pigeon.py"
    file.write_text("raise SystemExit('imported')\n")
    (record,) = [record for record in catalog(files=[str(file), file]) if record.path]
    assert (record.name, record.path, record.state) == ("my_pigeon", str(file), "found")
    assert record.distribution is None


def test_files_of_one_name_are_a_clash_and_never_one_module(tmp_path: Path) -> None:
    files = [tmp_path / "a" / "pigeon.py", tmp_path / "b" / "pigeon.py"]
    for file in files:
        file.parent.mkdir()
        file.write_text("")
    records = [record for record in catalog(files=files) if record.path]
    assert [record.state for record in records] == ["failed", "failed"]
    assert len({record.target for record in records}) == 2


def test_a_file_may_not_take_an_installed_name(tmp_path: Path) -> None:
    file = tmp_path / "stdio.py"
    file.write_text("")
    records = [record for record in catalog(files=[file]) if record.name == "stdio"]
    assert [record.state for record in records] == ["failed", "failed"]
    assert all(str(file) in (record.reason or "") and "missive-host" in (record.reason or "") for record in records)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("absent.py", "there is no such file"),
        ("notes.txt", "a one-file plugin is a .py file"),
        ("My Plugin.py", "not a plugin name"),
        ("folder.py", "there is no such file"),
    ],
)
def test_a_file_that_cannot_be_a_plugin_is_a_record(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "My Plugin.py").write_text("")
    (tmp_path / "folder.py").mkdir()
    (record,) = [record for record in catalog(files=[tmp_path / name]) if record.path]
    assert record.state == "failed"
    assert reason in (record.reason or "")


def test_a_file_named_on_the_command_line_is_not_held_back_by_the_allow_list(tmp_path: Path) -> None:
    file = tmp_path / "pigeon.py"
    file.write_text("")
    states = {record.name: record.state for record in catalog(Gates(enabled=()), files=[file])}
    assert states["pigeon"] == "found"
    assert states["stdio"] == "disabled"
    states = {record.name: record.state for record in catalog(Gates(no_plugin=("pigeon",)), files=[file])}
    assert states["pigeon"] == "disabled"


def test_nothing_in_the_working_folder_is_a_plugin(site: Any, tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    (inbox / "pigeon.py").write_text("print('ran')")
    (inbox / "missive_plugin.py").write_text("print('ran')")
    code = "from missive_host.plugins import catalog\nprint([r.name for r in catalog()])"
    done = site.python(code, cwd=inbox)
    assert done.stdout == site.python(code, cwd=tmp_path).stdout
    assert "'stdio'" in done.stdout
    assert "\nran" not in f"\n{done.stdout}"
    assert "pigeon" not in done.stdout
