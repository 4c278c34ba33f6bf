"""Take secrets out of what is written down or shown.

Three rules, and no others, so that ordinary prose and page tokens stay as they are:

1. the values of the secrets in use, also in base64, percent-encoded or JSON-escaped;
2. string values under keys that are names of credential headers (``authorization``, ``x-api-key``, ...);
3. shapes that only tokens have: ``Bearer`` and a long random word, ``sk-...``, ``ghp_...``, a JWT, ``user:pass@``.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from missive_host.errors import ErrorReport
    from missive_host.security.secrets import Secret

MARK = "[REDACTED]"

SHORTEST = 4
"""A secret of fewer characters is no secret; replacing it would only damage the text."""
_ANYWHERE = 8
"""From this length on a value is replaced inside a longer word, too."""

_HEADER_KEYS = frozenset(
    (
        "authorization",
        "proxy-authorization",
        "cookie",
        "set-cookie",
        "x-api-key",
        "api-key",
        "x-auth-token",
        "x-csrf-token",
    )
)
_CREDENTIAL_WORDS = ("auth", "cookie", "key", "token", "secret", "password", "credential")
"""One of these is in every name that `_is_credential` knows."""
_HEADER_MAPPINGS = frozenset(("headers", "http-headers"))
_IN_HEADERS = re.compile(r"auth|token|secret|api-?key|cookie|password|credential")
_SCHEME = re.compile(r"(Bearer|Basic|Token|ApiKey|Api-Key|Digest) +(?=\S)", re.IGNORECASE)


class Redactor:
    """Replaces secrets by ``[REDACTED]``. What is clean comes back as the same object."""

    def __init__(self, secrets: Iterable[Secret] = ()) -> None:
        self._forms: dict[str, None] = {}
        self._known: re.Pattern[str] | None = None
        for secret in secrets:
            self._remember(secret.reveal())
        self._compile()

    def __repr__(self) -> str:
        return "Redactor()"

    def add(self, secret: Secret) -> None:
        """Learn another secret."""
        self._remember(secret.reveal())
        self._compile()

    def text(self, text: str) -> str:
        """Return `text` without secrets."""
        if self._known is not None and any(form in text for form in self._forms):
            text = self._known.sub(MARK, text)
        if len(text) < _SHORTEST_SHAPE:
            return text
        for needle in _NEEDLES:
            if needle in text:
                break
        else:
            return text
        for needles, pattern, replacement in _SHAPES:
            if any(needle in text for needle in needles):
                clean = re.sub(pattern, replacement, text)
                text = text if clean == text else clean
        return text

    def json(self, value: Any) -> Any:
        """Return JSON-able data without secrets: strings, the keys of objects, and what lies under header names."""
        return value if self._is_clean(value) else self._json(value, inside="")

    def known(self, value: Any) -> Any:
        """As `json`, but take out only the secrets in use: what others write about tokens is left alone."""
        if self._known is None:
            return value
        if isinstance(value, str):
            if not any(form in value for form in self._forms):
                return value
            return self._known.sub(MARK, value)
        if isinstance(value, dict):
            return {self.known(key): self.known(child) for key, child in value.items()}
        if isinstance(value, list | tuple):
            return [self.known(child) for child in value]
        return value

    @property
    def knows_secrets(self) -> bool:
        return self._known is not None

    def _is_clean(self, value: Any) -> bool:
        """Look through the data at once, as text: nearly always there is nothing to be found, and this is quick."""
        try:
            text = msgspec.json.encode(value).decode()
        except (TypeError, ValueError):
            return False
        for needles, where in ((self._forms, text), (_NEEDLES, text), (_CREDENTIAL_WORDS, text.lower())):
            for needle in needles:  # a loop: this is done for every event of the journal, and any() costs twice as much
                if needle in where:
                    return False
        return True

    def report(self, report: ErrorReport) -> ErrorReport:
        """Return an error's document without secrets."""
        from msgspec.structs import replace

        clean: dict[str, Any] = {
            "message": self.text(report.message),
            "help": report.help and self.text(report.help),
            "sources": self.json(report.sources),
        }
        if report.a2a is not None:
            said = report.a2a
            name = said.name and self.text(said.name)
            clean["a2a"] = replace(said, name=name, data=self.json(said.data))
        return replace(report, **clean)

    def _json(self, value: Any, inside: str) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return self._object(value, inside)
        if isinstance(value, list | tuple):
            items = [self._json(item, inside) for item in value]
            if all(new is old for new, old in zip(items, value, strict=True)):
                return value
            return items if isinstance(value, list) else tuple(items)
        return value

    def _object(self, value: dict[Any, Any], inside: str) -> dict[Any, Any]:
        result: dict[Any, Any] = {}
        changed = False
        for key, child in value.items():
            name = key.lower().replace("_", "-") if isinstance(key, str) else ""
            new_key = self.text(key) if isinstance(key, str) else key
            new = _header_value(child) if _is_credential(name, inside) else child
            if new is child:
                new = self._json(child, name)
            result[new_key] = new
            changed = changed or new is not child or new_key is not key
        return result if changed else value

    def _remember(self, value: str) -> None:
        for word in (value, value.partition(" ")[2]):
            if len(word) < SHORTEST:
                continue
            for form in _forms(word):
                self._forms[form] = None

    def _compile(self) -> None:
        # The longest first: else the bare token would be taken out of the middle of a longer form.
        forms = sorted(self._forms, key=len, reverse=True)
        if forms:
            self._known = re.compile("|".join(_pattern(form) for form in forms))


