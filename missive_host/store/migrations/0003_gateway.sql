-- What the gateway keeps: work that was taken in, its results, sessions, push configs, schedules and tokens.

-- Work: a delivery that came through a door, or a job. Once it is here it is not lost. `lane` keeps order: of the work
-- of one lane only the first that has not ended is `ready` or `running`, the others are `queued` behind it.
CREATE TABLE work (
    ordinal         INTEGER PRIMARY KEY AUTOINCREMENT,
    work_id         TEXT NOT NULL UNIQUE,
    kind            TEXT NOT NULL CHECK (kind IN ('delivery', 'job')),
    adapter         TEXT NOT NULL,  -- the door that it came through; of jobs where they were started
    idempotency_key TEXT,
    command         TEXT NOT NULL,  -- the tag, for lists
    agent_alias     TEXT,
    group_name      TEXT,
    lane            TEXT,
    state           TEXT NOT NULL CHECK (state IN ('queued', 'ready', 'running', 'done', 'failed', 'dead', 'cancelled')),
    request_json    TEXT NOT NULL,  -- the envelope; of a job the command and its options
    request_sha256  TEXT NOT NULL,
    reply_to_json   TEXT,
    attempts        INTEGER NOT NULL CHECK (attempts >= 0),
    max_attempts    INTEGER NOT NULL CHECK (max_attempts >= 1),
    begun           INTEGER NOT NULL DEFAULT 0,  -- as `attempts`, with those that do not count: given back, disk full
    run_at          TEXT NOT NULL,
    owner           TEXT,
    cancel          INTEGER NOT NULL CHECK (cancel IN (0, 1)),
    context_id      TEXT,
    task_id         TEXT,           -- the agent's task, as soon as it is known
    error_json      TEXT,
    outputs         INTEGER NOT NULL CHECK (outputs >= 0),
    accepted_at     TEXT NOT NULL,
    updated_at      TEXT NOT NULL,
    finished_at     TEXT,
    delivered_at    TEXT
) STRICT;
CREATE INDEX work_ready ON work (run_at, ordinal) WHERE state = 'ready';
CREATE INDEX work_ready_since ON work (updated_at) WHERE state = 'ready';
CREATE INDEX work_in_lane ON work (lane, ordinal) WHERE state IN ('queued', 'ready', 'running');
CREATE INDEX work_open ON work (adapter, state) WHERE state IN ('queued', 'ready', 'running');
CREATE UNIQUE INDEX work_by_key ON work (adapter, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX work_undelivered ON work (adapter, ordinal) WHERE kind = 'delivery' AND delivered_at IS NULL;
CREATE INDEX work_ended ON work (finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX work_to_cancel ON work (owner) WHERE state = 'running' AND cancel = 1;
CREATE INDEX work_dead ON work (ordinal) WHERE state = 'dead';
CREATE INDEX jobs_in_order ON work (ordinal) WHERE kind = 'job';

-- The results of work in order, as they were handed on: kind and data of a missive.output.v1 document.
CREATE TABLE work_outputs (
    work_id         TEXT NOT NULL REFERENCES work (work_id) ON DELETE CASCADE,
    position        INTEGER NOT NULL,
    kind            TEXT NOT NULL,
    sequence        INTEGER NOT NULL,
    data_json       TEXT NOT NULL,
    created_at      TEXT NOT NULL,
    PRIMARY KEY (work_id, position)
) STRICT, WITHOUT ROWID;

-- Processes that run work. What belongs to one whose lease has run out is taken up by another.
CREATE TABLE workers (
    owner      TEXT NOT NULL PRIMARY KEY,
    until      TEXT NOT NULL,
    started_at TEXT NOT NULL
) STRICT;

-- The message with which an agent answered a request at once, so that the answer is found after a crash.
ALTER TABLE messages ADD COLUMN response_id TEXT;

-- A conversation: who it is from, which agent or group it is with, and the context that it goes on in.
CREATE TABLE sessions (
    session_id     TEXT NOT NULL PRIMARY KEY,
    adapter        TEXT NOT NULL,
    source_id      TEXT NOT NULL,
    target         TEXT NOT NULL,   -- `agent:ALIAS` or `group:NAME`
    resume_name    TEXT NOT NULL,
    context_id     TEXT,            -- none yet, or none any more: the next message begins one
    display_name   TEXT,
    created_at     TEXT NOT NULL,
    last_active_at TEXT NOT NULL,
    last_reset_at  TEXT,
    reset_reason   TEXT,
    UNIQUE (adapter, source_id, target, resume_name)
) STRICT;
CREATE INDEX sessions_by_time ON sessions (last_active_at);

-- The tasks that are to be followed.
CREATE INDEX tasks_open ON tasks (updated_at) WHERE state IN ('submitted', 'working', 'unknown');

CREATE TABLE push_configs (
    agent_alias   TEXT NOT NULL,
    task_id       TEXT NOT NULL,
    config_id     TEXT NOT NULL,
    url           TEXT NOT NULL,
    token_sha256  TEXT,             -- of the token that the agent has to send
    auth_scheme   TEXT,
    auth_sha256   TEXT,             -- of the credentials that go with the scheme
    source        TEXT NOT NULL CHECK (source IN ('operator', 'gateway')),
    metadata_json TEXT NOT NULL,
    created_at    TEXT NOT NULL,
    deleted_at    TEXT,
    PRIMARY KEY (agent_alias, task_id, config_id)
) STRICT;
CREATE INDEX push_configs_by_id ON push_configs (config_id) WHERE deleted_at IS NULL;
CREATE INDEX push_configs_by_task ON push_configs (task_id) WHERE deleted_at IS NULL;

-- Push notifications that were taken, by digest, so that one that is sent again is known.
CREATE TABLE push_receipts (
    digest      TEXT NOT NULL PRIMARY KEY,
    received_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX push_receipts_by_time ON push_receipts (received_at);

-- When jobs are started again and again. A job that is to run once, later, is a row of `work` with its `run_at`.
CREATE TABLE schedules (
    schedule_id  TEXT NOT NULL PRIMARY KEY,
    kind         TEXT NOT NULL CHECK (kind IN ('every', 'cron')),
    expression   TEXT NOT NULL,
    time_zone    TEXT,
    request_json TEXT NOT NULL,     -- as in `work`
    command      TEXT NOT NULL,
    enabled      INTEGER NOT NULL CHECK (enabled IN (0, 1)),
    next_run_at  TEXT,
    last_run_at  TEXT,
    last_work_id TEXT,
    created_at   TEXT NOT NULL,
    updated_at   TEXT NOT NULL
) STRICT;
CREATE INDEX schedules_due ON schedules (next_run_at) WHERE enabled = 1;

-- Tokens with which clients come to the gateway: only their digests.
CREATE TABLE tokens (
    name          TEXT NOT NULL PRIMARY KEY,
    token_sha256  TEXT NOT NULL UNIQUE,
    commands_json TEXT NOT NULL,
    agents_json   TEXT NOT NULL,
    created_at    TEXT NOT NULL,
    expires_at    TEXT,
    revoked_at    TEXT
) STRICT;
