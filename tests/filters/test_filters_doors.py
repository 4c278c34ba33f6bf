"""Filters as processes have them: with real doors, a real agent, and a look into every file that is left."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from support.cores import Home
from support.doors import StdioProcess, frame
from support.gateways import GatewayProcess

from missive_host.demo.fleet import AgentProcess

CARD = "4111 1111 1111 1111"
FRAGMENT = "1111 1111"
REDACT = '[[filters]]\nkind = "redact"\n'
PIPE = '[adapters.pipe]\nkind = "stdio"\n'
RAISES = """
from missive_host.hookspecs import hookimpl
from missive_host.specs import InboundFilterSpec, OutboundFilterSpec

@hookimpl
def missive_inbound():
    yield InboundFilterSpec("guard", f"{__name__}:Guard", "Fails.")

@hookimpl
def missive_outbound():
    yield OutboundFilterSpec("guard", f"{__name__}:Guard", "Fails.")

class Guard:
    def __init__(self, context): ...
    def inbound(self, envelope):
        raise RuntimeError(envelope.command.message)
    def outbound(self, answer):
        raise RuntimeError(str(answer.data))
"""


def configure(home: Home, agent: AgentProcess, text: str) -> None:
    home.configure(f'{text}\n[agents.echo]\nbase_url = "{agent.url}"\n')


def clean(home: Home, *, of: str = FRAGMENT) -> None:
    """No file of the home has the words: database, write-ahead log, journal, the adapters' folders."""
    files = [path for path in Path(home.environ["MISSIVE_HOME"]).rglob("*") if path.is_file()]
    assert any(path.suffix == ".sqlite3" for path in files), files
    for path in files:
        assert of.encode() not in path.read_bytes(), path


