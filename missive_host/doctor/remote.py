"""The agents: whether they can be reached, whether their cards can be used, until when their certificates hold."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import msgspec

from missive_host.doctor.findings import failed, passed, quoted, raised, skipped, warned
from missive_host.errors import AuthError, ConfigError, MissiveError, ProtocolError, TransportError

if TYPE_CHECKING:
    from missive_host.a2a.client import Connections
    from missive_host.a2a.shapes import Json
    from missive_host.outputs_doctor import DoctorCheck

EXIT_TRANSPORT = 69
EXIT_CONFIG = 78
SKEW_SECONDS = 300.0
"""A token or a certificate of the wrong time is refused by then at the latest."""
SOON_SECONDS = 14 * 86400.0
_SYNC = "sudo timedatectl set-ntp true"
_CA = "export SSL_CERT_FILE=/PATH/ca.pem  # /PATH: where the certificate of the authority is that signed the agent's"


class Agent(msgspec.Struct, frozen=True, kw_only=True):
    """An agent of the configuration or of the store."""

    alias: str
    base_url: str
    interface_urls: dict[str, str]
    binding_preference: tuple[str, ...]
    auth_ref: str | None
    configured: bool


class Looked(msgspec.Struct):
    """What was found out about one agent."""

    checks: list[DoctorCheck]
    skew: float | None = None
    """By how many seconds the agent's clock is ahead of ours."""


async def look_at(
    agent: Agent,
    connections: Connections,
    headers: Sequence[tuple[str, str]],
    environ: Mapping[str, str],
    edit: str,
) -> Looked:
    """Fetch an agent's card as a call would, whatever is in the cache, and look at its certificate."""
    from missive_host.a2a.cards import fetch_card
    from missive_host.a2a.credentials import check_credentials
    from missive_host.a2a.negotiate import negotiate
    from missive_host.a2a.transport import scheme_of, selected

    name, looked = f"a2a.endpoints.{agent.alias}", Looked([])
    scheme = scheme_of(agent.base_url)
    try:
        if scheme is not None:
            where = f"agent '{agent.alias}'"
            fetched = await connections.transport_card(
                scheme, agent.base_url, [*headers, ("A2A-Version", "1.0")], where=where
            )
        else:
            fetched = await fetch_card(connections.http, agent.base_url, headers=list(headers))
        looked.skew = _skew(fetched.date)
        card: Json = fetched.card or {}
        interface = (
            selected(agent.alias, scheme, agent.base_url, None)
            if scheme is not None
            else negotiate(
                card,
                alias=agent.alias,
                base_url=agent.base_url,
                preference=agent.binding_preference,
                registered=agent.interface_urls,
            )
        )
        check_credentials(card, [header for header, _ in headers], alias=agent.alias)
    except MissiveError as error:
        looked.checks.append(raised(name, error, *_mending(agent, error, edit)))
    else:
        how = f"{interface.binding} {interface.protocol_version} at {interface.url}"
        looked.checks.append(passed(name, f"its card is valid: {how}", url=agent.base_url, card=card.get("name")))
    if agent.base_url.startswith("https://"):
        looked.checks += await _certificate(agent, environ)
    return looked


def _mending(agent: Agent, error: MissiveError, edit: str) -> tuple[str, ...]:
    said = error.message
    if "certificate" in said and ("expired" in said or "not yet valid" in said):
        host = agent.base_url.split("/")[2].partition(":")[0]
        return (f"ssh {quoted(host)} sudo certbot renew", _SYNC)
    if "certificate" in said:
        return (_CA,)
    update = edit if agent.configured else f"missive agent update {agent.alias} URL  # URL: where it is now"
    if isinstance(error, AuthError):
        return (
            edit
            if agent.configured
            else f"missive agent update {agent.alias} --auth-ref NAME  # NAME: of [auth_refs.NAME]",
        )
    if isinstance(error, TransportError | ProtocolError | ConfigError):
        return (update, f"curl -i {quoted(_card_url(agent.base_url))}")
    return (update,)


def _card_url(url: str) -> str:
    from missive_host.a2a.cards import card_urls

    return card_urls(url)[0]


async def _certificate(agent: Agent, environ: Mapping[str, str]) -> list[DoctorCheck]:
    import ssl

    from missive_host.a2a.http_head import parse_url
    from missive_host.a2a.tls import certificate_end

    name = f"a2a.tls.{agent.alias}"
    host = agent.base_url.split("/")[2].partition(":")[0]
    renew = f"ssh {quoted(host)} sudo certbot renew"
    try:
        ends = await certificate_end(parse_url(agent.base_url), environ)
    except ssl.SSLCertVerificationError as error:
        message = f"the certificate is not accepted: {error.verify_message}"
        mend = renew if "expired" in message else _CA
        return [failed(name, EXIT_TRANSPORT, message, mend, _SYNC)]
    except (OSError, MissiveError):
        return []  # the endpoint's own check has said it
    if ends is None:
        return [skipped(name, "it is reached through a proxy")]
    left = ends - time.time()
    until = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(ends))
    if left < SOON_SECONDS:
        return [warned(name, f"the certificate holds for {left / 86400:.0f} more days, until {until}", renew)]
    return [passed(name, f"the certificate holds until {until}", expires_at=until)]


# --- the clock


def _skew(date: str | None) -> float | None:
    try:
        return None if date is None else parsedate_to_datetime(date).timestamp() - time.time()
    except (ValueError, OverflowError):
        return None


def clock(skews: Mapping[str, float], newest_event: str | None) -> DoctorCheck:
    """Compare the clock of this machine with those of the agents, and with what it said before."""
    name = "clock.skew"
    off = {alias: round(skew) for alias, skew in skews.items() if abs(skew) > SKEW_SECONDS}
    if ahead := _ahead(newest_event):
        message = f"the clock of this machine is behind: the newest event of the journal is {_span(ahead)} ahead"
        return failed(name, EXIT_CONFIG, message, _SYNC, "date -u", newest_event=newest_event)
    if off and len(off) == len(skews):
        said = ", ".join(f"{alias} is {_span(abs(s))} {'ahead' if s > 0 else 'behind'}" for alias, s in off.items())
        message = f"the clock of this machine differs from that of every agent: {said}"
        return failed(name, EXIT_CONFIG, message, _SYNC, "date -u", seconds=off)
    if off:
        message = f"the clocks of some agents are wrong: {', '.join(off)}"
        return warned(name, message, f"{_SYNC}  # on their machines", seconds=off)
    if not skews and newest_event is None:
        return skipped(name, "no agent has said what time it is")
    return passed(name, "the clock agrees with agents and journal", seconds={a: round(s) for a, s in skews.items()})


def _ahead(newest_event: str | None) -> float:
    if newest_event is None:
        return 0.0
    try:
        ahead = datetime.fromisoformat(newest_event).timestamp() - time.time()
    except ValueError:
        return 0.0
    return ahead if ahead > SKEW_SECONDS else 0.0


def _span(seconds: float) -> str:
    for size, word in ((86400.0, "days"), (3600.0, "hours"), (60.0, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {word}"
    return f"{seconds:.0f} seconds"
