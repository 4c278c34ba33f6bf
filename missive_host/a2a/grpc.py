"""The gRPC binding (A2A spec section 10). Needs the extra ``grpc``; imported when an agent is spoken to over it."""

from __future__ import annotations

from asyncio import CancelledError, current_task
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from anyio.lowlevel import checkpoint_if_cancelled

from missive_host.a2a import push_configs
from missive_host.a2a.binding import Headers
from missive_host.a2a.codec import METHODS, as_json, complete, from_legacy, legacy_request_message, request_message
from missive_host.a2a.faults import a2a_error, broken_answer
from missive_host.a2a.shapes import Json
from missive_host.errors import A2AErrorInfo, AuthError, MissiveError, TransportError, ValidationError

if TYPE_CHECKING:
    from types import TracebackType

_NO_CONNECTION = ("failed to connect to all addresses", "errors resolving", "dns resolution failed")
"""How gRPC begins to say that a call never left."""


class GrpcChannels:
    """The channels of a process: one for each target, kept until the end."""

    def __init__(self) -> None:
        self._channels: dict[tuple[str, bool], Any] = {}

    def get(self, url: str) -> Any:
        """Return the channel of an interface's URL.

        ``host:port`` and ``grpc://`` and ``http://`` are plain text on loopback; elsewhere ``host:port`` means TLS,
        as ``grpcs://`` and ``https://`` do.
        """
        target, secure = grpc_target(url)
        channel = self._channels.get((target, secure))
        if channel is None:
            import grpc

            # An artifact may be larger than gRPC's 4 MiB; keepalive finds an agent that has vanished.
            options = [
                ("grpc.max_receive_message_length", -1),
                ("grpc.max_send_message_length", -1),
                ("grpc.keepalive_time_ms", 60_000),
                ("grpc.keepalive_timeout_ms", 20_000),
            ]
            make = grpc.aio.insecure_channel
            if secure:
                channel = grpc.aio.secure_channel(target, grpc.ssl_channel_credentials(), options=options)
            else:
                channel = make(target, options=options)
            self._channels[(target, secure)] = channel
        return channel

    async def aclose(self) -> None:
        for channel in self._channels.values():
            await channel.close(None)
        self._channels.clear()


def grpc_target(url: str) -> tuple[str, bool]:
    """Return ``host:port`` and whether TLS is used."""
    parts = urlsplit(url if "://" in url else f"//{url}")
    if not parts.hostname:
        raise ValidationError(f"{url!r} is no gRPC target", help="it should look like host:port")
    loopback = parts.hostname in ("localhost", "127.0.0.1", "::1")
    secure = parts.scheme in ("https", "grpcs") or (parts.scheme == "" and not loopback)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{host}:{parts.port or (443 if secure else 80)}", secure


class GrpcBinding:
    """Protocol 1.0 or 0.3 over gRPC."""

    def __init__(self, channels: GrpcChannels, url: str, version: str, *, where: str, tenant: str | None) -> None:
        channel = channels.get(url)
        self._where = where
        self._tenant = tenant
        self._legacy = version == "0.3"
        if self._legacy:
            from a2a.compat.v0_3 import a2a_v0_3_pb2_grpc

            self._stub: Any = a2a_v0_3_pb2_grpc.A2AServiceStub(channel)  # type: ignore[no-untyped-call]
        else:
            from a2a.types import a2a_pb2_grpc

            self._stub = a2a_pb2_grpc.A2AServiceStub(channel)  # type: ignore[no-untyped-call]

    async def call(self, operation: str, request: Json, headers: Headers) -> Json:
        import grpc

        method, message = self._prepare(operation, request)
        try:
            answer = await method(message, metadata=_metadata(headers))
        except grpc.aio.AioRpcError as error:
            raise map_rpc_error(error, self._where) from None
        except CancelledError as error:
            raise await _cancelled(error, self._where) from None
        return self._decode(operation, answer)

    def stream(self, operation: str, request: Json, headers: Headers) -> GrpcStream:
        method, message = self._prepare(operation, request)
        return GrpcStream(method, message, _metadata(headers), self._where, partial(self._decode, operation))

    def _prepare(self, operation: str, request: Json) -> tuple[Any, Any]:
        if self._tenant:
            request = {"tenant": self._tenant, **request}
        if self._legacy:
            return self._prepare_legacy(operation, legacy_request_message(operation, request))
        return getattr(self._stub, METHODS[operation]), request_message(operation, request)

    def _prepare_legacy(self, operation: str, message: Any) -> tuple[Any, Any]:
        from a2a.compat.v0_3 import a2a_v0_3_pb2 as pb, conversions, proto_utils

        if operation in ("send", "stream"):
            params = conversions.to_compat_send_message_request(message, request_id=0).params
            write = proto_utils.ToProto
            legacy = pb.SendMessageRequest(
                request=write.message(params.message),
                configuration=write.message_send_configuration(params.configuration),
                metadata=write.metadata(params.metadata),
            )
            return (self._stub.SendMessage if operation == "send" else self._stub.SendStreamingMessage), legacy
        if push_configs.is_push(operation):
            method = METHODS[operation].replace("ListTaskPushNotificationConfigs", "ListTaskPushNotificationConfig")
            return getattr(self._stub, method), push_configs.legacy_message(operation, message)
        name = f"tasks/{message.id}" if operation != "list" else ""
        if operation == "get":
            return self._stub.GetTask, pb.GetTaskRequest(name=name, history_length=message.history_length)
        if operation == "cancel":
            return self._stub.CancelTask, pb.CancelTaskRequest(name=name)
        if operation == "subscribe":
            return self._stub.TaskSubscription, pb.TaskSubscriptionRequest(name=name)
        from missive_host.a2a.codec import Codec03

        Codec03().method(operation, self._where)
        raise AssertionError(operation)

    def _decode(self, operation: str, answer: Any) -> Json:
        try:
            return complete(operation, self._canonical(operation, answer))
        except Exception as error:  # noqa: BLE001 - the conversions of 0.3 raise what pydantic and enums raise
            raise broken_answer(str(error), str(answer).encode(), None, where=self._where) from None

    def _canonical(self, operation: str, answer: Any) -> Json:
        if not self._legacy or operation == "push_delete":
            return as_json(answer)
        if push_configs.is_push(operation):
            return as_json(push_configs.from_legacy_message(operation, answer))
        if operation in ("send", "stream", "subscribe"):
            return from_legacy(answer)
        from a2a.compat.v0_3 import conversions, proto_utils

        return as_json(conversions.to_core_task(proto_utils.FromProto.task(answer)))


