"""Real mail servers: Dovecot, or pymap where there is none, for IMAP; aiosmtpd for SMTP, which delivers into them."""

from __future__ import annotations

import grp
import imaplib
import os
import pwd
import smtplib
import sys
from abc import abstractmethod
from typing import TYPE_CHECKING

from pysasl.hashing import BuiltinHash
from raw_http import make_certificate
from support.chat.servers import HOST, Server, free_port, greets, program

if TYPE_CHECKING:
    from pathlib import Path

PASSWORD = "the-password-of-the-mailbox"
USERS = ("bot", "other", "alice")
"""Who has a mailbox."""


class ImapServer(Server):
    """A mailbox server. `deliver` puts a mail into a mailbox as a mail transfer agent would."""

    port: int
    certificate: Path

    def prepare(self) -> None:
        self.certificate, self.key = make_certificate(self.folder)

    def ready(self) -> bool:
        return greets(self.port, b"* OK")

    @abstractmethod
    def deliver(self, user: str, mail: bytes, sender: str = "alice@people.example") -> None:
        """Put a mail into a user's INBOX."""

    def login(self, user: str) -> imaplib.IMAP4:
        """Return a connection of the user's own mail program."""
        connection = imaplib.IMAP4(HOST, self.port, timeout=30)
        connection.login(user, PASSWORD)
        return connection


class Dovecot(ImapServer):
    """IMAP with all that a large provider has; or, without `idle`, with little of it."""

    unprivileged = True

    def __init__(self, *, idle: bool = True) -> None:
        self.idle = idle

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
mailbox_list_index = no
auth_mechanisms = plain login
imap_idle_notify_interval = 2 mins
mail_max_userip_connections = 100
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
  mailbox Sent {{
    auto = create
    special_use = \\Sent
  }}
}}
""",
            encoding="utf-8",
        )
        executable = program("dovecot")
        assert executable
        return [executable, "-F", "-c", str(settings)]

    def deliver(self, user: str, mail: bytes, sender: str = "alice@people.example") -> None:
        with smtplib.LMTP(HOST, self.lmtp_port) as lmtp:
            lmtp.sendmail(sender, [f"{user}@bot.example"], mail)


class Pymap(ImapServer):
    """IMAP in Python: what the tests fall back to. It has no delivery of its own, so mail is appended."""

    def command(self) -> list[str]:
        self.port = free_port()
        folder = self.folder / "pymap"
        folder.mkdir(exist_ok=True)
        secret = BuiltinHash().hash(PASSWORD).replace(":", "\\:")
        (folder / "pymap-etc-passwd").write_text("".join(f"{user}:x::::{user}:\r\n" for user in USERS))
        (folder / "pymap-etc-shadow").write_text("".join(f"{user}:{secret}:::::::\r\n" for user in USERS))
        return [
            sys.executable, "-c", "from pymap.main import main; main()",
            "--host", HOST, "--port", str(self.port), "--no-service", "admin",
            "--cert", str(self.certificate), "--key", str(self.key), "maildir", str(folder),
        ]  # fmt: skip

    def deliver(self, user: str, mail: bytes, sender: str = "alice@people.example") -> None:
        connection = self.login(user)
        try:
            status, answer = connection.append("INBOX", "", "", f"Return-Path: <{sender}>\r\n".encode() + mail)
            assert status == "OK", answer
        finally:
            connection.logout()
