"""``missive doctor`` where agents, their certificates or clocks are broken."""

from __future__ import annotations

import datetime as dt
import json
import socket
import sqlite3
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import format_datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from doctor_kit import Home
from support.misbehaving import Exchange, Misbehaving, Start, reply

if TYPE_CHECKING:
    from cli.conftest import Missive


@pytest.fixture
def home(missive: Missive) -> Home:
    return Home(missive)


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
