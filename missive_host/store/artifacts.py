"""Artifacts, keyed by agent, task and artifact id.

The parts are kept apart from the artifact, one row a chunk, and joined when they are read. So a stream that
appends n chunks writes each of them once, however big the artifact has become.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from missive_host.errors import ValidationError, nearest
from missive_host.store.rows import ArtifactRow, Json
from missive_host.store.values import Where, from_json, to_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from sqlite3 import Connection

_SELECT = """
    SELECT a.agent_alias, a.task_id, a.artifact_id, t.context_id, a.name, a.mime_type, a.kind, a.version, a.complete,
           a.header_json, a.content_sha256, a.created_at, a.updated_at, a.artifact_key
    FROM artifacts a JOIN tasks t USING (agent_alias, task_id)
"""
_STORED = """
    SELECT artifact_key, version, complete, header_json, content_sha256
    FROM artifacts WHERE agent_alias = ? AND task_id = ? AND artifact_id = ?
"""
_ENSURE_TASK = """
    INSERT INTO tasks (agent_alias, task_id, state, source, task_json, created_at, updated_at)
    VALUES (?1, ?2, 'unknown', 'remote', ?3, ?4, ?4) ON CONFLICT (agent_alias, task_id) DO NOTHING
"""
_INSERT = """
    INSERT INTO artifacts (agent_alias, task_id, artifact_id, name, mime_type, kind, version, complete, header_json,
                           content_sha256, created_at, updated_at)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, 1, ?7, ?8, ?9, ?10, ?10)
"""
_REPLACE = """
    UPDATE artifacts SET name = ?, mime_type = ?, kind = ?, version = ?, complete = ?, header_json = ?,
                         content_sha256 = ?, updated_at = ?
    WHERE artifact_key = ?
"""
# A kind further to the left wins: the place in this text is its rank.
_GROW = """
    UPDATE artifacts SET version = version + 1, content_sha256 = NULL, complete = ?1, updated_at = ?2,
        mime_type = COALESCE(mime_type, ?3),
        kind = CASE WHEN instr('bytes file json text unknown', ?4) < instr('bytes file json text unknown', kind)
                    THEN ?4 ELSE kind END
    WHERE artifact_key = ?5
