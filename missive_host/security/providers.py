"""Where the values of secrets come from: the providers that plugins declare."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from missive_host.errors import AuthError, MissiveError, PluginError, ValidationError
from missive_host.protocols import SecretContext, SecretProvider
from missive_host.security.secrets import Secret, checked

if TYPE_CHECKING:
    from missive_host.config.model import AuthHeader, AuthRef
    from missive_host.plugins import Plugins

log = logging.getLogger("missive.secrets")

_REFERENCE = re.compile(r"(?P<provider>[a-z][a-z0-9_-]{0,30}):(?P<rest>.+)", re.DOTALL)


def split(what: str, reference: str) -> tuple[str, str]:
    """Return the provider and what it is asked for.

    Raises `ValidationError` that names the setting `what`. The reference is not repeated: it may be the secret itself.
    """
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        raise ValidationError(
            f"{what}: not a reference to a secret",
            help="write PROVIDER:REFERENCE, such as env:NAME, file:PATH or keyring:SERVICE/ACCOUNT",
        )
    return match["provider"], match["rest"]


class Secrets:
    """Resolves references to secrets. A provider's plugin is imported when a reference names it, and kept."""

    def __init__(self, plugins: Callable[[], Plugins], environ: Mapping[str, str]) -> None:
        self._plugins = plugins
        self._context = SecretContext(environ)
        self._providers: dict[str, SecretProvider] = {}

    def resolve(self, what: str, reference: str) -> Secret:
        """Return the secret that ``PROVIDER:REFERENCE`` means. `what` names the setting in errors.

        Raises `AuthError` when it cannot be had, `ValidationError` when it is no reference, `PluginError` when there
        is no such provider.
        """
        name, rest = split(what, reference)
        try:
            value = self._provider(what, name).get(rest)
        except ValidationError as error:
            raise ValidationError(f"{what}: {error.message}", help=error.help) from None
        except PluginError:
            raise
        except MissiveError as error:
            raise AuthError(f"{what}: {error.message}", help=error.help) from None
        except Exception as error:  # noqa: BLE001 - a stranger's text may hold anything, so only its kind is told
            raise _failed(what, name, error) from None
        if not isinstance(value, str) or not value:
            raise AuthError(f"{what}: the secret provider `{name}` gave {'nothing' if not value else 'no text'}")
        return checked(Secret(value), f"{what}: what `{name}` has there")

    def headers(self, name: str, ref: AuthRef) -> tuple[tuple[str, Secret], ...]:
        """Return the headers of an auth ref: pairs of a name and a whole value such as ``Bearer x``.

        Raises as `resolve` does; the error names the ref.
        """
        return tuple((entry.header, self._header(f"auth ref '{name}'", entry)) for entry in ref.entries)

    def _header(self, what: str, entry: AuthHeader) -> Secret:
        secret = self.resolve(what, entry.reference)
        return checked(Secret(f"{entry.scheme} {secret.reveal()}"), what) if entry.scheme else secret

    def _provider(self, what: str, name: str) -> SecretProvider:
        if name not in self._providers:
            plugins = self._plugins()
            try:
                spec, _ = plugins.secret_provider(name)
                factory = plugins.factory(spec)
            except PluginError as error:
                raise PluginError(f"{what}: {error.message}", help=error.help, sources=error.sources) from None
            self._providers[name] = factory(self._context)
        return self._providers[name]


def _failed(what: str, name: str, error: Exception) -> AuthError:
    log.debug("the secret provider `%s` raised %s", name, type(error).__name__)
    return AuthError(
        f"{what}: the secret provider `{name}` failed ({type(error).__name__})",
        help="this is a fault in its plugin; `missive plugin check` says whose it is",
    )
