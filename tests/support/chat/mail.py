"""Real IMAP servers: Dovecot, and pymap, which needs no installation; mail is put in as a mail server would do it."""

from __future__ import annotations

import grp
import imaplib
import os
import pwd
import smtplib
import subprocess
import sys
from abc import abstractmethod
from itertools import count
from pathlib import Path

from pysasl.hashing import BuiltinHash
from raw_http import make_certificate
from support.chat.servers import HOST, Server, free_port, greets, program
from support.secrets import planted

PASSWORD = planted("mailbox")
DOMAIN = "bot.example"
LIBRARIES = ("/usr/lib", "/usr/libexec", "/usr/local/lib", "/usr/local/libexec", "/opt/homebrew/libexec")
"""Where Dovecot keeps its parts, by system."""


class ImapServer(Server):
    """Without `idle` it does not say by itself what is new."""

    port: int
    certificate: Path

    def __init__(self, *, idle: bool = True) -> None:
        self.idle = idle
        self._numbers = count(1)

    def prepare(self) -> None:
        self.certificate, self.key = make_certificate(self.folder)

    def ready(self) -> bool:
        return greets(self.port, b"* OK")

    def new_user(self) -> str:
        """Return the name of a user whose mailbox is empty."""
        return f"bot{next(self._numbers)}"

    @abstractmethod
    def deliver(self, user: str, mail: bytes, sender: str = "alice@people.example") -> None:
        """Put a mail into a user's INBOX."""

    def login(self, user: str) -> imaplib.IMAP4:
        """Return a connection of the user's own mail program."""
        connection = imaplib.IMAP4(HOST, self.port, timeout=30)
        connection.login(user, PASSWORD)
        return connection

    def flags(self, user: str, folder: str = "INBOX") -> dict[int, str]:
        """Return the flags of the mails in a folder by UID."""
        connection = self.login(user)
        try:
            connection.select(folder, readonly=True)
            _, lines = connection.uid("FETCH", "1:*", "(FLAGS)")
            texts = [line.decode() for line in lines if isinstance(line, bytes)]
            return {
                int(text.partition("UID ")[2].split(")")[0].split()[0]): text.partition("FLAGS (")[2].partition(")")[0]
                for text in texts
            }
        finally:
            connection.logout()

    def unread(self, user: str) -> list[int]:
        return [uid for uid, flags in self.flags(user).items() if "\\Seen" not in flags]


class Dovecot(ImapServer):
    """IMAP with all that a large provider has."""

    unprivileged = True

    @staticmethod
    def is_installed() -> bool:
        """True if there is one whose configuration is written as below: 2.4 has another, and takes none of 2.3."""
        executable = program("dovecot")
        if executable is None or not any(Path(folder, "dovecot", "lmtp").exists() for folder in LIBRARIES):
            return False
        return subprocess.run([executable, "--version"], capture_output=True, text=True).stdout.startswith("2.3.")

    def command(self) -> list[str]:
        self.port, self.tls_port, self.lmtp_port = free_port(), free_port(), free_port()
        user, group = pwd.getpwuid(os.geteuid()).pw_name, grp.getgrgid(os.getegid()).gr_name
        if os.geteuid() == 0:
            user, group = "nobody", "nogroup"
        for name in ("run", "mail"):
            (self.folder / name).mkdir(exist_ok=True)
        settings = self.folder / "dovecot.conf"
        settings.write_text(
            f"""
base_dir = {self.folder}/run
state_dir = {self.folder}/run
log_path = /dev/stderr
listen = {HOST}
protocols = imap lmtp
ssl = yes
ssl_cert = <{self.certificate}
ssl_key = <{self.key}
disable_plaintext_auth = no
default_internal_user = {user}
default_login_user = {user}
default_internal_group = {group}
first_valid_uid = 1
first_valid_gid = 1
mail_location = maildir:{self.folder}/mail/%n
mail_max_userip_connections = 100
auth_mechanisms = plain login
auth_failure_delay = 0
{"" if self.idle else "imap_capability = IMAP4rev1 UIDPLUS"}
passdb {{
  driver = static
  args = password={PASSWORD}
}}
userdb {{
  driver = static
  args = home={self.folder}/mail/%n allow_all_users=yes
}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {self.port}
  }}
  inet_listener imaps {{
    port = {self.tls_port}
    ssl = yes
  }}
}}
service lmtp {{
  inet_listener lmtp {{
    address = {HOST}
    port = {self.lmtp_port}
  }}
}}
namespace inbox {{
  inbox = yes
}}
""",
            encoding="utf-8",
        )
        executable = program("dovecot")
        assert executable
        return [executable, "-F", "-c", str(settings)]

    def deliver(self, user: str, mail: bytes, sender: str = "alice@people.example") -> None:
        with smtplib.LMTP(HOST, self.lmtp_port) as lmtp:
            lmtp.sendmail(sender, [f"{user}@{DOMAIN}"], mail)


class Pymap(ImapServer):
    """IMAP in Python. It has no delivery of its own, so mail is appended."""

    @property
    def _folder(self) -> Path:
        return self.folder / "pymap"

    def command(self) -> list[str]:
        self.port = free_port()
        self._folder.mkdir(exist_ok=True)
        code = "from pymap.main import main; main()"
        if not self.idle:
            code = (
                "from pymap.backend.maildir import Config; from pymap.config import BackendCapability as Has; "
                "Config.backend_capability = Has(idle=False, object_id=True, multi_append=True); " + code
            )
        return [
            sys.executable, "-c", code, "--host", HOST, "--port", str(self.port), "--no-service", "admin",
            "--cert", str(self.certificate), "--key", str(self.key), "maildir", str(self._folder),
        ]  # fmt: skip

    def new_user(self) -> str:
        user = super().new_user()
        secret = BuiltinHash().hash(PASSWORD).replace(":", "\\:")
        for name, line in (("passwd", f"{user}:x::::{user}:"), ("shadow", f"{user}:{secret}:::::::")):
            with (self._folder / f"pymap-etc-{name}").open("a", newline="") as file:
                file.write(f"{line}\r\n")
        return user

    def deliver(self, user: str, mail: bytes, sender: str = "alice@people.example") -> None:
        connection = self.login(user)
        try:
            status, answer = connection.append("INBOX", "", "", f"Return-Path: <{sender}>\r\n".encode() + mail)
            assert status == "OK", answer
        finally:
            connection.logout()


SERVERS: tuple[type[ImapServer], ...] = (Dovecot, Pymap) if Dovecot.is_installed() else (Pymap,)
