"""Push notification configs (A2A spec 3.1.7 to 3.1.10), as protocol 0.3 writes them, and their paths over HTTP+JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from missive_host.a2a.shapes import Json


def is_push(operation: str) -> bool:
    return operation.startswith("push_")


def rest_path(operation: str, request: Json) -> tuple[str, str, Json | None]:
    """Return HTTP method, path and query."""
    path = f"/tasks/{quote(str(request['taskId']), safe='')}/pushNotificationConfigs"
    if operation == "push_create":
        return "POST", path, None
    if operation == "push_list":
        return "GET", path, {key: request[key] for key in ("pageSize", "pageToken") if key in request}
    path += "/" + quote(str(request["id"]), safe="")
    return ("GET" if operation == "push_get" else "DELETE"), path, None


def encode_legacy(operation: str, message: Any) -> Json:
    """Return the JSON-RPC params of 0.3 for a request."""
    from a2a.compat.v0_3 import conversions

    convert: Any = {
        "push_create": conversions.to_compat_create_task_push_notification_config_request,
        "push_get": conversions.to_compat_get_task_push_notification_config_request,
        "push_list": conversions.to_compat_list_task_push_notification_config_request,
        "push_delete": conversions.to_compat_delete_task_push_notification_config_request,
    }[operation]
    params: Json = convert(message, request_id=0).params.model_dump(by_alias=True, exclude_none=True, mode="json")
    return params


def decode_legacy(operation: str, answer: Any) -> Any:
    """Return a JSON-RPC result of 0.3 as a message of 1.0."""
    from a2a.compat.v0_3 import conversions, types as v03
    from a2a.types import a2a_pb2

    def one(value: Any) -> Any:
        config = v03.TaskPushNotificationConfig.model_validate(value)
        return conversions.to_core_task_push_notification_config(config)

    if operation == "push_list":
        return a2a_pb2.ListTaskPushNotificationConfigsResponse(configs=[one(value) for value in answer or ()])
    return one(answer)


def legacy_message(operation: str, message: Any) -> Any:
    """Return the protobuf message of 0.3 for a request; HTTP+JSON has that of `push_create` as its body."""
    from a2a.compat.v0_3 import a2a_v0_3_pb2 as pb, conversions, proto_utils

    parent = f"tasks/{message.task_id}"
    if operation == "push_create":
        params = conversions.to_compat_create_task_push_notification_config_request(message, request_id=0).params
        return pb.CreateTaskPushNotificationConfigRequest(
            parent=parent,
            config_id=message.id,
            config=proto_utils.ToProto.task_push_notification_config(params),
        )
    if operation == "push_list":
        return pb.ListTaskPushNotificationConfigRequest(parent=parent)
    name = f"{parent}/pushNotificationConfigs/{message.id}"
    if operation == "push_get":
        return pb.GetTaskPushNotificationConfigRequest(name=name)
    return pb.DeleteTaskPushNotificationConfigRequest(name=name)


def from_legacy_message(operation: str, message: Any) -> Any:
    """Return a protobuf answer of 0.3 as a message of 1.0."""
    from a2a.compat.v0_3 import conversions, proto_utils
    from a2a.types import a2a_pb2

    def one(value: Any) -> Any:
        config = proto_utils.FromProto.task_push_notification_config(value)
        return conversions.to_core_task_push_notification_config(config)

    if operation == "push_list":
        return a2a_pb2.ListTaskPushNotificationConfigsResponse(configs=[one(value) for value in message.configs])
    return one(message)
