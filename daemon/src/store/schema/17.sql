-- Version 17: up to where conversations were read.

-- The read markers of this device that never leave it. Those that reach all devices are records of `@read`.
CREATE TABLE read_marker (
  conversation TEXT PRIMARY KEY,
  marker BLOB NOT NULL
) STRICT, WITHOUT ROWID;
-- What a marker is held against when it moves.
CREATE INDEX message_unread ON message (conversation, created_us, id) WHERE unread;
