"""How Sphinx makes a site of these pages: ``python -m sphinx -W --keep-going -c docs . build/site``.

The pages are plain Markdown, which reads well without a build. The navigation comes from the ``index.md`` pages
themselves, where a row ``| [Title](page.md) | … |`` takes a page in, below the heading over the table. A page that is
in no such row, or a link that leads nowhere, fails the build.

The sources are read from the top of the repository, so that links to its other pages lead to a page, too.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "missive"
author = copyright = "The missive authors"  # noqa: A001 (the name is Sphinx's)
html_title = "missive"
language = "en"

extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
root_doc = "docs/index"
include_patterns = ["docs/**.md", "contracts/README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"]
exclude_patterns = [".*", "benchmarks", "build", "dist", "examples", "missive_host", "plugins", "requirements", "tests"]
myst_heading_anchors = 6  # as deep as links go; the anchors are those that git hosts make
nitpicky = True
# A lexer that stumbles over one token of a shell line has its own way out, and what it shows is right.
suppress_warnings = ["misc.highlighting_failure"]

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["missive.css"]
html_extra_path = ["_top"]  # what stands at the top of the site leads here
html_copy_source = False
html_use_index = False
html_show_sphinx = False

_HEADING = re.compile(r"^## (.+)$")
_ROW = re.compile(r"^\| \[([^\]]+)\]\(([\w./-]+)\.md\) \|")


def navigation(text: str) -> dict[str, list[tuple[str, str]]]:
    """Return what an index page takes in: titles and pages, by the heading that they stand under."""
    found: dict[str, list[tuple[str, str]]] = {}
    heading = ""
    for line in text.splitlines():
        if match := _HEADING.match(line):
            heading = match[1]
        elif match := _ROW.match(line):
            found.setdefault(heading, []).append((match[1].replace("`", ""), match[2]))
    return found


def _add_navigation(_: Sphinx, page: str, source: list[str]) -> None:
    if page.rpartition("/")[2] != "index":
        return
    for heading, entries in navigation(source[0]).items():
        lines = ["```{toctree}", ":hidden:"]
        if page == root_doc and heading:
            lines.append(f":caption: {heading}")
        lines += ["", *(f"{title} <{target}>" for title, target in entries), "```"]
        source[0] += "\n\n" + "\n".join(lines)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", _add_navigation)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
