"""Nouns that a stranger's plugin brings: found without importing it, run as missive's own are."""

from __future__ import annotations

import inspect
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.secrets import planted

from missive_host import protocols
from missive_host.cli.root import COMMANDS
from missive_host.outputs_plugins import OWN
from missive_host.plugins.checking import HOST_NOUNS

DECLARATION = """
import os
from pathlib import Path
from missive_host.hookspecs import hookimpl
from missive_host.specs import AdapterSpec, CommandSpec, Option, VerbSpec

if "MARKER" in os.environ:
    Path(os.environ["MARKER"]).write_text("imported")

@hookimpl
def missive_adapters():
    yield AdapterSpec(
        "carrier", "pigeon_work:Pigeon", "By pigeon.", foreground=False,
        options=(
            Option("loft", "path", required=True), Option("rest", "duration", default="30s"), Option("key", secret=True)
        ),
    )
    yield AdapterSpec("dove", "pigeon_work:Pigeon", "By dove.", extra="doves", requires=("json", "no_dove_at_all"))

def verb(*path, factory=None, **more):
    return VerbSpec(path, "pigeon_work:" + (factory or "_".join(path)), "About " + " ".join(path) + ".", **more)

@hookimpl
def missive_commands():
    yield CommandSpec(
        "pigeon", "Look after pigeons.",
        (
            verb("lofts", options=(Option("all", "boolean", default=False),)),
            verb("show", arguments=(Option("name", required=True, help="A table."),)),
            verb(
                "ring", "set", description="At most one a leg.", examples=("missive pigeon ring set 7 --colour blue",),
                arguments=(Option("number", "integer", required=True, minimum=1), Option("words", repeated=True)),
                options=(
                    Option("colour", "choice", choices=("red", "blue"), default="red", help="Of the ring."),
                    Option("max-wait", "duration", default=1.5),
                    Option("key", secret=True),
                ),
            ),
            verb("ring", "drop"), verb("nothing"), verb("crash"), verb("wrong"), verb("unsaid"), verb("wait"),
            verb("sick"), verb("pretend"),
        ),
        groups=(("ring", "Rings of pigeons."),),
    )
"""
WORK = """
import dataclasses
import anyio
from missive_host.errors import AuthError
from missive_host.protocols import Summary

class Pigeon: ...

async def lofts(context, all):
    context.progress("looking")
    found = [dataclasses.asdict(each) for each in context.adapters()]
    assert context.configured("north") == context.adapters()[0]
    for each in found:
        each.update(data_dir=str(each["data_dir"].parts[-1]), needs=each["needs"] or "nothing")
    return Summary("lofts", {"profile_seen": context.profile, "all": all, "gateway": context.gateway_running(),
                             "lofts": found, "message": "seen"})

async def show(context, name):
    loft = context.adapter(name)
    key = loft.options["key"]
    return Summary("loft", {"name": loft.name, "loft": loft.options["loft"], "rest": loft.options["rest"],
                            "folder": str(loft.data_dir), "there": loft.data_dir.is_dir(), "log": loft.log.name,
                            "key": key and key.reveal(), "seen_at": "2026-01-01T00:00:00Z", "none": []})

async def ring_set(context, number, words, colour, max_wait, key):
    return Summary("ring", {"number": number, "words": words, "colour": colour, "wait": max_wait}, exit_code=3)

async def ring_drop(context):
    async with anyio.create_task_group() as group:
        group.start_soon(refuse)

async def refuse():
    raise AuthError("the ring is not yours", help="ask for it")

async def nothing(context):
    print("hello", end="")

async def crash(context):
    raise KeyError("wing")

async def wrong(context):
    return {"kind": "x"}

async def unsaid(context):
    return Summary("x", {"o": object()})

async def pretend(context):
    return Summary("agent_list", {"agents": 1})

async def wait(context):
    print("waiting", flush=True)
    try:
        await anyio.sleep_forever()
    finally:
        print("tidied", flush=True)

async def sick(context):
    context.progress("the key is " + context.adapter("north").options["key"].reveal())
    raise ValueError("it was " + context.adapter("north").options["key"].reveal())
"""
CONFIG = """
[adapters.south]
kind = "carrier"
enabled = false
settings = { loft = "/lofts/south" }

[adapters.north]
kind = "carrier"
settings = { loft = "roof", rest = "2m", key = { secret = "env:RING_KEY" } }

[adapters.web]
kind = "http"
"""
SECRET = planted("ring")


