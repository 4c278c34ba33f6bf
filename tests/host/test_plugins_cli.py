"""``missive plugin list | check | show`` and the gates, as a user types them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

GOOD = """
from missive_host.hookspecs import hookimpl
from missive_host.specs import AdapterSpec, Option, PolicySpec, ReducerSpec

@hookimpl
def missive_adapters():
    yield AdapterSpec(
        "pigeon", "pigeon_work:Pigeon", "Messages by pigeon post.",
        accepts=("pigeon.v1",), emits=("pigeon.v1", "feather.v2"), status="experimental",
        options=(
            Option("loft", "path", required=True, help="Where they live."),
            Option("birds", "integer", default=3, minimum=1, maximum=9),
            Option("colour", "choice", choices=("grey", "white"), default="grey"),
            Option("fast", "boolean", default=False),
            Option("via", repeated=True, default=("a", "b")),
            Option("key", secret=True),
        ),
    )

@hookimpl
def missive_routing_policies():
    yield PolicySpec("by-wind", "pigeon_work:ByWind", "By the wind.", extra="wind")

@hookimpl
def missive_reducers():
    yield ReducerSpec("flock", "pigeon_work:Flock", "All together.", ordered=True)
"""
WORK = "class Pigeon: ...\nclass ByWind: ...\nclass Flock: ...\n"


def data(done: Any) -> dict[str, Any]:
    document = json.loads(done.stdout)
    assert document["schema_version"] == "missive.output.v1"
    result: dict[str, Any] = document["data"]
    return result


def test_list_imports_no_plugin(site: Any, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    site.plugin("tell", f"open({str(marker)!r}, 'w')\n1 / 0\n")
    done = site.missive("plugin", "list")
    assert done.returncode == 0
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["NAME", "VERSION", "DISTRIBUTION", "TARGET", "STATE"]
    assert "stdio" in [line.split()[0] for line in lines]
    (told,) = [line for line in lines if line.startswith("tell ")]
    assert told.split() == ["tell", "1.2", "missive-tell", "tell_plugin", "found"]
    assert not marker.exists()
    listed = data(site.missive("plugin", "list", "--json"))["plugins"]
    (told,) = [item for item in listed if item["name"] == "tell"]
    assert told == {
        "name": "tell",
        "state": "found",
        "target": "tell_plugin",
        "distribution": "missive-tell",
        "version": "1.2",
    }
    assert not marker.exists()


def test_check_loads_all_and_leaves_with_1_if_one_is_broken(site: Any) -> None:
    built_in = data(site.missive("plugin", "check", "--json"))["loaded"]
    site.plugin("pigeon", GOOD, pigeon_work=WORK)
    done = site.missive("plugin", "check")
    assert done.returncode == 0
    assert f"{built_in + 1} loaded, 0 disabled, 0 with a fault" in done.stdout
    assert "adapter pigeon, routing policy by-wind, reducer flock" in done.stdout
    site.plugin("broken", "1 / 0\n")
    done = site.missive("plugin", "check", "--json")
    assert done.returncode == 1
    checked = data(done)
    assert (checked["loaded"], checked["disabled"], checked["faulty"]) == (built_in + 1, 0, 1)
    by_name = {item["name"]: item for item in checked["plugins"]}
    assert by_name["broken"]["state"] == "failed"
    assert by_name["broken"]["reason"].startswith("ZeroDivisionError: division by zero (")
    assert by_name["pigeon"]["provides"] == ["adapter pigeon", "routing policy by-wind", "reducer flock"]
    assert all(item["seconds"] >= 0 for item in checked["plugins"])
    done = site.missive("plugin", "check")
    assert "broken: ZeroDivisionError" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_a_part_that_cannot_be_used_is_a_fault(site: Any) -> None:
    site.plugin("pigeon", GOOD, pigeon_work="class Pigeon: ...\nclass ByWind: ...\n")
    done = site.missive("plugin", "check")
    assert done.returncode == 1
    assert "reducer `flock`" in done.stdout
    assert "has no attribute 'Flock'" in done.stdout


def test_show_says_what_a_plugin_provides(site: Any) -> None:
    site.plugin("pigeon", GOOD, pigeon_work=WORK)
    done = site.missive("plugin", "show", "pigeon", "--json")
    assert done.returncode == 0
    shown = data(done)
    (adapter,) = shown["adapters"]
    assert (adapter["accepts"], adapter["emits"]) == (["pigeon.v1"], ["pigeon.v1", "feather.v2"])
    assert (adapter["status"], adapter["secrets"]) == ("experimental", ["key"])
    options = {option["name"]: option for option in adapter["options"]}
    assert options["loft"]["required"] is True
    assert (options["birds"]["type"], options["birds"]["default"]) == ("integer", 3)
    assert (options["birds"]["minimum"], options["birds"]["maximum"]) == (1, 9)
    assert options["colour"]["choices"] == ["grey", "white"]
    assert options["key"]["secret"] is True
    assert shown["routing_policies"][0]["extra"] == "wind"
    assert shown["reducers"][0]["ordered"] is True
    lines = [" ".join(line.split()) for line in site.missive("plugin", "show", "pigeon").stdout.splitlines()]
    for line in (
        "plugin pigeon",
        "adapter pigeon",
        "reads pigeon.v1",
        "writes pigeon.v1, feather.v2",
        "secrets key",
        "loft path required Where they live.",
        "birds integer 1..9 3",
        "colour grey | white grey",
        "fast boolean false",
        "via string (repeatable) a, b",
        "key string (secret)",
        "routing policy by-wind",
        "reducer flock",
        "in rank order yes",
    ):
        assert line in lines


def test_show_of_a_plugin_that_is_broken_disabled_or_unknown(site: Any) -> None:
    site.plugin("broken", "1 / 0\n")
    done = site.missive("plugin", "show", "broken")
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stdout
    done = site.missive("plugin", "show", "stdio", "--no-plugin", "stdio")
    assert done.returncode == 0
    assert "--no-plugin" in done.stdout
    done = site.missive("plugin", "show", "borken")
    assert done.returncode == 78
    assert "did you mean 'broken'?" in done.stderr


@pytest.mark.parametrize(
    ("words", "env", "config", "gate"),
    [
        (("--no-plugin", "tell"), {}, "", "--no-plugin"),
        ((), {"MISSIVE_PLUGINS_DISABLED": "other,tell"}, "", "MISSIVE_PLUGINS_DISABLED"),
        ((), {}, '[plugins]\ndisabled = ["tell"]\n', "[plugins] disabled"),
        ((), {}, '[plugins]\nenabled = ["stdio"]\n', "[plugins] enabled"),
    ],
)
def test_every_gate(
    site: Any, tmp_path: Path, words: tuple[str, ...], env: dict[str, str], config: str, gate: str
) -> None:
    marker = tmp_path / "marker"
    site.plugin("tell", f"open({str(marker)!r}, 'w')\n")
    file = tmp_path / "missive.toml"
    file.write_text(config)
    done = site.missive("plugin", "check", "--json", "--config", str(file), *words, **env)
    assert done.returncode == 0, done.stdout
    checked = data(done)
    (tell,) = [item for item in checked["plugins"] if item["name"] == "tell"]
    assert (tell["state"], tell["gate"]) == ("disabled", gate)
    assert not marker.exists()
    expected = ["MISSIVE_PLUGINS_DISABLED: no plugin `other`"] if env else []
    assert checked["notices"] == expected


def test_a_name_in_a_gate_that_is_no_plugin_is_said_on_stderr(site: Any) -> None:
    done = site.missive("plugin", "list", "--no-plugin", "missive-host")
    assert done.returncode == 0
    assert "no plugin `missive-host`; did you mean `" in done.stderr
    assert "`stdio` or `transports`, from missive-host" in done.stderr


def test_files_named_by_flag_and_by_config(site: Any, tmp_path: Path) -> None:
    for folder in ("flag", "conf"):
        file = tmp_path / folder / f"by_{folder}.py"
        file.parent.mkdir()
        file.write_text(
            GOOD.replace('"pigeon"', f'"by-{folder}"')
            .replace("pigeon_work", "json")
            .split("@hookimpl\ndef missive_r")[0]
        )
    config = tmp_path / "conf" / "missive.toml"
    config.write_text('[plugins]\nfiles = ["by_conf.py"]\n')
    words = ("plugin", "list", "--json", "--config", str(config), "--plugin", "flag/by_flag.py")
    listed = {item["name"]: item for item in data(site.missive(*words, cwd=tmp_path))["plugins"]}
    assert listed["by_flag"]["path"] == str(tmp_path / "flag" / "by_flag.py")
    assert listed["by_conf"]["path"] == str(tmp_path / "conf" / "by_conf.py")
    done = site.missive("plugin", "show", "by_conf", "--config", str(config))
    assert "adapter by-conf" in done.stdout


@pytest.mark.parametrize(
    "words", [("--version",), ("plugin", "list"), ("agent", "list"), ("adapter", "stdio", "--help")]
)
def test_what_does_not_need_a_broken_plugin_does_not_notice_it(site: Any, words: tuple[str, ...]) -> None:
    site.plugin("broken", "import sys\nsys.exit('gone')\n")
    done = site.missive(*words)
    assert done.returncode == 0
    assert "gone" not in done.stderr
    assert "broken" not in done.stderr


def test_needing_a_broken_plugin_says_both_things(site: Any) -> None:
    site.plugin("pigeon", "import nothing_like_it\n")
    done = site.missive("adapter", "pigeon")
    assert done.returncode == 78
    assert "no adapter `pigeon`" in done.stderr
    assert "No module named 'nothing_like_it'" in done.stderr
    assert "Traceback" not in done.stderr


def test_strict_shows_the_plugins_own_error(site: Any) -> None:
    site.plugin("broken", "1 / 0\n")
    done = site.missive("plugin", "check", "--strict-plugins", "--trace")
    assert done.returncode != 0
    assert "broken_plugin.py" in done.stderr
    assert "ZeroDivisionError" in done.stderr
