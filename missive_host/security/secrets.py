"""Secrets: a type that never prints itself, and where the values come from.

The value of a secret is never part of an error; the name of its source always is.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from missive_host.errors import AuthError, ValidationError

if TYPE_CHECKING:
    from missive_host.config.model import AuthHeader, AuthRef

MASK = "***"
MAX_VALUE_BYTES = 8192

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e]*")
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_REFUSED_HEADERS = ("a2a-version", "a2a-extensions", "content-length", "transfer-encoding", "connection")


class Secret:
    """A text that must not be seen. ``reveal`` gives it; everything else gives ``***`` or refuses.

    It cannot be pickled or written as JSON (`TypeError`), and it compares in constant time.
    """

    __slots__ = ("__value",)
    __value: str

    def __init__(self, value: str) -> None:
        object.__setattr__(self, "_Secret__value", value)

    def reveal(self) -> str:
        """Return the text itself."""
        return self.__value

    def __repr__(self) -> str:
        return MASK

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return MASK

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        from hmac import compare_digest

        return compare_digest(_bytes(self.__value), _bytes(other.__value))

    def __hash__(self) -> int:
        return hash((Secret, self.__value))

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("a Secret cannot be changed")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError("a Secret cannot be changed")

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: object) -> Secret:
        return self

    def __getstate__(self) -> NoReturn:
        raise TypeError("a Secret cannot be pickled")

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a Secret cannot be pickled")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


# --- auth refs


def resolve_auth_ref(
    name: str, ref: AuthRef, environ: Mapping[str, str] = os.environ
) -> tuple[tuple[str, Secret], ...]:
    """Return the headers of an auth ref: pairs of a name and a whole value such as ``Bearer x``.

    Raises `AuthError` that names the ref, where its secret should be, and what to do.
    """
    return tuple((entry.header, _header_value(name, entry, environ)) for entry in ref.entries)


def _header_value(name: str, entry: AuthHeader, environ: Mapping[str, str]) -> Secret:
    what = f"auth ref '{name}'"
    if entry.source == "file":
        secret = from_file(entry.file or "", what)
    elif entry.source == "keyring":
        secret = from_keyring(entry.keyring_service or "", entry.keyring_account or "", what)
    else:
        secret = from_env(entry.env or "", environ, what)
    return _checked(Secret(f"{entry.scheme} {secret.reveal()}"), what) if entry.scheme else secret


def resolve_reference(what: str, reference: str, environ: Mapping[str, str] = os.environ) -> Secret:
    """Return the secret that ``{ secret = "..." }`` means: ``env:NAME``, ``file:PATH`` or ``keyring:SERVICE/ACCOUNT``.

    `what` names the setting in errors, e.g. ``adapters.team.token``. Raises `AuthError`, or `ValidationError` for
    a reference of another form (it is not repeated, since it may be the secret itself).
    """
    kind, _, rest = reference.partition(":")
    if kind == "env" and _ENV_NAME.fullmatch(rest):
        return from_env(rest, environ, what)
    if kind == "file" and rest:
        return from_file(rest, what)
    service, _, account = rest.rpartition("/")
    if kind == "keyring" and service and account:
        return from_keyring(service, account, what)
    raise ValidationError(
        f"{what}: not a reference to a secret", help="write env:NAME, file:PATH or keyring:SERVICE/ACCOUNT"
    )


def from_env(variable: str, environ: Mapping[str, str], what: str) -> Secret:
    """Return the secret in an environment variable. Raises `AuthError`."""
    value = environ.get(variable)
    if not value:
        state = "is not set" if value is None else "is empty"
        raise AuthError(
            f"{what}: the environment variable {variable} {state}",
            help=f"set {variable} to the credential, and export it",
        )
    return _checked(Secret(value), f"{what}: the environment variable {variable}")


def from_file(path: str, what: str) -> Secret:
    """Return the secret in a file that only its owner may read. Raises `AuthError`."""
    import stat

    where = f"{what}: the file {path}"
    try:
        # Not blocking, so that a pipe in its place is refused below and cannot hang us.
        descriptor = os.open(os.path.expanduser(path), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # noqa: PTH111
    except OSError as error:
        raise AuthError(
            f"{where} cannot be read: {error.strerror}", help=f"write the credential into {path}, then chmod 600 {path}"
        ) from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise AuthError(f"{where} is not a regular file", help="name a file that holds the credential alone")
        if status.st_mode & 0o077:
            raise AuthError(f"{where} can be read by others", help=f"chmod 600 {path}")
        data = os.read(descriptor, MAX_VALUE_BYTES + 3)  # with a line end, and one more to see that it is too long
    except OSError as error:
        raise AuthError(f"{where} cannot be read: {error.strerror}") from None
    finally:
        os.close(descriptor)
    try:
        value = data.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        raise AuthError(f"{where} is not text", help="it must hold the credential alone, as text") from None
    if not value:
        raise AuthError(f"{where} is empty", help=f"write the credential into {path}")
    return _checked(Secret(value), where)


def from_keyring(service: str, account: str, what: str) -> Secret:
    """Return the secret in the system's keyring. Raises `AuthError`."""
    try:
        import keyring
        from keyring.errors import KeyringError
    except ImportError:
        raise AuthError(
            f"{what}: the keyring cannot be read, since the extra is not installed",
            help="pip install 'missive-host[keyring]'",
        ) from None
    where = f"{what}: the keyring entry {service}/{account}"
    try:
        value = keyring.get_password(service, account)
    except (KeyringError, RuntimeError, OSError) as error:
        # A backend's own text may hold anything, so only its kind is told.
        raise AuthError(
            f"{where} cannot be read ({type(error).__name__})",
            help="unlock the keyring, or use an env or file auth ref",
        ) from None
    if not value:
        raise AuthError(f"{where} does not exist", help=f"keyring set {service} {account}")
    return _checked(Secret(value), where)


