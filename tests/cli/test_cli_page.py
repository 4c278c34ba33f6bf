"""The page of a conversation in a real browser: readable on a phone, and nothing in it runs or leaves it."""

from __future__ import annotations

import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from route_kit import run
from storekit import context, message, task
from support.browser import Browser, browser

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.cores import Home

    from missive_host.store import Tables

NEEDS = ("chromium",)
PHONE = 360
"""Pixels: the width of a small phone."""


@pytest.fixture
def canary() -> Iterator[tuple[str, list[str]]]:
    """A server that is not to be asked for anything; gives its URL and what it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()


def hostile(url: str) -> list[str]:
    """Texts that would do something if a page took them for more than texts."""
    run_it = "window.pwned=1"
    return [
        f"<script>{run_it}</script>",
        f"<script src={url}/script.js></script>",
        f'<img src=x onerror="{run_it}"><img src="{url}/image.png">',
        f'<svg onload="{run_it}"><use href="{url}/use.svg#x"/></svg>',
        f'<a href="javascript:{run_it}">click</a> <a href="data:text/html,<script>{run_it}</script>">data</a>',
        f"</pre></article></main></body></html><script>{run_it}</script>",
        f"</style><style>body{{background:url({url}/style.png)}}@import url({url}/import.css);</style>",
        f'<iframe src="{url}/frame"></iframe><object data="{url}/object"></object><embed src="{url}/embed">',
        f'<meta http-equiv="refresh" content="0;url={url}/refresh"><base href="{url}/"><link rel=preload href={url}/l>',
        f'<form action="{url}/form"><button autofocus onfocus="{run_it}">x</button></form>',
        "\u202egnp.exe\u202c \x1b]0;title\x07 \x00",
        "-->]]><!--<![CDATA[",
    ]


def converse(home: Home, url: str) -> None:
    """Fill a context with what others may write, in each place from which a page takes texts."""
    texts = hostile(url)
    parts = [{"text": text} for text in texts]
    files = [
        {"url": "javascript:window.pwned=1", "filename": texts[2], "mediaType": texts[0]},
        {"url": f"{url}/file.png", "filename": "f" * 300},
        {"raw": "aGVsbG8=", "filename": "hello.txt", "mediaType": "text/plain"},
    ]
    data = [{"data": {texts[0]: texts, "wide": "w" * 500, "deep": {"a": [{"b": [1] * 200}]}}}]
    long = [{"text": "word " * 200}, {"text": "n" * 2000}, {"text": "| a | b |\n" * 3}]

    def write(t: Tables) -> None:
        t.contexts.create(context("c", name="</title><script>window.pwned=1</script> " + "t" * 100))
        for number, content in enumerate((parts, files, data, long)):
            body = {"messageId": f"m-{number}", "parts": content}
            t.messages.add_request(message("agent-with-a-name", f"m-{number}", context_id="c", content=body))
            t.messages.add_response(
                message("agent-with-a-name", f"r-{number}", "response", context_id="c", content=body)
            )
        report = {"message": texts[0] + "e" * 300}
        t.messages.settle_request("agent-with-a-name", "m-1", "failed", error=report, at="2026-01-01T00:00:03.000000Z")
        status = {"state": "TASK_STATE_FAILED", "message": {"messageId": "s", "parts": parts}}
        t.tasks.upsert(
            task("agent-with-a-name", texts[0], "failed", context_id="c", task={"id": texts[0], "status": status})
        )
        artifact = {"artifactId": "a", "name": texts[2], "parts": [*parts, *data]}
        t.artifacts.put("agent-with-a-name", texts[0], artifact, at="2026-01-01T00:00:04.000000Z")

    with home.store() as store:
        store.write(write)


def export(home: Home, folder: Path) -> Path:
    file = folder / "page.html"
    done = run(home, "events", "export", "--context", "c", "--format", "html", "-o", str(file))
    assert done.returncode == 0, done.stderr
    return file


def shown(page: Browser, folder: Path, name: str) -> None:
    """Keep a picture where somebody has asked for one."""
    page.screenshot(folder / f"{name}.png")
    assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    if "MISSIVE_TEST_PICTURES" in os.environ:
        page.screenshot(type(folder)(os.environ["MISSIVE_TEST_PICTURES"]) / f"{name}.png")


def test_a_hostile_conversation(home: Home, tmp_path: Path, canary: tuple[str, list[str]]) -> None:
    url, asked = canary
    converse(home, url)
    file = export(home, tmp_path)
    with browser(tmp_path) as page:
        page.open(file.as_uri(), width=PHONE, height=740)
        assert page.value("document.querySelectorAll('article').length") == 10

        # Readable: nothing is wider than the phone, and letters are as large as they should be.
        assert page.value("document.scrollingElement.scrollWidth") == PHONE
        wide = "[...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > innerWidth + 1)"
        assert page.value(f"{wide}.length") == 0
        small = (
            "[...document.querySelectorAll('pre, p, h1')].filter(e => parseFloat(getComputedStyle(e).fontSize) < 13)"
        )
        assert page.value(f"{small}.length") == 0
        text = page.value("document.body.innerText")
        for each in hostile(url)[:9]:
            assert each in text, "what was written is shown as it was written"
        assert "\u202e" not in text

        # Nothing runs.
        assert page.value("typeof window.pwned") == "undefined"
        assert page.value("document.scripts.length") == 0
        odd = "[...document.querySelectorAll('*')].flatMap(e => [...e.attributes]).map(a => a.name)"
        names = set(page.value(odd))
        assert names <= {"lang", "charset", "http-equiv", "content", "name", "class", "dir"}
        assert (
            page.value("document.querySelectorAll('a, img, iframe, object, embed, form, svg, link, base').length") == 0
        )

        # Nothing leaves it: what is asked for is the page alone.
        assert [each["request"]["url"] for each in page.seen("Network.requestWillBeSent")] == [file.as_uri()]
        shown(page, tmp_path, "hostile")

        # Not even what somebody has put into the file later: the page itself forbids it.
        page.value(
            "document.body.insertAdjacentHTML('beforeend', `<img src='" + url + "/later.png' onerror='window.pwned=1'>"
            "<iframe src='" + url + "/later'></iframe><p onclick='window.pwned=1' id=p style='color:red'>p</p>`)"
        )
        page.value(
            "(() => { const s = document.createElement('script'); s.textContent = 'window.pwned=1';"
            " document.body.append(s); document.getElementById('p').click() })()"
        )
        page.value("new Promise(done => setTimeout(done, 500))")
        assert page.value("typeof window.pwned") == "undefined"
        assert page.value("fetch('" + url + "/fetch').then(() => 'sent', () => 'refused')") == "refused"

        assert page.value("location.href") == file.as_uri()
        assert page.seen("Page.javascriptDialogOpening") == []
    assert asked == []


def test_a_friendly_conversation(home: Home, tmp_path: Path) -> None:
    def write(t: Tables) -> None:
        t.contexts.create(context("c", name="Trip to Rome"))
        for number, (asked, answered) in enumerate(
            (
                ("When does the first train leave?", "At 6:12 from platform 4.\nYou arrive at 9:40."),
                ("And back, on Sunday evening?", "There are two: 17:05 and 19:35. The later one is direct."),
            )
        ):
            for direction, words in (("request", asked), ("response", answered)):
                row = message(
                    "planner", f"{direction}-{number}", direction, context_id="c",
                    content={"messageId": f"{direction}-{number}", "parts": [{"text": words}]},
                )  # fmt: skip
                (t.messages.add_request if direction == "request" else t.messages.add_response)(row)

    with home.store() as store:
        store.write(write)
    file = export(home, tmp_path)
    with browser(tmp_path) as page:
        page.open(file.as_uri(), width=PHONE, height=740)
        assert page.value("document.title") == "Trip to Rome"
        assert page.value("document.scrollingElement.scrollWidth") == PHONE
        assert page.value("getComputedStyle(document.querySelector('article')).borderRadius") != "0px", "it has a style"
        assert page.value("document.body.innerText").index("6:12") < page.value("document.body.innerText").index(
            "19:35"
        )
        shown(page, tmp_path, "friendly")
