"""What is redacted, and what is left alone."""

from __future__ import annotations

import json
from base64 import b64encode, urlsafe_b64encode
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import assume, given, strategies as st

from missive_host.errors import A2AErrorInfo, ErrorReport
from missive_host.security.redact import MARK, Redactor
from missive_host.security.secrets import Secret

_ASCII = st.characters(min_codepoint=0x20, max_codepoint=0x7E)
_SECRET = st.text(_ASCII, min_size=8, max_size=60).filter(lambda text: not set(text) <= set(MARK) and text not in MARK)


# --- known secrets


@given(_SECRET, st.text(), st.text())
def test_no_known_secret_is_left_in_any_surrounding(secret: str, before: str, after: str) -> None:
    # What stands beside the mark could make up the secret again only if the secret held a piece of the mark.
    assume(not set(secret) & set("[]"))
    redacted = Redactor([Secret(secret)]).text(before + secret + after)
    assert secret not in redacted


@given(_SECRET, st.text(max_size=20))
def test_no_encoded_form_is_left(secret: str, around: str) -> None:
    assume(not set(secret) & set("[]"))
    redactor = Redactor([Secret(secret)])
    forms = [
        b64encode(secret.encode()).decode(),
        urlsafe_b64encode(secret.encode()).decode().rstrip("="),
        quote(secret, safe=""),
        quote_plus(secret),
        json.dumps(secret)[1:-1],
    ]
    for form in forms:
        assert form not in redactor.text(f"{around} {form} {around}")


@given(
    _SECRET,
    st.recursive(
        st.none() | st.integers() | st.text(max_size=9),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=9), inner),
        max_leaves=8,
    ),
    st.lists(st.sampled_from(["list", "value", "key"]), max_size=5),
)
def test_no_known_secret_is_left_in_json(secret: str, other: Any, wraps: list[str]) -> None:
    assume(not set(secret) & set("[]"))
    value: Any = f"x{secret}y"
    for wrap in wraps:
        value = {"list": [other, value], "value": {"a": value, "b": other}, "key": {f"k{secret}": value}}[wrap]
    assert not found(secret, Redactor([Secret(secret)]).json(value))


def found(secret: str, value: Any) -> bool:
    if isinstance(value, str):
        return secret in value
    if isinstance(value, dict):
        return any(found(secret, part) for pair in value.items() for part in pair)
    return isinstance(value, list) and any(found(secret, item) for item in value)


def test_the_token_of_a_header_is_known_too() -> None:
    redactor = Redactor([Secret("Bearer correct-horse-battery")])
    assert redactor.text("Authorization: Bearer correct-horse-battery") == f"Authorization: {MARK}"
    assert redactor.text("token=correct-horse-battery.") == f"token={MARK}."


def test_a_secret_that_is_added_later() -> None:
    redactor = Redactor()
    assert redactor.text("hunter2-and-more") == "hunter2-and-more"
    redactor.add(Secret("hunter2-and-more"))
    assert redactor.text("hunter2-and-more") == MARK


def test_short_secrets() -> None:
    redactor = Redactor([Secret("abc"), Secret("blue"), Secret("")])
    assert redactor.text("abc") == "abc"
    assert redactor.text("blue, blueprint") == f"{MARK}, blueprint"


def test_one_secret_inside_another() -> None:
    redactor = Redactor([Secret("secret-one"), Secret("secret-one-and-two")])
    assert redactor.text("a secret-one-and-two b secret-one c") == f"a {MARK} b {MARK} c"


def test_a_redactor_does_not_print_its_secrets() -> None:
    assert "secret-one" not in repr(Redactor([Secret("secret-one")]))


# --- keys


def test_credential_headers_in_json() -> None:
    document = {
        "headers": {"Authorization": "Bearer abc", "X-Session-Token": "abc", "Accept": "text/plain", "X_Api_Key": "k"},
        "cookie": "a=b",
        "http_headers": {"Set-Cookie": ["a=b", "c=d"]},
        "push": {"authentication": {"scheme": "Bearer", "credentials": "abc"}},
        "proxy_authorization": "Basic abc",
        "api-key": "k",
    }
    assert Redactor().json(document) == {
        "headers": {
            "Authorization": f"Bearer {MARK}",
            "X-Session-Token": MARK,
            "Accept": "text/plain",
            "X_Api_Key": MARK,
        },
        "cookie": MARK,
        "http_headers": {"Set-Cookie": [MARK, MARK]},
        "push": {"authentication": {"scheme": "Bearer", "credentials": MARK}},
        "proxy_authorization": f"Basic {MARK}",
        "api-key": MARK,
    }