def _checked(secret: Secret, where: str) -> Secret:
    """Refuse what no header can carry, before an HTTP library does it with the value in its message."""
    value = secret.reveal()
    if len(value) > MAX_VALUE_BYTES:
        raise AuthError(f"{where} is longer than {MAX_VALUE_BYTES} bytes", help="it must hold the credential alone")
    if not _HEADER_VALUE.fullmatch(value):
        raise AuthError(
            f"{where} has a line break or another character that a header cannot carry",
            help="it must be one line of printable ASCII",
        )
    return secret


# --- flags


def parse_header_flag(text: str) -> tuple[str, Secret]:
    """Read ``--header Name:Value``. Raises `ValidationError`, which never shows the value."""
    name, colon, value = text.partition(":")
    value = value.strip(" \t")
    if not colon:
        raise ValidationError("--header: expected Name:Value", help="for example --header 'X-Tenant: blue'")
    if not _HEADER_NAME.fullmatch(name):
        raise ValidationError(
            "--header: the part before ':' is not a header name", help="letters, digits and '-', without white space"
        )
    if name.lower() in _REFUSED_HEADERS:
        raise ValidationError(
            f"--header: {name} is set by missive itself", help="see --protocol-version and --a2a-extension"
        )
    check_value(value, f"--header {name}")
    return name, Secret(value)


def bearer_from_env(variable: str, environ: Mapping[str, str] = os.environ) -> tuple[str, Secret]:
    """Return the ``Authorization`` header of ``--bearer-token-env``.

    Raises `AuthError` when the variable is not set or empty, `ValidationError` when it is no variable's name.
    """
    if not _ENV_NAME.fullmatch(variable):
        # Not repeated: somebody may have given the token itself.
        raise ValidationError(
            "--bearer-token-env: expected the name of an environment variable", help="give its name, not the token"
        )
    token = from_env(variable, environ, "--bearer-token-env")
    return "Authorization", _checked(Secret(f"Bearer {token.reveal()}"), f"--bearer-token-env {variable}")


def check_value(value: str, what: str) -> None:
    """Raise a `ValidationError` if a header cannot carry `value`."""
    if len(value) > MAX_VALUE_BYTES:
        raise ValidationError(f"{what}: the value is longer than {MAX_VALUE_BYTES} bytes")
    if not _HEADER_VALUE.fullmatch(value):
        raise ValidationError(
            f"{what}: the value has a line break or another character that a header cannot carry",
            help="use one line of printable ASCII",
        )


def check_header_name(name: str, what: str) -> None:
    """Raise a `ValidationError` if `name` cannot be a header's name."""
    if not _HEADER_NAME.fullmatch(name):
        raise ValidationError(f"{what}: expected a header name", help="letters, digits and '-', without white space")


def secrets_in(value: Any) -> Iterator[Secret]:
    """Yield the secrets in options or other nested values."""
    if isinstance(value, Secret):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from secrets_in(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from secrets_in(item)
