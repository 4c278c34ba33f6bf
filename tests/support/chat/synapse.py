"""A real Synapse, from an environment of its own, with people in it who speak Matrix through the client library."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

from support.chat.servers import HOST, Server, free_port
from support.secrets import planted

ROOT = Path(__file__).parents[3]
PASSWORD = "a password " + planted("matrix")
MANY = "{per_second: 10000, burst_count: 10000}"
UNLIMITED = f"""
rc_message: {MANY}
rc_joins: {{local: {MANY}, remote: {MANY}}}
rc_invites: {{per_room: {MANY}, per_user: {MANY}, per_issuer: {MANY}}}
rc_joins_per_room: {MANY}
rc_room_creation: {MANY}
"""


def synapse_python() -> str:
    """Return the interpreter of the environment that has Synapse."""
    python = os.environ.get("MISSIVE_TEST_SYNAPSE") or str(ROOT / ".venv-synapse" / "bin" / "python")
    assert Path(python).exists(), (
        f"there is no Synapse: {python}; run: python3 -m venv .venv-synapse && "
        ".venv-synapse/bin/pip install -r requirements/synapse.txt"
    )
    return python


class Synapse(Server):
    """With `limits`, those of a Synapse as it is installed."""

    start_seconds = 60.0
    name = "localhost"

    def __init__(self, *, limits: bool = False, largest: str = "2M") -> None:
        self.limits = limits
        self.largest = largest

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def command(self) -> list[str]:
        self.port = free_port()
        config = self.folder / "homeserver.yaml"
        config.write_text(f"""
server_name: {self.name}
public_baseurl: "{self.url}/"
listeners:
  - {{port: {self.port}, bind_addresses: ["{HOST}"], type: http, tls: false, resources: [{{names: [client]}}]}}
database: {{name: sqlite3, args: {{database: "{self.folder}/homeserver.db"}}}}
media_store_path: "{self.folder}/media"
signing_key_path: "{self.folder}/signing.key"
registration_shared_secret: shared
macaroon_secret_key: macaroons
form_secret: forms
report_stats: false
bcrypt_rounds: 4
trusted_key_servers: []
suppress_key_server_warning: true
federation_domain_whitelist: []
enable_registration: false
max_upload_size: {self.largest}
rc_registration: {MANY}
rc_login: {{address: {MANY}, account: {MANY}, failed_attempts: {MANY}}}
{"" if self.limits else UNLIMITED}
""")
        argv = [synapse_python(), "-m", "synapse.app.homeserver", "-c", str(config)]
        if not (self.folder / "signing.key").exists():
            subprocess.run([*argv, "--generate-keys"], check=True, capture_output=True, cwd=self.folder)
        return argv

    def ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=1) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    @property
    def environ(self) -> dict[str, str]:
        return {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}

    def register(self, name: str, *, admin: bool = False) -> str:
        """Make an account, as ``register_new_matrix_user`` does, and return its id."""
        path = "/_synapse/admin/v1/register"
        nonce = self.ask("GET", path)["nonce"]
        words = (nonce, name, PASSWORD, "admin" if admin else "notadmin")
        mac = hmac.new(b"shared", "\0".join(words).encode(), hashlib.sha1).hexdigest()
        body = {"nonce": nonce, "username": name, "password": PASSWORD, "admin": admin, "mac": mac}
        return str(self.ask("POST", path, body)["user_id"])

    def log_in(self, name: str, device: str) -> str:
        """Return the access token of a new login."""
        body = {
            "type": "m.login.password", "identifier": {"type": "m.id.user", "user": name},
            "password": PASSWORD, "device_id": device,
        }  # fmt: skip
        return str(self.ask("POST", "/_matrix/client/v3/login", body)["access_token"])

    def ask(self, method: str, path: str, body: Any = None, *, token: str | None = None) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        request = urllib.request.Request(self.url + path, data=data, method=method, headers=headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return dict(json.load(answer))

    def upload(self, data: bytes, token: str) -> str:
        """Return the address of a file that was put up."""
        headers = {"Content-Type": "application/octet-stream", "Authorization": f"Bearer {token}"}
        request = urllib.request.Request(f"{self.url}/_matrix/media/v3/upload", data, headers, method="POST")
        with urllib.request.urlopen(request, timeout=30) as answer:
            return str(json.load(answer)["content_uri"])

    def download(self, address: str, token: str) -> bytes:
        path = "/_matrix/client/v1/media/download/" + address.removeprefix("mxc://")
        request = urllib.request.Request(self.url + path, headers={"Authorization": f"Bearer {token}"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return bytes(answer.read())
