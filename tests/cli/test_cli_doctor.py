"""``missive doctor`` on homes in which something is broken: it names the fault, and a command that mends it."""

from __future__ import annotations

import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest
from doctor_kit import SECRET, Home, harm_of
from support.collector import Collector
from support.misbehaving import Start
from support.terminals import AtTerminal

from missive_host.config.paths import profile_paths
from missive_host.folders import make_private
from missive_host.gateway.control import control_path

if TYPE_CHECKING:
    from cli.conftest import Missive

    from missive_host.demo.fleet import AgentProcess


@pytest.fixture
def home(missive: Missive) -> Home:
    return Home(missive)


@pytest.mark.parametrize(
    "hint",
    [
        "rm -rf /home/ada/missive", "kill $(fuser x)", "kill 4711", "chmod 700 /tmp", "sudo chown $(id -u) /var",
        "sqlite3 x .recover > y", "missive agent update one URL", "missive store restore BACKUP  # of missive",
    ],
)  # fmt: skip
def test_what_would_do_harm_is_noticed(hint: str) -> None:
    assert harm_of(hint)


def test_a_home_in_order(home: Home, agent: AgentProcess) -> None:
    home.config(f'[agents.echo]\nbase_url = "{agent.url}"\n')
    home.used()
    checks = home.look(code=0)
    for name in ("binary.version", "plugins.load", "config.discovery_validation", "state.paths", "store.integrity"):
        assert checks[name]["status"] == "pass", checks[name]
    assert checks["a2a.endpoints.echo"]["status"] == "pass"
    schema = checks["store.sqlite_migrations"]["data"]
    assert schema["version"] == schema["known_version"]


