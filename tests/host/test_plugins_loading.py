"""Loading: a broken plugin is a record with its reason, and nothing else breaks with it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

HEAD = """
from missive_host.hookspecs import hookimpl
from missive_host.specs import AdapterSpec, Option, PolicySpec, ReducerSpec
"""


def adapter(name: str, factory: str = "made_up:Thing", more: str = "") -> str:
    return f"{HEAD}\n@hookimpl\ndef missive_adapters():\n    yield AdapterSpec({name!r}, {factory!r}, 'One.'{more})\n"


BROKEN = {
    "import_error": (
        "import nothing_of_the_kind\n",
        r"^ModuleNotFoundError: No module named 'nothing_of_the_kind' \(.*import_error_plugin\.py:1\)$",
    ),
    "deep_error": (
        "import json\n\n\ndef read():\n    return json.loads('{')\n\n\nread()\n",
        r"^JSONDecodeError: .* \(.*deep_error_plugin\.py:5\)$",
    ),
    "syntax": ("def f(:\n    pass\n", r"^SyntaxError: invalid syntax \(.*syntax_plugin\.py:1\)$"),
    "bad_message": (
        "class Odd(Exception):\n    def __str__(self):\n        raise RuntimeError\nraise Odd\n",
        r"^Odd: without a message \(.*:4\)$",
    ),
    "many_lines": (
        "raise ValueError('one\\ntwo\\x1b[31m' + 'x' * 999)\n",
        r"^ValueError: one two \[31mx{280,}… \(.*:1\)$",
    ),
    "leaves": ("import sys\nsys.exit(3)\n", r"^SystemExit: 3 \(.*leaves_plugin\.py:2\)$"),
    "misspelt": (
        HEAD + "@hookimpl\ndef missive_adaptors():\n    return ()\n",
        r"^there is no hook `missive_adaptors`; did you mean 'missive_adapters'\?$",
    ),
    "misspelt_unmarked": (
        adapter("x-one") + "\n\ndef missive_reducer():\n    return ()\n",
        r"^there is no hook `missive_reducer`; did you mean 'missive_reducers'\? \(names that begin with",
    ),
    "other_hook": (HEAD + "@hookimpl\ndef adapters():\n    return ()\n", r"^there is no hook `adapters`"),
    "unmarked": (
        "def missive_adapters():\n    return ()\n",
        r"^`missive_adapters` is not marked with @hookimpl, so it would never be called$",
    ),
    "empty": ("", r"^it implements no hook: mark a function"),
    "arguments": (
        HEAD + "@hookimpl\ndef missive_adapters(config, *, clock):\n    return ()\n",
        r"^`missive_adapters` takes no arguments; this one wants \(config, clock\)$",
    ),
    "asynchronous": (
        HEAD + "@hookimpl\nasync def missive_adapters():\n    return ()\n",
        r"^`missive_adapters` is async;",
    ),
    "wrapper": (
        HEAD + "@hookimpl(wrapper=True)\ndef missive_adapters():\n    return (yield)\n",
        r"^`missive_adapters` is a hook wrapper",
    ),
    "future": ("MISSIVE_API = 2\n", r"^it is written for plugin API 2, this host has 1: install a newer missive-host$"),
    "past": ("MISSIVE_API = 0\n", r"^it is written for plugin API 0, this host has 1: install a newer plugin$"),
    "odd_api": ("MISSIVE_API = '1'\n", r"^MISSIVE_API is '1'; it must be a number"),
    "returns_none": (
        HEAD + "@hookimpl\ndef missive_adapters():\n    AdapterSpec\n",
        r"^`missive_adapters` returned None;",
    ),
    "returns_text": (HEAD + "@hookimpl\ndef missive_adapters():\n    return 'stdio'\n", r"returned 'stdio'; it must"),
    "returns_one": (
        HEAD + "@hookimpl\ndef missive_adapters():\n    return AdapterSpec('x-two', 'a:b', 'One.')\n",
        r"^`missive_adapters` returned an object of type AdapterSpec; it must return AdapterSpecs in a tuple or list$",
    ),
    "returns_junk": (
        HEAD + "@hookimpl\ndef missive_adapters():\n    return [object()]\n",
        r"^`missive_adapters` returned an object of type object, which is not of type AdapterSpec$",
    ),
    "returns_other": (
        HEAD + "@hookimpl\ndef missive_reducers():\n    return [PolicySpec('p', 'a:b', 'One.')]\n",
        r"^`missive_reducers` returned an object of type PolicySpec, which is not of type ReducerSpec$",
    ),
    "endless": (
        HEAD + "@hookimpl\ndef missive_reducers():\n    while True:\n        yield ReducerSpec('r', 'a:b', 'One.')\n",
        r"^reducer `r` is declared twice$",
    ),
    "flood": (
        HEAD + "@hookimpl\ndef missive_reducers():\n    n = 0\n    while True:\n        n += 1\n"
        "        yield ReducerSpec(f'r{n}', 'a:b', 'One.')\n",
        r"^`missive_reducers` declares more than 1000 things$",
    ),
    "raises": (
        HEAD
        + "@hookimpl\ndef missive_adapters():\n    yield AdapterSpec('x-three', 'a:b', '1')\n    raise KeyError('k')\n",
        r"^KeyError: 'k' \(.*raises_plugin\.py:7\)$",
    ),
    "half_good": (
        adapter("x-four") + "\n\n@hookimpl\ndef missive_reducers():\n    return 1 / 0\n",
        r"^ZeroDivisionError: .* \(.*half_good_plugin\.py:\d+\)$",
    ),
    "bad_factory": (
        adapter("x-five", "made_up.Thing"),
        r"^adapter `x-five`: factory 'made_up\.Thing' is not of the form",
    ),
    "bad_name": (adapter("X five"), r"^adapter name 'X five': use at most 31"),
}


def test_each_broken_plugin_is_a_record_with_its_reason_and_every_good_one_loads(site: Any) -> None:
    for name, (source, _) in BROKEN.items():
        site.plugin(name, source)
    site.install("ghost", {"ghost": "no_such_module"}, {})
    for name in ("aa", "mm", "zz"):
        site.plugin(name, adapter(f"good-{name}"))
    loaded = site.load()
    for name, (_, reason) in BROKEN.items():
        record = loaded[name]
        assert record["state"] == "failed", name
        assert re.search(reason, record["reason"]), f"{name}: {record['reason']}"
        assert "\n" not in record["reason"]
        assert record["provides"] == [], name
        assert record["seconds"] >= 0
    assert loaded["ghost"]["reason"] == "there is no module `no_such_module`"
    for name in ("aa", "mm", "zz"):
        assert loaded[name]["state"] == "loaded"
        assert loaded[name]["provides"] == [f"adapter good-{name}"]
        assert loaded[name]["reason"] is None
    assert loaded["stdio"]["state"] == "loaded"
    assert "Traceback" not in loaded.stderr


def test_what_a_plugin_prints_at_import_does_not_reach_stdout(site: Any) -> None:
    source = "import sys\nprint('import printed')\nsys.stdout.buffer.write(b'raw bytes')\nsys.stdout.flush()\n"
    hook = adapter("loud", "loud_factory:make").replace("    yield", "    print('hook printed')\n    yield")
    site.plugin("loud", source + hook, loud_factory="print('factory printed')\ndef make(context): ...\n")
    loaded = site.load("spec, record = plugins.adapter('loud')\nplugins.factory(spec)\nprint(end='', flush=True)")
    for words in ("import printed", "raw bytes", "hook printed", "factory printed"):
        assert words in loaded.stderr
    assert loaded["loud"]["state"] == "loaded"


def test_a_slow_import_is_measured_and_loads(site: Any) -> None:
    site.plugin("slow", "import time\ntime.sleep(1.1)\n" + adapter("slow"))
    record = site.load()["slow"]
    assert record["state"] == "loaded"
    assert record["seconds"] > 1
    assert re.fullmatch(
        r"importing it takes \d+\.\d s: import what is slow in the factory's module", record["warnings"][0]
    )


def test_a_heavy_declaration_module_gets_a_warning(site: Any) -> None:
    modules = {f"heavy_part{number}": "" for number in range(60)}
    site.plugin("heavy", "".join(f"import {name}\n" for name in modules) + adapter("heavy"), **modules)
    site.plugin("light", adapter("light"))
    loaded = site.load()
    assert loaded["heavy"]["state"] == "loaded"
    assert "importing it brings 61 modules in" in loaded["heavy"]["warnings"][0]
    assert loaded["light"]["warnings"] == []
    assert loaded["stdio"]["warnings"] == []


def test_ctrl_c_is_the_users_and_not_a_fault_of_the_plugin(site: Any) -> None:
    site.plugin("interrupted", "raise KeyboardInterrupt\n")
    code = "from missive_host.plugins import catalog, load\nload(catalog()).load_all()"
    assert "KeyboardInterrupt" in site.python(code).stderr


def test_a_hook_that_only_newer_hosts_have_may_be_marked_optional(site: Any) -> None:
    site.plugin("modern", adapter("modern") + "\n\n@hookimpl(optionalhook=True)\ndef missive_moods():\n    return ()\n")
    assert site.load()["modern"]["provides"] == ["adapter modern"]


def test_two_names_for_one_module_are_refused(site: Any) -> None:
    site.install("twins", {"aaa": "twin", "bbb": "twin"}, {"twin": adapter("twin")})
    loaded = site.load()
    assert loaded["aaa"]["state"] == "loaded"
    assert loaded["bbb"]["reason"] == "its module is that of the plugin `aaa`"


def test_strict_also_stops_whoever_needs_another_plugin(site: Any) -> None:
    site.plugin("good", adapter("good"))
    site.plugin("bad", "raise RuntimeError('boom')\n")
    found = "from missive_host.plugins import *\nprint(load(catalog(), strict={}).adapter('good')[0].name)"
    assert site.python(found.format(False)).stdout.split() == ["good"]
    assert "RuntimeError: boom" in site.python(found.format(True)).stderr


def test_strict_raises_the_plugins_own_error(site: Any) -> None:
    site.plugin("bad", "1 / 0\n")
    done = site.python("from missive_host.plugins import *\nload(catalog(), strict=True).load_all()")
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert re.search(r"bad_plugin\.py\", line 1.*\n.*1 / 0", done.stderr)


@pytest.mark.parametrize("source", ["raise SystemExit(0)\n", "MISSIVE_API = 7\n"])
def test_strict_raises_a_plugin_error_where_there_is_no_error_to_show(site: Any, source: str) -> None:
    site.plugin("bad", source)
    done = site.python("from missive_host.plugins import *\nload(catalog(), strict=True).load_all()")
    assert done.returncode == 1
    assert "PluginError: plugin `bad` (missive-bad 1.2): " in done.stderr


# --- finding


def test_only_the_plugin_of_the_same_name_is_imported(site: Any) -> None:
    site.plugin("pigeon", adapter("pigeon"))
    site.plugin("other", adapter("dove"))
    loaded = site.load("spec, record = plugins.adapter('pigeon')\nresult = [spec.name, record.name, record.state]")
    assert loaded.result == ["pigeon", "pigeon", "loaded"]
    assert loaded["other"]["state"] == "found"
    assert "other_plugin" not in loaded.modules
    loaded = site.load("spec, record = plugins.adapter('dove')\nresult = [spec.name, record.name]")
    assert loaded.result == ["dove", "other"]


def test_the_built_in_adapter_is_provided_by_its_plugin(site: Any) -> None:
    site.plugin("broken", "1 / 0\n")
    loaded = site.load("spec, record = plugins.adapter('stdio')\nresult = plugins.factory(spec).__module__")
    assert loaded.result.startswith("missive_stdio")
    assert loaded["broken"]["state"] == "found"


def test_a_declaration_claimed_by_two_is_provided_by_neither(site: Any) -> None:
    both = adapter("dove") + "\n\n@hookimpl\ndef missive_reducers():\n    yield ReducerSpec('join', 'a:b', 'One.')\n"
    site.plugin("aa", both)
    site.plugin("bb", adapter("dove"))
    loaded = site.load(
        """
        from missive_host.errors import PluginError
        try:
            plugins.adapter("dove")
        except PluginError as error:
            names = [spec.name for spec, _ in plugins.adapters()]
            result = [error.message, error.help, plugins.reducer("join")[1].name, names]
        """
    )
    message, remedy, owner, adapters = loaded.result
    assert message == (
        "no adapter `dove`: it is declared by plugin `aa` (missive-aa 1.2) and plugin `bb` (missive-bb 1.2),"
        " so neither provides it"
    )
    assert "--no-plugin" in remedy
    assert owner == "aa"
    assert "stdio" in adapters
    assert "dove" not in adapters
    assert loaded["aa"]["provides"] == ["reducer join"]
    assert (
        loaded["aa"]["reason"] == "adapter `dove` is also declared by plugin `bb` (missive-bb 1.2); neither provides it"
    )
    assert "plugin `aa`" in loaded["bb"]["reason"]
    assert site.load("result = plugins.adapter('dove')[1].name", no_plugin=("aa",)).result == "bb"


@pytest.mark.parametrize("first", ["plugins.adapter('pigeon')", "plugins.load_all()"])
def test_the_plugin_of_that_name_has_the_first_right_to_it(site: Any, first: str) -> None:
    site.plugin("aa", adapter("pigeon"))
    site.plugin("pigeon", adapter("pigeon"))
    loaded = site.load(f"{first}\nplugins.load_all()\nresult = plugins.adapter('pigeon')[1].name")
    assert loaded.result == "pigeon"
    assert loaded["pigeon"]["reason"] is None
    assert loaded["aa"]["provides"] == []
    assert loaded["aa"]["reason"] == "adapter `pigeon` belongs to the plugin of that name (missive-pigeon 1.2)"


FIND = """
from missive_host.errors import PluginError
try:
    plugins.{call}
