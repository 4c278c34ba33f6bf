"""What a request says about itself and about the answer that it wants."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from missive_http.documents import refused

JSON = "application/json"
NDJSON = "application/x-ndjson"
EVENTS = "text/event-stream"
MULTIPART = "multipart/form-data"
PROBLEM = "application/problem+json"

_BODIES = {
    JSON: JSON,
    NDJSON: NDJSON,
    "application/ndjson": NDJSON,
    "application/jsonl": NDJSON,
    MULTIPART: MULTIPART,
}
_PARAMETERS = re.compile(r';\s*([\w-]+)\s*=\s*("[^"]*"|[^;\s]*)')
_WAIT = re.compile(r"wait\s*=\s*\"?([0-9]{1,9})\"?")


def body_type(headers: Mapping[str, str], offered: Sequence[str] = (JSON, NDJSON, MULTIPART)) -> str:
    """Return which of these a body is. Raises `ProblemError`."""
    content_type = headers.get("content-type", "")
    name = content_type.partition(";")[0].strip().lower()
    found = _BODIES.get(name)
    if found is None or found not in offered:
        said = f"not {name[:64]}" if name else "and the request does not say what it is"
        raise refused(
            415, f"the body has to be {' or '.join(offered)}, {said}", help=f"send `Content-Type: {offered[0]}`",
            Accept=", ".join(offered),
        )  # fmt: skip
    charset = {key.lower(): value.strip('"').lower() for key, value in _PARAMETERS.findall(content_type)}.get("charset")
    if charset not in (None, "utf-8", "utf8", "us-ascii"):
        raise refused(415, "the body has to be in UTF-8", help="leave `charset` out of Content-Type")
    if headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise refused(415, "the body must not be compressed", help="leave `Content-Encoding` out")
    return found


def answer_type(headers: Mapping[str, str], offered: Sequence[str]) -> str:
    """Return which of these the client likes best; of equals the first. Raises `ProblemError`."""
    accept = headers.get("accept")
    if accept is None or not accept.strip():
        return offered[0]
    ranges = [_range(part) for part in accept.split(",")]
    best: tuple[float, str] | None = None
    for form in offered:
        quality = _quality(form, ranges)
        if form == JSON:
            quality = max(quality, _quality(PROBLEM, ranges))
        if quality > 0 and (best is None or quality > best[0]):
            best = (quality, form)
    if best is None:
        raise refused(406, f"the answer can be {', '.join(offered)}", help="send one of them in `Accept`")
    return best[1]


def _range(part: str) -> tuple[str, float]:
    name, *parameters = (piece.strip().lower() for piece in part.split(";"))
    quality = 1.0
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                quality = float(parameter[2:])
            except ValueError:
                quality = 0.0
    return name, quality


def _quality(form: str, ranges: list[tuple[str, float]]) -> float:
    """Return the quality of the most exact range that fits."""
    found = dict(reversed(ranges))
    for name in (form, form.partition("/")[0] + "/*", "*/*"):
        if name in found:
            return found[name]
    return 0.0


def wait_of(headers: Mapping[str, str], default: float, most: float) -> tuple[float, dict[str, str]]:
    """Return how long to wait, and the headers that say that a preference was followed (RFC 7240)."""
    for preference in headers.get("prefer", "").lower().split(","):
        match = _WAIT.fullmatch(preference.strip())
        if match is not None:
            seconds = min(int(match[1]), int(most))
            return float(seconds), {"Preference-Applied": f"wait={seconds}"}
        if preference.strip() == "respond-async":
            return 0.0, {"Preference-Applied": "respond-async"}
    return min(default, most), {}