class GrpcStream(AbstractAsyncContextManager["GrpcStream"]):
    """A server stream being read."""

    def __init__(self, method: Any, message: Any, metadata: Any, where: str, decode: Any) -> None:
        self._method, self._message, self._metadata = method, message, metadata
        self._where = where
        self._decode = decode
        self._call: Any = None

    async def __aenter__(self) -> GrpcStream:
        self._call = self._method(self._message, metadata=self._metadata)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._call.cancel()

    async def next(self) -> Json | None:
        import grpc

        try:
            message = await self._call.read()
        except grpc.aio.AioRpcError as error:
            raise map_rpc_error(error, self._where) from None
        except CancelledError as error:
            raise await _cancelled(error, self._where) from None
        if message is grpc.aio.EOF:
            return None
        result: Json = self._decode(message)
        return result


async def _cancelled(error: CancelledError, where: str) -> BaseException:
    """Return what a cancelled call is to raise.

    gRPC replaces the cancellation that reached it by one of its own. A cancel scope would not know that one and let
    it through, so that a deadline would end the process; here it gets its own again.
    """
    await checkpoint_if_cancelled()
    task = current_task()
    if task is not None and task.cancelling():
        return error
    return TransportError(f"the call to {where} was cut off, because its channel was closed")


def _metadata(headers: Headers) -> tuple[tuple[str, str], ...]:
    skip = {"content-type", "accept", "user-agent"}
    return tuple((name.lower(), value) for name, value in headers if name.lower() not in skip)


def map_rpc_error(error: Any, where: str) -> MissiveError:
    """Map a gRPC status (A2A spec 10.6): ErrorInfo details first, then 0.3's ``Name: message``, then the code."""
    import grpc

    code = error.code()
    details = error.details() or ""
    name = _error_info(error)
    legacy, _, rest = details.partition(": ")
    if name is None and legacy.endswith("Error") and legacy.isidentifier():
        name, details = legacy, rest
    if name is not None:
        return a2a_error(name, details, where=where)
    sentence = f"{where} answered gRPC {code.name}" + (f": {details[:300]}" if details else "")
    info = A2AErrorInfo(name=code.name, code=code.value[0])
    if code in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED):
        return AuthError(
            sentence,
            help="give the agent a credential: --bearer-token-env NAME, --header, or an auth ref in the config",
            a2a=info,
        )
    if code == grpc.StatusCode.UNAVAILABLE:
        # gRPC's own word for a connection that could not be made, or broke; nothing that the agent said, so without
        # `a2a`. "Connection reset by peer" is one that broke: the agent may have the request.
        never_sent = details.lower().startswith(_NO_CONNECTION)
        return TransportError(sentence, help="is the agent running?", sent=not never_sent)
    if code == grpc.StatusCode.RESOURCE_EXHAUSTED:
        return TransportError(sentence, help="the agent is busy, or the message too large for it", a2a=info, sent=False)
    return TransportError(sentence, a2a=info)


def _error_info(error: Any) -> str | None:
    from google.protobuf.message import DecodeError
    from google.rpc import error_details_pb2, status_pb2

    from missive_host.a2a.faults import name_of_reason

    for key, value in error.trailing_metadata() or ():
        if key != "grpc-status-details-bin":
            continue
        try:
            status = status_pb2.Status.FromString(value)
        except DecodeError:
            return None
        for detail in status.details:
            if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
                info = error_details_pb2.ErrorInfo()
                detail.Unpack(info)
                return name_of_reason(info.reason)
    return None
