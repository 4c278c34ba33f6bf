"""The skill: its form, what it says, and where it is written."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from docs_kit import blocks, environment, execute, replaced, steps

from missive_host import __version__, errors
from missive_host.cli.app import App
from missive_host.cli.root import make_root
from missive_host.cli.skill import SOURCE, TOOLS, is_as_we_wrote_it, text
from missive_host.contracts.schemas import kinds
from missive_host.demo.fleet import DEMO_AGENTS, Fleet

PAGE = SOURCE.read_text("utf-8")
HEAD, BODY = PAGE.removeprefix("---\n").split("\n---\n", 1)
SPANS = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", BODY, flags=re.DOTALL))


# --- its form: agentskills.io/specification


@pytest.mark.parametrize("page", [PAGE, text()], ids=["source", "installed"])
def test_the_front_matter_is_what_the_specification_wants(page: str) -> None:
    assert page.startswith("---\n")
    head = yaml.safe_load(page.split("---\n")[1])
    assert set(head) <= {"name", "description", "license", "compatibility", "metadata", "allowed-tools"}
    assert re.fullmatch(r"(?!.*--)[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?", head["name"])
    assert head["name"] == SOURCE.parent.name
    assert 0 < len(head["description"]) <= 1024
    assert "Use when" in head["description"]
    assert 0 < len(head["compatibility"]) <= 500
    assert all(isinstance(value, str) for value in head.get("metadata", {}).values())


def test_it_is_lean() -> None:
    assert BODY.count("\n") < 150
    assert len(PAGE) < 8000
    for name in ("missive --help", "missive COMMAND --help"):
        assert f"`{name}`" in BODY


# --- what it says is so


@pytest.mark.timeout(300)
def test_its_commands_do_what_it_says(tmp_path: Path) -> None:
    home, folder = tmp_path / "home", tmp_path / "folder"
    home.mkdir()
    folder.mkdir()
    copy = Path(__file__).parents[2] / "docs" / "SKILL.md"  # where blocks say that they are from
    with Fleet(DEMO_AGENTS) as fleet:
        places = {f"http://127.0.0.1:{port}": fleet[name].url for name, port in (("echo", 8001), ("worker", 8002))}
        todo = [
            replaced(step, places)
            for block in blocks(SOURCE)
            for step in steps(block.__class__(copy, block.line, block.language, block.text, block.marker))
        ]
        results = execute(
            todo,
            folder=folder,
            outputs=tmp_path / "out",
            environment=environment(home, Path(sys.executable).parent),
            seconds=250,
        )
    printed = [result.output for result in results]
    assert [result.status for result in results] == [0] * len(results), printed
    assert not any("null" in output.split() or "error" in output for output in printed), printed
    whole = "\n".join(printed)
    for expected in ('"streaming":true', "\nHello\n", '["stream_event","task"]', '["1",true,"send_result"]', '"trace"'):
        assert expected in f"\n{whole}", expected
    assert "echo\tsucceeded\tHello" in whole
    assert "completed\nout/summary.txt\n" in whole


def command(words: list[str]) -> tuple[click.Command, list[str]] | None:
    """Return the command that words name, and what is left of them; None if there is none."""
    ctx = click.Context(make_root(), info_name="missive", obj=App([]))
    rest = list(words)
    while isinstance(ctx.command, click.Group) and rest and re.fullmatch(r"[a-z-]+", rest[0]) and rest[0][0] != "-":
        found = ctx.command.get_command(ctx, rest[0])
        if found is None:
            return None
        ctx = click.Context(found, info_name=rest.pop(0), parent=ctx, obj=ctx.obj)
    return ctx.command, rest


def flags_of(found: click.Command) -> set[str]:
    return {opt for param in found.get_params(click.Context(found)) for opt in param.opts}


def all_flags() -> set[str]:
    flags: set[str] = set()

    def walk(group: click.Group) -> None:
        ctx = click.Context(group, obj=App([]))
        for name in group.list_commands(ctx):
            found = group.get_command(ctx, name)
            assert found is not None
            flags.update(flags_of(found))
            if isinstance(found, click.Group):
                walk(found)

    walk(make_root())
    return flags


def test_every_command_and_flag_that_it_names_exists() -> None:
    known = all_flags() | {"--help"}
    named = 0
    for span in SPANS:
        words = shlex.split(span.replace("…", "x"))
        if words[0].startswith("--"):
            assert words[0] in known, span
            named += 1
        if words[0] != "missive" or words[1:2] in (["COMMAND"], ["NOUN"]):
            continue
        found = command(words[1:])
        assert found is not None, span
        assert not isinstance(found[0], click.Group) or found[1] in ([], ["--help"]), span
        assert {word for word in found[1] if word.startswith("--")} <= flags_of(found[0]) | {"--help"}, span
        named += 1
    assert named > 30


def test_every_exit_code_of_its_table_is_one(missive) -> None:  # type: ignore[no-untyped-def]
    def tree(cls: type[errors.MissiveError]) -> set[int]:
        return {cls.exit_code}.union(*(tree(sub) for sub in cls.__subclasses__()))

    rows = re.findall(r"^\| ([\d, ]+) \|", BODY, re.MULTILINE)
    codes = [int(code) for row in rows for code in row.split(",")]
    assert set(codes) == tree(errors.MissiveError) | {2}
    assert len(codes) == len(set(codes))
    assert missive.run("nonsense").returncode == 2


def test_every_kind_that_it_names_is_one() -> None:
    named = set(re.findall(r'"kind": "(\w+)"', BODY))
    assert named
    assert named <= {*kinds(), "error"}


# --- show and install


def test_show_prints_what_install_writes(missive) -> None:  # type: ignore[no-untyped-def]
    shown = missive.ok("skill", "show")
    data = missive.json("skill", "show")
    assert data["text"] == shown == text()
    assert (data["name"], data["version"]) == ("missive", __version__)
    assert data["description"] == yaml.safe_load(HEAD)["description"]
    missive.ok("skill", "install")
    for folder in (".agents", ".claude"):
        assert (missive.home / folder / "skills/missive/SKILL.md").read_text("utf-8") == shown


def actions(data: dict[str, Any], home: Path) -> dict[str, str]:
    return {str(Path(file["path"]).relative_to(home)): file["action"] for file in data["files"]}


def test_installing_twice_changes_nothing_and_an_older_one_is_brought_up_to_date(missive) -> None:  # type: ignore[no-untyped-def]
    agents, claude = ".agents/skills/missive/SKILL.md", ".claude/skills/missive/SKILL.md"
    assert actions(missive.json("skill", "install"), missive.home) == {agents: "written", claude: "written"}
    before = (missive.home / agents).stat()
    assert actions(missive.json("skill", "install"), missive.home) == {agents: "unchanged", claude: "unchanged"}
    assert (missive.home / agents).stat().st_mtime_ns == before.st_mtime_ns
    assert before.st_mode & 0o777 == 0o644
    assert is_as_we_wrote_it(text())
    older = resigned(text().replace(f'"{__version__}"', '"0.0.1"').replace("# missive\n", "# missive of old\n"))
    assert is_as_we_wrote_it(older)
    (missive.home / agents).write_text(older, "utf-8")
    assert actions(missive.json("skill", "install"), missive.home) == {agents: "updated", claude: "unchanged"}
    assert (missive.home / agents).read_text("utf-8") == text()
    assert [file.name for file in (missive.home / agents).parent.iterdir()] == ["SKILL.md"]


def resigned(page: str) -> str:
    from hashlib import sha256

    plain = re.sub(r'  sha256: "\w+"\n', "", page)
    return re.sub(r'sha256: "\w+"', f'sha256: "{sha256(plain.encode()).hexdigest()}"', page)


def test_a_changed_one_is_left_alone_and_nothing_is_written(missive) -> None:  # type: ignore[no-untyped-def]
    missive.ok("skill", "install", "--for", "claude")
    file = missive.home / ".claude/skills/missive/SKILL.md"
    mine = text().replace("# missive\n", "# missive, and how we use it\n")
    file.write_text(mine, "utf-8")
    error = missive.error("skill", "install")
    assert error["exit_code"] == 64
    assert str(file.relative_to(missive.home)) in error["message"]
    assert "--force" in error["help"]
    assert file.read_text("utf-8") == mine
    assert not (missive.home / ".agents").exists()
    assert missive.json("skill", "install", "--force")["files"][1]["action"] == "replaced"
    assert file.read_text("utf-8") == text()


@pytest.mark.parametrize("tool", TOOLS)
def test_each_tool_has_its_folders(missive, tool: str) -> None:  # type: ignore[no-untyped-def]
    project, home = TOOLS[tool]
    assert list(actions(missive.json("skill", "install", "--for", tool), missive.home)) == [
        f"{project}/missive/SKILL.md"
    ]
    assert list(actions(missive.json("skill", "install", "--for", tool, "--user"), missive.home)) == [
        f"{home}/missive/SKILL.md"
    ]


def test_other_places(missive, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    moved = tmp_path / "claude"
    data = missive.json("skill", "install", "--user", "--for", "claude", CLAUDE_CONFIG_DIR=str(moved))
    assert data["files"][0]["path"] == str(moved / "skills/missive/SKILL.md")
    data = missive.json("skill", "install", "--target", "~/mine")
    assert data["files"][0]["path"] == str(missive.home / "mine/missive/SKILL.md")
    assert missive.error("skill", "install", "--target", "x", "--user")["exit_code"] == 64
    assert missive.error("skill", "install", "--for", "nobody")["exit_code"] == 2
    (tmp_path / "file").write_text("x", "utf-8")
    assert missive.error("skill", "install", "--target", str(tmp_path / "file" / "below"))["exit_code"] == 74


def test_a_link_in_its_place_is_replaced_by_force_and_not_followed(missive, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """A project that somebody else made may have put it there."""
    victim = tmp_path / "victim"
    victim.write_text("precious", "utf-8")
    place = missive.home / ".agents/skills/missive/SKILL.md"
    place.parent.mkdir(parents=True)
    place.symlink_to(victim)
    assert missive.error("skill", "install", "--for", "agents")["exit_code"] == 64
    missive.ok("skill", "install", "--for", "agents", "--force")
    assert victim.read_text("utf-8") == "precious"
    assert not place.is_symlink()