def test_what_only_sounds_like_a_credential() -> None:
    document = {
        "next_page_token": "eyJvZmZzZXQiOjEwfQ",
        "page_token": "CAoQAA",
        "token_count": 5,
        "max_tokens": 100,
        "authorization": {"type": "oauth2"},
        "securitySchemes": {"api_key": {"type": "apiKey", "name": "X-API-Key", "in": "header"}},
        "security": [{"api_key": []}],
        "secret_garden": "a book",
        "password": "is not kept in what an agent says",
        "credentials": "see the manual",
        "items": ["a", ("b", None, 1.5, True)],
    }
    assert Redactor([Secret("some-long-secret")]).json(document) is document


# --- shapes

SHAPES = {
    "curl -H 'Authorization: Bearer x1'": f"curl -H 'Authorization: Bearer {MARK}'",
    '{"authorization": "Basic YTpi"}': f'{{"authorization": "Basic {MARK}"}}',
    "got Bearer 7f3c9a1b2d4e6f8091a2b3c4d5e6f708 back": f"got Bearer {MARK} back",
    "bearer aB3dE5fG7hI9kL1mN3pQ": f"bearer {MARK}",
    "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==": f"Basic {MARK}",
    "Bearer 550e8400-e29b-41d4-a716-446655440000": f"Bearer {MARK}",
    "X-API-Key: 12345678abc": f"X-API-Key: {MARK}",
    "key sk-proj-abc123DEF456ghi789jkl": f"key {MARK}",
    "ghp_abcdefghijklmnopqrst0123456789": MARK,
    "github_pat_11ABCDEFG0_abcdefghijklmnop": MARK,
    "xoxb-1234567890-abcdefghij": MARK,
    "AKIAIOSFODNN7EXAMPLE.": f"{MARK}.",
    "t=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dozjgNryP4J3jVmN": f"t={MARK}",
    "https://user:pw@host/x": f"https://{MARK}@host/x",
    "https://p%40ss:w@rd@host/x and y@z": f"https://{MARK}@host/x and y@z",
    "https://token@host": f"https://{MARK}@host",
    "postgres://u:pw@db/x": f"postgres://{MARK}@db/x",
}


@pytest.mark.parametrize(("text", "redacted"), SHAPES.items())
def test_shapes_of_tokens(text: str, redacted: str) -> None:
    redactor = Redactor()
    assert redactor.text(text) == redacted
    assert redactor.text(redacted) == redacted
    assert redactor.json({"text": [text]}) == {"text": [redacted]}


PROSE = [
    "the token is ready",
    "The bearer of this letter may enter.",
    "Bearer authentication is required; basic authentication is not supported.",
    "Use Bearer RFC6750-compliant headers, or Basic JavaScript.",
    "Basic AuthenticationFilter and bearer TokenAuthenticationMiddleware",
    "Authorization: required",
    "authorization = none",
    "The cookie: chocolate. Set-Cookie is a header.",
    "an api-key: see below",
    "sk-learn and sk-something-very-long-without-digits",
    "ssh://git@github.com/x.git",
    "mail me at a@b.example, or see https://b.example/a@c and https://b.example?q=a@c",
    "secret=x password: y token=z",
    "eyJ is how a JWT begins; eyJhbGciOiJIUzI1NiJ9 is its header.",
    "AKIA is a prefix, xoxb- and ghp_ too",
    "next_page_token=CAoQAA",
    "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "",
]


@pytest.mark.parametrize("text", PROSE)
def test_prose_is_left_alone(text: str) -> None:
    assert Redactor([Secret("some-long-secret")]).text(text) is text


@given(st.lists(st.text(st.characters(categories=("L", "Zs", "Po")), max_size=15)).map(" ".join))
def test_words_without_digits_are_left_alone(text: str) -> None:
    assume("://" not in text)
    assert Redactor().text(f"Bearer {text} basic {text} token {text}") == f"Bearer {text} basic {text} token {text}"


@pytest.mark.parametrize(
    "piece", ["sk-", "eyJ", "eyJ.", "a@", "://", "://a:", "Bearer ", "Authorization: ", "ghp_", "xoxb-", "AKIA"]
)
def test_no_text_takes_long(piece: str) -> None:
    """A pattern that goes back and forth would need minutes for these (the suite's time limit ends it)."""
    text = piece * 200_000
    assert len(Redactor([Secret("some-long-secret")]).text(text)) > 0


# --- errors


def test_the_report_of_an_error() -> None:
    report = ErrorReport(
        code="c",
        category="protocol",
        message="sent my-long-secret",
        exit_code=76,
        sources=("x my-long-secret",),
        a2a=A2AErrorInfo(name="N", http_status=401, data={"got": ["my-long-secret"], "cookie": "a=b"}),
    )
    clean = Redactor([Secret("my-long-secret")]).report(report)
    assert "my-long-secret" not in str(clean)
    assert clean.message == f"sent {MARK}"
    assert clean.a2a is not None
    assert (clean.a2a.http_status, clean.a2a.data) == (401, {"got": [MARK], "cookie": MARK})
    assert (clean.help, clean.exit_code) == (None, 76)
