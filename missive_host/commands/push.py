"""Push configs: where an agent is to send notifications about a task."""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from missive_host.commands.base import Calling, Metadata, Name, NonEmpty, OpaqueId

CallbackUrl = Annotated[str, Meta(pattern=r"^https?://[^\s/?#@]+([/?#]\S*)?$(?!\n)", max_length=2048)]
"""An ``http`` or ``https`` URL without credentials in it."""
EnvName = Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$(?!\n)", max_length=256)]
AuthScheme = Annotated[str, Meta(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$(?!\n)", max_length=64)]


class _OfTask(Calling, frozen=True, kw_only=True, omit_defaults=True):
    agent: Annotated[Name, Meta(description="Alias of the agent.")]
    task_id: Annotated[OpaqueId, Meta(description="Id of the task.")]


class PushCreate(_OfTask, frozen=True, kw_only=True, omit_defaults=True, tag="push_create"):
    """Have an agent send notifications about a task to a URL.

    Secrets are named by the environment variable that holds them: the agent gets the value, missive keeps a digest.
    """

    operator: ClassVar[bool] = True
    url: Annotated[CallbackUrl, Meta(description="Where to send them: an http or https URL that the agent can reach.")]
    config_id: Annotated[
        OpaqueId | None,
        Meta(description="Id of the config; one that exists is replaced. Without it a new one is made."),
    ] = None
    token_env: Annotated[
        EnvName | None,
        Meta(description="Environment variable with the token to send as `X-A2A-Notification-Token`."),
    ] = None
    auth_scheme: Annotated[
        AuthScheme | None, Meta(description="Scheme of the `Authorization` header to send, such as Bearer.")
    ] = None
    auth_credentials_env: Annotated[
        EnvName | None, Meta(description="Environment variable with the credentials that follow the scheme.")
    ] = None
    metadata: Annotated[Metadata, Meta(description="Local metadata; the agent does not get it.")] = msgspec.field(
        default_factory=dict
    )

    def __post_init__(self) -> None:
        if self.auth_credentials_env is not None and self.auth_scheme is None:
            raise ValueError("`auth_credentials_env` needs `auth_scheme`")


class PushGet(_OfTask, frozen=True, kw_only=True, omit_defaults=True, tag="push_get"):
    """Show a push config as the agent has it, without its secrets."""

    config_id: Annotated[OpaqueId, Meta(description="Id of the config.")]


class PushList(_OfTask, frozen=True, kw_only=True, omit_defaults=True, tag="push_list"):
    """List the push configs of a task as the agent has them, without their secrets."""

    page_size: Annotated[Annotated[int, Meta(ge=1, le=1000)] | None, Meta(description="At most this many.")] = None
    page_token: Annotated[NonEmpty | None, Meta(description="`next_page_token` of the page before.")] = None


class PushDelete(_OfTask, frozen=True, kw_only=True, omit_defaults=True, tag="push_delete"):
    """Have an agent send no more notifications for a push config."""

    operator: ClassVar[bool] = True
    config_id: Annotated[OpaqueId, Meta(description="Id of the config.")]
