"""ProtoJSON in and out, for protocol 1.0 and 0.3.

A codec turns our canonical dicts into what goes over JSON, and back. The 1.0 codec sends a request as it is and
checks each answer by reading it into A2A's protobuf types; the 0.3 codec converts with the SDK's own tables.
"""

from __future__ import annotations

from typing import Any, Protocol

from missive_host.a2a import push_configs
from missive_host.a2a.plain import is_plain
from missive_host.a2a.shapes import Json, lacking
from missive_host.errors import ProtocolError, ValidationError

METHODS = {
    "send": "SendMessage",
    "stream": "SendStreamingMessage",
    "get": "GetTask",
    "list": "ListTasks",
    "cancel": "CancelTask",
    "subscribe": "SubscribeToTask",
    "push_create": "CreateTaskPushNotificationConfig",
    "push_get": "GetTaskPushNotificationConfig",
    "push_list": "ListTaskPushNotificationConfigs",
    "push_delete": "DeleteTaskPushNotificationConfig",
}
"""A2A's names of the operations (spec 9.4, 10.4), which JSON-RPC and gRPC use."""
METHODS_0_3 = {
    "send": "message/send",
    "stream": "message/stream",
    "get": "tasks/get",
    "cancel": "tasks/cancel",
    "subscribe": "tasks/resubscribe",
    "push_create": "tasks/pushNotificationConfig/set",
    "push_get": "tasks/pushNotificationConfig/get",
    "push_list": "tasks/pushNotificationConfig/list",
    "push_delete": "tasks/pushNotificationConfig/delete",
}
_REQUESTS = {
    "send": "SendMessageRequest",
    "stream": "SendMessageRequest",
    "get": "GetTaskRequest",
    "list": "ListTasksRequest",
    "cancel": "CancelTaskRequest",
    "subscribe": "SubscribeToTaskRequest",
    "push_create": "TaskPushNotificationConfig",
    "push_get": "GetTaskPushNotificationConfigRequest",
    "push_list": "ListTaskPushNotificationConfigsRequest",
    "push_delete": "DeleteTaskPushNotificationConfigRequest",
}
_ANSWERS = {
    "send": "SendMessageResponse",
    "stream": "StreamResponse",
    "subscribe": "StreamResponse",
    "get": "Task",
    "cancel": "Task",
    "list": "ListTasksResponse",
    "push_create": "TaskPushNotificationConfig",
    "push_get": "TaskPushNotificationConfig",
    "push_list": "ListTaskPushNotificationConfigsResponse",
}
_LEGACY_ANSWERS = {
    "send": "SendMessageResponse",
    "get": "Task",
    "cancel": "Task",
    "push_create": "TaskPushNotificationConfig",
    "push_get": "TaskPushNotificationConfig",
    "push_list": "ListTaskPushNotificationConfigResponse",
}


def request_message(operation: str, request: Json) -> Any:
    """Return the protobuf message of a request. Raises `ValidationError` for what protobuf cannot hold."""
    from a2a.types import a2a_pb2
    from google.protobuf.json_format import ParseDict, ParseError

    try:
        return ParseDict(request, getattr(a2a_pb2, _REQUESTS[operation])())
    except ParseError as error:
        raise ValidationError(
            "the request cannot be written as a protobuf message",
            help="data parts and metadata may be nested 90 levels deep at the most",
            sources=(str(error),),
        ) from None


def legacy_request_message(operation: str, request: Json) -> Any:
    """As `request_message`, for an agent of 0.3, which would not wait for a task to end without being told to."""
    if operation in ("send", "stream"):
        request = {"configuration": {}, **request}  # its conversion says `blocking`
    return request_message(operation, request)


def as_json(message: Any) -> Json:
    """Return a protobuf message as canonical ProtoJSON."""
    from google.protobuf.json_format import MessageToDict

    result: Json = MessageToDict(message)
    return result


def complete(operation: str, answer: Json) -> Json:
    """Return an answer that has all that A2A requires. Raises `ValueError`."""
    fault = lacking(operation, answer)
    if fault is not None:
        raise ValueError(fault)
    return answer