@pytest.fixture
def pigeon(site: Any) -> Any:
    site.plugin("pigeon", DECLARATION, nouns=("pigeon",), pigeon_work=WORK)
    (site.home / "missive.toml").write_text(CONFIG)
    return site


def run(site: Any, *words: str, **env: str) -> Any:
    config = str(site.home / "missive.toml")
    return site.missive("pigeon", *words, **{"MISSIVE_CONFIG": config, "RING_KEY": SECRET, **env})


def document(done: Any) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def error(done: Any) -> dict[str, Any]:
    assert done.stdout == ""
    found: dict[str, Any] = json.loads(done.stderr)["data"]
    assert found["exit_code"] == done.returncode
    return found


# --- finding it


def test_the_list_of_commands_has_it_and_imports_nothing(pigeon: Any, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    for line in ("--version", "--help", "agent list", "send --help", "send nobody hello", "plugin list"):
        done = pigeon.missive(*line.split(), MARKER=str(marker))
        assert done.returncode == (64 if "nobody" in line else 0), done.stderr
        assert not marker.exists(), line
    lines = pigeon.missive("--help").stdout.split("Commands of plugins:")[1].splitlines()
    assert "pigeon Of the plugin `pigeon`, missive-pigeon 1.2." in [" ".join(line.split()) for line in lines]
    assert pigeon.missive("pigeon", MARKER=str(marker)).returncode == 0
    assert marker.exists()


@pytest.mark.parametrize("gate", [{"MISSIVE_PLUGINS_DISABLED": "pigeon"}, {}])
def test_one_that_is_left_out_is_not_listed_and_says_why(pigeon: Any, gate: dict[str, str]) -> None:
    flag = () if gate else ("--no-plugin", "pigeon")
    assert "pigeon" not in pigeon.missive("--help", *flag, **gate).stdout
    done = pigeon.missive("pigeon", "lofts", *flag, **gate)
    assert done.returncode == 78
    assert "no command `pigeon`: plugin `pigeon` (missive-pigeon 1.2) is disabled by" in done.stderr


def test_a_broken_plugin_is_named_by_who_needs_it_only(site: Any) -> None:
    site.plugin("pigeon", "1 / 0\n", nouns=("pigeon",))
    done = site.missive("pigeon")
    assert done.returncode == 78
    assert "ZeroDivisionError" in done.stderr
    done = site.missive("pigoen")
    assert done.returncode == 2
    assert "no such command 'pigoen'; did you mean 'pigeon'?" in done.stderr
    assert "ZeroDivisionError" not in done.stderr


def test_a_config_that_cannot_be_read_is_told_to_who_needs_it_only(pigeon: Any) -> None:
    (pigeon.home / "missive.toml").write_text("[")
    for word, code in (("pigeon", 78), ("nobody", 2), ("stdio", 2)):
        assert pigeon.missive(word, MISSIVE_CONFIG=str(pigeon.home / "missive.toml")).returncode == code
    assert "pigeon" in pigeon.missive("--help", MISSIVE_CONFIG=str(pigeon.home / "missive.toml")).stdout


def test_a_file_brings_a_noun_too(site: Any, tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text(
        "from missive_host.hookspecs import hookimpl\nfrom missive_host.specs import CommandSpec, VerbSpec\n"
        "@hookimpl\ndef missive_commands():\n"
        "    yield CommandSpec('wing', 'W.', (VerbSpec(('beat',), __name__ + ':beat', 'Beat it.'),))\n"
        "async def beat(context):\n    print('flap')\n"
    )
    done = site.missive("wing", "beat", "--plugin", "one.py", cwd=tmp_path)
    assert (done.stdout, done.stderr, done.returncode) == ("flap\n", "", 0)
    done = site.missive("--plugin", "one.py", "wing", "beet", cwd=tmp_path)
    assert "did you mean 'beat'?" in done.stderr


def test_a_noun_that_missive_has_stays_missives(site: Any) -> None:
    site.plugin("thief", DECLARATION.replace('"pigeon", "Look', '"agent", "Look'), nouns=("agent",), pigeon_work=WORK)
    assert "no agents" in site.missive("agent", "list").stdout
    assert "thief" not in site.missive("--help").stdout
    done = site.missive("plugin", "check")
    assert done.returncode == 1
    assert "thief: command `agent` belongs to missive itself" in done.stdout
    assert "adapter carrier" in done.stdout, "its other parts are of use"


def test_what_missive_has_is_all_there(site: Any) -> None:
    assert set(COMMANDS) <= HOST_NOUNS


def test_of_two_that_claim_a_noun_neither_has_it(site: Any) -> None:
    for name in ("loft", "nest"):
        source = (
            DECLARATION.split("@hookimpl\ndef missive_adapters", maxsplit=1)[0]
            + "def verb"
            + DECLARATION.split("def verb")[1]
        )
        site.plugin(name, source, nouns=("pigeon",))
    done = site.missive("pigeon", "lofts")
    assert done.returncode == 78
    assert "plugin `loft` (missive-loft 1.2) and plugin `nest` (missive-nest 1.2), so neither" in done.stderr
    assert site.missive("pigeon", "nothing", "--no-plugin", "nest").returncode == 78  # its work is not there
    site.plugin("pigeon", DECLARATION, nouns=("pigeon",), pigeon_work=WORK)
    assert site.missive("pigeon", "nothing").stdout == "hello"
    assert "command `pigeon` belongs to the plugin of that name" in site.missive("plugin", "check").stdout


def test_one_that_the_metadata_does_not_name_is_a_warning(site: Any) -> None:
    site.plugin("pigeon", DECLARATION, pigeon_work=WORK)
    assert site.missive("pigeon", "nothing").stdout == "hello"
    done = site.missive("plugin", "check")
    assert "does not list pigeon: name it among the entry points `missive.commands`" in done.stdout
    assert "pigeon" not in site.missive("--help").stdout


# --- help


def test_the_reference_of_missive_leaves_strangers_out(pigeon: Any, tmp_path: Path) -> None:
    page = tmp_path / "cli.md"
    page.write_text("<!-- commands: made by missive_host.cli.reference -->\n<!-- /commands -->\n")
    done = pigeon.python(f"from missive_host.cli.reference import main; main([{str(page)!r}])")
    assert done.returncode == 0, done.stderr
    assert "`missive chat doctor`" in page.read_text()
    assert "missive pigeon" not in page.read_text()


def test_help_is_that_of_every_command(pigeon: Any) -> None:
    text = run(pigeon).stdout
    assert "Look after pigeons." in text
    assert "  ring     Rings of pigeons." in text
    assert "  missive pigeon ring set 7 --colour blue" in text
    text = run(pigeon, "ring", "set", "--help").stdout
    for line in (
        "Usage: missive pigeon ring set [OPTIONS] NUMBER [WORDS]...",
        "About ring set.",
        "At most one a leg.",
        "--colour [red|blue]   Of the ring. [default: red]",
        "--max-wait DURATION   [default: 1.5s]",
        "--key env:NAME|file:PATH",
        "Global options",
    ):
        assert " ".join(line.split()) in " ".join(text.split())
    assert json.loads(run(pigeon, "ring", "--json").stdout)["data"]["command"] == "pigeon ring"


def test_the_shell_completes_it(pigeon: Any) -> None:
    def completed(words: str) -> list[str]:
        env = {"_MISSIVE_COMPLETE": "bash_complete", "_MISSIVE_WORDS": words}
        return [line.partition("\t")[2] for line in pigeon.missive(**env).stdout.splitlines()]

    assert completed("missive pig") == ["pigeon"]
    assert completed("missive pigeon ri") == ["ring"]
    assert completed("missive pigeon ring set 1 --colour ") == ["red", "blue"]


def test_show_has_its_commands(pigeon: Any) -> None:
    shown = document(pigeon.missive("plugin", "show", "pigeon", "--json"))["data"]
    (command,) = shown["commands"]
    assert (command["name"], len(command["verbs"])) == ("pigeon", 11)
    assert command["verbs"][2]["path"] == ["ring", "set"]
    assert [option["name"] for option in command["verbs"][2]["options"]] == ["colour", "max-wait", "key"]
    assert "missive pigeon ring set" in pigeon.missive("plugin", "show", "pigeon").stdout
    assert "command pigeon" in shown["plugin"]["provides"]


# --- running it


def test_results_are_documents_like_others(pigeon: Any) -> None:
    made = document(run(pigeon, "lofts", "--json", "--all"))
    assert (made["schema_version"], made["ok"], made["kind"]) == ("missive.output.v1", True, "plugin_result")
    assert made["data"] == {
        "profile": "default",
        "plugin": "pigeon",
        "command": "pigeon lofts",
        "result_kind": "lofts",
        "result": {
            "profile_seen": "default",
            "all": True,
            "gateway": False,
            "lofts": [
                {"name": "north", "kind": "carrier", "enabled": True, "data_dir": "north", "needs": "nothing"},
                {"name": "south", "kind": "carrier", "enabled": False, "data_dir": "south", "needs": "nothing"},
            ],
            "message": "seen",
        },
    }
    (line,) = run(pigeon, "lofts", "--ndjson").stdout.splitlines()
    assert json.loads(line)["sequence"] == 0
    checked = pigeon.home / "made.json"
    checked.write_text(json.dumps(made))
    assert pigeon.missive("contract", "validate", str(checked)).returncode == 0
    done = run(pigeon, "lofts", "--quiet")
    assert (done.stdout, done.stderr) == ("", "")


def test_people_see_fields_and_tables(pigeon: Any) -> None:
    done = run(pigeon, "lofts")
    assert done.stdout.splitlines() == [
        "profile seen  default",
        "all           no",
        "gateway       no",
        "",
        "NAME   KIND     ENABLED  DATA DIR  NEEDS",
        "north  carrier  yes      north     nothing",
        "south  carrier  no       south     nothing",
    ]
    assert done.stderr.splitlines() == ["looking", "seen"]


def test_options_are_converted_and_the_exit_status_is_the_plugins(pigeon: Any) -> None:
    done = run(pigeon, "ring", "set", "7", "a", "b", "--max-wait", "2m", "--json", "--key", "env:RING_KEY")
    assert done.returncode == 3
    assert json.loads(done.stdout)["data"]["result"] == {
        "number": 7,
        "words": ["a", "b"],
        "colour": "red",
        "wait": 120.0,
    }
    assert run(pigeon, "nothing").stdout == "hello"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("ring", "set"), 2, "missing argument 'NUMBER'"),
        (("ring", "set", "0"), 64, "NUMBER: must be at least 1, not 0"),
        (("ring", "set", "1", "--colour", "rad"), 64, "--colour: expected one of red, blue; did you mean 'red'?"),
        (("ring", "set", "1", "--key", "plain-text"), 64, "--key: not a reference to a secret"),
        (("ring", "drop"), 77, "the ring is not yours"),
        (("crash",), 70, "command `pigeon crash` of plugin `pigeon` (missive-pigeon 1.2) failed: KeyError: 'wing'"),
        (("wrong",), 70, "returned dict, which is neither a Summary nor None"),
        (("unsaid",), 70, "gave a `x` that is none"),
        (("wait", "--timeout", "300ms"), 82, "pigeon wait did not end within 0.3 s"),
    ],
)
def test_what_goes_wrong_is_said_as_ever(pigeon: Any, words: tuple[str, ...], code: int, said: str) -> None:
    done = run(pigeon, *words, "--json")
    found = json.loads(done.stderr)["data"]
    assert (done.returncode, found["exit_code"]) == (code, code)
    assert said in found["message"]
    assert "Traceback" not in done.stderr
    assert "plain-text" not in done.stderr


