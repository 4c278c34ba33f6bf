-- The state of one profile. Times are RFC 3339 UTC text with microseconds, so that text order is time order;
-- columns named *_json are JSON text. Ids are opaque text made by whoever owns the thing. What an agent names
-- (tasks, messages, artifacts) is keyed by the agent first, because A2A makes these ids unique only per agent.

CREATE TABLE agents (
    alias                   TEXT NOT NULL PRIMARY KEY,
    source                  TEXT NOT NULL CHECK (source IN ('local', 'config_seed', 'discovered')),
    base_url                TEXT NOT NULL,
    interface_urls_json     TEXT NOT NULL,
    binding_preference_json TEXT NOT NULL,
    auth_ref                TEXT,
    tags_json               TEXT NOT NULL,
    notes                   TEXT,
    metadata_json           TEXT NOT NULL,
    read_only               INTEGER NOT NULL CHECK (read_only IN (0, 1)),
    created_at              TEXT NOT NULL,
    updated_at              TEXT NOT NULL
) STRICT;

CREATE TABLE agent_cards (
    alias         TEXT NOT NULL PRIMARY KEY REFERENCES agents (alias) ON UPDATE CASCADE ON DELETE CASCADE,
    url           TEXT NOT NULL,
    card_json     TEXT NOT NULL,
    etag          TEXT,
    last_modified TEXT,
    fetched_at    TEXT NOT NULL,
    expires_at    TEXT,
    max_age       INTEGER
) STRICT;

-- agent_alias here and below is not a foreign key: what was said with an agent outlives its registration.
CREATE TABLE contexts (
    context_id        TEXT NOT NULL PRIMARY KEY,
    agent_alias       TEXT,
    name              TEXT,
    parent_context_id TEXT REFERENCES contexts (context_id) ON DELETE SET NULL,
    state             TEXT NOT NULL CHECK (state IN ('open', 'closed', 'archived')),
    summary           TEXT,
    metadata_json     TEXT NOT NULL,
    created_at        TEXT NOT NULL,
    updated_at        TEXT NOT NULL,
    closed_at         TEXT
) STRICT;
CREATE UNIQUE INDEX contexts_by_name ON contexts (name) WHERE name IS NOT NULL;
CREATE INDEX contexts_by_parent ON contexts (parent_context_id) WHERE parent_context_id IS NOT NULL;

CREATE TABLE remote_contexts (
    context_id        TEXT NOT NULL REFERENCES contexts (context_id) ON DELETE CASCADE,
    agent_alias       TEXT NOT NULL,
    remote_context_id TEXT NOT NULL,
    PRIMARY KEY (context_id, agent_alias)
) STRICT, WITHOUT ROWID;
CREATE INDEX remote_contexts_by_agent ON remote_contexts (agent_alias, remote_context_id);

CREATE TABLE tasks (
    agent_alias       TEXT NOT NULL,
    task_id           TEXT NOT NULL,
    context_id        TEXT REFERENCES contexts (context_id) ON DELETE SET NULL,
    remote_context_id TEXT,
    state             TEXT NOT NULL CHECK (state IN (
        'submitted', 'working', 'completed', 'failed', 'cancelled', 'rejected', 'input_required', 'auth_required', 'unknown'
    )),
    source            TEXT NOT NULL CHECK (source IN ('remote', 'local', 'gateway')),
    protocol_version  TEXT,
    task_json         TEXT NOT NULL,
    last_message_id   TEXT,
    status_message_id TEXT,
    status_timestamp  TEXT,
    created_at        TEXT NOT NULL,
    updated_at        TEXT NOT NULL,
    completed_at      TEXT,
    PRIMARY KEY (agent_alias, task_id)
) STRICT;
CREATE INDEX tasks_by_time ON tasks (updated_at, agent_alias, task_id);
CREATE INDEX tasks_by_id ON tasks (task_id);
CREATE INDEX tasks_by_context ON tasks (context_id) WHERE context_id IS NOT NULL;

-- Apart from the task, so that a status update does not write the history again.
CREATE TABLE task_histories (
    agent_alias  TEXT NOT NULL,
    task_id      TEXT NOT NULL,
    history_json TEXT NOT NULL,
    PRIMARY KEY (agent_alias, task_id),
    FOREIGN KEY (agent_alias, task_id) REFERENCES tasks (agent_alias, task_id) ON UPDATE CASCADE ON DELETE CASCADE
) STRICT;

