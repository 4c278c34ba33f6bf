"""``missive doctor`` on homes in which something is broken: it names the fault, and a command that mends it."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import resource
import shutil
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import format_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from support.collector import Collector
from support.misbehaving import Exchange, Misbehaving, Start, reply
from support.secrets import planted
from support.terminals import AtTerminal

from missive_host.config.paths import profile_paths
from missive_host.doctor.machine import disk, folders
from missive_host.folders import make_private
from missive_host.gateway.control import control_path

if TYPE_CHECKING:
    from cli.conftest import Missive

    from missive_host.demo.fleet import AgentProcess

SECRET = planted("doctor")


COMMANDS = (
    "missive", "export", "unset", "kill", "fuser", "sudo", "chmod", "mv", "curl", "pip", "ssh", "(umask", "read",
    "keyring", "${EDITOR:-vi}",
)  # fmt: skip


def harm_of(hint: str) -> str:
    """Say what would be wrong if somebody typed a hint without thinking; nothing, if that is all right."""
    command, _, remark = hint.partition("  # ")
    if re.search(r"\brm\b|\bdd\b|\bmkfs|\bkill\b.*[$`0-9]|--force|--yes", command):
        return "it takes away what cannot be had back"
    if ">" in command and "set -C" not in command:
        return "it writes over a file"
    if re.search(r"chmod .*(\s/(tmp|home|etc|usr|var|root)?$|-R)|chown .*(\s/\w*$|-R)", command):
        return "it is about more than what is missive's"
    if re.match(r"[(]?[$]?[\w{}:-]+", command).group() not in COMMANDS:  # type: ignore[union-attr]
        return ""  # advice in words
    values = re.findall(r"(?<![\w$/.-])/?(?:URL|NAME|PID|BACKUP|FILE|FOLDER|PATH|CONFIG)\b", command)
    return "".join(f"what {value} stands for is not said" for value in values if f"{value}:" not in remark)


class Home:
    """A home that can be broken, and what the doctor says about it."""

    def __init__(self, missive: Missive) -> None:
        self.missive = missive
        self.config_file = missive.home / "config.toml"
        self.state = missive.home / "missive/state/profiles/default"
        self.store = self.state / "missive.sqlite3"

    def config(self, text: str) -> None:
        self.config_file.write_text(text)
        self.missive.env["MISSIVE_CONFIG"] = str(self.config_file)

    def used(self) -> None:
        """Let a store be there."""
        self.missive.ok("agent", "list")

    def look(self, *words: str, code: int, **options: Any) -> dict[str, dict[str, Any]]:
        """Return the checks by id; the exit code, the document and the error must agree."""
        done = subprocess.run(
            self.missive.argv("doctor", "--json", *words),
            env=self.missive.env,
            capture_output=True,
            text=True,
            timeout=90,
            **{"cwd": self.missive.home, **options},
        )
        assert done.returncode == code, (done.stdout, done.stderr)
        assert SECRET not in done.stdout + done.stderr
        document = json.loads(done.stdout)
        assert document["kind"] == "doctor"
        data = document["data"]
        assert data["overall"]["exit_code"] == code
        assert data["overall"]["check_count"] == len(data["checks"])
        if code:
            error = json.loads(done.stderr)["data"]
            assert (error["category"], error["exit_code"]) == ("orchestration", code)
        for check in data["checks"]:
            assert check["hints"] or check["status"] in ("pass", "skipped"), check
            for hint in check["hints"]:
                assert not harm_of(hint), hint
        return {check["id"]: check for check in data["checks"]}

    def fails(self, check: str, *words: str, code: int, says: str, mends: str, **options: Any) -> dict[str, Any]:
        """Look, and expect this check to fail with these words, and a command with these among its hints."""
        found = self.look(*words, code=code, **options)[check]
        assert found["status"] == "fail", found
        assert found["severity"] == "error"
        assert found["exit_code"] == code
        assert says in found["message"], found
        assert any(mends in hint for hint in found["hints"]), found
        return found


@pytest.fixture
def home(missive: Missive) -> Home:
    return Home(missive)


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


# --- folders and disk


def test_a_state_folder_that_others_can_change(home: Home) -> None:
    home.used()
    home.state.chmod(0o777)
    home.fails("state.paths", code=75, says="other users can change", mends=f"chmod 700 {home.state}")


def test_a_store_that_others_can_read(home: Home) -> None:
    home.used()
    home.store.chmod(0o644)
    found = home.look(code=0)["state.paths"]
    assert found["status"] == "warning"
    assert found["hints"] == [f"chmod 600 {home.store}"]


def test_a_file_in_the_place_of_a_folder(home: Home) -> None:
    home.state.parent.mkdir(parents=True)
    home.state.write_text("in the way")
    home.fails("state.paths", code=75, says="is in the way", mends=f"mv {home.state}")


def test_a_disk_that_takes_nothing(home: Home) -> None:
    home.used()

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1024, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))

    home.missive.env["PYTHONDONTWRITEBYTECODE"] = "1"  # Python would leave a part of a module, and use that ever after
    home.fails("disk.space", code=75, says="nothing can be written", mends="df -h", preexec_fn=limit)


@pytest.mark.parametrize(
    ("mebibytes", "status"), [(1, "fail"), (31, "fail"), (33, "warning"), (500, "warning"), (513, "pass")]
)
def test_a_disk_that_is_getting_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mebibytes: int, status: str
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=mebibytes * 1024 * 1024)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    check = disk(profile_paths("default", {"MISSIVE_HOME": str(tmp_path), "HOME": str(tmp_path)}))
    assert check.status == status
    assert f"{mebibytes} MiB free" in check.message
    assert bool(check.hints) == (status != "pass")
    assert not any(map(harm_of, check.hints))


@pytest.mark.parametrize("exists", [True, False])
def test_a_folder_that_this_user_cannot_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exists: bool) -> None:
    """Root can write everywhere, so here nobody can write in this one."""
    paths = profile_paths("default", {"MISSIVE_HOME": str(tmp_path / "home"), "HOME": str(tmp_path)})
    if exists:
        paths.state.mkdir(parents=True)
    monkeypatch.setattr(os, "access", lambda path, _: path not in (tmp_path, paths.state))
    check = next(iter(folders(paths)))
    assert (check.status, check.exit_code) == ("fail", 75)
    assert f"cannot write in {paths.state if exists else tmp_path}" in check.message
    assert check.hints[0] == f"chmod u+rwx {paths.state if exists else tmp_path}"
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    check = next(iter(folders(paths)))
    own = f"sudo chown $(id -u) {paths.state}" if exists else f"sudo install -d -m 700 -o $(id -u) {paths.state}"
    assert check.hints[0] == own
    assert not any(map(harm_of, check.hints))


def test_a_store_in_a_folder_of_many(home: Home) -> None:
    """No hint changes who may use a folder that is not missive's own."""
    many = home.missive.home / "many"
    many.mkdir()
    home.config(f'[storage]\ndatabase_path = "{many}/missive.sqlite3"\n')
    many.chmod(0o1777)
    assert home.look(code=0)["state.paths"]["status"] == "pass"
    many.chmod(0o777)
    home.fails("state.paths", code=75, says="other users can change what is in", mends="`database_path`")


