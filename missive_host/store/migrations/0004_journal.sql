-- What makes a journal of millions of events as quick to look things up in as one of a thousand.

-- For which delivery or job it happened.
ALTER TABLE events ADD COLUMN work_id TEXT;

-- There are a few hundred different triples, whatever the length of the journal: by them types, sources and agents are
-- found, alone and together, each in the order of the journal.
CREATE INDEX events_by_kind ON events (event_type, source, agent_alias);
CREATE INDEX events_by_message ON events (message_id) WHERE message_id IS NOT NULL;
CREATE INDEX events_by_work ON events (work_id) WHERE work_id IS NOT NULL;
CREATE INDEX events_by_time ON events (timestamp);
CREATE INDEX messages_by_response ON messages (response_id) WHERE response_id IS NOT NULL;

-- What is to be known of the journal as a whole. Its times are nearly in its order, but not quite: clocks are set back,
-- and writers overtake each other. `disorder` is by how many seconds at most, so that a time gives a place in the journal
-- beyond which nothing is left out. From the sequence `complete_from` on it tells all that is needed to compare the
-- tables with it.
CREATE TABLE journal (disorder INTEGER NOT NULL, complete_from INTEGER NOT NULL) STRICT;
INSERT INTO journal
SELECT COALESCE(MAX(CAST((julianday(newest) - julianday(timestamp)) * 86400 AS INTEGER) + 2), 0),
    COALESCE((SELECT seq FROM sqlite_sequence WHERE name = 'events'), 0) + 1
FROM (SELECT timestamp, MAX(timestamp) OVER (ORDER BY sequence) AS newest FROM events) WHERE timestamp < newest;

-- What older missives have written down of deliveries and jobs has their id in the payload.
DROP TRIGGER events_are_not_changed;
UPDATE events SET work_id = COALESCE(json_extract(payload_json, '$.work_id'), json_extract(payload_json, '$.job_id'))
WHERE event_type GLOB 'missive.*'
    AND COALESCE(json_extract(payload_json, '$.work_id'), json_extract(payload_json, '$.job_id')) IS NOT NULL;
CREATE TRIGGER events_are_not_changed BEFORE UPDATE ON events
BEGIN
    SELECT RAISE(ABORT, 'the event journal is append-only');
END;
