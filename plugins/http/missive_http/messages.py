"""POST of messages: from a body to deliveries, and from what became of them to an answer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import msgspec
from starlette.responses import Response

from missive_host.envelopes import HTTP, FrameError, parse_envelope
from missive_host.errors import StorageError, ValidationError
from missive_host.protocols import IntakeFullError
from missive_http.delivery import HttpDelivery, ended
from missive_http.documents import RECEIPTS, ProblemError, encode, refused
from missive_http.negotiation import EVENTS, JSON, NDJSON, PROBLEM, answer_type, body_type, wait_of
from missive_http.receipts import accepted, follow

if TYPE_CHECKING:
    from starlette.requests import Request

    from missive_host.envelopes import Envelope
    from missive_host.protocols import AdapterContext, Intake, Principal, Receipt
    from missive_http.guard import Buckets, Guard

SOURCE_ID = "http"
"""``source.source_id`` of a frame that names none."""

_KEY = re.compile(r"[\x21-\x7e]{1,256}")


class Messages:
    """Takes frames in."""

    def __init__(self, context: AdapterContext, guard: Guard, buckets: Buckets, intake: Intake) -> None:
        self._options = context.options
        self._guard = guard
        self._buckets = buckets
        self._intake = intake

    async def post(self, request: Request) -> Response:
        headers = request.headers
        principal = self._guard.admit(headers)
        body_type(headers, (JSON,))
        form = answer_type(headers, (JSON, EVENTS, NDJSON))
        self._buckets.take(principal.name if principal else "")
        body = await read_body(request, self._options["max_body"])
        envelope = self._envelope(body, headers, principal)
        delivery = HttpDelivery(envelope)
        found = await self._submit(delivery, principal)
        return await self._answer(request, delivery, found, form)

    def _envelope(self, body: bytes, headers: Mapping[str, str], principal: Principal | None) -> Envelope:
        """Parse a frame; its id may be missing, and its idempotency key may be in a header. Raises `ProblemError`."""
        try:
            envelope = parse_envelope(
                body, HTTP, default_source=SOURCE_ID, default_session=False, default_id=uuid4().hex
            )
            key = _key(headers.get("idempotency-key"), envelope.idempotency_key)
        except FrameError as error:
            raise ProblemError(400, error, frame_id=error.frame_id) from None
        if principal is not None:
            refusal = principal.refusal(envelope.command)
            if refusal is not None:
                found = refused(403, refusal, help="ask for a token with a wider scope: `missive token create --help`")
                found.frame_id = envelope.id
                raise found
        if key is not None:
            key = f"{principal.name if principal else ''}:{key}"
        return msgspec.structs.replace(envelope, idempotency_key=key)

    async def _submit(
        self, delivery: HttpDelivery, principal: Principal | None, *, wait: bool = False, **reply_to: Any
    ) -> Receipt:
        """Hand a delivery over. Raises `ProblemError`."""
        name = delivery.envelope.id
        reply_to |= {"principal": principal.name if principal else None, "id": name}
        try:
            return await self._intake.submit(delivery, reply_to=reply_to, wait=wait)
        except IntakeFullError as error:
            after = str(max(1, round(error.retry_after)))
            raise ProblemError(503, error, headers={"Retry-After": after}, frame_id=name) from None
        except ValidationError as error:
            raise ProblemError(422, error, frame_id=name) from None
        except StorageError as error:
            raise ProblemError(503, error, headers={"Retry-After": "5"}, frame_id=name) from None

    async def _answer(self, request: Request, delivery: HttpDelivery, found: Receipt, form: str) -> Response:
        replayed = {"Idempotency-Replayed": "true"} if found.duplicate else {}
        if form != JSON:
            delivery.leave()
            heartbeat = self._options["heartbeat"]
            return follow(self._intake, found, form, heartbeat=heartbeat, frame=delivery.envelope.id, headers=replayed)
        seconds, headers = wait_of(request.headers, self._options["wait"], self._options["max_wait"])
        headers |= replayed
        outcome = await delivery.wait(seconds)
        if outcome is None:
            return accepted(found, headers)
        document = ended(delivery.envelope.id, found.id, outcome, delivery.outputs)
        status = document.get("status", 200)
        headers["Content-Location"] = f"{RECEIPTS}/{found.id}"
        return Response(encode(document), status, headers, JSON if status == 200 else PROBLEM)


def _key(header: str | None, field: str | None) -> str | None:
    if header is None:
        return field
    if _KEY.fullmatch(header) is None:
        raise FrameError(
            "header `Idempotency-Key`: expected 1 to 256 printable ASCII characters without spaces",
            help="a UUID is a good key",
        )
    if field not in (None, header):
        raise FrameError("`Idempotency-Key` and `idempotency_key` differ", help="give one of them")
    return header


async def read_body(request: Request, limit: int) -> bytes:
    """Return the whole body. Raises `ProblemError`, early if the request says how long it is."""
    length = request.headers.get("content-length", "")
    if length.isascii() and length.isdigit() and int(length) > limit:
        raise too_long(limit)
    parts: list[bytes] = []
    total = 0
    async for chunk in request.stream():
        total += len(chunk)
        if total > limit:
            raise too_long(limit)
        parts.append(chunk)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def too_long(limit: int) -> ProblemError:
    return refused(413, f"the body is longer than {limit} bytes", help="send less, or files as multipart/form-data")