class Codec(Protocol):
    """How one protocol version looks in JSON."""

    version: str

    def method(self, operation: str, where: str) -> str:
        """Return the JSON-RPC method, or raise a `ProtocolError` if this version has none."""
        ...

    def rest_path(self, operation: str, request: Json) -> tuple[str, str, Json | None]:
        """Return HTTP method, path below the interface's URL, and the query."""
        ...

    def encode(self, operation: str, request: Json, *, rest: bool) -> Json: ...

    def decode(self, operation: str, answer: Any, *, rest: bool) -> Json:
        """Return an answer in canonical form. Raises `ValueError` or `TypeError` if it is not what A2A says."""
        ...


def _path_id(request: Json) -> str:
    from urllib.parse import quote

    return quote(str(request["id"]), safe="")


class Codec10:
    """Protocol 1.0: JSON is ProtoJSON."""

    version = "1.0"

    def method(self, operation: str, where: str) -> str:  # noqa: ARG002 - 1.0 has them all
        return METHODS[operation]

    def rest_path(self, operation: str, request: Json) -> tuple[str, str, Json | None]:
        if operation in ("send", "stream"):
            return "POST", f"/message:{operation}", None
        if operation == "list":
            return "GET", "/tasks", {key: value for key, value in request.items() if key != "tenant"}
        if push_configs.is_push(operation):
            return push_configs.rest_path(operation, request)
        path = f"/tasks/{_path_id(request)}"
        if operation == "get":
            return "GET", path, {key: value for key, value in request.items() if key not in ("id", "tenant")}
        return "POST", f"{path}:{operation}", None

    def encode(self, operation: str, request: Json, *, rest: bool) -> Json:  # noqa: ARG002
        return request

    def decode(self, operation: str, answer: Any, *, rest: bool) -> Json:  # noqa: ARG002
        if not isinstance(answer, dict):
            raise TypeError(f"expected an object, got {type(answer).__name__}")
        if operation in ("send", "stream") and is_plain(answer):
            return answer
        return complete(operation, _canonical(operation, answer))


def _canonical(operation: str, answer: Json) -> Json:
    """Return an answer as A2A's protobuf types read it. Raises `ValueError`."""
    from a2a.types import a2a_pb2
    from google.protobuf.json_format import MessageToDict, ParseDict

    message = getattr(a2a_pb2, _ANSWERS[operation])()
    try:
        ParseDict(answer, message, ignore_unknown_fields=True)
    except Exception as error:  # noqa: BLE001 - protobuf raises ParseError, and TypeError or AttributeError for odd shapes
        raise ValueError(str(error)) from None
    result: Json = MessageToDict(message)
    return result


