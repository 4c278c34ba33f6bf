"""The container files say what is there: read as what they are, and their commands run where they can be."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest
import uvicorn
import yaml
from gateway_kit import RUNNING

from missive_host.config import load
from missive_host.config.units import parse_duration
from missive_host.demo.fleet import DEMO_AGENTS
from missive_host.demo.tour import PORTS
from missive_host.gateway.health import health_app

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"


def instructions() -> list[tuple[str, str]]:
    text = re.sub(r"\\\n\s*", "", (DEPLOY / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines)]


def said(word: str) -> list[str]:
    return [rest for name, rest in instructions() if name == word]


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return found


def test_the_image_is_made_from_what_is_there_and_runs_as_nobody_special() -> None:
    allowed = {line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line[0] == "!"}
    copied = {name for rest in said("COPY") if "--from" not in rest for name in rest.split()[:-1]}
    assert copied == allowed
    assert all((ROOT / name).exists() for name in copied)
    assert said("USER") == ["10001:10001"]
    last = max(number for number, (name, _) in enumerate(instructions()) if name == "RUN")
    assert [name for name, _ in instructions()].index("USER") > last
    assert all(re.fullmatch(r"python:3\.\d+-slim( AS build)?", rest) for rest in said("FROM"))
    assert json.loads(said("ENTRYPOINT")[0]) == ["missive"]
    assert json.loads(said("CMD")[0])[:2] == ["gateway", "run"]


def test_what_the_package_needs_is_copied() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    copied = {name for rest in said("COPY") if "--from" not in rest for name in rest.split()[:-1]}
    needed = re.findall(r'^readme = "(.+)"|^license-files = \["(.+)"\]', project, re.MULTILINE)
    assert {name for pair in needed for name in pair if name} <= copied


@pytest.mark.parametrize("ready", [True, False])
async def test_the_health_check_tells_readiness(ready: bool) -> None:
    (check,) = said("HEALTHCHECK")
    command = json.loads(check[check.index("CMD ") + 4 :])
    assert command[0] == "python"
    status = msgspec.structs.replace(RUNNING, ready=ready)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        server = uvicorn.Server(uvicorn.Config(health_app(lambda: status), log_config=None, lifespan="off"))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.serve, [listener])
            code = command[2].replace("7347", str(port))
            done = await anyio.run_process([sys.executable, *command[1:2], code], check=False)
            server.should_exit = True
    assert done.returncode == (0 if ready else 1)


def test_the_services_fit_together(tmp_path: Path) -> None:
    services = compose()["services"]
    assert set(services) == {"agents", "gateway"}
    gateway, agents = services["gateway"], services["agents"]
    assert gateway["network_mode"] == "service:agents"
    assert "ports" not in gateway  # docker refuses them on a shared network
    assert (DEPLOY / agents["build"]["context"] / agents["build"]["dockerfile"]).is_file()
    assert all(port.startswith("127.0.0.1:") for port in agents["ports"])
    for service in services.values():
        assert service["cap_drop"] == ["ALL"]
        assert service["read_only"]
        assert service["init"]
    mounted = dict(volume.split(":")[:2] for volume in gateway["volumes"])
    assert mounted["state"] == "/var/lib/missive"
    assert mounted["./missive.toml"] == gateway["environment"]["MISSIVE_CONFIG"]
    settings = load(config_path=str(DEPLOY / "missive.toml"), env={"HOME": str(tmp_path)})
    assert {agent.base_url for agent in settings.config.agents.values()} == {
        f"http://127.0.0.1:{port}" for port in PORTS
    }
    drain = parse_duration(settings.config.gateway.drain)
    assert parse_duration(gateway["stop_grace_period"]) > drain


def test_the_agents_are_started_as_the_command_line_has_it() -> None:
    agents = compose()["services"]["agents"]
    assert agents["command"][:2] == ["demo", "serve"]
    assert [int(word) for word in agents["command"] if word.isdigit()] == list(PORTS)
    assert len(PORTS) == len(DEMO_AGENTS)
    done = subprocess.run(
        [sys.executable, "-P", "-m", "missive_host", *agents["command"], "--help"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
