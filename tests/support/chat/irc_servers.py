"""Real IRC servers: ngIRCd (RFC 2812, nothing else) and InspIRCd (IRCv3, accounts by a linked services server)."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from support.chat.irc_services import SERVICES
from support.chat.servers import HOST, Server, free_port, greets, program

MODULES = (
    "cap", "ircv3", "ircv3_accounttag", "ircv3_batch", "ircv3_capnotify", "ircv3_ctctags", "ircv3_echomessage",
    "ircv3_labeledresponse", "ircv3_msgid", "ircv3_servertime", "services_account", "sasl", "botmode", "chanhistory",
    "spanningtree", "ssl_gnutls",
)  # fmt: skip

INSTALLED = Path("/usr/lib/inspircd/modules")
CONFIG = """<config format="xml">
<server name="irc.localhost" description="a test" network="Tests" id="0AA">
<admin name="a" email="a@localhost" nick="a">
<path {installed} datadir="{folder}" logdir="{folder}" runtimedir="{folder}">
<bind address="{host}" port="{port}" type="clients">
<bind address="{host}" port="{link_port}" type="servers">
{tls}
<connect allow="*" timeout="20" pingfreq="120" recvq="64K" commandrate="100000" threshold="{threshold}" fakelag="no"
  localmax="1000" globalmax="1000" resolvehostnames="no" useident="no">
<pid file="{folder}/inspircd.pid">
<performance nouserdns="yes">
<link name="{services}" ipaddr="{host}" port="{link_port}" sendpass="link" recvpass="link" allowmask="{host}">
<uline server="{services}" silent="yes">
<sasl target="{services}" requiressl="no">
<chanhistory maxlines="50" prefixmsg="no" enableumode="no" bots="yes">
<log method="file" type="*" level="default" target="inspircd.log">
{modules}
"""

STANDIN = (sys.executable, str(Path(__file__).with_name("irc_standin.py")))
"""What is started where the server itself is not installed."""


class Ngircd(Server):
    """ngIRCd: no capability but ``multi-prefix``, no ids, no accounts; it throws out whoever sends too long a line."""

    def __init__(self, *, password: str = "") -> None:
        self.password = password

    def command(self) -> list[str]:
        self.port = free_port()
        found = program("ngircd")
        if found is None:
            return [*STANDIN, "plain", self.password, "100000", str(self.port)]
        config = self.folder / "ngircd.conf"
        config.write_text(
            f"[Global]\nName = irc.localhost\nInfo = a test\nListen = {HOST}\nPorts = {self.port}\n"
            + (f"Password = {self.password}\n" if self.password else "")
            + ("ServerUID = nobody\nServerGID = nogroup\n" if os.geteuid() == 0 else "")
            + "[Limits]\nMaxConnections = 0\nMaxConnectionsIP = 0\nMaxJoins = 0\n"
            + "MaxNickLength = 20\nMaxPenaltyTime = 0\n"
            + "[Options]\nDNS = no\nIdent = no\nPAM = no\n",
            encoding="utf-8",
        )
        return [found, "-n", "-f", str(config)]

    def ready(self) -> bool:
        return greets(self.port)


class Inspircd(Server):
    """InspIRCd 3 with the IRCv3 modules. Accounts are those of `support.chat.irc_services`, linked to it on demand."""

    def __init__(self, *, certificate: tuple[Path, Path] | None = None, threshold: int = 100_000) -> None:
        """`threshold`: after that many commands in a second it throws a client out."""
        self.certificate = certificate
        self.threshold = threshold

    def command(self) -> list[str]:
        self.port, self.tls_port, self.link_port = free_port(), free_port(), free_port()
        found = program("inspircd")
        if found is None:
            tls = (str(self.tls_port), *map(str, self.certificate)) if self.certificate else ()
            return [*STANDIN, "ircv3", "", str(self.threshold), str(self.port), str(self.link_port), *tls]
        config = self.folder / "inspircd.conf"
        config.write_text(self._config(), encoding="utf-8")
        as_root = ["--runasroot"] if os.geteuid() == 0 else []
        return [found, "--nofork", *as_root, f"--config={config}"]

    def ready(self) -> bool:
        return greets(self.port) and greets(self.link_port)

    def _config(self) -> str:
        modules = [name for name in MODULES if name != "ssl_gnutls" or self.certificate]
        return CONFIG.format(
            host=HOST,
            port=self.port,
            link_port=self.link_port,
            folder=self.folder,
            installed=f'moduledir="{INSTALLED}"' if INSTALLED.is_dir() else "",
            threshold=self.threshold,
            services=SERVICES,
            tls=self._tls(),
            modules="\n".join(f'<module name="{name}">' for name in modules),
        )

    def _tls(self) -> str:
        if self.certificate is None:
            return ""
        certificate, key = self.certificate
        return (
            f'<sslprofile name="tests" provider="gnutls" certfile="{certificate}" keyfile="{key}">\n'
            f'<bind address="{HOST}" port="{self.tls_port}" type="clients" sslprofile="tests">'
        )
