"""missive as a user installs it: from a wheel, with and without extras, editable, with a stranger's plugin."""

from __future__ import annotations

import json
import re
import tomllib
import zipfile
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest
from install_kit import ROOT, Installed

import missive_host

if TYPE_CHECKING:
    from missive_host.demo.fleet import AgentProcess

VERSION = missive_host.__version__
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
BUILT_IN: dict[str, str] = PROJECT["project"]["entry-points"]["missive.plugins"]
"""Name of the plugin to its module."""
TEMPLATES = ("missive_host/scaffold/templates",) * 2
ADD_HINT = "pip install 'missive-host[grpc]'"

pytestmark = pytest.mark.timeout(300)


PIGEON = {
    "pyproject.toml": """
        [build-system]
        requires = ["hatchling"]
        build-backend = "hatchling.build"

        [project]
        name = "carrier-pigeon"
        version = "2.3"
        requires-python = ">=3.11"
        dependencies = ["missive-host"]

        [project.entry-points."missive.plugins"]
        pigeon = "carrier_pigeon"
        """,
    "carrier_pigeon/__init__.py": """
        from missive_host.hookspecs import hookimpl
        from missive_host.specs import AdapterSpec, Option, PolicySpec, ReducerSpec


        @hookimpl
        def missive_adapters():
            note = Option("note", required=True, help="What is tied to its leg.")
            yield AdapterSpec("pigeon", "carrier_pigeon.loft:Loft", "Messages by pigeon post.", options=(note,))


        @hookimpl
        def missive_routing_policies():
            yield PolicySpec("homing", "carrier_pigeon.flock:Homing", "The last one, who knows the way home.")


        @hookimpl
        def missive_reducers():
            yield ReducerSpec("flock", "carrier_pigeon.flock:Flock", "How many came home, and who did not.")
        """,
    "carrier_pigeon/flock.py": """
        from missive_host.specs import Decision, Reduced, RoutePlan


        class Homing:
            def plan(self, request, candidates, state):
                flights = state.get("flights", 0) + 1
                last = candidates[-1].agent
                why = f"flight {flights}"
                decisions = tuple(Decision(each.agent, each.agent == last, why) for each in candidates)
                return RoutePlan("single", (last,), decisions, state={"flights": flights})


        class Flock:
            def start(self, context):
                return Counting()


        class Counting:
            def __init__(self):
                self.home = []

            def add(self, result):
                self.home += [result.agent] if result.status == "gathered" else []

            def close(self, missing):
                return Reduced(f"{len(self.home)} came home", used=tuple(self.home), notes=missing)
        """,
    "carrier_pigeon/loft.py": """
        import json

        import anyio
        from missive_host.envelopes import parse_envelope
        from missive_host.protocols import Done


        class Loft:
            def __init__(self, context):
                self.note = context.options["note"]

            async def run(self, intake):
                agent, _, text = self.note.partition(" ")
                frame = {"id": "note", "command": "send", "agent": agent, "message": text}
                pigeon = Pigeon(parse_envelope(json.dumps(frame).encode(), "pigeon.v1", default_source="pigeon"))
                await intake.submit(pigeon)
                await pigeon.home.wait()


        class Pigeon:
            def __init__(self, envelope):
                self.envelope, self.home = envelope, anyio.Event()

            async def send(self, output):
                print("coo:", output.data.response.text)

            async def settle(self, outcome):
                if not isinstance(outcome, Done):
                    print("lost:", outcome.error.message)
                self.home.set()
        """,
}


