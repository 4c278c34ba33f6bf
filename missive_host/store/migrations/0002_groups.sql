-- Groups of agents, what routing remembers, and the collective operations.

CREATE TABLE groups (
    name           TEXT NOT NULL PRIMARY KEY,
    source         TEXT NOT NULL CHECK (source IN ('local', 'config_seed')),
    routing_policy TEXT NOT NULL,
    notes          TEXT,
    metadata_json  TEXT NOT NULL,
    read_only      INTEGER NOT NULL CHECK (read_only IN (0, 1)),
    created_at     TEXT NOT NULL,
    updated_at     TEXT NOT NULL
) STRICT;

-- A member is a registered agent, hence the foreign key; an agent that is renamed takes its places with it.
CREATE TABLE group_members (
    group_name            TEXT NOT NULL REFERENCES groups (name) ON UPDATE CASCADE ON DELETE CASCADE,
    agent_alias           TEXT NOT NULL REFERENCES agents (alias) ON UPDATE CASCADE ON DELETE CASCADE,
    rank                  TEXT NOT NULL,
    tags_json             TEXT NOT NULL,
    weight                REAL NOT NULL CHECK (weight > 0 AND weight < 9e999),
    routing_metadata_json TEXT NOT NULL,
    created_at            TEXT NOT NULL,
    updated_at            TEXT NOT NULL,
    PRIMARY KEY (group_name, agent_alias),
    UNIQUE (group_name, rank)
) STRICT, WITHOUT ROWID;
CREATE INDEX group_members_by_agent ON group_members (agent_alias);

-- What a policy wants to be handed again the next time: a cursor, choices that it made.
CREATE TABLE routing_states (
    group_name TEXT NOT NULL REFERENCES groups (name) ON UPDATE CASCADE ON DELETE CASCADE,
    policy     TEXT NOT NULL,
    state_json TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    PRIMARY KEY (group_name, policy)
) STRICT, WITHOUT ROWID;

CREATE TABLE breakers (
    alias      TEXT NOT NULL PRIMARY KEY REFERENCES agents (alias) ON UPDATE CASCADE ON DELETE CASCADE,
    failures   INTEGER NOT NULL CHECK (failures >= 0),
    opened_at  TEXT,
    until      TEXT,
    last_error TEXT,
    updated_at TEXT NOT NULL
) STRICT;

-- group_name and agent_alias are not foreign keys: what a group did outlives the group and its members.
CREATE TABLE operations (
    operation_id  TEXT NOT NULL PRIMARY KEY,
    kind          TEXT NOT NULL CHECK (kind IN ('bcast', 'scatter', 'barrier', 'gather', 'reduce', 'allreduce')),
    group_name    TEXT NOT NULL,
    context_id    TEXT NOT NULL,
    status        TEXT NOT NULL,
    document_json TEXT,
    created_at    TEXT NOT NULL,
    updated_at    TEXT NOT NULL,
    finished_at   TEXT
) STRICT;
CREATE INDEX operations_by_context ON operations (group_name, context_id, created_at);

-- The members at the time, so that somebody who joins later is not waited for.
CREATE TABLE operation_members (
    operation_id        TEXT NOT NULL REFERENCES operations (operation_id) ON DELETE CASCADE,
    agent_alias         TEXT NOT NULL,
    rank                TEXT NOT NULL,
    status              TEXT NOT NULL,
    request_message_id  TEXT,
    response_message_id TEXT,
    task_id             TEXT,
    remote_context_id   TEXT,
    state               TEXT,
    shape               TEXT,
    error_json          TEXT,
    updated_at          TEXT NOT NULL,
    PRIMARY KEY (operation_id, agent_alias)
) STRICT, WITHOUT ROWID;
CREATE INDEX operation_members_by_agent ON operation_members (agent_alias);