# --- the store


def test_what_the_store_takes_is_told(home: Home) -> None:
    home.missive.ok("agent", "add", "one", "http://127.0.0.1:9")
    found = home.look(code=69)["store.size"]
    assert found["status"] == "pass"
    assert found["data"]["bytes"] == home.store.stat().st_size
    assert found["data"]["rows"]["agents"] == 1
    assert found["data"]["rows"]["events"] >= 1
    assert found["data"]["oldest_event"] <= found["data"]["newest_event"]
    assert "MiB, " in found["message"]
    assert "1 in agents" in found["message"]
    assert f"the journal since {found['data']['oldest_event'][:10]}" in found["message"]


def test_a_damaged_store(home: Home) -> None:
    home.used()
    with home.store.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(8192))
    found = home.look(code=75)
    broken = [check for check in found.values() if check["category"] == "store" and check["status"] == "fail"]
    assert "is damaged" in broken[0]["message"]
    assert any(".recover" in hint for hint in broken[0]["hints"])


def test_a_store_that_is_no_database(home: Home) -> None:
    home.state.mkdir(parents=True, mode=0o700)
    home.store.write_bytes(b"no database" * 1000)
    home.store.chmod(0o600)
    home.fails("store.sqlite_migrations", code=75, says="is not a SQLite database", mends=f"mv {home.store}")


def test_a_newer_schema(home: Home) -> None:
    home.used()
    with sqlite3.connect(home.store) as connection:
        connection.execute("PRAGMA user_version = 999")
    connection.close()
    home.fails(
        "store.sqlite_migrations", code=75, says="schema version 999", mends="pip install --upgrade missive-host"
    )


def test_a_locked_store(home: Home) -> None:
    home.used()
    connection = sqlite3.connect(home.store, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        home.fails("store.writable", code=75, says="is locked", mends=f"fuser -v {home.store}")
    finally:
        connection.close()


def test_a_store_whose_last_write_was_cut_off(home: Home) -> None:
    """As by a restore that was killed; nothing is wrong with it, and nothing is written by the look."""
    home.used()
    program = (
        "import os, sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None).execute\n"
        "for each in ('PRAGMA journal_mode = DELETE', 'PRAGMA cache_size = 1', 'BEGIN', 'CREATE TABLE t (x)',\n"
        "    'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 999) INSERT INTO t'\n"
        "    ' SELECT randomblob(999) FROM n'):\n"
        "    c(each)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", program, str(home.store)])
    assert home.store.with_name(f"{home.store.name}-journal").exists()
    found = home.look(code=0)["store.integrity"]
    assert found["status"] == "warning"
    assert found["hints"] == ["missive store check"]
    home.missive.ok("store", "check")
    assert home.look(code=0)["store.integrity"]["status"] == "pass"


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


