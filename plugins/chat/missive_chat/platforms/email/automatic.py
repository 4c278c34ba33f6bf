"""Mail that no person has written, and that nobody should answer: else two machines write to each other for ever."""

from __future__ import annotations

import re
from collections.abc import Callable

from missive_chat.platforms.email.authors import Author
from missive_chat.platforms.email.headers import Mail, raw, raw_values

_ROBOTS = re.compile(
    r"(mailer-daemon|mail-daemon|postmaster|(no|do-?not|dont)[-_.]?reply|bounces?|listserv|majordomo)([+_.-].*)?"
)
_SUPPRESSED = {"all", "autoreply", "oof"}


def automatic(mail: Mail, author: Author) -> str | None:
    """Say why a mail is not a person's; None if it seems to be."""
    return next((reason for test in _TESTS if (reason := test(mail, author))), None)


def _auto_submitted(mail: Mail, _: Author) -> str | None:
    value = raw(mail, "Auto-Submitted").partition(";")[0].strip().lower()
    return f"Auto-Submitted: {value[:40]}" if value not in ("", "no") else None


def _report(mail: Mail, _: Author) -> str | None:
    kind = mail.get_content_type()
    if kind in ("multipart/report", "message/delivery-status", "message/disposition-notification"):
        return f"a report of a mail server ({kind})"
    return None


def _no_return_path(mail: Mail, _: Author) -> str | None:
    paths = raw_values(mail, "Return-Path")
    return "an empty Return-Path: a bounce, or an auto-reply" if paths and paths[0] in ("<>", "") else None


def _list(mail: Mail, _: Author) -> str | None:
    for name in ("List-Id", "List-Post", "List-Unsubscribe", "X-Mailing-List"):
        if raw_values(mail, name):
            return f"a mailing list ({name})"
    precedence = raw(mail, "Precedence").lower()
    return f"Precedence: {precedence[:40]}" if precedence in ("bulk", "junk", "list", "auto_reply") else None


def _wants_no_answer(mail: Mail, _: Author) -> str | None:
    asked = {word.strip().lower() for word in raw(mail, "X-Auto-Response-Suppress").split(",")}
    if asked & _SUPPRESSED:
        return "X-Auto-Response-Suppress"
    for name in ("X-Autoreply", "X-Autorespond", "X-Auto-Reply", "X-Loop"):
        if raw(mail, name).lower() not in ("", "no"):
            return name
    return None


def _robot(_: Mail, author: Author) -> str | None:
    local = author.address.rpartition("@")[0]
    return f"it is from {local}@" if _ROBOTS.fullmatch(local) else None


_TESTS: tuple[Callable[[Mail, Author], str | None], ...] = (
    _auto_submitted, _report, _no_return_path, _list, _wants_no_answer, _robot
)  # fmt: skip
