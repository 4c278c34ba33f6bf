"""GET of a receipt: the answer, once there is one; how it stands until then; or the results as they come."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
from starlette.responses import Response

from missive_host.protocols import UnknownReceiptError
from missive_http import documents
from missive_http.delivery import Answer, Stream, ended
from missive_http.documents import RECEIPTS, encode, refused
from missive_http.negotiation import EVENTS, JSON, NDJSON, answer_type, wait_of
from missive_http.streaming import StreamResponse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from missive_host.protocols import AdapterContext, Intake, Principal, Receipt
    from missive_http.delivery import Waiting
    from missive_http.guard import Guard
    from missive_http.streaming import Write

ENDED = ("done", "failed", "dead", "cancelled")


class Receipts:
    """The answers of requests, for those who made them."""

    def __init__(self, context: AdapterContext, guard: Guard, waiting: Waiting, intake: Intake) -> None:
        self._name = context.name
        self._options = context.options
        self._guard = guard
        self._waiting = waiting
        self._intake = intake

    async def get(self, request: Request) -> Response:
        principal = self._guard.admit(request.headers)
        form = answer_type(request.headers, (JSON, EVENTS, NDJSON))
        found = await self._find(request.path_params["receipt_id"], principal)
        if form != JSON and request.method == "GET":
            after = _last_event(request.headers, found)
            heartbeat = self._options["heartbeat"]
            return follow(self._intake, found, form, self._waiting, heartbeat=heartbeat, after=after)
        seconds, headers = wait_of(request.headers, 0, self._options["max_wait"])
        answer = Answer()
        finished = found.state in ENDED
        if finished or seconds:
            with anyio.move_on_after(None if finished else seconds) as scope, self._waiting.until(scope.cancel):
                await self._intake.follow(found.id, answer)
            if not finished:
                found = await self._find(found.id, principal)
        headers["Cache-Control"] = "no-store"
        if answer.outcome is None or found.state not in ENDED:
            return accepted(found, headers)
        body = ended(frame_id(found), found.id, answer.outcome, answer.outputs)
        return Response(encode(body), 200, headers, JSON)

    async def _find(self, receipt_id: str, principal: Principal | None) -> Receipt:
        """Return a receipt of this principal. Raises `ProblemError`: whether others have it is not told."""
        try:
            found = await self._intake.receipt(receipt_id)
        except UnknownReceiptError:
            raise unknown(receipt_id) from None
        reply_to = found.reply_to or {}
        if found.adapter != self._name or not _may_read(reply_to.get("principal"), principal):
            raise unknown(receipt_id)
        return found


def _may_read(owner: str | None, principal: Principal | None) -> bool:
    """True of one's own; what webhooks sent belongs to all who may do everything."""
    if owner is not None and owner.startswith("webhook/"):
        return principal is None or not (principal.commands or principal.agents)
    return owner == (principal.name if principal else None)


def unknown(receipt_id: str) -> documents.ProblemError:
    return refused(404, f"there is no receipt '{receipt_id[:64]}'", help="answers are kept for `gateway.keep_answers`")


def frame_id(found: Receipt) -> str:
    """Return the id that the request had."""
    return str((found.reply_to or {}).get("id", found.id))


def accepted(found: Receipt, headers: dict[str, str], frame: str | None = None) -> Response:
    """Return the 202: where the answer can be had, and when to ask again."""
    headers = {**headers, "Location": f"{RECEIPTS}/{found.id}", "Retry-After": "1"}
    return Response(encode(documents.receipt(frame or frame_id(found), found)), 202, headers, JSON)


def follow(
    intake: Intake,
    found: Receipt,
    form: str,
    waiting: Waiting,
    *,
    heartbeat: float,
    after: int = 0,
    frame: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return the stream of a receipt: the receipt itself, the results without the first `after`, the end."""
    name = frame or frame_id(found)

    async def produce(write: Write) -> None:
        await write(documents.receipt(name, found), None)
        await intake.follow(found.id, Stream(name, found.id, write, after=after), after=after)

    return StreamResponse(
        form,
        produce,
        heartbeat=heartbeat,
        waiting=waiting,
        headers={"Content-Location": f"{RECEIPTS}/{found.id}", **(headers or {})},
    )


def _last_event(headers: Mapping[str, str], found: Receipt) -> int:
    """Return how many results the client has had already. Raises `ProblemError`.

    Of a request that a crash has made begin anew there may be fewer than it has had.
    """
    text = headers.get("last-event-id", "").strip()
    if not text:
        return 0
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= 15 else -1
    if number < 0 or (number > found.outputs and found.state in ENDED):
        raise refused(400, "header `Last-Event-ID`: is not the id of an event of this receipt", help="leave it out")
    return min(number, found.outputs)
