"""Markdown as Discord shows it: most of it is the same. Tables become code, images links; nobody is pinged."""

from __future__ import annotations

import re
from unicodedata import east_asian_width

_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})")
_MASS = re.compile(r"@(?=everyone|here)", re.IGNORECASE)
_DEEP_HEADING = re.compile(r"^ {0,3}#{4,6}\s+(.*?)\s*#*\s*$")
_IMAGE = re.compile(r"!\[([^\]\n]*)\]\(\s*<?([^)\s>]+)>?[^)\n]*\)")
_SEPARATOR = re.compile(r"^ {0,3}\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$")
_CELL = re.compile(r"(?<!\\)\|")
_WIDEST_TABLE = 120


def render(text: str) -> str:
    """Return Markdown as it is sent."""
    out: list[str] = []
    lines = text.split("\n")
    fence = ""
    at = 0
    while at < len(lines):
        line = lines[at]
        mark = _FENCE.match(line)
        if fence:
            if mark and mark[1].startswith(fence) and not line.strip().strip(fence[0]):
                fence, line = "", line.replace("~", "`")
            out.append(_harmless(line))
        elif mark:
            fence = mark[1]
            out.append(line.replace("~", "`", len(fence)))  # Discord knows no fence of tildes
        elif "|" in line and at + 1 < len(lines) and "|" in lines[at + 1] and _SEPARATOR.match(lines[at + 1]):
            end = at + 2
            while end < len(lines) and "|" in lines[end]:
                end += 1
            out.extend(_table([line, *lines[at + 2 : end]]))
            at = end - 1
        else:
            out.append(_line(line))
        at += 1
    return "\n".join(out)


def _line(line: str) -> str:
    heading = _DEEP_HEADING.match(line)  # Discord knows three levels
    if heading and heading[1]:
        line = f"**{heading[1]}**"
    return _harmless(_IMAGE.sub(lambda found: f"[{found[1] or 'image'}]({found[2]})", line))


def _harmless(line: str) -> str:
    return _MASS.sub("@\u200b", line)


def _table(rows: list[str]) -> list[str]:
    cells = [[cell.strip().replace("\\|", "|") for cell in _CELL.split(row.strip().strip("|"))] for row in rows]
    columns = max(len(row) for row in cells)
    cells = [row + [""] * (columns - len(row)) for row in cells]
    widths = [max(_width(row[column]) for row in cells) for column in range(columns)]
    if sum(widths) + 3 * columns > _WIDEST_TABLE:  # it would be broken anywhere: each row as a list
        head, *body = cells
        return [
            _line("- " + "; ".join(f"{a}: {b}" if a else b for a, b in zip(head, row, strict=True))) for row in body
        ]
    lines = [
        "  ".join(cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)) for row in cells
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return ["```", *(_harmless(line.rstrip()).replace("```", "'''") for line in lines), "```"]


def _width(text: str) -> int:
    return sum(2 if east_asian_width(character) in "WF" else 1 for character in text)
