"""Which file is used, which profile, which folders, and what a config says."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.secrets import planted

from missive_host.config import Config, Settings, load
from missive_host.config.model import Agent, AuthRef
from missive_host.config.paths import profile_paths
from missive_host.config.problems import InvalidConfigError
from missive_host.config.units import parse_duration, parse_size
from missive_host.errors import ConfigError, ValidationError

SECRET = planted("settings")


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """An environment without any configuration."""
    return {"HOME": str(tmp_path / "home"), "XDG_CONFIG_DIRS": str(tmp_path / "etc")}


def write(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_without_a_file_the_defaults_are_in_force(env: dict[str, str]) -> None:
    settings = load(env=env)
    assert (settings.source, settings.path, settings.profile) == ("built_in_default", None, "default")
    config = settings.config
    assert config == Config()
    assert config.schema_version == "missive.config.v1"
    assert (config.storage.backend, config.storage.database_path) == ("sqlite", None)
    assert (config.output.format, config.output.color, config.output.redact_secrets) == ("human", "auto", True)
    assert (config.protocol.protocol_version, config.protocol.extensions) == ("1.0", ())
    assert (config.gateway.enabled, config.gateway.bind_address, config.gateway.job_concurrency) == (
        True,
        "127.0.0.1:7347",
        4,
    )
    busy = config.gateway.busy_input
    assert (busy.mode, busy.unsupported_steer_fallback, busy.interrupt_remote_cancel, busy.max_queue_depth) == (
        "queue",
        "queue",
        True,
        32,
    )
    assert config.routing.default_policy == "direct"
    qos = config.qos
    assert (qos.timeout_seconds, qos.connect_timeout_seconds, qos.retry_backoff_seconds) == (30.0, 10.0, 0.25)
    assert (qos.retry_attempts, qos.request_bytes, qos.concurrency) == (2, 1048576, 4)
    assert (config.plugins.disabled, config.plugins.enabled, config.plugins.files) == ((), None, ())


def test_the_order_of_discovery(env: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = tmp_path / "repository"
    (repository / ".git").mkdir(parents=True)
    work = repository / "a" / "b"
    work.mkdir(parents=True)
    monkeypatch.chdir(work)
    # From the last to the first: each new file wins over those before it.
    etc = write(tmp_path / "etc" / "missive.toml")
    assert load(env=env).path == etc
    etc_folder = write(tmp_path / "etc" / "missive" / "config.toml")
    assert load(env=env).path == etc_folder
    home = write(tmp_path / "home" / ".config" / "missive.toml")
    assert load(env=env).path == home
    home_folder = write(tmp_path / "home" / ".config" / "missive" / "config.toml")
    assert (load(env=env).path, load(env=env).source) == (home_folder, "xdg")
    xdg = write(tmp_path / "xdg" / "missive" / "config.toml")
    env["XDG_CONFIG_HOME"] = str(tmp_path / "xdg")
    assert load(env=env).path == xdg
    local = write(repository / ".missive.toml")
    assert load(env=env).path == xdg  # only when asked for
    env["MISSIVE_REPO_CONFIG"] = "no"
    assert load(env=env).path == xdg
    for yes in ("1", "true", "yes", "on"):
        env["MISSIVE_REPO_CONFIG"] = yes
        assert (load(env=env).path, load(env=env).source) == (local, "repository_local")
    plain = write(repository / "missive.toml")
    assert load(env=env).path == plain
    nearer = write(work / ".missive.toml")
    assert load(env=env).path == nearer
    named = write(tmp_path / "named.toml")
    env["MISSIVE_CONFIG"] = str(named)
    assert (load(env=env).path, load(env=env).source) == (named, "environment")
    flag = write(tmp_path / "flag.toml")
    settings = load(config_path=str(flag), env=env)
    assert (settings.path, settings.source) == (flag, "explicit_path")


def test_the_repository_ends_at_git(env: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "repository" / ".git").mkdir(parents=True)
    write(tmp_path / "missive.toml")
    monkeypatch.chdir(tmp_path / "repository")
    env["MISSIVE_REPO_CONFIG"] = "1"
    assert load(env=env).source == "built_in_default"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"MISSIVE_CONFIG": ""}, "MISSIVE_CONFIG is set but empty"),
        ({"MISSIVE_CONFIG": "/no/such/file.toml"}, "the file /no/such/file.toml of MISSIVE_CONFIG does not exist"),
        ({"MISSIVE_HOME": "state"}, "MISSIVE_HOME is not an absolute path"),
        ({"MISSIVE_HOME": ""}, "MISSIVE_HOME is not an absolute path"),
        ({"MISSIVE_PROFILE": ""}, "MISSIVE_PROFILE is set but empty"),
        ({"MISSIVE_PROFILE": "../etc"}, "the profile's name is not a name"),
        ({"HOME": ""}, "HOME is not set to an absolute path"),
    ],
)
def test_a_broken_environment(env: dict[str, str], change: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(env={**env, **change})
    assert caught.value.message == says
    assert caught.value.exit_code == 78
    assert caught.value.help


@pytest.mark.parametrize("config_path", ["", "/no/such/file.toml"])
def test_a_flag_without_a_file(env: dict[str, str], config_path: str) -> None:
    with pytest.raises(ConfigError, match="--config"):
        load(config_path=config_path, env=env)


def test_a_file_that_cannot_be_read(env: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load(config_path=str(tmp_path), env=env)
    big = tmp_path / "big.toml"
    big.write_bytes(b"#" * (1024 * 1024 + 1))
    with pytest.raises(ConfigError, match="bigger than 1 MiB"):
        load(config_path=str(big), env=env)


def test_a_pipe_can_be_read(env: dict[str, str]) -> None:
    """As in ``--config <(...)``."""
    reader, writer = os.pipe()
    try:
        os.write(writer, b"[qos]\ntimeout = '1s'\n")
        os.close(writer)
        assert load(config_path=f"/dev/fd/{reader}", env=env).config.qos.timeout == "1s"
    finally:
        os.close(reader)


# --- profiles

PROFILES = """
default_profile = "work"
[qos]
timeout = "10s"
connect_timeout = "3s"
[output]
format = "json"
[profiles.work.qos]
timeout = "5m"
[profiles.home]
"""


def test_a_profile_replaces_whole_blocks(env: dict[str, str], tmp_path: Path) -> None:
    path = str(write(tmp_path / "c.toml", PROFILES))
    work = load(config_path=path, env=env)
    assert (work.profile, work.config.qos.timeout, work.config.qos.connect_timeout) == ("work", "5m", "10s")
    assert work.config.output.format == "json"
    home = load(config_path=path, profile="home", env=env)
    assert (home.config.qos.timeout, home.config.qos.connect_timeout) == ("10s", "3s")
    assert load(config_path=path, env={**env, "MISSIVE_PROFILE": "home"}).profile == "home"
    assert load(config_path=path, profile="work", env={**env, "MISSIVE_PROFILE": "home"}).profile == "work"
    assert load(config_path=path, profile="default", env=env).config.qos.timeout == "10s"


def test_a_misspelt_profile(env: dict[str, str], tmp_path: Path) -> None:
    path = str(write(tmp_path / "c.toml", PROFILES))
    with pytest.raises(ConfigError, match="there is no profile 'wrok'; did you mean 'work'"):
        load(config_path=path, profile="wrok", env=env)
    # Without any profile tables a profile is only a state of its own.
    assert load(profile="scratch", env=env).paths.state.parts[-2:] == ("profiles", "scratch")


# --- paths


def test_paths(env: dict[str, str], tmp_path: Path) -> None:
    home = Path(env["HOME"])
    linux = profile_paths("default", env, platform="linux")
    assert linux.data == home / ".local/share/missive/profiles/default"
    assert linux.state == home / ".local/state/missive/profiles/default"
    assert linux.cache == home / ".cache/missive/profiles/default"
    assert linux.database == linux.state / "missive.sqlite3"
    mac = profile_paths("work", env, platform="darwin")
    assert mac.data == home / "Library/Application Support/missive/profiles/work"
    assert mac.state == home / "Library/Application Support/missive/state/profiles/work"
    assert mac.cache == home / "Library/Caches/missive/profiles/work"
    xdg = profile_paths("default", {**env, "XDG_STATE_HOME": "/s", "XDG_CACHE_HOME": "relative"}, platform="linux")
    assert xdg.state == Path("/s/missive/profiles/default")
    assert xdg.cache == linux.cache  # a relative path is ignored, says the XDG specification
    own = profile_paths("default", {"MISSIVE_HOME": str(tmp_path)}, platform="darwin")
    assert own.data == tmp_path / "data/profiles/default"
    assert own.state == tmp_path / "state/profiles/default"
    assert own.cache == tmp_path / "cache/profiles/default"


@pytest.mark.parametrize(
    ("database_path", "expected"),
    [("/srv/x.db", "/srv/x.db"), ("~/x.db", "HOME/x.db"), ("sub/x.db", "STATE/sub/x.db")],
)
def test_database_path(env: dict[str, str], tmp_path: Path, database_path: str, expected: str) -> None:
    path = write(tmp_path / "c.toml", f"[storage]\ndatabase_path = '{database_path}'\n")
    settings = load(config_path=str(path), env=env)
    expected = expected.replace("HOME", env["HOME"]).replace("STATE", str(settings.paths.state))
    assert settings.paths.database == Path(expected)


def test_paths_in_a_file_are_relative_to_it(env: dict[str, str], tmp_path: Path) -> None:
    text = """
