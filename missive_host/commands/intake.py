"""What the gateway has taken in: for the operator."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from missive_host.commands.base import Command, Name, OpaqueId

WorkState = Literal["queued", "ready", "running", "done", "failed", "dead", "cancelled"]


class _Intake(Command, frozen=True, kw_only=True, omit_defaults=True):
    operator: ClassVar[bool] = True
    store_only: ClassVar[bool] = True


class IntakeList(_Intake, frozen=True, kw_only=True, omit_defaults=True, tag="intake_list"):
    """List deliveries: the dead letters, or with `states` others. Dead is what failed again and again, or ended us."""

    states: Annotated[tuple[WorkState, ...], Meta(description="Deliveries in these states instead; dead.")] = ()
    adapter: Annotated[Name | None, Meta(description="Only deliveries that came through this adapter.")] = None
    limit: Annotated[Annotated[int, Meta(ge=1)], Meta(description="How many at most, the newest.")] = 100


class IntakeShow(_Intake, frozen=True, kw_only=True, omit_defaults=True, tag="intake_show"):
    """Show a delivery: what came in, what became of it, and its results."""

    receipt: Annotated[
        OpaqueId, Meta(description="Its receipt; or the beginning of its idempotency key, such as the code in a chat.")
    ]


class IntakeRetry(_Intake, frozen=True, kw_only=True, omit_defaults=True, tag="intake_retry"):
    """Let the gateway try dead letters again, under the messageIds that they had. Their senders get the answer."""

    receipts: Annotated[tuple[OpaqueId, ...], Meta(description="Their receipts.")] = ()
    all: Annotated[bool, Meta(description="All dead letters.")] = False


class IntakeDrop(_Intake, frozen=True, kw_only=True, omit_defaults=True, tag="intake_drop"):
    """Forget deliveries that have ended, dead letters among them."""

    receipts: Annotated[tuple[OpaqueId, ...], Meta(description="Their receipts.")] = ()
    all: Annotated[bool, Meta(description="All dead letters.")] = False
