"""The configurations for nginx do what the pages say: a real nginx with TLS stands before a real gateway."""

from __future__ import annotations

import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from docs_kit import DOCS, blocks, environment
from support.chat.servers import free_port

if TYPE_CHECKING:
    from missive_host.demo.fleet import AgentProcess

NEEDS = ("nginx",)
pytestmark = pytest.mark.timeout(120)

HOWTO, DEPLOYMENT = DOCS / "howto" / "nginx.md", DOCS / "deployment.md"


def configuration(page: Path) -> str:
    """The configuration of the page as a whole file."""
    (found,) = (block.text for block in blocks(page) if "proxy_pass" in block.text)
    return found if found.startswith("events") else f"events {{}}\nhttp {{\n{found}}}\n"


def program() -> str:
    found = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    assert found, "nginx is needed: install it (apt-get install nginx), or name it in MISSIVE_TEST_WITHOUT"
    return found


@contextmanager
def nginx(text: str, gateway: str, folder: Path) -> Iterator[tuple[str, ssl.SSLContext]]:
    """nginx with a configuration of a page, in places of the test; where it is, and who trusts its certificate."""
    port = free_port()
    folder.mkdir()
    key, certificate = folder / "key.pem", folder / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in kinds)
    for old, new in {
        "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
        "/etc/ssl/missive.pem": str(certificate),
        "/etc/ssl/missive.key": str(key),
        "127.0.0.1:7347": gateway,
        "http {\n": f"http {{\naccess_log off;\n{temporary}",
    }.items():
        assert old in text
        text = text.replace(old, new)
    file = folder / "nginx.conf"
    user = "user root;\n" if os.geteuid() == 0 else ""
    file.write_text(f"{user}daemon off;\npid {folder}/pid;\nerror_log stderr;\n{text}", "utf-8")
    process = subprocess.Popen([program(), "-p", str(folder), "-e", "stderr", "-c", str(file)])
    try:
        context = ssl.create_default_context(cafile=str(certificate))
        until_it_listens(process, f"https://localhost:{port}", context)
        yield f"https://localhost:{port}", context
    finally:
        process.terminate()
        process.wait(20)


def until_it_listens(process: subprocess.Popen[bytes], url: str, context: ssl.SSLContext) -> None:
    for _ in range(200):
        assert process.poll() is None, "nginx refuses the configuration"
        try:
            urllib.request.urlopen(url, context=context, timeout=5)
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.05)
        else:
            return
    pytest.fail("nginx does not answer")


@pytest.fixture
def typing(agent: AgentProcess, tmp_path: Path) -> Iterator[Mapping[str, str]]:
    """The environment of a shell in whose home the gateway of the how-to runs."""
    home = tmp_path / "home"
    home.mkdir()
    (config,) = (block.text for block in blocks(HOWTO) if block.file == "missive.toml")
    (home / "missive.toml").write_text(config, "utf-8")
    typing = environment(home, Path(sys.executable).parent, MISSIVE_CONFIG=str(home / "missive.toml"))
    missive(typing, "agent", "add", "echo", agent.url)
    gateway = subprocess.Popen(["missive", "gateway", "run", "--port", "0", "--quiet"], env=dict(typing))
    try:
        for _ in range(200):
            if missive(typing, "gateway", "status").get("daemon", {}).get("ready"):
                break
            time.sleep(0.05)
        yield typing
    finally:
        gateway.kill()
        gateway.wait(20)


def missive(typing: Mapping[str, str], *words: str) -> dict[str, Any]:
    done = subprocess.run(["missive", *words, "--json"], env=dict(typing), capture_output=True, timeout=60)
    data: dict[str, Any] = json.loads(done.stdout or "{}").get("data", {})
    return data


@pytest.mark.parametrize("page", [HOWTO, DEPLOYMENT], ids=lambda page: page.stem)
def test_a_stream_comes_through_while_it_happens(typing: Mapping[str, str], page: Path, tmp_path: Path) -> None:
    bind = missive(typing, "gateway", "status")["daemon"]["bind_address"]
    token = missive(typing, "token", "create", "me")["secret"]
    body = b'{"command": "stream", "agent": "echo", "message": "stream 2 60"}'
    headers = {"Content-Type": "application/json", "Accept": "text/event-stream", "Authorization": f"Bearer {token}"}
    with nginx(configuration(page), bind, tmp_path / "nginx") as (url, context):
        asked = urllib.request.Request(f"{url}/adapter/http/v1/messages", body, headers)
        with urllib.request.urlopen(asked, context=context, timeout=60) as answer:
            assert any(line.startswith(b"event: output") for line in answer)
            # it is here while the agent still works: nothing is held back until the end
            assert len(missive(typing, "intake", "list", "--state", "running")["deliveries"]) == 1
        for path, status in (("/status", 404), ("/metrics", 404), ("/adapter/http/v1/receipts/none", 401)):
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(url + path, context=context, timeout=10)
            assert refused.value.code == status
            refused.value.close()


def test_the_two_pages_say_the_same() -> None:
    def directives(page: Path) -> set[str]:
        lines = (re.sub(r"\s*#.*", "", line).strip() for line in configuration(page).splitlines())
        return {line for line in lines if line.startswith(("proxy_", "location", "client_max"))}

    assert directives(HOWTO) <= directives(DEPLOYMENT)