"""
_ADD_PARTS = "INSERT INTO artifact_parts (artifact_key, parts_json) VALUES (?, ?)"

_KINDS = {"raw": "bytes", "url": "file", "data": "json", "text": "text"}
"""The member that a Part (A2A spec 4.1.6) has, in order of precedence, and the kind that it makes."""


class Artifacts:
    """Artifacts by agent, task and artifact id. A task that is not known yet gets a row in state ``unknown``."""

    def __init__(self, connection: Connection) -> None:
        self._execute = connection.execute

    def put(self, agent_alias: str, task_id: str, artifact: Json, *, at: str, complete: bool = True) -> int:
        """Store a whole artifact (A2A Artifact as ProtoJSON), in place of what was there; return its version.

        The version rises only if the content differs. `complete` is False for the first chunk of a stream.
        Raises `ValidationError` if it has no artifactId.
        """
        artifact_id = _id_of(artifact)
        parts = artifact.get("parts", [])
        header = to_json({name: value for name, value in artifact.items() if name != "parts"})
        parts_json = to_json(parts)
        digest = _sha256(header, parts_json)
        stored = self._execute(_STORED, (agent_alias, task_id, artifact_id)).fetchone()
        kind, mime_type = _describe(parts)
        if stored is None:
            self._ensure_task(agent_alias, task_id, at)
            key = self._execute(
                _INSERT,
                (
                    agent_alias, task_id, artifact_id, artifact.get("name") or None, mime_type, kind, int(complete),
                    header, digest, at,
                ),
            ).lastrowid  # fmt: skip
            self._execute(_ADD_PARTS, (key, parts_json))
            return 1
        key, version, was_complete, old_header, old_digest = stored
        if (old_digest or _sha256(old_header, self._parts(key))) == digest:
            if complete and not was_complete:
                self._execute("UPDATE artifacts SET complete = 1 WHERE artifact_key = ?", (key,))
            return int(version)
        version += 1
        name = artifact.get("name") or None
        self._execute(_REPLACE, (name, mime_type, kind, version, int(complete), header, digest, at, key))
        self._execute("DELETE FROM artifact_parts WHERE artifact_key = ?", (key,))
        self._execute(_ADD_PARTS, (key, parts_json))
        return int(version)

    def append(
        self,
        agent_alias: str,
        task_id: str,
        artifact_id: str,
        parts: Sequence[Json],
        *,
        at: str,
        last_chunk: bool = False,
        metadata: Json | None = None,
    ) -> int:
        """Add a chunk of parts to an artifact (TaskArtifactUpdateEvent with ``append``); return its version.

        An artifact that is not known yet begins with this chunk. `metadata` is joined with the artifact's own.
        """
        stored = self._execute(_STORED, (agent_alias, task_id, artifact_id)).fetchone()
        if stored is None:
            artifact: Json = {"artifactId": artifact_id, "parts": list(parts)}
            if metadata:
                artifact["metadata"] = metadata
            return self.put(agent_alias, task_id, artifact, at=at, complete=last_chunk)
        key, version, _complete, header_json, _digest = stored
        new_header = header_json
        if metadata:
            header = from_json(header_json)
            new_header = to_json({**header, "metadata": {**header.get("metadata", {}), **metadata}})
        if not parts and new_header == header_json:
            self._execute("UPDATE artifacts SET complete = ? WHERE artifact_key = ?", (int(last_chunk), key))
            return int(version)
        if new_header != header_json:
            self._execute("UPDATE artifacts SET header_json = ? WHERE artifact_key = ?", (new_header, key))
        kind, mime_type = _describe(parts)
        self._execute(_GROW, (int(last_chunk), at, mime_type, kind, key))
        self._execute(_ADD_PARTS, (key, to_json(parts)))
        return int(version) + 1

    def find(self, agent_alias: str, task_id: str, artifact_id: str) -> ArtifactRow | None:
        where = "WHERE a.agent_alias = ? AND a.task_id = ? AND a.artifact_id = ?"
        row = self._execute(f"{_SELECT} {where}", (agent_alias, task_id, artifact_id)).fetchone()
        return self._artifact(row) if row else None

    def get(self, agent_alias: str, task_id: str, artifact_id: str) -> ArtifactRow:
        """Return an artifact with its parts. Raises `ValidationError` that names the nearest id."""
        artifact = self.find(agent_alias, task_id, artifact_id)
        if artifact is None:
            known = self._execute(
                "SELECT artifact_id FROM artifacts WHERE agent_alias = ? AND task_id = ?", (agent_alias, task_id)
            )
            raise ValidationError(
                f"task '{task_id}' of agent '{agent_alias}' has no artifact '{artifact_id}'"
                f"{nearest(artifact_id, [row[0] for row in known])}",
                help=f"`missive task artifact list {task_id}` shows those that are known here",
            )
        return artifact

    def list(
        self, *, agent: str | None = None, task: str | None = None, context: str | None = None
    ) -> tuple[ArtifactRow, ...]:
        """Return the artifacts of a task (with its `agent`) or of a context, in the order in which they came."""
        where = Where().given("a.agent_alias = ?", agent).given("a.task_id = ?", task)
        where.given("t.context_id = ?", context)
        rows = self._execute(where.sql(_SELECT, "ORDER BY a.artifact_key"), where.values).fetchall()
        return tuple(self._artifact(row) for row in rows)

    def versions(self, agent_alias: str, task_id: str) -> dict[str, int]:
        """Return the version of each artifact of a task, by artifact id."""
        return dict(
            self._execute(
                "SELECT artifact_id, version FROM artifacts WHERE agent_alias = ? AND task_id = ?",
                (agent_alias, task_id),
            ).fetchall()
        )

    def count(self, agent_alias: str, task_id: str) -> int:
        row = self._execute(
            "SELECT COUNT(*) FROM artifacts WHERE agent_alias = ? AND task_id = ?", (agent_alias, task_id)
        ).fetchone()
        return int(row[0])

    # ---

    def _ensure_task(self, agent_alias: str, task_id: str, at: str) -> None:
        self._execute(_ENSURE_TASK, (agent_alias, task_id, to_json({"id": task_id}), at))

    def _parts(self, key: int) -> str:
        """Return the JSON of all parts. The chunks are compact JSON arrays, so that they join as text."""
        chunks = self._execute(
            "SELECT parts_json FROM artifact_parts WHERE artifact_key = ? ORDER BY part_key", (key,)
        ).fetchall()
        if len(chunks) == 1:
            return str(chunks[0][0])
        return f"[{','.join(text[1:-1] for (text,) in chunks if text != '[]')}]"

    def _artifact(self, row: tuple[Any, ...]) -> ArtifactRow:
        parts_json = self._parts(row[13])
        content = from_json(row[9])
        content["parts"] = from_json(parts_json)
        return ArtifactRow(
            agent_alias=row[0],
            task_id=row[1],
            artifact_id=row[2],
            context_id=row[3],
            name=row[4],
            mime_type=row[5],
            kind=row[6],
            version=row[7],
            complete=bool(row[8]),
            content=content,
            content_sha256=row[10] or _sha256(row[9], parts_json),
            created_at=row[11],
            updated_at=row[12],
        )


def _id_of(artifact: Json) -> str:
    artifact_id = artifact.get("artifactId")
    if not isinstance(artifact_id, str) or not artifact_id:
        raise ValidationError("an artifact has no artifactId")
    return artifact_id


def _describe(parts: Sequence[Json]) -> tuple[str, str | None]:
    """Return the kind of the parts and the media type of the first part of that kind."""
    for member, kind in _KINDS.items():
        for part in parts:
            if member in part:
                return kind, part.get("mediaType") or None
    return "unknown", None


def _sha256(header_json: str, parts_json: str) -> str:
    import hashlib

    digest = hashlib.sha256(header_json.encode())
    digest.update(parts_json.encode())
    return digest.hexdigest()