def answers(documents: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {doc["id"]: doc for doc in documents if doc.get("schema_version") == "missive.stdio.v1"}


def ask(home: Home, *frames: dict[str, Any]) -> tuple[dict[str, dict[str, Any]], str]:
    with StdioProcess(home, "--trace") as door:
        door.put(*frames)
        door.end()
        door.finished(60)
        return answers(door.frames), door.errors.decode()


def send(frame_id: str, message: str, **fields: Any) -> dict[str, Any]:
    return frame(frame_id, "send", agent="echo", message=message, **fields)


# --- an adapter by itself


def test_what_is_redacted_reaches_neither_the_agent_nor_the_store_nor_the_log(home: Home, agent: AgentProcess) -> None:
    configure(home, agent, REDACT)
    got, errors = ask(home, send("a", f"my card is {CARD}", metadata={"pan": CARD}), send("b", "nothing to see"))
    assert "my card is [redacted]" in json.dumps(got["a"]["data"])
    assert "nothing to see" in json.dumps(got["b"]["data"])
    assert FRAGMENT not in json.dumps(got) + errors
    clean(home)


def test_one_that_refuses_and_one_that_fails(home: Home, agent: AgentProcess, tmp_path: Path) -> None:
    (tmp_path / "guard.py").write_text(RAISES)
    limit = '[[filters]]\nkind = "limit"\nsettings = { parts = 1 }\n'
    configure(home, agent, limit)
    got, _ = ask(home, send("a", "one", text_parts=["two"]), send("b", "one"))
    assert got["a"]["error"]["message"] == (
        "validation error: refused by the filter `limit`: it has 2 parts, at most 1 are allowed"
    )
    assert got["b"]["ok"] is True
    guard = f'[plugins]\nfiles = ["{tmp_path}/guard.py"]\n[[filters]]\nkind = "guard"\ndirection = "WAY"\n'
    for way in ("inbound", "outbound"):
        configure(home, agent, guard.replace("WAY", way))
        got, errors = ask(home, send("a", f"hello {way} words"))
        assert got["a"]["error"]["message"] == "orchestration error: the filter `guard` failed (RuntimeError)"
        assert f"{way} words" not in json.dumps(got) + errors
        assert "the filter `guard` failed (RuntimeError) at " in errors
    clean(home, of="inbound words")  # it was refused before it was kept; what was sent to the agent is the store's


def test_what_comes_back_is_redacted_for_the_door(home: Home, agent: AgentProcess) -> None:
    configure(home, agent, REDACT + 'direction = "outbound"\n')
    got, errors = ask(
        home, send("a", f"words {CARD}"), frame("b", "stream", agent="echo", message=f"words {CARD}", fallback=True)
    )
    assert "[redacted]" in json.dumps(got["a"]["data"])
    assert FRAGMENT not in json.dumps(got) + errors


def test_filters_are_not_for_the_command_line(home: Home, agent: AgentProcess) -> None:
    """Whoever works at this machine is not an outsider."""
    import subprocess
    import sys

    configure(home, agent, REDACT)
    words = [sys.executable, "-m", "missive_host", "--config", str(home.config), "send", "echo", f"my {CARD}"]
    done = subprocess.run(words, env={**home.environ}, capture_output=True, text=True)
    assert CARD in done.stdout


@pytest.mark.parametrize("words", [["adapter", "stdio"], ["gateway", "run", "--port", "0"], ["config", "validate"]])
def test_one_that_there_is_not_is_told_at_the_start(home: Home, agent: AgentProcess, words: list[str]) -> None:
    import subprocess
    import sys

    configure(home, agent, '[[filters]]\nkind = "redct"\n')
    argv = [sys.executable, "-m", "missive_host", "--config", str(home.config), *words]
    done = subprocess.run(argv, env={**home.environ}, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 78
    assert "no inbound filter `redct`; did you mean 'redact'?" in done.stdout + done.stderr


# --- the gateway


def test_the_gateway_keeps_nothing_that_is_redacted(home: Home, agent: AgentProcess) -> None:
    configure(home, agent, PIPE + REDACT)
    with GatewayProcess(home, stdin=True) as gateway:
        gateway.put(
            send("a", f"my card is {CARD}", idempotency_key="k", session="s"),
            frame("b", "job_start_send", agent="echo", message=f"later {CARD}"),
            send("c", f"my card is {CARD}", idempotency_key="k", session="s"),
        )
        gateway.until(lambda docs: len(answers(docs)) == 3)
        got = answers(gateway.documents)
        job = got["b"]["data"]["data"]["job"]["job_id"]
        deadline = time.monotonic() + 20
        while "later [redacted]" not in json.dumps(answers(gateway.documents)):
            assert time.monotonic() < deadline, gateway.documents
            gateway.put(frame(f"get-{time.monotonic_ns()}", "job_get", job_id=job))
            time.sleep(0.2)
        gateway.stop()
        said = gateway.errors
    assert "my card is [redacted]" in json.dumps(got["a"]["data"])
    assert "error" not in got["c"], got["c"]
    assert got["c"]["data"] == got["a"]["data"], "the same key is the same delivery"
    assert FRAGMENT not in json.dumps(gateway.documents) + said
    clean(home)


def test_the_gateway_refuses_fails_and_reloads(home: Home, agent: AgentProcess, tmp_path: Path) -> None:
    (tmp_path / "guard.py").write_text(RAISES)
    plugins = f'[plugins]\nfiles = ["{tmp_path}/guard.py"]\n'
    outward = '[[filters]]\nkind = "guard"\ndirection = "outbound"\n'
    configure(home, agent, plugins + PIPE + '[[filters]]\nkind = "limit"\nsettings = { parts = 1 }\n' + outward)
    with GatewayProcess(home, stdin=True) as gateway:
        gateway.put(send("a", "one", text_parts=["two"]), send("b", "some words"))
        gateway.until(lambda docs: len(answers(docs)) == 2)
        got = answers(gateway.documents)
        assert got["a"]["error"]["category"] == "validation"
        assert got["b"]["error"]["message"] == "orchestration error: the filter `guard` failed (RuntimeError)"
        assert "some words" not in json.dumps(gateway.documents) + gateway.errors
        configure(home, agent, plugins + PIPE + '[[filters]]\nkind = "nobody"\n')
        import subprocess
        import sys

        argv = [sys.executable, "-m", "missive_host", "--config", str(home.config), "gateway", "reload"]
        refused = subprocess.run(argv, env={**home.environ}, capture_output=True, text=True)
        assert refused.returncode == 78, refused.stderr
        assert "no inbound filter `nobody`" in refused.stderr
        configure(home, agent, plugins + PIPE)
        done = subprocess.run(argv, env={**home.environ}, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "filters" in done.stdout
        gateway.put(send("d", "one", text_parts=["two"]))
        gateway.until(lambda docs: answers(docs).get("d", {}).get("ok"))
