"""POST of messages: from a body to deliveries, and from what became of them to an answer."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from uuid import uuid4

import anyio
import msgspec
from starlette.responses import Response

from missive_host.envelopes import HTTP, FrameError, parse_envelope
from missive_host.errors import MissiveError, StorageError, ValidationError
from missive_host.protocols import IntakeFullError
from missive_http import documents
from missive_http.delivery import HttpDelivery, Waiting, ended
from missive_http.documents import RECEIPTS, STATUS_OF, ProblemError, encode, refused
from missive_http.forms import form_of, with_files, without_files
from missive_http.negotiation import EVENTS, JSON, MULTIPART, NDJSON, PROBLEM, answer_type, body_type, wait_of
from missive_http.receipts import accepted, follow
from missive_http.streaming import StreamResponse

if TYPE_CHECKING:
    from starlette.requests import Request

    from missive_host.envelopes import Envelope
    from missive_host.protocols import AdapterContext, Intake, Outcome, Principal, Receipt
    from missive_http.documents import Json
    from missive_http.guard import Buckets, Guard
    from missive_http.streaming import Write
    from missive_http.uploads import Uploads
    from missive_http.webhooks import Route

SOURCE_ID = "http"
"""``source.source_id`` of a frame that names none."""
SOURCE_LENGTH = 256
"""Of the contract; the name of the token is a part of it."""

BATCH_CONCURRENCY = 64
"""How many frames of one batch are under way at once."""

_KEY = re.compile(r"[\x21-\x7e]{1,256}")


class Messages:
    """Takes frames in."""

    def __init__(
        self,
        context: AdapterContext,
        guard: Guard,
        buckets: Buckets,
        uploads: Uploads,
        waiting: Waiting,
        intake: Intake,
    ) -> None:
        self._options = context.options
        self._guard = guard
        self._buckets = buckets
        self._intake = intake
        self._uploads = uploads
        self._waiting = waiting

    async def post(self, request: Request) -> Response:
        headers = request.headers
        principal = self._guard.admit(headers)
        kind = body_type(headers)
        if kind == NDJSON:
            return await self._batch(request, principal)
        form = answer_type(headers, (JSON, EVENTS, NDJSON))
        self._buckets.take(principal.name if principal else "")
        delivery = await (self._form if kind == MULTIPART else self._frame)(request, principal)
        found = await self._submit(delivery, principal)
        return await self._answer(request, delivery, found, form)

    async def _frame(self, request: Request, principal: Principal | None) -> HttpDelivery:
        body = await read_body(request, self._options["max_body"])
        return HttpDelivery(self._envelope(body, principal, request.headers.get("idempotency-key")))

    async def _form(self, request: Request, principal: Principal | None) -> HttpDelivery:
        """Read a frame and its files; they are on the disk when this returns."""
        limits = {"limit": self._options["max_upload"], "frame_limit": self._options["max_body"]}
        async with form_of(request, too_long=too_long, **limits) as (frame, files):
            envelope = self._envelope(frame, principal, request.headers.get("idempotency-key"))
            envelope, folder = await with_files(envelope, files, self._uploads)
        return HttpDelivery(envelope, self._uploads, folder)

    def _envelope(self, body: bytes, principal: Principal | None, key: str | None = None) -> Envelope:
        """Parse a frame; its id may be missing, and its idempotency key may be in a header. Raises `ProblemError`."""
        try:
            envelope = parse_envelope(
                body, HTTP, default_source=SOURCE_ID, default_session=False, default_id=uuid4().hex
            )
            key = _key(key, envelope.idempotency_key)
            without_files(envelope)
        except FrameError as error:
            raise ProblemError(400, error, frame_id=error.frame_id) from None
        if principal is not None:
            refusal = principal.refusal(envelope.command)
            if refusal is not None:
                found = refused(403, refusal, help="ask for a token with a wider scope: `missive token create --help`")
                found.frame_id = envelope.id
                raise found
            envelope = _of_principal(envelope, principal)
        if key is not None:
            key = f"{principal.name if principal else ''}:{key}"
        return msgspec.structs.replace(envelope, idempotency_key=key)

    async def _submit(
        self, delivery: HttpDelivery, principal: Principal | str | None, *, wait: bool = False
    ) -> Receipt:
        """Hand a delivery over. Raises `ProblemError`."""
        envelope = delivery.envelope
        name = principal if isinstance(principal, str) or principal is None else principal.name
        reply_to = {"principal": name, "id": envelope.id}
        if delivery.folder is not None:
            reply_to["uploads"] = delivery.folder
        try:
            return await self._intake.submit(delivery, reply_to=reply_to, wait=wait)
        except MissiveError as error:
            raise await self._not_taken(delivery, error) from None

    async def _not_taken(self, delivery: HttpDelivery, error: MissiveError) -> ProblemError:
        await delivery.forget_files()
        frame_id = delivery.envelope.id
        if isinstance(error, IntakeFullError):
            after = str(max(1, round(error.retry_after)))
            return ProblemError(503, error, headers={"Retry-After": after}, frame_id=frame_id)
        retry = {"Retry-After": "5"} if isinstance(error, StorageError) else None
        return ProblemError(STATUS_OF.get(error.exit_code, 500), error, headers=retry, frame_id=frame_id)

    async def _answer(self, request: Request, delivery: HttpDelivery, found: Receipt, form: str) -> Response:
        replayed = {"Idempotency-Replayed": "true"} if found.duplicate else {}
        if form != JSON:
            delivery.leave()
            heartbeat = self._options["heartbeat"]
            frame = delivery.envelope.id
            return follow(self._intake, found, form, self._waiting, heartbeat=heartbeat, frame=frame, headers=replayed)
        seconds, headers = wait_of(request.headers, self._options["wait"], self._options["max_wait"])
        headers |= replayed
        outcome = await delivery.wait(seconds, self._waiting)
        if outcome is None:
            return accepted(found, headers, delivery.envelope.id)
        document = ended(delivery.envelope.id, found.id, outcome, delivery.outputs)
        status = document.get("status", 200)
        headers["Content-Location"] = f"{RECEIPTS}/{found.id}"
        return Response(encode(document), status, headers, JSON if status == 200 else PROBLEM)

    # --- several frames

    async def _batch(self, request: Request, principal: Principal | None) -> Response:
        """Run the frames of an NDJSON body, and answer each when it has ended."""
        answer_type(request.headers, (NDJSON,))
        if "idempotency-key" in request.headers:
            raise refused(400, "a batch has no `Idempotency-Key`", help="give each frame its `idempotency_key`")
        body = await read_body(request, self._options["max_body"])
        lines = [(number, line) for number, line in enumerate(body.split(b"\n"), 1) if line.strip()]
        if not lines:
            raise refused(400, "there is no frame in the batch", help="send one frame a line")
        seconds, headers = wait_of(request.headers, self._options["wait"], self._options["max_wait"])

        async def produce(write: Write) -> None:
            places = anyio.Semaphore(BATCH_CONCURRENCY)
            until = anyio.current_time() + seconds

            async def take_in(number: int, delivery: HttpDelivery) -> Receipt | None:
                try:
                    return await self._submit(delivery, principal, wait=True)
                except ProblemError as error:
                    await write({**error.document(), "line": number}, None)
                    return None

            async def answer(number: int, delivery: HttpDelivery, found: Receipt | None) -> None:
                try:
                    found = found or await take_in(number, delivery)
                    if found is not None:
                        outcome = await delivery.wait(max(0.0, until - anyio.current_time()), self._waiting)
                        await write(self._line(number, delivery, found, outcome), None)
                finally:
                    places.release()

            async with anyio.create_task_group() as group:
                for number, line in lines:
                    try:
                        self._buckets.take(principal.name if principal else "")
                        delivery = HttpDelivery(self._envelope(line, principal))
                    except ProblemError as error:
                        await write({**error.document(), "line": number}, None)
                        continue
                    await places.acquire()
                    found = None
                    if delivery.envelope.in_session:  # one after the other: their order counts
                        found = await take_in(number, delivery)
                        if found is None:
                            places.release()
                            continue
                    group.start_soon(answer, number, delivery, found)

        heartbeat = self._options["heartbeat"]
        return StreamResponse(NDJSON, produce, heartbeat=heartbeat, waiting=Waiting(), headers=headers)

    @staticmethod
    def _line(number: int, delivery: HttpDelivery, found: Receipt, outcome: Outcome | None) -> Json:
        if outcome is None:
            return documents.receipt(delivery.envelope.id, found, line=number)
        return ended(delivery.envelope.id, found.id, outcome, delivery.outputs, line=number)

    # --- webhooks

    async def webhook(self, request: Request, route: Route) -> Response:
        """Take a signed event in: 202 as soon as it is on the disk, since who sends it has no patience."""
        body_type(request.headers, (JSON,))
        body = await read_body(request, self._options["max_body"])
        delivery_id = route.verify(request.headers, body)
        self._buckets.take(route.principal)
        try:
            envelope = route.envelope(request.headers, body, delivery_id)
        except ValidationError as error:
            raise ProblemError(400, error) from None
        if envelope is None:
            return Response(status_code=204)
        delivery = HttpDelivery(envelope)
        found = await self._submit(delivery, route.principal)
        delivery.leave()
        return accepted(found, {"Idempotency-Replayed": "true"} if found.duplicate else {}, envelope.id)


def _of_principal(envelope: Envelope, principal: Principal) -> Envelope:
    """Return the envelope with a source that only this principal can have, so that nobody gets into another's session.

    Raises `ProblemError` if its name is too long then.
    """
    source_id = f"{principal.name}:{envelope.source.source_id}"
    if len(source_id) > SOURCE_LENGTH:
        room = SOURCE_LENGTH - len(principal.name) - 1
        raise ProblemError(
            400,
            ValidationError(f"field `source.source_id`: with this token it may have {room} characters"),
            frame_id=envelope.id,
        )
    return msgspec.structs.replace(envelope, source=msgspec.structs.replace(envelope.source, source_id=source_id))


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