class Codec03:
    """Protocol 0.3, by the SDK's conversions. Has no ListTasks (not part of 0.3)."""

    version = "0.3"

    def method(self, operation: str, where: str) -> str:
        try:
            return METHODS_0_3[operation]
        except KeyError:
            raise _not_in_03(operation, where) from None

    def rest_path(self, operation: str, request: Json) -> tuple[str, str, Json | None]:
        if operation in ("send", "stream"):
            return "POST", f"/v1/message:{operation}", None
        if operation == "list":
            raise _not_in_03(operation, "the agent")
        if push_configs.is_push(operation):
            method, path, _ = push_configs.rest_path(operation, request)
            return method, f"/v1{path}", None
        path = f"/v1/tasks/{_path_id(request)}"
        if operation == "get":
            query = {"historyLength": request["historyLength"]} if "historyLength" in request else None
            return "GET", path, query
        return ("GET" if operation == "subscribe" else "POST"), f"{path}:{operation}", None

    def encode(self, operation: str, request: Json, *, rest: bool) -> Json:
        from a2a.compat.v0_3 import conversions

        message = legacy_request_message(operation, request)
        if push_configs.is_push(operation):
            if rest:
                return as_json(push_configs.legacy_message(operation, message))
            return push_configs.encode_legacy(operation, message)
        if rest and operation not in ("send", "stream"):
            return {}
        convert: Any = {
            "send": conversions.to_compat_send_message_request,
            "stream": conversions.to_compat_send_message_request,
            "get": conversions.to_compat_get_task_request,
            "cancel": conversions.to_compat_cancel_task_request,
            "subscribe": conversions.to_compat_subscribe_to_task_request,
        }[operation]
        params = convert(message, request_id=0).params
        if not rest:
            result: Json = params.model_dump(by_alias=True, exclude_none=True, mode="json")
            return result
        from a2a.compat.v0_3 import a2a_v0_3_pb2, proto_utils
        from google.protobuf.json_format import MessageToDict

        legacy = a2a_v0_3_pb2.SendMessageRequest(
            request=proto_utils.ToProto.message(params.message),
            configuration=proto_utils.ToProto.message_send_configuration(params.configuration),
            metadata=proto_utils.ToProto.metadata(params.metadata),
        )
        legacy_json: Json = MessageToDict(legacy, preserving_proto_field_name=True)
        return legacy_json

    def decode(self, operation: str, answer: Any, *, rest: bool) -> Json:
        try:
            return complete(
                operation, self._decode_rest(operation, answer) if rest else self._decode(operation, answer)
            )
        except (ValueError, TypeError):
            raise
        except Exception as error:  # noqa: BLE001 - pydantic, protobuf and the conversions each have their own
            raise ValueError(str(error)) from None

    def _decode(self, operation: str, answer: Any) -> Json:
        from a2a.compat.v0_3 import conversions, types as v03

        if push_configs.is_push(operation):
            return as_json(push_configs.decode_legacy(operation, answer))
        if not isinstance(answer, dict):
            raise TypeError(f"expected an object, got {type(answer).__name__}")
        if operation in ("get", "cancel"):
            return as_json(conversions.to_core_task(v03.Task.model_validate(answer)))
        kind = answer.get("kind") or ("message" if "messageId" in answer else "task")
        if kind == "task":
            return {"task": as_json(conversions.to_core_task(v03.Task.model_validate(answer)))}
        if kind == "message":
            return {"message": as_json(conversions.to_core_message(v03.Message.model_validate(answer)))}
        if kind == "status-update":
            event = conversions.to_core_task_status_update_event(v03.TaskStatusUpdateEvent.model_validate(answer))
            return {"statusUpdate": as_json(event)}
        if kind == "artifact-update":
            update = conversions.to_core_task_artifact_update_event(v03.TaskArtifactUpdateEvent.model_validate(answer))
            return {"artifactUpdate": as_json(update)}
        raise ValueError(f"unknown kind {kind!r}")

    def _decode_rest(self, operation: str, answer: Any) -> Json:
        from a2a.compat.v0_3 import a2a_v0_3_pb2 as pb, conversions, proto_utils
        from google.protobuf.json_format import ParseDict

        if not isinstance(answer, dict):
            raise TypeError(f"expected an object, got {type(answer).__name__}")
        name = _LEGACY_ANSWERS.get(operation, "StreamResponse")
        message = ParseDict(answer, getattr(pb, name)(), ignore_unknown_fields=True)
        if push_configs.is_push(operation):
            return as_json(push_configs.from_legacy_message(operation, message))
        if name == "Task":
            return as_json(conversions.to_core_task(proto_utils.FromProto.task(message)))
        return from_legacy(message)


def from_legacy(message: Any) -> Json:
    """Return a 0.3 SendMessageResponse or StreamResponse (protobuf) in canonical form."""
    from a2a.compat.v0_3 import conversions, proto_utils

    read = proto_utils.FromProto
    which = message.WhichOneof("payload")
    if which == "task":
        return {"task": as_json(conversions.to_core_task(read.task(message.task)))}
    if which == "msg":
        return {"message": as_json(conversions.to_core_message(read.message(message.msg)))}
    if which == "status_update":
        event = conversions.to_core_task_status_update_event(read.task_status_update_event(message.status_update))
        return {"statusUpdate": as_json(event)}
    if which == "artifact_update":
        update = conversions.to_core_task_artifact_update_event(
            read.task_artifact_update_event(message.artifact_update)
        )
        return {"artifactUpdate": as_json(update)}
    raise ValueError("it holds neither a task nor a message nor an update")


def _not_in_03(operation: str, where: str) -> ProtocolError:
    from missive_host.errors import A2AErrorInfo

    return ProtocolError(
        f"{where} speaks A2A 0.3, which has no way to {operation} tasks",
        help="`missive task list` without --remote lists those that are known here",
        a2a=A2AErrorInfo(name="UnsupportedOperationError", code=-32004),
    )
