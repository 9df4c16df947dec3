-- Version 15: contents of old messages are kept elsewhere.

-- Of a message whose content is not here: SHA-256 of the payload 32, its hash in digests 32, its length 8. `payload` is the post without text,
-- bytes and attachments then.
ALTER TABLE message ADD COLUMN stub BLOB CHECK (stub IS NULL OR length(stub) = 72);
CREATE INDEX message_stub ON message (created_us, id) WHERE stub IS NOT NULL;

-- The siblings that were given the word that all contents held here are kept: the number of the ask, and when it was written.
CREATE TABLE word (
  device BLOB PRIMARY KEY CHECK (length(device) = 16),
  ask INTEGER NOT NULL,
  written INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