CREATE TABLE messages (
    ordinal       INTEGER NOT NULL PRIMARY KEY,
    agent_alias   TEXT NOT NULL,
    message_id    TEXT NOT NULL,
    direction     TEXT NOT NULL CHECK (direction IN ('request', 'response', 'stream_event', 'push', 'local')),
    context_id    TEXT REFERENCES contexts (context_id) ON DELETE SET NULL,
    task_id       TEXT,
    role          TEXT NOT NULL,
    status        TEXT NOT NULL CHECK (status IN ('pending', 'sent', 'failed', 'unknown')),
    content_json  TEXT NOT NULL,
    metadata_json TEXT NOT NULL,
    error_json    TEXT,
    created_at    TEXT NOT NULL,
    updated_at    TEXT NOT NULL,
    UNIQUE (agent_alias, message_id, direction)
) STRICT;
CREATE INDEX messages_by_context ON messages (context_id) WHERE context_id IS NOT NULL;
CREATE INDEX messages_by_task ON messages (agent_alias, task_id) WHERE task_id IS NOT NULL;
CREATE INDEX messages_pending ON messages (status) WHERE status = 'pending';

-- header_json is the A2A Artifact without its parts; the parts are in artifact_parts, in order, one row a chunk.
CREATE TABLE artifacts (
    artifact_key   INTEGER NOT NULL PRIMARY KEY,
    agent_alias    TEXT NOT NULL,
    task_id        TEXT NOT NULL,
    artifact_id    TEXT NOT NULL,
    name           TEXT,
    mime_type      TEXT,
    kind           TEXT NOT NULL CHECK (kind IN ('bytes', 'file', 'json', 'text', 'unknown')),
    version        INTEGER NOT NULL CHECK (version >= 1),
    complete       INTEGER NOT NULL CHECK (complete IN (0, 1)),
    header_json    TEXT NOT NULL,
    content_sha256 TEXT,  -- of header and parts; NULL after a chunk was appended, until it is asked for
    created_at     TEXT NOT NULL,
    updated_at     TEXT NOT NULL,
    UNIQUE (agent_alias, task_id, artifact_id),
    FOREIGN KEY (agent_alias, task_id) REFERENCES tasks (agent_alias, task_id) ON UPDATE CASCADE ON DELETE CASCADE
) STRICT;

CREATE TABLE artifact_parts (
    part_key     INTEGER NOT NULL PRIMARY KEY,
    artifact_key INTEGER NOT NULL REFERENCES artifacts (artifact_key) ON DELETE CASCADE,
    parts_json   TEXT NOT NULL
) STRICT;
CREATE INDEX artifact_parts_by_artifact ON artifact_parts (artifact_key);

CREATE TABLE events (
    sequence      INTEGER PRIMARY KEY AUTOINCREMENT,
    event_id      TEXT NOT NULL,  -- a UUID of ours; an index for it would be a sixth of what a message writes
    timestamp     TEXT NOT NULL,
    source        TEXT NOT NULL,
    event_type    TEXT NOT NULL,
    agent_alias   TEXT,
    context_id    TEXT,
    task_id       TEXT,
    message_id    TEXT,
    payload_json  TEXT NOT NULL,
    metadata_json TEXT NOT NULL
) STRICT;
CREATE INDEX events_by_context ON events (context_id) WHERE context_id IS NOT NULL;
CREATE INDEX events_by_task ON events (task_id) WHERE task_id IS NOT NULL;

-- The journal is append-only. What is to be pruned is written down here first; only that may then be deleted.
CREATE TABLE event_prunings (
    before_sequence INTEGER NOT NULL PRIMARY KEY,
    pruned_at       TEXT NOT NULL
) STRICT;

CREATE TRIGGER events_are_not_changed BEFORE UPDATE ON events
BEGIN
    SELECT RAISE(ABORT, 'the event journal is append-only');
END;

CREATE TRIGGER events_are_kept BEFORE DELETE ON events
WHEN OLD.sequence >= (SELECT COALESCE(MAX(before_sequence), 0) FROM event_prunings)
BEGIN
    SELECT RAISE(ABORT, 'the event journal is append-only');
END;
