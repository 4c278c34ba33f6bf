"""A real XMPP server: Prosody, with rooms, archives and a store for files."""

from __future__ import annotations

from pathlib import Path

from support.chat.servers import HOST, Server, free_port, greets, program
from support.secrets import planted

PASSWORD = planted("xmpp")

CONFIG = """
data_path = "{folder}/data"
pidfile = "{folder}/prosody.pid"
run_as_root = true
interfaces = {{ "{host}" }}
c2s_ports = {{ {port} }}
c2s_direct_tls_ports = {{}}
s2s_ports = {{}}
http_ports = {{ {http} }}
https_ports = {{}}
http_interfaces = {{ "{host}" }}
http_default_host = "upload.localhost"
modules_enabled = {{ "roster", "saslauth", "disco", "ping", "pep", "offline", "tls", {modules} }}

{tls}
authentication = "internal_plain"
storage = "internal"
default_archive_policy = true
archive_expires_after = "never"
log = {{ warn = "*stderr" }}

VirtualHost "localhost"

Component "muc.localhost" "muc"
  modules_enabled = {{ {muc_modules} }}
  muc_room_default_public_jids = true
  muc_room_default_history_length = 0
  restrict_room_creation = false
  muc_room_locking = false

Component "upload.localhost" "http_file_share"
  http_file_share_size_limit = 1024 * 1024
  http_external_url = "http://{host}:{http}/"
"""


class Prosody(Server):
    """Users with `PASSWORD`; rooms at muc.localhost, in which everybody sees who everybody is."""

    def __init__(self, *users: str, certificate: tuple[Path, Path] | None = None, archives: bool = True) -> None:
        self.users = users
        self.certificate = certificate
        self.archives = archives

    def command(self) -> list[str]:
        self.port, self.http = free_port(), free_port()
        accounts = self.folder / "data" / "localhost" / "accounts"
        accounts.mkdir(parents=True, exist_ok=True)
        for user in self.users:
            account = f'return {{ ["password"] = "{PASSWORD}"; }};\n'
            (accounts / f"{user}.dat").write_text(account, encoding="utf-8")
        tls = 'modules_disabled = { "s2s", "tls" }\nc2s_require_encryption = false\nallow_unencrypted_plain_auth = true'
        if self.certificate is not None:
            certificate, key = self.certificate
            tls = f'c2s_require_encryption = true\nssl = {{ certificate = "{certificate}"; key = "{key}" }}'
        config = self.folder / "prosody.cfg.lua"
        config.write_text(
            CONFIG.format(
                folder=self.folder, host=HOST, port=self.port, http=self.http, tls=tls,
                modules='"mam"' if self.archives else "", muc_modules='"muc_mam"' if self.archives else "",
            ),
            encoding="utf-8",
        )  # fmt: skip
        found = program("prosody")
        assert found, "these tests need a real XMPP server: install Prosody (Debian: apt-get install prosody)"
        return [found, "-F", "--config", str(config)]

    def ready(self) -> bool:
        return greets(self.port)
