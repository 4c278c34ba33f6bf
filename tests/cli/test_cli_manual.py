"""The manual pages: fresh, sound, and what mandoc shows is what missive says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from docs_kit import ROOT

from missive_host.cli import roff
from missive_host.cli.groups import Command, Group
from missive_host.cli.manual import main, pages
from missive_host.cli.reference import open_root, walk
from missive_host.config.reference import tables

NEEDS = ("mandoc",)
MAN = ROOT / "man"
PAGES = sorted(MAN.glob("man*/*"))


def mandoc(*words: str, page: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["mandoc", *words], input=page, capture_output=True, text=True, encoding="utf-8")


def shown(page: str) -> str:
    """What a reader sees, wide enough that no line is broken."""
    done = mandoc("-T", "utf8", "-O", "width=1000", page=page)
    return re.sub(".\x08", "", done.stdout)


def test_the_pages_are_fresh(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check", str(MAN)]) == 0, capsys.readouterr().out


def test_a_page_that_is_not_fresh_is_named_and_made_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 0
    assert main(["--check", str(tmp_path)]) == 0
    (tmp_path / "man1/missive-send.1").write_text("old", "utf-8")
    (tmp_path / "man1/missive-sned.1").write_text("gone", "utf-8")
    capsys.readouterr()
    assert main(["--check", str(tmp_path)]) == 1
    assert capsys.readouterr().out == "not fresh: man1/missive-send.1, man1/missive-sned.1\n"
    assert main([str(tmp_path)]) == 0
    assert main(["--check", str(tmp_path)]) == 0


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_is_sound(page: Path) -> None:
    done = mandoc("-T", "lint", "-W", "warning", str(page))
    said = [line for line in done.stdout.splitlines() if "missing date" not in line]  # so that it changes with its text
    assert said == []
    assert page.read_text("utf-8").isascii()


def test_every_command_flag_and_example_is_shown_as_it_is_typed() -> None:
    texts = {name: shown(page) for name, page in pages().items()}
    for path, command, _ in walk(*open_root()):
        assert isinstance(command, Command | Group)
        text = texts[f"man1/missive-{path.split(' ')[1]}.1"]
        lines = [" ".join(line.split()) for line in text.splitlines()]
        examples = [] if isinstance(command, Group) and path.count(" ") > 1 else command.examples
        for example in examples:
            assert " ".join(example.split()) in lines, (path, example)
        for param in command.own_params():
            if isinstance(param, click.Option):
                term = ", ".join([*sorted(param.opts, key=len), *param.secondary_opts])
                assert any(line.startswith(term) for line in lines), (path, term)
                assert " ".join((param.help or "").replace("`", "").split()) in " ".join(lines), (path, term)
        if not isinstance(command, Group):
            assert any(line.startswith(path) for line in lines), path


def test_the_configuration_has_every_key() -> None:
    text = shown((MAN / "man5/missive.toml.5").read_text("utf-8"))
    for title, _, keys in tables():
        assert title.replace("`", "") in text
        for key in keys:
            assert re.search(rf"^ +{key.name} \(", text, re.MULTILINE), key.name


@pytest.mark.parametrize(
    "text",
    [
        ".TH is no request here",
        "'quoted' at the beginning",
        r"C:\new\fB and \(bu",
        "--flag -x - a-b-c ‐ – —",
        "~/file ^ `x` \"y\" 'z'",
        "naïve … ü 漢字",
        "a backslash at the end: \\",
        ". and so on",
        '%d $1 #! {} [] .\\" no comment',
    ],
)
def test_any_text_is_shown_as_it_is(text: str) -> None:
    head = ['.TH X 1 "" "x" "x"', ".SH NAME", r"x \- y", ".SH DESCRIPTION"]
    page = "\n".join([*head, *roff.literal([text]), *roff.item(roff.bold(text), roff.italic(text))]) + "\n"
    lines = [line.strip() for line in shown(page).splitlines()]
    assert lines.count(text) >= 2, lines
    sentence = text.replace("`", "")  # in prose they mark what is typed
    page = "\n".join([*head, *roff.paragraphs(sentence)]) + "\n"
    assert sentence in [line.strip() for line in shown(page).splitlines()]


def test_missive_prints_them(missive) -> None:  # type: ignore[no-untyped-def]
    for words, file in (((), "missive.1"), (("send",), "missive-send.1"), (("missive.toml",), "missive.toml.5")):
        text = (MAN / f"man{file[-1]}" / file).read_text("utf-8")
        assert missive.ok("manpage", *words) == text
        data = missive.json("manpage", *words)
        assert (data["file_name"], data["page"]) == (file, text)
    error = missive.error("manpage", "snd")
    assert error["exit_code"] == 2
    assert "did you mean 'send'?" in error["message"]
    asked = missive.ok(_MISSIVE_COMPLETE="bash_complete", _MISSIVE_WORDS="missive manpage sen")
    assert asked == "plain\tsend\n"


def test_the_module_says_what_it_wrote(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "missive_host.cli.manual"]
    done = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert done.stdout.startswith("written: man1/missive.1, ")
    assert sorted(each.name for each in tmp_path.glob("man*/*")) == [page.name for page in PAGES]
