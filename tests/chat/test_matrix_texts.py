"""What Matrix makes of Markdown, and what an event is read as, without a server."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st
from missive_chat.platform import Inbound, Place
from missive_chat.platforms.matrix.contents import message
from missive_chat.platforms.matrix.events import Room, read
from missive_chat.platforms.matrix.html import to_html
from support.chat.matrix import outgoing

CASES = {
    "just text": "",
    "two\nlines": "",
    "**bold** and *slanted* and ~~gone~~": "<strong>bold</strong> and <em>slanted</em> and <del>gone</del>",
    "**bold *and slanted***": "<strong>bold <em>and slanted</em></strong>",
    "__bold__ _slanted_ snake_case_name": "<strong>bold</strong> <em>slanted</em> snake_case_name",
    "2 * 3 * 4": "",
    "`<b>` and ``a`b``": "<code>&lt;b&gt;</code> and <code>a`b</code>",
    "`**not bold**`": "<code>**not bold**</code>",
    r"\*not slanted\* `code`": "*not slanted* <code>code</code>",
    "[a *link*](https://example.org/?a=1&b=2)": '<a href="https://example.org/?a=1&amp;b=2">a <em>link</em></a>',
    "[x](https://en.example.org/A_(b)) **y**": '<a href="https://en.example.org/A_(b)">x</a> <strong>y</strong>',
    '[x](https://example.org" onclick="alert(1))': "",
    "[x](javascript:alert(1))": "",
    "<https://example.org/_a_>": '<a href="https://example.org/_a_">https://example.org/_a_</a>',
    "https://example.org/_a_b_ **x**": "https://example.org/_a_b_ <strong>x</strong>",
    "<script>alert(1)</script> **x**": "&lt;script&gt;alert(1)&lt;/script&gt; <strong>x</strong>",
    "# Head\n\ntext": "<h1>Head</h1><p>text</p>",
    "one\n\ntwo": "",
    "one\n\n**two**": "<p>one</p><p><strong>two</strong></p>",
    "> said\n> twice\n\nanswer": "<blockquote><p>said<br>twice</p></blockquote><p>answer</p>",
    "- one\n- two\n  more\n  - inner\n- three": (
        "<ul><li>one</li><li>two<br>more<ul><li>inner</li></ul></li><li>three</li></ul>"
    ),
    "3. three\n4. four": '<ol start="3"><li>three</li><li>four</li></ol>',
    "1. one\n\n2. two": "<ol><li>one</li><li>two</li></ol>",
    "text\n- item": "<p>text</p><ul><li>item</li></ul>",
    "```python\nif a < b:\n    pass\n```\nafter": (
        '<pre><code class="language-python">if a &lt; b:\n    pass\n</code></pre><p>after</p>'
    ),
    "```\nstill open": "<pre><code>still open\n</code></pre>",
    "````\n```\n````": "<pre><code>```\n</code></pre>",
    "---": "<hr>",
    "| a | b |\n|---|:-:|\n| 1 | `x\\|y` |": (
        "<table><thead><tr><th>a</th><th>b</th></tr></thead>"
        "<tbody><tr><td>1</td><td><code>x|y</code></td></tr></tbody></table>"
    ),
}


@pytest.mark.parametrize("markdown", CASES)
def test_markdown_becomes_html(markdown: str) -> None:
    assert to_html(markdown) == CASES[markdown]


TAGS = "a blockquote br code del em h1 h2 h3 h4 h5 h6 hr li ol p pre strong table tbody td th thead tr ul"


class Tags(HTMLParser):
    """Refuses whatever is not one of ours, or does not close."""

    allowed = frozenset(TAGS.split())

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in self.allowed
        for name, value in attrs:
            assert (tag, name) in {("a", "href"), ("code", "class"), ("ol", "start")}
            if name == "href":
                assert str(value).lower().startswith(("https://", "http://", "mailto:"))
        if tag not in ("br", "hr"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


PIECES = st.lists(
    st.sampled_from(
        ["*", "**", "_", "__", "~~", "`", "```", "\n", "\n\n", "- ", "1. ", "> ", "# ", "|", "|-|", "[a](", "https://x.y",
         ")", "<b>", '"', "&", "@room", " ", "    ", "word", "\\", "ä", "javascript:", "<https://a>", "\t"]
    ) | st.characters(),
    max_size=60,
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(PIECES.map("".join))
def test_no_text_makes_tags_of_its_own(text: str) -> None:
    tags = Tags()
    tags.feed(to_html(text))
    tags.close()
    assert not tags.open
    shown = message(outgoing(Place(chat="!room:x"), text))
    for part in ("body", "formatted_body"):
        assert "@room" not in shown.get(part, "").lower()


ANY: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=20)
    | st.sampled_from(["@bot:x", "$event", "mxc://a/b"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
RELATION = st.fixed_dictionaries(
    {},
    optional={
        "rel_type": st.sampled_from(["m.thread", "m.replace", "m.annotation"]) | ANY,
        "event_id": ANY, "is_falling_back": ANY, "m.in_reply_to": st.fixed_dictionaries({"event_id": ANY}) | ANY,
    },
)  # fmt: skip
CONTENT = st.fixed_dictionaries(
    {},
    optional={
        "msgtype": st.sampled_from(["m.text", "m.notice", "m.image", "m.file"]) | ANY,
        "body": ANY, "formatted_body": ANY, "filename": ANY, "url": ANY, "info": ANY, "redacts": ANY,
        "m.mentions": st.fixed_dictionaries({"user_ids": ANY}) | ANY, "m.relates_to": RELATION | ANY,
        "file": st.fixed_dictionaries({"url": ANY, "key": ANY, "hashes": ANY, "iv": ANY}) | ANY,
        "m.new_content": st.fixed_dictionaries({"body": ANY, "msgtype": ANY}) | ANY,
    },
)  # fmt: skip
EVENT = st.fixed_dictionaries(
    {"event_id": st.just("$event") | ANY, "sender": st.just("@alice:x") | ANY, "content": CONTENT | ANY},
    optional={"type": st.sampled_from(["m.room.message", "m.room.redaction"]) | ANY, "origin_server_ts": ANY},
)


@settings(max_examples=400, deadline=None)
@given(EVENT)
def test_no_event_is_too_odd_to_be_read(event: dict[str, Any]) -> None:
    room = Room(id="!room:x", is_direct=False, encrypted=False, me="@bot:x", my_name="The (Bot)")
    inbound = read(event, room)
    if inbound is not None:
        assert isinstance(inbound, Inbound)
        texts = (inbound.event_id, inbound.message_id, inbound.text, inbound.sender.id, inbound.place.thread or "")
        assert all(isinstance(text, str) for text in texts)
        assert all(isinstance(file.name, str) and json.loads(file.id) for file in inbound.attachments)
