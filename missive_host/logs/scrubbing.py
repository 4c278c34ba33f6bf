"""Taking out of the log what looks like a credential, whoever logs it.

The redactor knows the secrets in use, and the shapes that only tokens have. A library that logs headers and addresses
at DEBUG may know others; in a log, a word too many that is taken out does no harm.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from missive_host.security.redact import MARK, Redactor

if TYPE_CHECKING:
    from collections.abc import Callable

_HEADER = r"(?:proxy-)?authorization|(?:x-)?api-?key|x-[\w-]{0,40}(?:token|secret|key|auth|signature)"
_WORDS = (
    r"(?:(?:access|refresh|id|bearer|auth|bot|app|api|session|csrf|xsrf|security|service|personal|private|oauth)[_-]?)?"
    r"token|(?:client[_-]?|shared[_-]?|app[_-]?|signing[_-]?)?secret|passw(?:or)?d|passphrase|"
    r"(?:api|access|private|secret)[_-]?key|credentials?"
)
_QUERY = rf"{_WORDS}|key|sig|signature|auth|jwt|code|assertion|sas|x-amz-signature|x-amz-security-token"
_NEEDLES = (
    "auth",
    "cookie",
    "token",
    "secret",
    "pass",
    "credential",
    "key",
    "sig",
    "jwt",
    "code=",
    "assertion",
    "sas=",
)
"""One of these is in every text that a pattern finds something in, and looking for them costs next to nothing."""
_PATTERNS = (
    # "authorization": "…", 'token': '…', (b'cookie', b'…'), also where the quotes are escaped
    (
        re.compile(
            rf"""(?i)(?<![\w-])((?:{_HEADER}|{_WORDS}|(?:set-)?cookie)(?:\\{{0,3}}["']\s{{0,3}}[:,=]|=)\s{{0,3}}"""
            rf"""b?\\{{0,3}}(["']))(?:(?!\2)[^\r\n\\]|\\.)+"""
        ),
        rf"\1{MARK}",
    ),
    (re.compile(r"""(?i)(?<![\w-])((?:set-)?cookie\s{0,2}[:=]\s{0,2})[^"'\r\n]+"""), rf"\1{MARK}"),
    (
        re.compile(
            rf"""(?i)(?<![\w-])((?:{_HEADER})\s{{0,2}}[:=]\s{{0,2}}["']?"""
            rf"""(?:(?:Bearer|Basic|Token|ApiKey|Api-Key|Digest|Negotiate)\s{{1,3}})?)[^\s"',;]+"""
        ),
        rf"\1{MARK}",
    ),
    (re.compile(rf"""(?i)([?&;](?:{_QUERY})=)[^&\s"'<>#]+"""), rf"\1{MARK}"),
    (re.compile(rf"""(?i)(?<![\w-])((?:{_WORDS})=)[^\s&"',;)]+"""), rf"\1{MARK}"),
)
_CREDENTIAL = re.compile(rf"(?i)(?:{_HEADER}|{_WORDS}|(?:set-)?cookie)")


def scrubber(redact: Callable[[str], str] | None) -> Callable[[str], str]:
    """Return what takes secrets out of a text: those that `redact` knows, and what looks like one."""
    known = redact or Redactor().text

    def scrub(text: str) -> str:
        text = known(text)
        lowered = text.lower()
        for needle in _NEEDLES:
            if needle in lowered:
                break
        else:
            return text
        for pattern, replacement in _PATTERNS:
            text = pattern.sub(replacement, text)
        return text

    return scrub


def names_credential(name: str) -> bool:
    """Tell whether what is logged under this name is a credential."""
    return _CREDENTIAL.fullmatch(name) is not None
