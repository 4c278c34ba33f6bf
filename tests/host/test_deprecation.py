"""What goes away warns at the author's own line, for at least one minor release, and then it is gone."""

from __future__ import annotations

import ast
import dataclasses
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pluggy
import pytest

from missive_host import __version__
from missive_host.deprecation import MissiveDeprecationWarning, deprecation, gone_in
from missive_host.plugins import catalog, load

ROOT = Path(__file__).parents[2]

# In the host's name: an old function, a declaration with an old field, what is between them and the author.
HOST = """
import dataclasses
from missive_host.deprecation import deprecated

def old(text):
    deprecated("`old`", since="0.4", instead="`new`")
    return text

def through(text):
    return old(text)

@dataclasses.dataclass(frozen=True)
class Spec:
    name: str
    colour: str = ""

    def __post_init__(self):
        if self.colour:
            deprecated("`Spec.colour`", since="0.4")

async def later(text):
    return old(text)
"""


@pytest.fixture
def host() -> dict[str, Any]:
    """Names of a module that is the host's, as far as its frames tell."""
    names: dict[str, Any] = {"__name__": "missive_host.old_things"}
    sys.modules["missive_host.old_things"] = type(sys)("missive_host.old_things")
    exec(compile(HOST, str(ROOT / "missive_host" / "old_things.py"), "exec"), names)
    sys.modules.pop("missive_host.old_things")
    return names


def line() -> int:
    return sys._getframe(1).f_lineno


def test_it_warns_at_the_line_of_who_calls(host: dict[str, Any]) -> None:
    with pytest.warns(MissiveDeprecationWarning) as caught:
        returned, here = host["old"]("a"), line()
    (only,) = caught
    assert returned == "a"
    assert (only.filename, only.lineno) == (__file__, here)
    assert str(only.message) == "`old` goes away in missive-host 0.5; use `new`"


def test_however_much_of_the_host_is_between(host: dict[str, Any]) -> None:
    with pytest.warns(MissiveDeprecationWarning) as caught:
        here = [host["through"]("a"), line()][1]
    assert [(each.filename, each.lineno) for each in caught] == [(__file__, here)]


def test_a_field_of_a_declaration(host: dict[str, Any]) -> None:
    with pytest.warns(MissiveDeprecationWarning) as caught:
        here = [host["Spec"]("a", colour="red"), line()][1]
    dataclasses.replace(host["Spec"]("b"), name="c")  # the field is not used: no warning, which would be an error
    assert [(each.filename, each.lineno) for each in caught] == [(__file__, here)]
    assert str(caught[0].message) == "`Spec.colour` goes away in missive-host 0.5"


@pytest.mark.anyio
async def test_in_a_coroutine(host: dict[str, Any]) -> None:
    with pytest.warns(MissiveDeprecationWarning) as caught:
        here = [await host["later"]("a"), line()][1]
    assert [(each.filename, each.lineno) for each in caught] == [(__file__, here)]


def test_once_a_line_as_python_does_it(tmp_path: Path) -> None:
    script = tmp_path / "author.py"
    script.write_text(
        "from missive_host.deprecation import deprecated\n"
        "for _ in range(3):\n    deprecated('`x`', since='0.4')\ndeprecated('`x`', since='0.4')\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60)
    assert [said.split(": ")[0] for said in done.stderr.splitlines() if "goes away" in said] == [
        f"{script}:3",
        f"{script}:4",
    ]
    refused = subprocess.run([sys.executable, "-W", "error", str(script)], capture_output=True, text=True, timeout=60)
    assert refused.returncode == 1
    assert "MissiveDeprecationWarning" in refused.stderr


def test_a_hook_that_goes_away_warns_at_its_implementation() -> None:
    spec, impl = pluggy.HookspecMarker("birds"), pluggy.HookimplMarker("birds")

    class Specs:
        @spec(warn_on_impl=deprecation("`missive_old`", since="0.4"))
        def missive_old(self) -> None: ...

    class Plugin:
        @impl
        def missive_old(self) -> None: ...

    manager = pluggy.PluginManager("birds")
    manager.add_hookspecs(Specs)
    with pytest.warns(MissiveDeprecationWarning, match="`missive_old` goes away") as caught:
        manager.register(Plugin())
    assert caught[0].filename == __file__
    assert caught[0].lineno == Plugin.missive_old.__code__.co_firstlineno


PLUGIN = """
import warnings
from missive_host.deprecation import deprecated
from missive_host.hookspecs import hookimpl
from missive_host.specs import PolicySpec

warnings.warn("of its own", UserWarning)


@hookimpl
def missive_routing_policies():
    deprecated("`PolicySpec.colour`", since="0.4")
    yield PolicySpec("old", "a:b", "Old.")
"""


def test_a_plugin_that_uses_it_works_and_check_names_the_line(tmp_path: Path) -> None:
    file = tmp_path / "old.py"
    file.write_text(PLUGIN)
    with pytest.warns(UserWarning, match="of its own") as caught:
        (record,) = [each for each in load(catalog(files=[file])).load_all() if each.name == "old"]
    assert record.state == "loaded"
    assert record.warnings == (f"`PolicySpec.colour` goes away in missive-host 0.5 ({file}:12)",)
    assert not [each for each in caught if each.category is MissiveDeprecationWarning]


def test_in_strict_mode_it_is_a_warning_as_any_other(tmp_path: Path) -> None:
    file = tmp_path / "old.py"
    file.write_text(PLUGIN)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        load(catalog(files=[file]), strict=True).load_all()
    assert [(each.filename, each.lineno) for each in caught if each.category is MissiveDeprecationWarning] == [
        (str(file), 12)
    ]


# --- one minor release


def overdue(source: str, version: str) -> list[str]:
    """What a source still warns of although it should be gone in `version`."""
    release = tuple(int(part) for part in version.split(".")[:2])
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in ("deprecated", "deprecation"):
            since = next((each.value for each in node.keywords if each.arg == "since"), None)
            if isinstance(since, ast.Constant) and tuple(map(int, gone_in(str(since.value)).split("."))) <= release:
                found.append(ast.unparse(node.args[0]))
    return found


def test_nothing_is_kept_longer_than_it_was_promised() -> None:
    files = [*ROOT.glob("missive_host/**/*.py"), *ROOT.glob("plugins/*/missive_*/**/*.py")]
    wrong = [f"{file}: {what}" for file in files for what in overdue(file.read_text("utf-8"), __version__)]
    assert not wrong, "take away what was deprecated in an earlier minor release: " + "; ".join(wrong)


@pytest.mark.parametrize(
    ("version", "found"), [("0.4.0", []), ("0.4.9", []), ("0.5.0", ["'`old`'", "'`Spec.colour`'"]), ("0.3.9", [])]
)
def test_when_it_is_overdue(version: str, found: list[str]) -> None:
    assert sorted(overdue(HOST, version), reverse=True) == sorted(found, reverse=True)


def test_from_1_0_on_it_is_the_next_major_release() -> None:
    source = HOST.replace("0.4", "1.4")
    assert [len(overdue(source, version)) for version in ("1.4.0", "1.9.0", "2.0.0", "2.1.0")] == [0, 0, 2, 2]
