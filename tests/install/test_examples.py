"""The examples: each is installed beside the wheel, passes its own tests, and works with real agents."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from install_kit import ROOT

if TYPE_CHECKING:
    from install_kit import Installed

    from missive_host.demo.fleet import AgentProcess

pytestmark = pytest.mark.timeout(300)

EXAMPLES = ROOT / "examples"
PROJECTS = sorted(path.parent.name for path in EXAMPLES.glob("*/pyproject.toml"))
SCRIPTS = sorted(path.name for path in (EXAMPLES / "shell").glob("*.sh"))


@pytest.fixture(scope="module")
def examples(bench: Installed) -> Path:
    """A copy of the examples, installed."""
    copy = bench.folder / "examples"
    shutil.copytree(EXAMPLES, copy, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    bench.edit(*(copy / name for name in PROJECTS))
    return copy


def test_all_examples_are_known() -> None:
    assert PROJECTS == ["by_language", "carrier_pigeon", "json_mean"]
    assert SCRIPTS == ["ask.sh", "drop.sh", "relay.sh"]
    page = (EXAMPLES / "README.md").read_text("utf-8")
    assert all(f"({name}/README.md)" in page for name in (*PROJECTS, "shell"))


def test_each_is_loaded(bench: Installed, examples: Path) -> None:
    found = {plugin["distribution"]: plugin for plugin in bench.data("plugin", "check")["plugins"]}
    for name in ("carrier-pigeon", "missive-by-language", "missive-json-mean"):
        assert found[name]["state"] == "loaded"
        assert "reason" not in found[name]
        assert "warnings" not in found[name]


@pytest.mark.parametrize("name", PROJECTS)
def test_its_tests_pass(bench: Installed, examples: Path, name: str) -> None:
    last = bench.tests_of(examples / name)
    assert " passed" in last
    assert "skipped" not in last


# --- carrier_pigeon


def test_the_contract_is_listed_with_missives_own(bench: Installed, examples: Path) -> None:
    listed = {each["name"] for each in bench.data("contract", "list")["contracts"]}
    assert {"missive.pigeon.v1", "missive.stdio.v1/request"} <= listed
    valid = examples / "carrier_pigeon" / "carrier_pigeon" / "contracts" / "missive.pigeon.v1" / "examples" / "valid"
    for example in valid.iterdir():
        bench.ok("contract", "validate", str(example))


def loft_of(folder: Path) -> Path:
    for name in ("tmp", "new", "cur"):
        (folder / name).mkdir(parents=True)
    return folder


def fly(loft: Path, name: str, ring: str, text: str) -> None:
    (loft / "tmp" / name).write_text(f"ring: {ring}\nto: tower\n\n{text}\n")
    (loft / "tmp" / name).rename(loft / "new" / name)


def test_pigeons_bring_answers_home(bench: Installed, examples: Path, agent: AgentProcess, tmp_path: Path) -> None:
    loft = loft_of(tmp_path / "loft")
    bench.ok("agent", "add", "tower", agent.url)
    try:
        fly(loft, "1", "GB-1", "echo the harvest is in")
        (loft / "new" / "2").write_text("ring: GB-2\ntwo: tower\n\nhello\n")
        bench.ok("adapter", "pigeon", "--loft", str(loft))
    finally:
        bench.ok("agent", "remove", "tower")
    answers = loft / ".answers" / "new"
    assert (answers / "1").read_text() == "ring: GB-1\nfrom: tower\nstatus: done\n\nthe harvest is in\n"
    assert "did you mean 'to'?" in (answers / "2").read_text()
    assert sorted(path.name for path in (loft / "cur").iterdir()) == ["1:2,S", "2:2,F"]


def test_pigeons_survive_the_gateway(bench: Installed, examples: Path, agent: AgentProcess, tmp_path: Path) -> None:
    """The gateway is killed while a note waits for its agent; the next one brings the answer home, once."""
    loft = loft_of(tmp_path / "loft")
    config = tmp_path / "missive.toml"
    config.write_text(
        f'[agents.tower]\nbase_url = "{agent.url}"\n[gateway]\nbind_address = "127.0.0.1:0"\n'
        f'[adapters.north]\nkind = "pigeon"\nsettings = {{ loft = "{loft}", interval = "50ms" }}\n'
    )
    command = [str(bench.bin / "missive"), "gateway", "run", "--config", str(config)]
    env = {"PATH": str(bench.bin), "MISSIVE_HOME": str(tmp_path / "home"), "HOME": str(tmp_path)}
    fly(loft, "1", "GB-1", "slow 2")
    with (tmp_path / "log").open("w") as log:
        for ends in (False, True):
            gateway = subprocess.Popen(command, env=env, cwd=tmp_path, stdout=log, stderr=log)
            try:
                wanted = loft / ".answers" / "new" / "1" if ends else loft / "cur" / "1:2,"
                deadline = time.monotonic() + 60
                while not wanted.exists():
                    assert gateway.poll() is None, (tmp_path / "log").read_text()
                    assert time.monotonic() < deadline, (tmp_path / "log").read_text()
                    time.sleep(0.05)
                if not ends:
                    time.sleep(0.5)
            finally:
                gateway.terminate() if ends else gateway.kill()
                gateway.wait(30)
    assert "status: done" in (loft / ".answers" / "new" / "1").read_text()
    assert [path.name for path in (loft / "cur").iterdir()] == ["1:2,S"]


# --- by_language, json_mean


def test_messages_go_to_who_speaks_the_language(bench: Installed, examples: Path, agent: AgentProcess) -> None:
    readme = (examples / "by_language" / "README.md").read_text("utf-8")
    (script,) = [text.partition("```")[0] for text in readme.split("```sh\n")[1:] if "group create" in text]
    for name in ("anna", "bill"):
        bench.ok("agent", "add", name, agent.url)
    try:
        said = bench.sh(script, cwd=bench.work)
        assert "speaks de" in said
        for tag, who in (("lang-en", "bill"), ("lang-fr", "anna"), ("lang-sw", "bill")):
            assert bench.data("send", "--group", "desk", "--tag", tag, "echo hello")["agent"] == who
    finally:
        bench.ok("group", "delete", "desk")
        for name in ("anna", "bill"):
            bench.ok("agent", "remove", name)


def test_numbers_are_averaged(bench: Installed, examples: Path, agent: AgentProcess) -> None:
    bench.ok("group", "create", "appraisers")
    for rank, name in enumerate(("carl", "dana")):
        bench.ok("agent", "add", name, agent.url)
        bench.ok("group", "add", "appraisers", name, "--rank", str(rank))
    try:
        asked = ("allreduce", "appraisers", 'echo {"price": 3.5}', "--strategy", "json-mean", "--setting", "digits=2")
        answer = bench.data(*asked)
        assert json.loads(answer["reduced_text"]) == {"price": 3.5}
        assert answer["reduce"]["reducer"]["plugin"] == "json-mean"
    finally:
        bench.ok("group", "delete", "appraisers")
        for name in ("carl", "dana"):
            bench.ok("agent", "remove", name)


# --- shell


def test_the_pipes(bench: Installed, examples: Path, agent: AgentProcess, tmp_path: Path) -> None:
    shell = examples / "shell"
    bench.ok("agent", "add", "echo", agent.url)
    try:
        asked = bench.sh(f"sh '{shell}/ask.sh' echo", tmp_path, stdin="echo one\necho two\n\necho three")
        assert [line for line in asked.splitlines() if not line.startswith("error: ")] == ["one", "two", "three"]
        assert bench.sh(f"sh '{shell}/ask.sh' nobody", tmp_path, stdin="hello\n").startswith("error: ")
        assert bench.sh(f"sh '{shell}/relay.sh' echo echo", tmp_path, stdin="echo echo hello") == "hello\n"
        failed = subprocess.run(
            ["sh", str(shell / "relay.sh"), "nobody", "echo"],
            input="hello",
            env={**os.environ, "PATH": f"{bench.bin}{os.pathsep}{os.environ['PATH']}", "MISSIVE_HOME": str(bench.home)},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (failed.returncode, failed.stdout) == (64, "")
        (tmp_path / "texts").mkdir()
        for name in ("a", "b"):
            (tmp_path / "texts" / f"{name}.txt").write_text(f"echo this is {name}")
        bench.sh(f"sh '{shell}/drop.sh' echo texts answers", tmp_path)
        assert {path.name: path.read_text() for path in (tmp_path / "answers").iterdir()} == {
            "a.txt": "this is a\n",
            "b.txt": "this is b\n",
        }
    finally:
        bench.ok("agent", "remove", "echo")


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_says_how_it_is_used(name: str, tmp_path: Path) -> None:
    done = subprocess.run(["sh", str(EXAMPLES / "shell" / name)], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode != 0
    assert f"usage: {name}" in done.stderr
