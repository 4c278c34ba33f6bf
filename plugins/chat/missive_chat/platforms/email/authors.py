"""Who wrote a mail, and whether that is sure.

Anybody can write any ``From``. What vouches for it is the ``Authentication-Results`` header of our own server, and that
one alone: the topmost that has its name (RFC 8601 obliges it to take away those that came with the mail).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from missive_chat.platforms.email.headers import Mail, decoded, raw_values

_LOCAL = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\-\u0080-\U0010ffff]+"
_ADDRESS = re.compile(rf"{_LOCAL}(?:\.{_LOCAL})*@[^\s@<>()\[\],;:\"\\]+")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
LONGEST_FROM = 1000
NOBODY = "unknown@unknown.invalid"


@dataclass(frozen=True, slots=True)
class Author:
    address: str
    name: str = ""
    problem: str | None = None
    """Why it cannot be told who it is."""

    @property
    def domain(self) -> str:
        return self.address.rpartition("@")[2]


def address_of(text: str) -> str | None:
    """Return a bare address in the form in which ids are compared; None if it is none."""
    text = text.strip()
    if len(text) > 320 or not _ADDRESS.fullmatch(text):
        return None
    local, _, domain = text.rpartition("@")
    domain = domain.lower().rstrip(".")
    if not domain.isascii():
        try:
            domain = domain.encode("idna").decode()
        except UnicodeError:
            return None
    if not all(re.fullmatch(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?", label) for label in domain.split(".")):
        return None
    return f"{local.lower()}@{domain}"


def author_of(mail: Mail) -> Author:
    """Return who a mail says wrote it. More than one answer to that is none: programs would read it differently."""
    values = raw_values(mail, "From")
    if len(values) != 1:
        return Author(NOBODY, problem="it has no From" if not values else "it has more than one From")
    value = values[0]
    if len(value) > LONGEST_FROM:
        return Author(NOBODY, problem="its From is too long")
    # a local part in quotes leaves an @ that belongs to nothing, and so no address
    bare = _without_comments(_QUOTED.sub("", value))
    found = {address_of(each) for each in _ADDRESS.findall(bare)}
    if len(found) != 1 or None in found:
        return Author(NOBODY, problem="its From does not name exactly one address")
    (address,) = found
    assert address is not None
    if "<" in bare and not re.search(r"<[^<>]*@[^<>]*>\s*$", bare):
        return Author(NOBODY, problem="its From is malformed")
    name = decoded(value.rpartition("<")[0].strip().strip('"')) if "<" in value else ""
    return Author(address, name[:200])


# --- Authentication-Results


@dataclass(frozen=True, slots=True)
class Result:
    method: str
    result: str
    properties: dict[str, str] = field(default_factory=dict)
    """``header.from``, ``smtp.mailfrom`` …: their domains, in lower case."""


def doubt(mail: Mail, author: Author, trusted: Collection[str]) -> str | None:
    """Say why it is not sure that a mail is from its author; None: it is."""
    if author.problem is not None:
        return author.problem
    for value in raw_values(mail, "Authentication-Results"):
        if server_of(value) in trusted:
            return _judge(author.domain, read_results(value))
    return f"it has no Authentication-Results of {' or '.join(sorted(trusted))}"


def _judge(domain: str, results: list[Result]) -> str | None:
    verdicts = [each for each in results if each.method == "dmarc" and each.result not in ("none", "bestguesspass")]
    for each in verdicts:
        if each.result != "pass":
            return f"dmarc={each.result}"
        if each.properties.get("header.from") != domain:
            return "dmarc=pass is not about the domain of its From"
    if verdicts:
        return None
    for each in results:
        if each.result == "pass" and each.method == "dkim":
            signer = each.properties.get("header.d") or each.properties.get("header.i")
            # a signature of the domain itself, or of one above it
            if signer and (domain == signer or ("." in signer and domain.endswith(f".{signer}"))):
                return None
        if each.result == "pass" and each.method == "spf" and each.properties.get("smtp.mailfrom") == domain:
            return None
    said = ", ".join(f"{each.method}={each.result}" for each in results) or "nothing"
    return f"nothing vouches for {domain}: {said}"


def server_of(value: str) -> str:
    """Return the name of the server that added a header."""
    words = _without_comments(value.partition(";")[0]).split()
    return words[0].lower().strip('"') if words else ""


def read_results(value: str) -> list[Result]:
    """Return the results in one header."""
    return [result for entry in _split(_without_comments(value))[1:] for result in _result(entry)]


def _result(entry: str) -> Iterator[Result]:
    pairs = re.findall(r'([\w.-]+)(?:\s*/\s*\d+)?\s*=\s*("(?:[^"\\]|\\.)*"|[^\s;]+)', entry)
    if pairs:
        (method, result), *rest = pairs
        properties = {name.lower(): text.strip('"').rpartition("@")[2].lower().rstrip(".") for name, text in rest}
        yield Result(method.lower(), result.lower(), properties)


def _split(value: str) -> list[str]:
    """Split at the semicolons that are not quoted."""
    return [match[0] for match in re.finditer(r'(?:"(?:[^"\\]|\\.)*"|[^;"]|")+', value)] or [""]


def _without_comments(value: str) -> str:
    """Take out what is in round brackets, which may be nested; in quotes they are letters."""
    kept, depth, quoted, escaped = [], 0, False, False
    for letter in value:
        if escaped:
            escaped = False
        elif letter == "\\":
            escaped = True
        elif quoted:
            quoted = letter != '"'
        elif letter == '"' and not depth:
            quoted = True
        elif letter == "(":
            depth += 1
            continue
        elif letter == ")" and depth:
            depth -= 1
            kept.append(" ")
            continue
        if not depth:
            kept.append(letter)
    return "".join(kept)