def test_trace_shows_the_line_of_the_plugin(pigeon: Any) -> None:
    assert "pigeon_work.py" in run(pigeon, "crash", "--trace").stderr


def test_a_kind_of_missives_own_is_not_for_strangers(pigeon: Any) -> None:
    data = document(run(pigeon, "pretend", "--json"))
    assert (data["kind"], data["data"]["result_kind"]) == ("plugin_result", "agent_list")
    assert set(OWN) & HOST_NOUNS == set()


def test_a_signal_lets_it_tidy_up(pigeon: Any) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "missive_host", "pigeon", "wait"],
        env={**os.environ, "PYTHONPATH": str(pigeon.folder), "MISSIVE_HOME": str(pigeon.home)},
        cwd=pigeon.home,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "waiting\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (out, process.returncode) == ("tidied\n", 130)
    assert "interrupted" in err


# --- what it gets


def test_it_gets_what_its_adapter_gets_in_the_gateway(pigeon: Any) -> None:
    done = run(pigeon, "show", "north", "--json")
    shown = document(done)["data"]["result"]
    folder = pigeon.home / "data" / "profiles" / "default" / "adapters" / "north"
    assert shown == {
        "name": "north",
        "loft": str(pigeon.home / "roof"),  # relative to the config
        "rest": 120.0,
        "folder": str(folder),
        "there": True,
        "log": "missive.north",
        "key": "[REDACTED]",
        "seen_at": "2026-01-01T00:00:00Z",
        "none": [],
    }
    assert folder.stat().st_mode & 0o077 == 0
    assert SECRET not in run(pigeon, "show", "north").stdout


