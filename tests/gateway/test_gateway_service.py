"""``missive gateway`` with a service manager at its side: programs on PATH that write down what they are told."""

from __future__ import annotations

import configparser
import json
import os
import plistlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.secrets import planted

from missive_host.config import load
from missive_host.errors import OrchestrationError, ValidationError
from missive_host.gateway.installing import service_file, text_of
from missive_host.gateway.service import (
    look,
    run_commands,
    service_of,
    start_commands,
    stop_commands,
    uninstall_commands,
)

SECRET = planted("service")

SYSTEMCTL = """#!/bin/sh
echo "systemctl $*" >> "$CALLS"
case "$*" in
*show*) cat "$STATE" ;;
*" start "*) test ! -e "$STATE.broken" || { echo "Job failed" >&2; exit 1; } ;;
esac
"""
LAUNCHCTL = """#!/bin/sh
echo "launchctl $*" >> "$CALLS"
case "$1" in print) cat "$STATE" || exit 113 ;; esac
"""


class Machine:
    """A home, and a service manager that says what `state` has."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.state = folder / "state.txt"
        self._calls = folder / "calls.txt"
        programs = folder / "bin"
        for path in (self.home, programs):
            path.mkdir()
        for name, text in (("systemctl", SYSTEMCTL), ("launchctl", LAUNCHCTL)):
            (programs / name).write_text(text)
            (programs / name).chmod(0o755)
        self.env = {
            "PATH": f"{programs}:/usr/bin:/bin",
            "HOME": str(self.home),
            "MISSIVE_HOME": str(self.home / "missive"),
            "CALLS": str(self._calls),
            "STATE": str(self.state),
        }
        self.is_("inactive")

    def is_(self, active: str, pid: int = 0) -> None:
        self.state.write_text(f"ActiveState={active}\nMainPID={pid}\nUnitFileState=enabled\n")

    def calls(self) -> list[str]:
        """What was asked since the last time, without looks at the state."""
        lines = self._calls.read_text().splitlines() if self._calls.exists() else []
        self._calls.write_text("")
        return [line for line in lines if " show " not in line and " print " not in line]

    def run(self, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-P", "-m", "missive_host", "gateway", *words],
            env={**self.env, **env},
            cwd=self.home,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def json(self, *words: str, status: int = 0, **env: str) -> dict[str, Any]:
        done = self.run(*words, "--json", **env)
        assert done.returncode == status, done.stderr
        document = json.loads(done.stdout or done.stderr)
        data: dict[str, Any] = document["data"]
        return data


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def unit_of(text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


# --- on this machine (the commands are the same on macOS, with launchctl)


def test_a_dry_run_shows_the_file_and_does_nothing(machine: Machine) -> None:
    done = machine.run("install", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "gateway" in done.stdout
    assert "NoNewPrivileges=yes" in done.stdout or "KeepAlive" in done.stdout
    assert "would run: " in done.stderr
    assert machine.calls() == []
    assert list(machine.home.iterdir()) == []
    for action in ("start", "stop", "uninstall"):
        shown = machine.json(action, "--dry-run")
        assert shown["dry_run"]
        assert shown["command_results"] == []
    assert machine.calls() == []


def test_the_life_of_a_service(machine: Machine) -> None:
    missing = machine.json("start", status=78)
    assert "missive gateway install" in missing["help"]
    data = machine.json("install")
    file = Path(data["service_path"])
    assert data["file_written"]
    assert file.read_text() == data["service_file"]
    assert (machine.home / "missive/state/profiles/default").stat().st_mode & 0o777 == 0o700
    assert machine.calls() == [command["display"] for command in data["planned_commands"]]
    assert not machine.json("install")["file_written"]
    file.write_text("# mine\n")
    refused = machine.json("install", status=64)
    assert "--force" in refused["help"]
    assert file.read_text() == "# mine\n"
    assert machine.json("install", "--force")["file_written"]
    machine.calls()
    started = machine.json("start")
    assert machine.calls() == [command["display"] for command in started["planned_commands"]]
    status = machine.json("status", status=3)
    assert (status["running"], status["service"]["installed"]) == (False, True)
    removed = machine.json("uninstall")
    assert removed["file_removed"]
    assert not file.exists()
    assert machine.calls() == [command["display"] for command in removed["planned_commands"]]
    assert machine.json("status", status=3)["service"]["state"] == "not_installed"


def test_secrets_do_not_get_into_a_file_that_everybody_can_read(machine: Machine) -> None:
    refused = machine.json("install", "--env", f"OPENAI_API_KEY={SECRET}", status=64)
    assert "OPENAI_API_KEY" in refused["message"]
    assert SECRET not in json.dumps(refused)
    done = machine.json("install", "--dry-run", "--env", "TZ=Europe/Berlin", MY_TOKEN=SECRET)
    assert done["environment"]["TZ"] == "Europe/Berlin"
    assert SECRET not in json.dumps(done)
    assert set(done["environment"]) == {"HOME", "MISSIVE_HOME", "PATH", "TZ"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--bin", "missive"), "absolute path"),
        (("--bin", "/nowhere/missive"), "absolute path"),
        (("--env", "A B=1"), "NAME=VALUE"),
        (("--run-as", "root"), "--system"),
        (("--path", "/bin\nExecStart=/bin/evil"), "control character"),
        (("--system", "--run-as", "nobody-of-this-name"), "no user"),
        (("--system",), "sudo install -d -m 700"),
    ],
)
def test_what_cannot_be_installed_is_refused(machine: Machine, words: tuple[str, ...], said: str) -> None:
    error = machine.json("install", *words, status=64)
    assert said in error["message"] + error["help"] if "help" in error else said in error["message"]
    assert machine.calls() == []


def test_without_a_service_manager_the_daemon_can_still_be_asked(machine: Machine, tmp_path: Path) -> None:
    machine.run("install")
    empty = str(tmp_path / "empty")
    assert machine.json("status", status=3, PATH=empty)["service"]["state"] == "unknown"
    failed = machine.json("start", status=78, PATH=empty)
    assert "is not on this machine" in failed["message"]


# --- systemd


def test_the_unit_of_a_user(machine: Machine, tmp_path: Path) -> None:
    inbox = tmp_path / "in box 100%"
    inbox.mkdir()
    (machine.home / "out").mkdir()
    config = machine.home / "my config.toml"
    config.write_text(
        '[gateway]\ndrain = "90s"\n[logging]\nfile = "/srv/log/missive.log"\n'
        '[adapters.drop]\nkind = "file-drop"\n[adapters.drop.settings]\n'
        f'inbox = "{inbox}"\noutbox = "out"\npattern = "*.json"\n'
    )
    env = {**machine.env, "HOME": "/home/me", "MISSIVE_HOME": "/home/me/missive"}
    settings = load(config_path=str(config), profile=None, env=env)
    service = service_of("default", env, system=False, platform="linux")
    file = service_file(settings, service, binary="/bin/sh", writes=("/srv/out",), variables=("NOTE=a $b 'c'",))
    unit = unit_of(text_of(service, file))
    start = f'/bin/sh --profile default --config "{config}" gateway run'
    assert unit["ExecStart"] == [start]
    assert unit["ExecReload"] == [start.removesuffix("run") + "reload"]
    assert unit["Type"] == ["notify"]
    assert unit["TimeoutStopSec"] == ["105s"]
    assert unit["WantedBy"] == ["default.target"]
    assert "User" not in unit
    escaped = str(inbox).replace("%", "%%")
    assert unit["ReadWritePaths"] == [
        "-/home/me/missive/state/profiles/default",
        "-/home/me/missive/data/profiles/default",
        "-/home/me/missive/cache/profiles/default",
        "-/srv/log",
        "-/srv/out",
        f'"-{escaped}"',
        f"-{machine.home}/out",
    ]
    assert unit["Environment"][-2:] == ["\"NOTE=a $b 'c'\"", "PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"]
    for name in ("NoNewPrivileges", "PrivateDevices", "RestrictSUIDSGID", "LockPersonality"):
        assert unit[name] == ["yes"]
    assert unit["ProtectSystem"] == ["strict"]
    # the inbox of this test is below /tmp, which a private one would hide
    hidden = str(inbox).startswith(("/tmp/", "/var/tmp/"))
    assert unit["PrivateTmp"] == ["no" if hidden else "yes"]
    parser = configparser.RawConfigParser(strict=False, delimiters=("=",))
    parser.read_string(text_of(service, file))
    assert parser.sections() == ["Unit", "Service", "Install"]


def test_the_unit_of_the_system_runs_as_somebody(machine: Machine) -> None:
    import pwd

    me = pwd.getpwuid(os.getuid())
    settings = load(profile="work", env={**machine.env, "MISSIVE_HOME": str(machine.home)})
    service = service_of("work", machine.env, system=True, platform="linux")
    assert str(service.path) == "/etc/systemd/system/missive-gateway-work.service"
    unit = unit_of(text_of(service, service_file(settings, service, binary="/bin/sh")))
    assert unit["User"] == [me.pw_name]  # the owner of MISSIVE_HOME
    assert f"HOME={me.pw_dir}" in unit["Environment"]
    assert unit["CapabilityBoundingSet"] == [""]
    assert unit["ReadWritePaths"] == [f"-{machine.home}"]  # it makes the folders in it itself
    assert unit["WantedBy"] == ["multi-user.target"]
    assert unit["After"] == ["network-online.target"]
    assert [command.display for command in stop_commands(service)] == ["systemctl stop missive-gateway-work.service"]
    no_home = {name: value for name, value in machine.env.items() if name != "MISSIVE_HOME"}
    with pytest.raises(ValidationError, match="needs MISSIVE_HOME"):
        service_file(load(env=no_home), service)


def test_what_systemd_says_is_told(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in machine.env.items():
        monkeypatch.setenv(name, value)
    service = service_of("default", machine.env, system=False, platform="linux")
    assert look(service).state == "not_installed"
    service.path.parent.mkdir(parents=True)
    service.path.write_text("[Unit]\n")
    machine.is_("active", 4711)
    view = look(service)
    assert (view.state, view.pid, view.enabled, view.name) == ("active", 4711, True, "missive-gateway.service")
    Path(f"{machine.state}.broken").touch()
    with pytest.raises(OrchestrationError, match="has failed with status 1: Job failed") as caught:
        run_commands(start_commands(service, loaded=False), service)
    assert caught.value.help == "see the reason with: journalctl --user -u missive-gateway.service -n 50"


# --- launchd


def test_the_property_list(machine: Machine) -> None:
    settings = load(env=machine.env)
    service = service_of("default", machine.env, system=False, platform="darwin")
    assert service.path == machine.home / "Library/LaunchAgents/missive.gateway.plist"
    content = plistlib.loads(text_of(service, service_file(settings, service, binary="/bin/sh")).encode())
    assert content["Label"] == "missive.gateway"
    assert content["ProgramArguments"] == ["/bin/sh", "--profile", "default", "gateway", "run"]
    assert content["KeepAlive"] == {"SuccessfulExit": False}
    assert content["EnvironmentVariables"]["MISSIVE_HOME"] == machine.env["MISSIVE_HOME"]
    assert content["ExitTimeOut"] == 25
    assert content["StandardErrorPath"] == f"{settings.paths.state}/logs/service.log"


def test_launchd_is_told_by_what_it_knows(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in machine.env.items():
        monkeypatch.setenv(name, value)
    service = service_of("work", machine.env, system=False, platform="darwin")
    target = f"gui/{os.getuid()}/missive.gateway.work"
    service.path.parent.mkdir(parents=True)
    service.path.write_text("")
    machine.state.unlink()
    assert look(service).state == "not_loaded"
    machine.state.write_text(f"{target} = {{\n\tactive count = 1\n\tstate = running\n\n\tpid = 99\n}}\n")
    view = look(service)
    assert (view.state, view.pid) == ("running", 99)
    run_commands(start_commands(service, loaded=False), service)
    run_commands(start_commands(service, loaded=True), service)
    run_commands(uninstall_commands(service, loaded=True), service)
    assert machine.calls() == [
        f"launchctl bootstrap gui/{os.getuid()} {service.path}",
        f"launchctl kickstart {target}",
        f"launchctl bootout {target}",
    ]
    assert uninstall_commands(service, loaded=False) == ()


def test_elsewhere_it_says_so() -> None:
    with pytest.raises(ValidationError, match="no service manager that missive knows"):
        service_of("default", {"HOME": "/h"}, system=False, platform="freebsd14")
