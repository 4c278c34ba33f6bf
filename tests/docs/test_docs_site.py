"""The documentation as a site: built strictly, with all pages in its navigation, and loading nothing from elsewhere."""

from __future__ import annotations

import importlib.util
import re
import shlex
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote, urlsplit

import pytest
from docs_kit import DOCS, PAGES, ROOT

pytestmark = pytest.mark.timeout(300)

CONF = DOCS / "conf.py"
COMMAND = "python -m sphinx -q -W --keep-going -c docs . build/site"
PAGE = "# A\n\n## Part\n\nText.\n"


def build(source: Path, target: Path) -> subprocess.CompletedProcess[str]:
    """Do what the gate does, with other folders."""
    words = shlex.split(COMMAND)
    words[0] = sys.executable
    words[words.index("docs")] = str(DOCS)
    words[-2:] = [str(source), str(target)]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=240)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("built") / "site"
    done = build(ROOT, target)
    assert done.returncode == 0, done.stderr
    return target


@pytest.fixture(scope="module")
def conf() -> ModuleType:
    spec = importlib.util.spec_from_file_location("site_conf", CONF)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# --- what a built page loads, and where it leads


class Seen(HTMLParser):
    """What is in a page: what a browser fetches by itself, where its links lead, and its anchors."""

    FETCHED = frozenset(("src", "srcset", "data", "poster", "background", "action", "formaction", "manifest"))

    def __init__(self, text: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.anchors.update(found[name] for name in ("id", "name") if name in found)
        self.fetched += [value for name, value in found.items() if name in self.FETCHED]
        self.fetched += styled(found.get("style", ""))
        for name in ("href", "xlink:href"):
            if name in found:
                (self.links if tag == "a" else self.fetched).append(found[name])
        if tag == "meta" and found.get("http-equiv", "").lower() == "refresh":
            self.fetched.append(found["content"].partition("url=")[2])


def styled(css: str) -> list[str]:
    """What a style loads."""
    urls = re.findall(r"url\(\s*['\"]?([^'\")]+)", css)
    return urls + re.findall(r"@import\s+['\"]([^'\"]+)", css)


def is_elsewhere(address: str) -> bool:
    parts = urlsplit(address)
    return bool(parts.netloc) or parts.scheme not in ("", "data")


def fetched_elsewhere(file: Path) -> list[str]:
    text = file.read_text("utf-8")
    if file.suffix in (".html", ".svg"):
        inner = re.findall(r"<style[^>]*>(.*?)</style>", text, re.DOTALL)
        found = [*Seen(text).fetched, *(url for css in inner for url in styled(css))]
    else:
        found = styled(text)
    return [address for address in found if is_elsewhere(address)]


def files(site: Path, *suffixes: str) -> Iterator[Path]:
    yield from sorted(file for file in site.rglob("*") if file.suffix in suffixes)


def test_nothing_is_fetched_from_another_host(site: Path) -> None:
    looked_at = list(files(site, ".html", ".css", ".svg"))
    assert len(looked_at) > len(PAGES)
    wrong = {str(file.relative_to(site)): found for file in looked_at if (found := fetched_elsewhere(file))}
    assert not wrong


def test_no_script_knows_another_host(site: Path) -> None:
    """Of the addresses in scripts, none is of a place: a namespace of SVG, and what comments name."""
    for file in files(site, ".js"):
        if file.name == "searchindex.js":
            continue  # words of the pages
        code = re.sub(r"/\*.*?\*/|^\s*//[^\n]*", "", file.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
        assert set(re.findall(r"https?://[^\s\"'`)]+", code)) <= {"http://www.w3.org/2000/svg"}, file.name


def test_every_link_within_the_site_leads_to_something(site: Path) -> None:
    seen = {file: Seen(file.read_text("utf-8")) for file in files(site, ".html")}
    wrong = []
    for file, page in seen.items():
        for address in (*page.links, *page.fetched):
            parts = urlsplit(address)
            if is_elsewhere(address) or parts.scheme == "data":
                continue
            target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            known = target.is_file() and (
                not parts.fragment or target not in seen or unquote(parts.fragment) in seen[target].anchors
            )
            if not known:
                wrong.append(f"{file.relative_to(site)}: {address}")
    assert not wrong


def test_it_works_as_files_and_can_be_searched(site: Path) -> None:
    """The index of words is a script: a page that was opened from a disk may load that, and nothing by `fetch`."""
    assert "docs/index.html" in Seen((site / "index.html").read_text("utf-8")).links
    index = (site / "searchindex.js").read_text("utf-8")
    assert index.startswith("Search.setIndex(")
    assert "docs/gateway" in index
    assert "idempot" in index
    assert any(link.endswith("searchindex.js") for link in Seen((site / "search.html").read_text("utf-8")).fetched)


# --- the navigation


def entries(conf: ModuleType, index: Path) -> list[Path]:
    rows = conf.navigation(index.read_text("utf-8")).values()
    return [(index.parent / f"{target}.md").resolve() for part in rows for _, target in part]


def test_every_page_is_in_the_navigation_once(conf: ModuleType) -> None:
    """`docs/index.md` takes pages in, and other index pages those of their folders."""
    reached: Counter[Path] = Counter()
    todo = [DOCS / "index.md"]
    while todo:
        for page in entries(conf, todo.pop()):
            reached[page] += 1
            if page.name == "index.md":
                todo.append(page)
    assert {page: count for page, count in reached.items() if count > 1} == {}
    assert set(PAGES) - {DOCS / "index.md"} <= set(reached)


def test_the_gate_builds_it() -> None:
    assert f"\n{COMMAND}\n" in (ROOT / ".ci" / "run").read_text("utf-8")


def test_what_a_row_takes_in(conf: ModuleType) -> None:
    text = (
        "# T\n| [In](a.md) | |\n## One\n| [`b`](x/b.md) | [not](c.md) |\n| not [in](d.md) | |\n"
        "## Two\n| [Up](../U.md) | |\n| [Part](e.md#part) | |\n"
    )
    assert conf.navigation(text) == {"": [("In", "a")], "One": [("b", "x/b")], "Two": [("Up", "../U")]}


# --- that it would be seen


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("# A\n\n[gone](b.md)\n", "b.md"),
        ("# A\n\n[gone](#nowhere)\n", "nowhere"),
        ("# A\n\n[gone](index.md#nowhere)\n", "nowhere"),
        ("# A\n\n![gone](picture.svg)\n", "picture.svg"),
        (PAGE, ""),
    ],
)
def test_a_broken_link_fails_the_build(tmp_path: Path, text: str, fault: str) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text("# Index\n\n| Page | |\n| --- | --- |\n| [A](a.md) | |\n", "utf-8")
    (tmp_path / "docs" / "a.md").write_text(text, "utf-8")
    done = build(tmp_path, tmp_path / "site")
    assert (done.returncode == 0) is not bool(fault), done.stderr
    assert fault in done.stderr


def test_a_page_without_a_row_fails_the_build(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text("# Index\n\n[A](a.md)\n", "utf-8")
    (tmp_path / "docs" / "a.md").write_text(PAGE, "utf-8")
    done = build(tmp_path, tmp_path / "site")
    assert done.returncode != 0
    assert "a.md" in done.stderr
    assert "toctree" in done.stderr


@pytest.mark.parametrize(
    "text",
    [
        '<script src="https://cdn.example/x.js"></script>',
        '<link rel="preconnect" href="https://fonts.example">',
        '<img srcset="//images.example/a.png 2x">',
        "<style>@import 'https://fonts.example/a.css';</style>",
        '<p style="background: url(https://images.example/a.png)">',
        '<svg><image xlink:href="https://images.example/a.png"/></svg>',
    ],
)
def test_what_is_fetched_from_elsewhere_would_be_found(tmp_path: Path, text: str) -> None:
    page = tmp_path / "page.html"
    page.write_text(f'<a href="https://ordinary.example">a</a><img src="a.png">{text}', "utf-8")
    assert len(fetched_elsewhere(page)) == 1
