"""Markdown as HTML, for the alternative part. Agents are not to be trusted: no HTML of their own, no images."""

from __future__ import annotations


def html_of(text: str) -> str:
    """Return a document. HTML is shown as it is written; images, which would report who reads, become links."""
    from markdown_it import MarkdownIt

    markdown = MarkdownIt("commonmark", {"html": False, "breaks": True, "linkify": False}).enable(
        ["table", "strikethrough"]
    )
    markdown.disable("image")
    return f'<!DOCTYPE html>\n<html><head><meta charset="utf-8"></head><body>\n{markdown.render(text)}</body></html>\n'