@pytest.fixture(scope="module")
def pigeon(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stranger's plugin as a project of its own."""
    folder = tmp_path_factory.mktemp("carrier-pigeon")
    for name, text in PIGEON.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(dedent(text).lstrip())
    return folder


@pytest.fixture(scope="module")
def plain(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The wheel, without any extra."""
    installed = Installed(tmp_path_factory.mktemp("plain"))
    installed.install(wheel)
    return installed


@pytest.fixture(scope="module")
def with_extra(wheel: Path, pigeon: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The wheel with gRPC, and the plugin beside it."""
    installed = Installed(tmp_path_factory.mktemp("with-extra"))
    installed.install(f"{wheel}[grpc]", pigeon)
    return installed


@pytest.fixture(scope="module")
def editable(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """This checkout, editable."""
    installed = Installed(tmp_path_factory.mktemp("editable"))
    installed.install("--editable", ROOT)
    return installed


@pytest.fixture(params=["plain", "with_extra", "editable"])
def installed(request: pytest.FixtureRequest) -> Installed:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Installed)
    return found


# --- the wheel


def test_what_is_in_the_wheel(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = archive.read(f"missive_host-{VERSION}.dist-info/METADATA").decode()
    expected = {"missive_host/py.typed", "missive_host/cli/__init__.py", "missive_stdio/__init__.py"}
    expected.add("missive_host/skills/missive/SKILL.md")
    data = f"missive_host-{VERSION}.data"
    pages = [path.relative_to(ROOT).as_posix() for path in (ROOT / "man").glob("man*/*")]
    assert "man/man1/missive-send.1" in pages
    expected |= {f"{data}/data/share/{page}" for page in pages}
    for top, place in (("contracts", "missive_host/_contracts"), ("missive_host/store/migrations",) * 2, TEMPLATES):
        files = [path for path in (ROOT / top).rglob("*") if path.suffix in (".json", ".sql", ".md", ".in")]
        assert files, top
        expected |= {f"{place}/{path.relative_to(ROOT / top).as_posix()}" for path in files}
    assert expected <= names
    tops = {"missive_host", data, f"missive_host-{VERSION}.dist-info", *BUILT_IN.values()}
    assert {name.split("/")[0] for name in names} == tops
    assert [name for name in names if re.search(r"(^|/)(test_[^/]*|conftest)[.]py$|[.](pyc|mjs)$", name)] == []
    assert f"missive_host-{VERSION}.dist-info/licenses/LICENSE" in names
    assert f"\nVersion: {VERSION}\n" in metadata
    assert "# missive\n" in metadata  # the README, for the index


# --- every install


def test_the_version_and_the_plugins(installed: Installed) -> None:
    assert installed.ok("--version") == f"missive {VERSION}\n"
    plugins = [each for each in installed.data("plugin", "list")["plugins"] if each["distribution"] == "missive-host"]
    assert {each["name"]: each["target"] for each in plugins} == BUILT_IN
    assert {(each["state"], each["version"]) for each in plugins} == {("found", VERSION)}
    checked = installed.data("plugin", "check")
    assert (checked["faulty"], checked["disabled"]) == (0, 0)
    assert "adapter stdio" in [what for plugin in checked["plugins"] for what in plugin["provides"]]


def test_the_contracts_are_there(installed: Installed) -> None:
    shown = json.dumps(installed.data("contract", "list"))
    for name in ("missive.stdio.v1", "missive.output.v1", "missive.config.v1"):
        assert name in shown
    schema = json.loads(installed.ok("contract", "show", "missive.output.v1"))
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    document = installed.work / "document.json"
    document.write_text(installed.ok("task", "list", "--json"))
    installed.ok("contract", "validate", str(document))


def test_the_manual_pages_lie_where_man_looks_beside_the_program(installed: Installed) -> None:
    prefix = installed.python("import json, sys; print(json.dumps(sys.prefix))")
    for page in ("man1/missive.1", "man1/missive-send.1", "man5/missive.toml.5"):
        assert (Path(prefix) / "share" / "man" / page).is_file()
    assert installed.ok("skill", "show").startswith("---\nname: missive\n")


def test_frames_go_to_an_agent_and_back(installed: Installed, agent: AgentProcess) -> None:
    listed = installed.frame(command="task_list", agent="nobody")
    assert (listed["ok"], listed["data"]["data"]["count"]) == (True, 0)
    installed.ok("agent", "add", "friend", agent.url)
    answer = installed.frame(command="send", agent="friend", message="echo from a clean install")
    assert answer["data"]["data"]["response"]["text"] == "from a clean install"
    refused = installed.run("adapter", "stdio", stdin='{"id":"req-2","command":"sennd"}')
    assert (refused.returncode, json.loads(refused.stdout)["error"]["exit_code"]) == (64, 64)
    installed.ok("agent", "remove", "friend")


def test_the_demo(plain: Installed) -> None:
    data = plain.data("demo")
    assert data["passed"]
    assert {binding for each in data["agents"] for binding in each["bindings"]} == {"JSONRPC", "HTTP+JSON"}


# --- where what is used comes from


WHERE = "import json, missive_host, missive_stdio; print(json.dumps([missive_host.__file__, missive_stdio.__file__]))"


def test_the_wheel_is_used_and_not_the_checkout(plain: Installed) -> None:
    for file in plain.python(WHERE):
        assert Path(file).is_relative_to(plain.folder)
    listed = json.dumps(plain.data("contract", "list"))
    assert str(ROOT) not in listed
    assert "missive_host/_contracts" in listed


def test_the_editable_install_uses_the_checkout(editable: Installed) -> None:
    for file in editable.python(WHERE):
        assert Path(file).is_relative_to(ROOT)
    assert str(ROOT / "contracts") in json.dumps(editable.data("contract", "list"))


# --- extras


def test_without_the_extra_grpc_is_refused_with_what_to_do(plain: Installed, agent: AgentProcess) -> None:
    assert plain.python("import json, importlib.util as u; print(json.dumps(u.find_spec('grpc') is None))")
    plain.ok("agent", "add", "other", agent.url)
    done = plain.run("send", "other", "echo hello", "--binding", "grpc")
    assert done.returncode != 0
    assert ADD_HINT in done.stderr
    answer = plain.frame(command="send", agent="other", message="echo hello", binding="grpc")
    assert answer["ok"] is False
    assert ADD_HINT in answer["error"]["help"]
    assert plain.ok("send", "other", "echo hello") == "hello\n"
    plain.ok("agent", "remove", "other")


def test_with_the_extra_grpc_works(with_extra: Installed, agent: AgentProcess) -> None:
    with_extra.ok("agent", "add", "other", agent.url)
    data = with_extra.data("send", "other", "echo hello", "--binding", "grpc")
    assert (data["response"]["text"], data["selected_interface"]["binding"]) == ("hello", "grpc")
    with_extra.ok("agent", "remove", "other")


def test_without_the_extra_the_keyring_is_refused_with_what_to_do(plain: Installed, agent: AgentProcess) -> None:
    config = plain.work / "keyring.toml"
    config.write_text('[auth_refs.key]\nkeyring_service = "missive"\nkeyring_account = "me"\n')
    plain.ok("agent", "add", "locked", agent.url, "--auth-ref", "key", "--config", str(config))
    done = plain.run("send", "locked", "echo hello", "--config", str(config))
    assert done.returncode == 77
    assert "pip install 'missive-host[keyring]'" in done.stderr
    plain.ok("agent", "remove", "locked")


def test_without_its_extra_a_chat_platform_says_what_to_install(plain: Installed) -> None:
    assert ["chat", "Of"] in [line.split()[:2] for line in plain.ok("--help").splitlines()]
    kinds = {each["name"]: each.get("needs") for each in plain.data("plugin", "show", "chat")["adapters"]}
    assert kinds["slack"] == "missive-host[slack]"
    assert kinds["telegram"] is None
    assert "(needs missive-host[slack])" in " ".join(plain.ok("adapter", "--help").split())
    config = plain.work / "slack.toml"
    config.write_text('[adapters.team]\nkind = "slack"\n')
    (team,) = plain.data("chat", "list", "--config", str(config))["adapters"]
    assert (team["state"], team["problem"]) == ("unusable", "needs missive-host[slack]")
    for words in (("gateway", "run"), ("chat", "test", "team", "--to", "C1")):
        done = plain.run(*words, "--config", str(config))
        assert done.returncode == 78
        assert "pip install 'missive-host[slack]'" in done.stderr


# --- a stranger's plugin


def test_a_plugin_that_is_installed_beside_it(with_extra: Installed, plain: Installed, agent: AgentProcess) -> None:
    plugins = {plugin["name"]: plugin for plugin in with_extra.data("plugin", "list")["plugins"]}
    assert plugins.keys() == {*BUILT_IN, "pigeon"}
    assert (plugins["pigeon"]["distribution"], plugins["pigeon"]["version"]) == ("carrier-pigeon", "2.3")
    checked = {plugin["name"]: plugin for plugin in with_extra.data("plugin", "check")["plugins"]}
    assert (checked["pigeon"]["state"], checked["pigeon"]["provides"]) == (
        "loaded",
        [
            "adapter pigeon",
            "routing policy homing",
            "reducer flock",
        ],
    )
    with_extra.ok("agent", "add", "tower", agent.url)
    assert with_extra.ok("adapter", "pigeon", "--note", "tower echo bread crumbs") == "coo: bread crumbs\n"
    assert with_extra.ok("adapter", "pigeon", "--note", "nowhere echo hello").startswith("lost: ")
    with_extra.ok("agent", "add", "nest", agent.url)
    with_extra.ok("group", "create", "flight", "--routing-policy", "homing")
    with_extra.ok("group", "add", "flight", "tower", "--rank", "1")
    with_extra.ok("group", "add", "flight", "nest", "--rank", "2")
    for _ in range(2):
        assert with_extra.data("send", "--group", "flight", "echo hello")["agent"] == "nest"
    (decision, _) = with_extra.data("route", "explain", "--group", "flight")["plan"]["decisions"]
    assert decision["reason"] == "flight 3"
    together = with_extra.data("allreduce", "flight", "echo hello", "--strategy", "flock")
    assert (together["reduced_text"], together["reduce"]["reducer"]["plugin"]) == ("2 came home", "pigeon")
    with_extra.ok("group", "delete", "flight")
    with_extra.ok("agent", "remove", "nest")
    with_extra.ok("agent", "remove", "tower")
    assert with_extra.run("adapter", "pigeon", "--note", "x y", "--no-plugin", "pigeon").returncode != 0
    assert "pigeon" not in {plugin["name"] for plugin in plain.data("plugin", "list")["plugins"]}