except PluginError as error:
    result = [error.message, error.help, list(error.sources), error.report().exit_code]
"""


def test_needing_a_failed_plugin_says_both_things(site: Any) -> None:
    site.plugin("pigeon", "1 / 0\n")
    message, remedy, _, code = site.load(FIND.format(call="adapter('pigeon')")).result
    assert message.startswith(
        "no adapter `pigeon`: plugin `pigeon` (missive-pigeon 1.2) failed to load: ZeroDivisionError:"
    )
    assert "missive plugin check" in remedy
    assert code == 78


@pytest.mark.parametrize(
    ("gates", "message", "remedy"),
    [
        ({"no_plugin": ("stdio",)}, "is disabled by --no-plugin", "take `stdio` out of --no-plugin"),
        ({"enabled": ()}, "is disabled by [plugins] enabled", "add `stdio` to [plugins] enabled"),
    ],
)
def test_needing_a_disabled_plugin_says_both_things(site: Any, gates: Any, message: str, remedy: str) -> None:
    result = site.load(FIND.format(call="adapter('stdio')"), **gates).result
    assert result[0].startswith("no adapter `stdio`: plugin `stdio` (missive-host ")
    assert result[0].endswith(message)
    assert result[1] == remedy


def test_an_unknown_name_gets_the_nearest_and_what_did_not_load(site: Any) -> None:
    site.plugin("broken", "1 / 0\n")
    message, _, sources, _ = site.load(FIND.format(call="adapter('stdoi')"), disabled=("nobody",)).result
    assert message == "no adapter `stdoi`; did you mean 'stdio'?; some plugins are not loaded"
    assert sources[0].startswith("plugin `broken` (missive-broken 1.2) failed to load: ZeroDivisionError")
    message, _, _, _ = site.load(FIND.format(call="policy('wieghted')")).result
    assert message.startswith("no routing policy `wieghted`; did you mean 'weighted'?")
    message, _, _, _ = site.load(FIND.format(call="plugin('missive-host')")).result
    assert message.startswith("no plugin `missive-host`; did you mean `")


# --- factories


@pytest.mark.parametrize(
    ("factory", "extra", "source", "message", "remedy"),
    [
        ("absent:X", None, "", "there is no module `absent`", None),
        (
            "work:X",
            None,
            "import carrier_sdk\n",
            r"ModuleNotFoundError: No module named 'carrier_sdk' \(.*work\.py:1\)",
            None,
        ),
        (
            "work:X",
            "slack",
            "import carrier_sdk\n",
            "No module named 'carrier_sdk'",
            "pip install 'missive-pigeon[slack]'",
        ),
        ("work:Pidgeon", None, "class Pigeon: ...\n", "AttributeError: module 'work' has no attribute 'Pidgeon'", None),
        ("work:X", None, "X = 3\n", "`work:X` is of type int, which cannot be called", None),
        ("work:X", None, "raise SystemExit('no')\n", r"SystemExit: no \(.*work\.py:1\)", None),
    ],
)
def test_a_factory_that_cannot_be_imported_is_a_plugin_error(
    site: Any, factory: str, extra: str | None, source: str, message: str, remedy: str | None
) -> None:
    site.plugin("pigeon", adapter("pigeon", factory, f", extra={extra!r}"), work=source)
    found, hint, _, _ = site.load(FIND.format(call="factory(plugins.adapter('pigeon')[0])")).result
    assert found.startswith("adapter `pigeon` of plugin `pigeon` (missive-pigeon 1.2) cannot be used: ")
    assert re.search(message, found), found
    assert remedy is None or hint == remedy
    checked = site.load("plugins.check()")["pigeon"]
    assert checked["state"] == "loaded"
    if extra:
        assert checked["reason"] is None
        assert checked["warnings"] == [f"adapter `pigeon` needs the extra `slack`: {remedy}"]
    else:
        assert re.search(message, checked["reason"])


def test_a_factory_may_be_an_attribute_of_an_attribute(site: Any) -> None:
    source = "class Pigeon:\n    @classmethod\n    def grey(cls, context): ...\n"
    site.plugin("pigeon", adapter("pigeon", "work:Pigeon.grey"), work=source)
    assert site.load("result = plugins.factory(plugins.adapter('pigeon')[0]).__name__").result == "grey"


# --- one-file plugins


def test_a_file_provides_what_it_declares_and_makes_it_itself(site: Any, tmp_path: Path) -> None:
    files = []
    for folder in ("a", "b"):
        file = tmp_path / folder / f"pigeon_{folder}.py"
        file.parent.mkdir()
        source = adapter(f"pigeon-{folder}", "HERE").replace("'HERE'", "f'{__name__}:Pigeon'")
        file.write_text(source + f"\n\nclass Pigeon:\n    origin = {folder!r}\n")
        files.append(str(file))
    loaded = site.load(
        "result = [plugins.factory(spec).origin for spec, record in plugins.adapters() if record.path]",
        files=tuple(files),
    )
    assert loaded.result == ["a", "b"]
    assert loaded["pigeon_a"]["path"] == files[0]
    assert loaded["pigeon_a"]["state"] == "loaded"


def test_a_broken_file_is_a_record_and_leaves_no_module(site: Any, tmp_path: Path) -> None:
    file = tmp_path / "pigeon.py"
    file.write_text("\n1 / 0\n")
    loaded = site.load(files=(str(file),))
    assert loaded["pigeon"]["reason"] == f"ZeroDivisionError: division by zero ({file}:2)"
    assert not [name for name in loaded.modules if name.startswith("missive_file_")]