@pytest.mark.parametrize(
    ("name", "change", "code", "said"),
    [
        ("nroth", "", 64, "there is no adapter 'nroth'; did you mean 'north'?"),
        ("web", "", 64, "the adapter 'web' is a `http` of plugin `http`"),
        ("bad", 'kind = "carrier"', 64, "adapters.bad.settings.loft: is required"),
        ("bad", 'kind = "carrier"\nsettings = { lofd = "x" }', 64, "has no such option; did you mean 'loft'?"),
        ("bad", 'kind = "carier"', 78, "adapters.bad.kind: no adapter `carier`; did you mean 'carrier'?"),
        (
            "bad",
            'kind = "dove"',
            78,
            "adapters.bad.kind: adapter `dove` needs missive-pigeon[doves]: there is no no_dove",
        ),
    ],
)
def test_an_adapter_that_is_not_to_be_had(pigeon: Any, name: str, change: str, code: int, said: str) -> None:
    if change:
        (pigeon.home / "missive.toml").write_text(f"[adapters.bad]\n{change}\n")
    found = error(run(pigeon, "show", name, "--json"))
    assert said in found["message"]
    assert found["exit_code"] == code


def test_a_secret_that_is_not_set(pigeon: Any) -> None:
    assert error(run(pigeon, "show", "north", "--json", RING_KEY=""))["exit_code"] == 77


