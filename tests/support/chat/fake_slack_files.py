"""The files of the fake Slack."""

from __future__ import annotations

from typing import Any

from aiohttp import web
from support.chat.fake_slack_api import SlackApi
from support.chat.fake_slack_rules import Refused


class SlackFiles(SlackApi):
    # --- files

    def add_file(self, name: str, content: bytes, *, mimetype: str = "text/plain", **more: Any) -> dict[str, Any]:
        """A file that a person has uploaded; return it as it is in an event."""
        file_id = f"F{next(self._numbers):08d}"
        file = {
            "id": file_id,
            "name": name,
            "mimetype": mimetype,
            "size": len(content),
            "mode": "hosted",
            "url_private": f"{self.base}/files/{file_id}",
            **more,
        }
        self.files[file_id] = {**file, "content": content}
        return file

    def _files_getUploadURLExternal(self, a: dict[str, Any]) -> dict[str, Any]:
        if int(a["length"]) <= 0:
            raise Refused("invalid_arguments")
        file_id = f"F{next(self._numbers):08d}"
        self.files[file_id] = {"id": file_id, "name": a["filename"], "length": int(a["length"])}
        return {"upload_url": f"{self.base}/upload/{file_id}", "file_id": file_id}

    async def _upload(self, request: web.Request) -> web.Response:
        file = self.files[request.match_info["file"]]
        content = await request.read()
        if "Authorization" in request.headers:
            self.faults.append("a token was sent to the address for uploads")
        if len(content) != file["length"]:
            return web.Response(status=400, text="length")
        file["content"] = content
        return web.Response(text=f"OK - {len(content)}")

    def _files_completeUploadExternal(self, a: dict[str, Any]) -> dict[str, Any]:
        for item in a["files"]:
            file = self.files.get(item["id"])
            if file is None or "content" not in file:
                raise Refused("file_not_found")
        channel = a.get("channel_id")
        if channel is not None:
            self._member_of(channel)
            ts = self.ts()
            self.messages[channel, ts] = {
                **self._own(ts),
                "text": a.get("initial_comment", ""),
                "files": [self._shared(item["id"]) for item in a["files"]],
                **({"thread_ts": a["thread_ts"]} if a.get("thread_ts") else {}),
            }
            for item in a["files"]:
                self.files[item["id"]]["shares"] = {"public": {channel: [{"ts": ts}]}}
        return {"files": [{"id": item["id"], "title": item.get("title")} for item in a["files"]]}

    def _shared(self, file_id: str) -> dict[str, Any]:
        file = self.files[file_id]
        return {"id": file_id, "name": file["name"], "size": file["length"]}

    def _files_info(self, a: dict[str, Any]) -> dict[str, Any]:
        file = self.files.get(a["file"])
        if file is None:
            raise Refused("file_not_found")
        read = {k: v for k, v in file.items() if k not in ("content", "length")}
        if self.share_delay > 0:
            self.share_delay -= 1
            read.pop("shares", None)
        return {"file": read}

    async def _download(self, request: web.Request) -> web.Response:
        file = self.files[request.match_info["file"]]
        allowed = "files:read" in self.scopes or file.get("open")
        if request.headers.get("Authorization") != f"Bearer {self.bot_token}" or not allowed or file.get("locked"):
            return web.Response(text="<!DOCTYPE html><html>Sign in to Slack</html>", content_type="text/html")
        return web.Response(body=file["content"], content_type=file["mimetype"])
