"""What a mail says, as Markdown."""

from __future__ import annotations

from missive_chat.platforms.email.files import is_text, leaves, octets_of
from missive_chat.platforms.email.headers import Mail
from missive_chat.platforms.email.html_text import text_of_html
from missive_chat.platforms.email.quotes import own_words

LONGEST = 400_000
CUT = "\n\n[… the rest of this mail was too long and is left out]"


def body_of(mail: Mail) -> str:
    """Return what the writer has added: the plain text if there is one, else that of the HTML."""
    parts = [part for part in leaves(mail) if is_text(part)]
    plain = [text_of(part) for part in parts if part.get_content_type() == "text/plain"]
    text = "\n\n".join(each.strip("\n") for each in plain if each.strip())
    if not text:
        pages = [text_of_html(text_of(part)) for part in parts if part.get_content_type() == "text/html"]
        text = "\n\n".join(page for page in pages if page)
    return own_words(text[:LONGEST]) + (CUT if len(text) > LONGEST else "")


def text_of(part: Mail) -> str:
    """Return the text of a part: in the charset that it names, or else in one that fits."""
    octets = octets_of(part)
    for charset in (_charset(part), "utf-8"):
        try:
            return octets.decode(charset).removeprefix("\ufeff").replace("\x00", "")
        except (LookupError, ValueError):
            continue
    return octets.decode("cp1252", "replace").replace("\x00", "")


def _charset(part: Mail) -> str:
    try:
        name = str(part.get_content_charset() or "us-ascii")
    except Exception:  # noqa: BLE001 - a broken parameter is as good as none
        return "us-ascii"
    # in mail ISO 8859-1 means Windows-1252, as it does on the web
    return "cp1252" if name in ("iso-8859-1", "latin-1", "latin1") else name