# --- agents


def test_an_agent_that_is_down(home: Home) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        home.missive.ok("agent", "add", "gone", url)
        home.fails("a2a.endpoints.gone", code=69, says="could not connect", mends="missive agent update gone URL")


def test_an_agent_that_does_not_answer(home: Home, misbehaving: Start) -> None:
    server = misbehaving(lambda exchange: exchange.hang(), card=False)
    home.config(f'[agents.slow]\nbase_url = "{server.url}"\n')
    home.fails("a2a.endpoints.slow", "--timeout", "2s", code=69, says="within 2 s", mends="missive doctor --timeout 4s")


def test_a_card_that_is_none(home: Home, misbehaving: Start) -> None:
    server = misbehaving(reply(200, {"hello": "world"}), card=False)
    home.missive.ok("agent", "add", "odd", server.url)
    home.fails("a2a.endpoints.odd", code=76, says="no Agent Card", mends="missive agent update odd URL")


def test_a_clock_that_is_off(home: Home, misbehaving: Start) -> None:
    servers: list[Misbehaving] = []

    def card(exchange: Exchange) -> None:
        future = dt.datetime.now(dt.UTC) + dt.timedelta(hours=3)
        exchange.reply(200, servers[0].card(), headers={"Date": format_datetime(future, usegmt=True)})

    servers.append(misbehaving(card, card=False))
    home.config(f'[agents.ahead]\nbase_url = "{servers[0].url}"\n')
    home.fails("clock.skew", code=78, says="ahead is 3 hours ahead", mends="timedatectl set-ntp true")


def test_a_journal_of_the_future(home: Home) -> None:
    home.used()
    with sqlite3.connect(home.store) as connection:
        connection.execute(
            "INSERT INTO events (event_id, timestamp, source, event_type, payload_json, metadata_json)"
            " VALUES ('x', '2199-01-01T00:00:00.000000Z', 'local', 'x', '{}', '{}')"
        )
    connection.close()
    home.fails("clock.skew", code=78, says="the clock of this machine is behind", mends="timedatectl")


# --- certificates


@contextmanager
def serving(folder: Path, ends: dt.timedelta) -> Iterator[str]:
    """Run an https server whose certificate ends then; SSL_CERT_FILE is to be ``cert.pem``."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=30))
        .not_valid_after(now + ends)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"https://localhost:{listener.getsockname()[1]}"
    interface = {"url": url, "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}
    body = json.dumps({"name": "tls", "version": "1", "supportedInterfaces": [interface]}).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()

    def serve() -> None:
        while True:
            try:
                raw, _ = listener.accept()
            except OSError:
                return
            try:
                with context.wrap_socket(raw, server_side=True) as connection:
                    if connection.recv(65536):
                        connection.sendall(head + body)
            except OSError:
                raw.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield url
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


def test_an_expired_certificate(home: Home, tmp_path: Path) -> None:
    with serving(tmp_path, dt.timedelta(days=-1)) as url:
        home.missive.env["SSL_CERT_FILE"] = str(tmp_path / "cert.pem")
        home.config(f'[agents.tls]\nbase_url = "{url}"\n')
        home.fails("a2a.endpoints.tls", code=69, says="expired", mends="certbot renew")
        home.fails("a2a.tls.tls", code=69, says="expired", mends="certbot renew")


def test_a_certificate_that_expires_soon(home: Home, tmp_path: Path) -> None:
    with serving(tmp_path, dt.timedelta(days=3, hours=1)) as url:
        home.missive.env["SSL_CERT_FILE"] = str(tmp_path / "cert.pem")
        home.config(f'[agents.tls]\nbase_url = "{url}"\n')
        checks = home.look(code=0)
        assert checks["a2a.endpoints.tls"]["status"] == "pass"
        assert checks["a2a.tls.tls"]["status"] == "warning"
        assert "3 more days" in checks["a2a.tls.tls"]["message"]


def test_a_certificate_of_a_stranger(home: Home, tmp_path: Path) -> None:
    with serving(tmp_path, dt.timedelta(days=90)) as url:
        home.config(f'[agents.tls]\nbase_url = "{url}"\n')
        home.fails("a2a.tls.tls", code=69, says="not accepted", mends="export SSL_CERT_FILE=")


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
