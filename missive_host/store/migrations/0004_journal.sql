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

-- Times are nearly in the order of the journal, but not quite: clocks are set back, and writers overtake each other.
-- This is by how much at most, so that a time gives a place in the journal behind which nothing is left out.
CREATE TABLE event_disorder (seconds INTEGER NOT NULL) STRICT;
INSERT INTO event_disorder
SELECT COALESCE(MAX(CAST((julianday(newest) - julianday(timestamp)) * 86400 AS INTEGER) + 2), 0)
FROM (SELECT timestamp, MAX(timestamp) OVER (ORDER BY sequence) AS newest FROM events) WHERE timestamp < newest;

CREATE TRIGGER events_out_of_order AFTER INSERT ON events
WHEN NEW.timestamp < (SELECT MAX(timestamp) FROM events)
BEGIN
    UPDATE event_disorder
    SET seconds = CAST((julianday((SELECT MAX(timestamp) FROM events)) - julianday(NEW.timestamp)) * 86400 AS INTEGER) + 2
    WHERE seconds < CAST((julianday((SELECT MAX(timestamp) FROM events)) - julianday(NEW.timestamp)) * 86400 AS INTEGER) + 2;
END;

-- What older missives have written down of deliveries and jobs has their id in the payload.
DROP TRIGGER events_are_not_changed;
UPDATE events SET work_id = COALESCE(json_extract(payload_json, '$.work_id'), json_extract(payload_json, '$.job_id'))
WHERE event_type GLOB 'missive.*'
    AND COALESCE(json_extract(payload_json, '$.work_id'), json_extract(payload_json, '$.job_id')) IS NOT NULL;
CREATE TRIGGER events_are_not_changed BEFORE UPDATE ON events
BEGIN
    SELECT RAISE(ABORT, 'the event journal is append-only');
END;