def test_secrets_are_in_nothing_that_it_says(pigeon: Any) -> None:
    for words in (("sick",), ("sick", "--trace"), ("sick", "-vvv"), ("sick", "--json")):
        done = run(pigeon, *words)
        assert done.returncode == 70
        assert SECRET not in done.stdout + done.stderr
        assert "[REDACTED]" in done.stderr


def test_the_page_has_the_exact_signatures() -> None:
    page = (Path(__file__).parents[2] / "docs" / "plugins" / "commands.md").read_text("utf-8")
    for name, function in vars(protocols.CommandContext).items():
        if inspect.isfunction(function) and not name.startswith("_"):
            signature = str(inspect.signature(function)).replace("'", "")
            assert f"CommandContext.{name}{signature}\n" in page


# --- what must be installed


def test_a_kind_whose_extra_is_not_there_says_what_to_install(pigeon: Any) -> None:
    shown = document(pigeon.missive("plugin", "show", "pigeon", "--json"))["data"]["adapters"]
    assert [each.get("needs") for each in shown] == [None, "missive-pigeon[doves]"]
    assert "needs missive-pigeon[doves]" in " ".join(pigeon.missive("plugin", "show", "pigeon").stdout.split())
    assert "(needs missive-pigeon[doves]) By dove." in pigeon.missive("adapter", "--help").stdout
    done = pigeon.missive("adapter", "dove")
    assert done.returncode == 78
    assert "adapter `dove` needs missive-pigeon[doves]: there is no no_dove_at_all" in done.stderr
    assert "pip install 'missive-pigeon[doves]'" in done.stderr
    done = pigeon.missive("plugin", "check")
    assert done.returncode == 0
    assert "adapter `dove` needs the extra `doves`: pip install 'missive-pigeon[doves]'" in done.stdout


def test_the_gateway_says_so_before_it_starts(pigeon: Any) -> None:
    config = pigeon.home / "missive.toml"
    config.write_text('[gateway]\nbind_address = "127.0.0.1:0"\n[adapters.bad]\nkind = "dove"\n')
    done = pigeon.missive("gateway", "run", "--config", str(config))
    assert done.returncode == 78
    assert "adapters.bad.kind: adapter `dove` needs missive-pigeon[doves]" in done.stderr
    assert "pip install 'missive-pigeon[doves]'" in done.stderr
