"""Real agents for the tests, each a process of its own.

They live as long as the test session and keep nothing but tasks, so every test may use them.
What they do is chosen by the text they get: see `missive_host.demo.behaviours`.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.secrets import planted

from missive_host.demo.fleet import AgentProcess, AgentSpec, Fleet

if TYPE_CHECKING:
    from collections.abc import Iterator

BEARER_TOKEN = planted("agent")
"""What `bearer_agent` asks for."""
BEARER_VARIABLE = "MISSIVE_TEST_BEARER"
JS_AGENT = Path(__file__).parent.parent / "js_agent"


@pytest.fixture(scope="session")
def agent() -> Iterator[AgentProcess]:
    """An agent of A2A 1.0: JSON-RPC, HTTP+JSON, gRPC, in this order."""
    with Fleet([AgentSpec("agent", bindings=("json-rpc", "http+json", "grpc"))]) as fleet:
        yield fleet["agent"]


@pytest.fixture(scope="session")
def agent_03() -> Iterator[AgentProcess]:
    """An agent that knows A2A 0.3 only, on the three bindings."""
    with Fleet([AgentSpec("agent-03", protocol="0.3", bindings=("json-rpc", "http+json", "grpc"))]) as fleet:
        yield fleet["agent-03"]


@pytest.fixture(scope="session")
def push_agent() -> Iterator[AgentProcess]:
    """An agent of A2A 1.0 that sends push notifications, and says that it does not stream."""
    spec = AgentSpec("push-agent", bindings=("json-rpc", "http+json", "grpc"), push=True, streaming=False)
    with Fleet([spec]) as fleet:
        yield fleet["push-agent"]


@pytest.fixture(scope="session")
def push_agent_03() -> Iterator[AgentProcess]:
    """The same for A2A 0.3."""
    spec = AgentSpec(
        "push-agent-03", protocol="0.3", bindings=("json-rpc", "http+json", "grpc"), push=True, streaming=False
    )
    with Fleet([spec]) as fleet:
        yield fleet["push-agent-03"]


@pytest.fixture(scope="session")
def bearer_agent() -> Iterator[AgentProcess]:
    """An agent of A2A 1.0 that refuses calls without `BEARER_TOKEN`; its card declares the scheme."""
    spec = AgentSpec(
        "bearer-agent",
        bindings=("json-rpc", "http+json", "grpc"),
        bearer_env=BEARER_VARIABLE,
        env={BEARER_VARIABLE: BEARER_TOKEN},
    )
    with Fleet([spec]) as fleet:
        yield fleet["bearer-agent"]


@pytest.fixture(scope="session")
def js_agent() -> Iterator[AgentProcess]:
    """An agent by another SDK, ``@a2a-js/sdk``: JSON-RPC and HTTP+JSON; echo, task, stream, ask."""
    node = shutil.which("node")
    if node is None:
        pytest.fail("the JavaScript agent needs node 20 or newer on the PATH", pytrace=False)
    if not (JS_AGENT / "node_modules" / "@a2a-js" / "sdk").is_dir():
        pytest.fail(
            "the JavaScript agent is not installed; run: npm install --prefix tests/js_agent --no-package-lock",
            pytrace=False,
        )
    with Fleet([AgentSpec("js-agent", command=(node, str(JS_AGENT / "agent.mjs")))]) as fleet:
        yield fleet["js-agent"]