def test_the_collector_of_traces(home: Home) -> None:
    home.used()
    assert "telemetry.collector" not in home.look(code=0)
    with Collector() as collector:
        home.config(f'[telemetry]\nendpoint = "{collector.url}"\n')
        found = home.look(code=0)["telemetry.collector"]
        assert (found["status"], found["data"]["signals"]) == ("pass", ["traces", "metrics"])
        home.missive.env["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] = "http://127.0.0.1:9/v1/traces"
        found = home.look(code=0)["telemetry.collector"]
    assert found["status"] == "warning"
    assert "127.0.0.1:9 cannot be reached" in found["message"]
    assert found["hints"] == ["curl -i http://127.0.0.1:9"]


def test_it_changes_nothing(home: Home) -> None:
    checks = home.look(code=0)
    assert checks["store.sqlite_migrations"]["status"] == "skipped"
    assert not (home.missive.home / "missive").exists()


# --- the configuration


def test_a_config_that_is_not_toml(home: Home) -> None:
    home.config("[agents\n")
    found = home.fails("config.discovery_validation", code=78, says="not TOML", mends=f"vi}} +1 {home.config_file}")
    assert found["data"]["problems"]


def test_an_unknown_key(home: Home) -> None:
    home.config('[agents.echo]\nbase_ulr = "http://127.0.0.1:1"\n')
    home.fails("config.discovery_validation", code=78, says="'base_url'", mends=f"vi}} +1 {home.config_file}")


def test_a_config_that_is_not_there(home: Home) -> None:
    home.missive.env["MISSIVE_CONFIG"] = "/nowhere/config.toml"
    home.fails("config.discovery_validation", code=78, says="does not exist", mends="unset MISSIVE_CONFIG")


def test_a_config_that_everybody_can_change(home: Home) -> None:
    home.config("")
    home.config_file.chmod(0o666)
    home.fails("config.discovery_validation", code=78, says="other users", mends=f"chmod go-w {home.config_file}")


def test_a_home_that_is_no_path(home: Home) -> None:
    home.missive.env["MISSIVE_HOME"] = "here"
    home.fails("config.discovery_validation", code=78, says="not an absolute path", mends="export MISSIVE_HOME=")


# --- credentials


def test_a_missing_secret(home: Home, agent: AgentProcess) -> None:
    home.config(f'[agents.echo]\nbase_url = "{agent.url}"\nauth_ref = "main"\n[auth_refs.main]\nenv = "NO_TOKEN"\n')
    home.fails("credentials.main", code=77, says="NO_TOKEN is not set", mends="export NO_TOKEN")
    assert "credentials.main" in home.look(code=77)["a2a.endpoints.echo"]["message"]


def test_a_file_of_a_secret_that_is_not_there_or_that_others_can_read(home: Home) -> None:
    file = home.missive.home / "token"
    home.config(f'[auth_refs.main]\nfile = "{file}"\n')
    home.fails(
        "credentials.main", code=77, says=str(file), mends=f'set -C; read -rs VALUE && printf %s "$VALUE" > {file}'
    )
    file.write_text("x")
    file.chmod(0o644)
    home.fails("credentials.main", code=77, says=str(file), mends=f"chmod 600 {file}")
    file.chmod(0o600)
    assert home.look(code=0)["credentials.main"]["status"] == "pass"


def test_an_agent_that_asks_for_a_credential(home: Home, bearer_agent: AgentProcess) -> None:
    home.missive.ok("agent", "add", "safe", bearer_agent.url)
    home.fails("a2a.endpoints.safe", code=77, says="asks for", mends="agent update safe --auth-ref NAME  # NAME:")


@pytest.mark.secrets_in("config.toml")
def test_a_secret_is_never_shown(home: Home, agent: AgentProcess) -> None:
    home.config(
        f'[auth_refs.main]\nenv = "TOKEN"\n[agents.echo]\nbase_url = "{agent.url}/{SECRET}"\nauth_ref = "main"\n'
    )
    home.missive.env["TOKEN"] = SECRET
    checks = home.look(code=69)
    assert checks["credentials.main"]["status"] == "pass"


# --- plugins and adapters


def test_a_broken_plugin(home: Home) -> None:
    (home.missive.home / "crooked.py").write_text("raise RuntimeError('crooked')\n")
    home.config('[plugins]\nfiles = ["crooked.py"]\n')
    home.fails("plugins.crooked", code=78, says="crooked", mends="export MISSIVE_PLUGINS_DISABLED=crooked")


def test_a_plugin_that_does_not_come_to_an_end(home: Home) -> None:
    (home.missive.home / "endless.py").write_text("import time\ntime.sleep(3600)\n")
    home.config('[plugins]\nfiles = ["endless.py"]\n')
    home.fails("plugins.load", "--timeout", "2s", code=69, says="no answer within 2 s", mends="doctor --timeout 4s")


def test_an_adapter_whose_extra_is_missing(home: Home) -> None:
    (home.missive.home / "lacking.py").write_text(
        "from missive_host.hookspecs import hookimpl\n"
        "from missive_host.specs import AdapterSpec\n"
        "@hookimpl\n"
        "def missive_adapters():\n"
        "    return [AdapterSpec(name='lacking', summary='Lacks.', factory='lacking:make', extra='all',"
        " requires=('no_such_module_anywhere',))]\n"
    )
    home.config('[plugins]\nfiles = ["lacking.py"]\n[adapters.door]\nkind = "lacking"\n')
    home.fails("adapters.door", code=78, says="no_such_module_anywhere", mends="install")


def test_an_adapter_with_an_unknown_option(home: Home) -> None:
    home.config('[adapters.drop]\nkind = "file-drop"\n[adapters.drop.settings]\nimbox = "in"\noutbox = "out"\n')
    home.fails("adapters.drop", code=64, says="did you mean 'inbox'", mends=f"vi}} {home.config_file}")


def test_a_sink_and_a_filter_that_cannot_be_used(home: Home) -> None:
    home.config(
        '[sinks.book]\nkind = "jsonl"\n[sinks.book.settings]\npth = "events.jsonl"\n'
        '[[filters]]\nkind = "redat-secrets"\n'
    )
    checks = home.look(code=64)
    assert checks["sinks.book"]["status"] == checks["filters.0"]["status"] == "fail"
    assert "did you mean 'path'" in checks["sinks.book"]["message"]
    assert "redat-secrets" in checks["filters.0"]["message"]


# --- the gateway


def test_a_gateway_that_is_dead_with_its_socket_left(home: Home) -> None:
    home.config('[gateway]\nbind_address = "127.0.0.1:0"\n')
    with home.missive.start(
        "gateway", "run", "--port", "0", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as gateway:
        try:
            _wait(lambda: home.missive.run("gateway", "status", "--quiet").returncode == 0)
            assert home.look(code=0)["gateway.status"]["status"] == "pass"
        finally:
            gateway.kill()
    home.fails("gateway.status", code=69, says="is dead and has left its socket", mends="missive gateway run")


def test_what_a_gateway_has_made_is_for_its_user_alone(home: Home) -> None:
    home.config(
        '[gateway]\nbind_address = "127.0.0.1:0"\n[sinks.lines]\nkind = "jsonl"\n'
        '[sinks.lines.settings]\npath = "lines.jsonl"\n'
        '[adapters.drop]\nkind = "file-drop"\n[adapters.drop.settings]\ninbox = "in"\noutbox = "out"\n'
    )
    (home.missive.home / "in").mkdir()
    (home.missive.home / "out").mkdir()
    with home.missive.start("gateway", "run", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as gateway:
        _wait(lambda: home.missive.run("gateway", "status", "--quiet").returncode == 0)
        checks = home.look(code=0)
        assert checks["state.paths"]["status"] == "pass", checks["state.paths"]
        gateway.terminate()
        assert gateway.wait() == 0


def test_a_gateway_that_is_not_ready(home: Home) -> None:
    """It runs, and where an adapter's folder should be there is a file."""
    (home.missive.home / "in").write_text("in the way")
    home.config(
        '[gateway]\nbind_address = "127.0.0.1:0"\n[adapters.drop]\nkind = "file-drop"\n'
        f'[adapters.drop.settings]\ninbox = "{home.missive.home}/in"\noutbox = "{home.missive.home}/out"\n'
    )
    with home.missive.start("gateway", "run", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as gateway:
        _wait(lambda: home.missive.run("gateway", "status", "--quiet").returncode == 0)
        try:
            home.fails("gateway.status", code=69, says="not ready: adapter 'drop'", mends="missive gateway status")
        finally:
            gateway.kill()


def _wait(done: Any) -> None:
    end = time.monotonic() + 60
    while not done():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_a_gateway_that_should_run(home: Home) -> None:
    home.config('[adapters.drop]\nkind = "file-drop"\n[adapters.drop.settings]\ninbox = "in"\noutbox = "out"\n')
    found = home.look(code=0)["gateway.status"]
    assert found["status"] == "warning"
    assert found["hints"][0] == "missive gateway run"


# --- everything at once, and how it looks


def test_when_everything_is_broken_everything_is_named(home: Home) -> None:
    home.missive.ok("agent", "add", "gone", "http://127.0.0.1:9")
    home.config("[agents\n")
    home.state.chmod(0o777)
    socket_file = control_path(profile_paths("default", home.missive.env))  # elsewhere, if the home's name is long
    make_private(socket_file.parent)
    socket_file.touch()
    checks = home.look(code=78)
    socket_file.unlink()
    failed = {name for name, check in checks.items() if check["status"] == "fail"}
    assert {"config.discovery_validation", "state.paths", "a2a.endpoints.gone", "gateway.status"} <= failed


def test_people_see_a_table_and_below_it_what_mends(home: Home) -> None:
    home.config('[output]\nfromat = "json"\n')
    done = home.missive.run("doctor")
    assert done.returncode == 78
    assert done.stdout.startswith("CHECK ")
    assert f"try  ${{EDITOR:-vi}} +2 {home.config_file}\n" in done.stdout
    assert "1 check failed" in done.stderr
    assert "\r" not in done.stderr


def test_a_terminal_has_a_line_that_says_what_it_waits_for(home: Home, misbehaving: Start) -> None:
    server = misbehaving(lambda exchange: exchange.hang(), card=False)
    home.config(f'[agents.slow]\nbase_url = "{server.url}"\n')
    words = ("-m", "missive_host", "doctor", "--timeout", "3s")
    with AtTerminal(words, env=home.missive.env, cwd=home.missive.home) as terminal:
        terminal.until("checked; a2a.endpoints.slow")
        assert terminal.end() == 69
