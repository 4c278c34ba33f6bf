"""The options of a mail account, checked."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from missive_chat.platforms.email.authors import address_of
from missive_host.errors import ConfigError


class Secret(Protocol):
    """What an option with a secret arrives as."""

    def reveal(self) -> str: ...


PORTS = {"smtp": {"tls": 465, "starttls": 587, "none": 25}, "imap": {"tls": 993, "starttls": 143, "none": 143}}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server and how we log in there."""

    protocol: str
    host: str
    port: int
    security: str
    username: str
    password: Secret
    ca_file: str | None

    def tls(self) -> ssl.SSLContext:
        """Return what checks the server's certificate."""
        try:
            return ssl.create_default_context(cafile=self.ca_file)
        except OSError as error:
            raise ConfigError(f"`ca_file` {self.ca_file} cannot be read: {error}") from None

    def __str__(self) -> str:
        return f"{self.protocol.upper()} server {self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Settings:
    address: str
    name: str
    smtp: Endpoint
    imap: Endpoint
    mailbox: str
    sent_folder: str | None
    save_sent: bool
    trusted_authserv: frozenset[str]
    trust_from: bool
    html: bool
    max_replies: int
    poll_interval: float
    max_attachment: int
    max_age: float

    @property
    def domain(self) -> str:
        return self.address.rpartition("@")[2]

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Settings:
        """Check what the schema of the options cannot. Raises `ConfigError`."""
        address = address_of(options["address"])
        if address is None:
            raise ConfigError(f"`address` is not a mail address: {options['address']!r}")
        trusted = frozenset(name.lower() for name in options["trusted_authserv"] or ())
        if options["trust_from"] == bool(trusted):
            raise ConfigError(
                "`trusted_authserv` and `trust_from` exclude each other"
                if trusted
                else "nothing says how a sender is known to be who it says",
                help="Set `trusted_authserv` to the first word of the Authentication-Results header that your own "
                "server adds, or `trust_from = true` if none but internal senders can reach the mailbox.",
            )
        if options["save_sent"] and not options["sent_folder"]:
            raise ConfigError("`save_sent` needs `sent_folder`: the folder in which copies are kept")
        return cls(
            address=address,
            name=options["name"] or "",
            smtp=_endpoint("smtp", options, address),
            imap=_endpoint("imap", options, address),
            mailbox=options["mailbox"],
            sent_folder=options["sent_folder"],
            save_sent=options["save_sent"],
            trusted_authserv=trusted,
            trust_from=options["trust_from"],
            html=options["html"],
            max_replies=options["max_replies"],
            poll_interval=options["poll_interval"],
            max_attachment=options["max_attachment"],
            max_age=options["max_age"],
        )


def _endpoint(protocol: str, options: Mapping[str, Any], address: str) -> Endpoint:
    host, security = options[f"{protocol}_host"], options[f"{protocol}_security"]
    if security == "none" and not _is_loopback(host):
        raise ConfigError(
            f"`{protocol}_security` is `none`, and {host} is another machine: the password would be read on the way",
            help="Use `tls` or `starttls`.",
        )
    return Endpoint(
        protocol=protocol,
        host=host,
        port=options[f"{protocol}_port"] or PORTS[protocol][security],
        security=security,
        username=options["username"] or address,
        password=(options["smtp_password"] if protocol == "smtp" else None) or options["password"],
        ca_file=options["ca_file"],
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
