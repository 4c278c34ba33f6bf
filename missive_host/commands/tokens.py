"""Commands about the tokens with which clients come to the gateway."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from missive_host.commands.base import Command, Name, ShortText, Timestamp


class TokenCreate(Command, frozen=True, kw_only=True, omit_defaults=True, tag="token_create"):
    """Make a token for a client of the gateway, and print it. It is printed this once: only its digest is kept."""

    operator: ClassVar[bool] = True
    store_only: ClassVar[bool] = True
    name: Annotated[Name, Meta(description="Name of the token: whose it is.")]
    commands: Annotated[
        tuple[ShortText, ...], Meta(description="A command that it may be used for; without any, all.")
    ] = ()
    agents: Annotated[
        tuple[Name, ...], Meta(description="An agent or group that it may be used for; without any, all.")
    ] = ()
    expires: Annotated[
        Timestamp | None,
        Meta(description="When it ends: after a time such as `12h` or `90d`, or at an RFC 3339 time."),
    ] = None
    replace: Annotated[
        bool, Meta(description="Put it in the place of the token of this name, which is refused from now on.")
    ] = False


class TokenList(Command, frozen=True, kw_only=True, omit_defaults=True, tag="token_list"):
    """List the tokens of the gateway's clients, without the tokens themselves."""

    operator: ClassVar[bool] = True
    store_only: ClassVar[bool] = True


class TokenRevoke(Command, frozen=True, kw_only=True, omit_defaults=True, tag="token_revoke"):
    """Refuse a token from now on. A running gateway does so at its next request."""

    operator: ClassVar[bool] = True
    store_only: ClassVar[bool] = True
    name: Annotated[Name, Meta(description="Name of the token.")]