[plugins]
files = ["p.py", "~/q.py", "/r.py"]
[auth_refs.one]
file = "key"
[[auth_refs.two.headers]]
file = "~/key"
[[auth_refs.two.headers]]
header = "X-Id"
env = "ID"
"""
    config = load(config_path=str(write(tmp_path / "conf" / "c.toml", text)), env=env).config
    assert config.plugins.files == (f"{tmp_path}/conf/p.py", f"{env['HOME']}/q.py", "/r.py")
    assert config.auth_refs["one"].file == f"{tmp_path}/conf/key"
    assert [entry.file for entry in config.auth_refs["two"].entries] == [f"{env['HOME']}/key", None]


# --- content


def test_a_file_of_the_reference(env: dict[str, str], tmp_path: Path) -> None:
    """Every key of the format as the reference has it."""
    text = """
schema_version = "missive.config.v1"
default_profile = "default"
[profiles.default]
description = "d"
default_agent = "planner"
metadata = { team = "a", since = 2024-05-01 }
storage = { backend = "sqlite", database_path = "x.db" }
output = { format = "ndjson", color = "never", redact_secrets = true }
protocol = { protocol_version = "1.0", extensions = ["https://e.example/x"], service_parameters = { X-Region = "eu" } }
routing = { default_policy = "broadcast" }
[profiles.default.qos]
timeout = "30s"
connect_timeout = "10s"
retry_attempts = 10
retry_backoff = "250ms"
max_request_bytes = 1
concurrency = 1
[profiles.default.gateway]
enabled = true
bind_address = "[::1]:80"
public_base_url = "https://missive.example"
job_concurrency = 1
[profiles.default.gateway.busy_input]
mode = "steer"
unsupported_steer_fallback = "interrupt"
interrupt_remote_cancel = false
max_queue_depth = 1
[agents.planner]
base_url = "https://planner.example.com/a2a?x=1"
interfaces = { "http+json" = "https://planner.example.com/v1", grpc = "planner.example.com:443" }
binding_preference = ["http+json", "json-rpc"]
auth_ref = "token"
tags = ["a"]
notes = "n"
metadata = { weight = 2 }
[auth_refs.token]
kind = "env"
env = "TOKEN"
header = "Authorization"
scheme = "Bearer"
[auth_refs.ring]
kind = "keyring"
keyring_service = "s"
keyring_account = "a"
[adapters.inbox]
kind = "file-drop"
enabled = false
session_profile = "default"
busy_input = { mode = "interrupt" }
settings = { path = "in", nested = { a = [1, 2] } }
"""
    settings = load(config_path=str(write(tmp_path / "c.toml", text)), env=env)
    config = settings.config
    agent = config.agents["planner"]
    assert agent.interface_urls == {
        "http+json": "https://planner.example.com/v1",
        "grpc": "planner.example.com:443",
    }
    assert agent.interfaces == {}
    assert config.profiles["default"].metadata == {"team": "a", "since": "2024-05-01"}
    assert config.gateway.busy_input.mode == "steer"
    assert config.qos.request_bytes == 1
    assert config.adapters["inbox"].settings == {"path": "in", "nested": {"a": [1, 2]}}
    assert [ref.reference for ref in config.auth_refs.values()] == ["env:TOKEN", "keyring:s/a"]
    assert settings.paths.database.name == "x.db"


def test_a_bom_is_let_through(env: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_bytes(b"\xef\xbb\xbf[qos]\ntimeout = '1s'\n")
    assert load(config_path=str(path), env=env).config.qos.timeout_seconds == 1.0


def test_settings_do_not_print_the_environment(env: dict[str, str]) -> None:
    settings = load(env={**env, "TOKEN": SECRET})
    assert isinstance(settings, Settings)
    assert settings.environ["TOKEN"] == SECRET
    assert SECRET not in repr(settings)


def test_structs_check_themselves() -> None:
    with pytest.raises(ValueError, match="`env`: is needed"):
        AuthRef()
    with pytest.raises(ValueError, match="set one of them"):
        Agent(base_url="http://a", interfaces={"grpc": "a:1"}, interface_urls={"grpc": "a:1"})


def test_a_file_with_a_fault_has_its_line(env: dict[str, str], tmp_path: Path) -> None:
    path = write(tmp_path / "c.toml", "[agents.planner]\nbase_url = 'http://a'\ntag = ['x']\n")
    with pytest.raises(InvalidConfigError) as caught:
        load(config_path=str(path), env=env)
    assert caught.value.message == f"{path}:3: [agents.planner] tag: unknown key; did you mean 'tags'?"
    assert caught.value.exit_code == 78


# --- units


@pytest.mark.parametrize(("text", "seconds"), [("500ms", 0.5), ("30s", 30), ("5m", 300), ("1h", 3600), ("007s", 7)])
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "30", "0s", "1.5s", "-1s", "1 s", "1d", "s", "1s\n", "٣s"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValidationError, match="--timeout: expected"):
        parse_duration(text, "--timeout")


@pytest.mark.parametrize(
    ("value", "size"), [(1, 1), ("8MiB", 8 << 20), ("512 KiB", 512 << 10), ("1GB", 10**9), ("1048576", 1 << 20)]
)
def test_sizes(value: str | int, size: int) -> None:
    assert parse_size(value) == size


@pytest.mark.parametrize("value", ["", "0", 0, -1, "8mb", "1.5MiB", True, "MiB"])
def test_what_is_no_size(value: str | int) -> None:
    with pytest.raises(ValidationError, match="expected a number of bytes"):
        parse_size(value)