def _pattern(form: str) -> str:
    exact = re.escape(form)
    return exact if len(form) >= _ANYWHERE else rf"(?<![^\W_]){exact}(?![^\W_])"


def _forms(word: str) -> Iterable[str]:
    """Yield the ways in which a value may be written."""
    from base64 import b64encode, urlsafe_b64encode
    from json import dumps
    from urllib.parse import quote, quote_plus

    data = word.encode("utf-8", "surrogatepass")
    yield word
    yield dumps(word)[1:-1]
    yield dumps(word, ensure_ascii=False)[1:-1]
    for encode in (b64encode, urlsafe_b64encode):
        # Without the padding: then it is found with it, too.
        yield encode(data).decode().rstrip("=")
    for encoded in (quote(data, safe=""), quote(data), quote_plus(data)):
        yield encoded
        yield re.sub("%[0-9A-F]{2}", lambda match: match[0].lower(), encoded)


def _is_credential(name: str, inside: str) -> bool:
    if name in _HEADER_KEYS:
        return True
    if inside in _HEADER_MAPPINGS:
        return _IN_HEADERS.search(name) is not None
    # A2A's AuthenticationInfo (spec 4.3.2) of a push configuration.
    return name == "credentials" and inside == "authentication"


def _header_value(value: Any) -> Any:
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        return [_header_value(item) for item in value]
    if not isinstance(value, str) or not value:
        return value
    scheme = _SCHEME.match(value)
    return (value[: scheme.end()] if scheme else "") + MARK


# --- shapes of tokens


def _is_random(word: str) -> bool:
    """True for a long word that nobody would write in a sentence: digits and letters change often."""
    kinds = ["d" if char.isdigit() else "u" if char.isupper() else "l" for char in word if char.isalnum()]
    changes = sum(left != right for left, right in itertools.pairwise(kinds))
    if len(word) >= 16 and (changes >= max(4, len(word) / 5) or ("d" in kinds and word.endswith("="))):
        return True
    return len(word) >= 20 and "d" in kinds


def _bearer(match: re.Match[str]) -> str:
    return match[1] + MARK if _is_random(match[2]) else match[0]


def _userinfo(match: re.Match[str]) -> str:
    # ssh://git@host tells nothing; a name alone is a secret only where tokens are used as names.
    web = match.string.endswith(("http", "https", "HTTP", "HTTPS"), max(0, match.start() - 5), match.start())
    return f"://{MARK}@" if web or ":" in match[1] else match[0]


_Replacement = str | Callable[[re.Match[str]], str]
_SHAPES: tuple[tuple[tuple[str, ...], str, _Replacement], ...] = (
    # The needles are looked for first: that is much cheaper than a pattern, which is compiled only when it is needed.
    # Where a pattern begins with plain letters, what may not stand before them is said behind them: `re` searches
    # for the letters then, and does not try every character.
    (
        ("uthorization", "UTHORIZATION"),
        r"""(?i)(authorization["']?\s{0,4}[:=]\s{0,4}["']?(?:Bearer|Basic|Token|ApiKey|Digest) +)[^\s"',;\[]+""",
        rf"\1{MARK}",
    ),
    (
        ("-key", "-Key", "-KEY"),
        r"""(?i)((?<![\w-])(?:x-)?api-key["']?\s{0,4}[:=]\s{0,4}["']?)[^\s"',;\[]{8,}""",
        rf"\1{MARK}",
    ),
    (
        ("earer ", "EARER ", "asic ", "ASIC "),
        r"(?i)((?<![\w-])(?:bearer|basic) +)([A-Za-z0-9._~+/-]{12,}={0,2})",
        _bearer,
    ),
    (("sk-",), r"sk-(?<![\w-]sk-)(?=[\w-]{0,100}[0-9])[\w-]{16,}", MARK),
    (("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), r"gh[pousr]_(?<!\wgh[pousr]_)[A-Za-z0-9]{20,}", MARK),
    (("github_pat_",), r"github_pat_(?<!\wgithub_pat_)\w{20,}", MARK),
    (("xox",), r"xox(?<![\w-]xox)[abeoprs]-[A-Za-z0-9-]{10,}", MARK),
    (("AKIA",), r"AKIA(?<!\wAKIA)[A-Z0-9]{16}(?!\w)", MARK),
    (("ASIA",), r"ASIA(?<!\wASIA)[A-Z0-9]{16}(?!\w)", MARK),
    (("eyJ",), r"eyJ(?<![\w-]eyJ)[\w-]{8,}+\.[\w-]{4,}+\.[\w-]*", MARK),
    (("@",), r"""://([^\s/?#"'<>\[]+)@""", _userinfo),
)
_NEEDLES = tuple(needle for needles, _, _ in _SHAPES for needle in needles)
_SHORTEST_SHAPE = 10
