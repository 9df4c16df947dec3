-- Version 1: the log, the state that follows from it, and what an engine needs to go on.
--
-- Devices, sources, rows, conversations and messages get small local numbers (`idx`); they stand in rows and indexes in
-- place of 16-byte ids and names, and never leave this file. Numbers without a sign are stored as the signed number of
-- the same bits.

-- Whose database this is.
CREATE TABLE device (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  me BLOB NOT NULL CHECK (length(me) = 16),
  source BLOB NOT NULL CHECK (length(source) = 16),
  generation INTEGER NOT NULL,
  roster BLOB NOT NULL CHECK (length(roster) = 32),
  epoch INTEGER NOT NULL,
  prekey_slot INTEGER NOT NULL,
  prekey BLOB NOT NULL
) STRICT;

-- Where each source stands. `context` is all that the author of its last bundle had seen: 56 bytes an entry.
CREATE TABLE source (
  idx INTEGER PRIMARY KEY,
  id BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
  device BLOB NOT NULL CHECK (length(device) = 16),
  generation INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  hash BLOB NOT NULL CHECK (length(hash) = 32),
  stamp INTEGER NOT NULL,
  context BLOB NOT NULL
) STRICT;

-- All bundles in the order in which they were applied here. The body is exactly what its author wrote.
CREATE TABLE log (
  bundle_seq INTEGER PRIMARY KEY,
  source INTEGER NOT NULL REFERENCES source (idx),
  seq INTEGER NOT NULL,
  hash BLOB NOT NULL CHECK (length(hash) = 32),
  at INTEGER NOT NULL,
  body BLOB NOT NULL,
  UNIQUE (source, seq)
) STRICT;

-- Heads signed by a source's device: where a run of that source may end.
CREATE TABLE head (
  source BLOB NOT NULL CHECK (length(source) = 16),
  seq INTEGER NOT NULL,
  hash BLOB NOT NULL CHECK (length(hash) = 32),
  device BLOB NOT NULL CHECK (length(device) = 16),
  signature BLOB NOT NULL,
  PRIMARY KEY (source, seq, hash)
) STRICT, WITHOUT ROWID;

-- Bundles that came before their time.
CREATE TABLE early (
  source BLOB NOT NULL CHECK (length(source) = 16),
  seq INTEGER NOT NULL,
  device BLOB NOT NULL CHECK (length(device) = 16),
  prev BLOB NOT NULL CHECK (length(prev) = 32),
  body BLOB NOT NULL,
  PRIMARY KEY (source, seq)
) STRICT;

-- Which bundle an app's numbered push became.
CREATE TABLE app_bundle (
  app TEXT NOT NULL,
  id INTEGER NOT NULL,
  bundle_seq INTEGER NOT NULL,
  source INTEGER REFERENCES source (idx),
  seq INTEGER,
  content BLOB NOT NULL CHECK (length(content) = 32),
  PRIMARY KEY (app, id)
) STRICT, WITHOUT ROWID;

-- What siblings said last.
CREATE TABLE sibling (
  device BLOB PRIMARY KEY CHECK (length(device) = 16),
  generation INTEGER NOT NULL,
  vector BLOB NOT NULL,
  heard INTEGER NOT NULL,
  prekey_slot INTEGER,
  prekey BLOB,
  epoch INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Roster records, in order of arrival.
CREATE TABLE roster_record (
  idx INTEGER PRIMARY KEY,
  id BLOB NOT NULL UNIQUE CHECK (length(id) = 32),
  bytes BLOB NOT NULL,
  signature BLOB NOT NULL
) STRICT;

-- What could not be used: the newest, at most 1,000. The sequence of `idx` counts all that ever came.
CREATE TABLE quarantine (
  idx INTEGER PRIMARY KEY AUTOINCREMENT,
  at INTEGER NOT NULL,
  reason TEXT NOT NULL,
  bytes BLOB NOT NULL
) STRICT;

-- Secrets, wrapped outside.
CREATE TABLE secret (
  name TEXT PRIMARY KEY,
  wrapped BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- Configured relays in the order of preference. The URL is wrapped outside, for it may hold credentials.
CREATE TABLE relay (
  id BLOB PRIMARY KEY CHECK (length(id) = 16),
  position INTEGER NOT NULL,
  url BLOB NOT NULL,
  display TEXT NOT NULL,
  added_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Collections with the digest sum over their leaves. Messages have one too.
CREATE TABLE collection (
  idx INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  live INTEGER NOT NULL,
  sum BLOB NOT NULL CHECK (length(sum) = 40)
) STRICT;

-- Records: what is shown of their existence, how many of their registers are in conflict, and the last change here.
CREATE TABLE row (
  collection INTEGER NOT NULL REFERENCES collection (idx),
  key TEXT NOT NULL,
  idx INTEGER NOT NULL,
  live INTEGER NOT NULL,
  conflicts INTEGER NOT NULL,
  version INTEGER NOT NULL,
  PRIMARY KEY (collection, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX row_conflict ON row (collection, key, conflicts) WHERE conflicts > 0;

-- The registers of records: all writes that no other write has seen. The field '' is existence. A source has at most one
-- such write in a register.
CREATE TABLE write (
  row INTEGER NOT NULL,
  field TEXT NOT NULL,
  source INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  stamp INTEGER NOT NULL,
  value BLOB,
  PRIMARY KEY (row, field, source)
) STRICT, WITHOUT ROWID;

-- Conversations that have messages.
CREATE TABLE conversation (
  idx INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  messages INTEGER NOT NULL,
  unread INTEGER NOT NULL,
  last_us INTEGER,
  last INTEGER
) STRICT;
CREATE INDEX conversation_order ON conversation (last_us DESC, name);

-- Messages. Those of which only a status has come have no conversation and no payload.
CREATE TABLE message (
  idx INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  conversation INTEGER REFERENCES conversation (idx),
  created_us INTEGER,
  unread INTEGER NOT NULL,
  version INTEGER NOT NULL,
  source INTEGER,
  seq INTEGER,
  stamp INTEGER,
  payload BLOB
) STRICT;
CREATE INDEX message_order ON message (conversation, created_us, id) WHERE conversation IS NOT NULL;

-- The time of each status level, with the write that set it.
CREATE TABLE status (
  message INTEGER NOT NULL REFERENCES message (idx),
  level INTEGER NOT NULL,
  at_us INTEGER NOT NULL,
  source INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  stamp INTEGER NOT NULL,
  PRIMARY KEY (message, level)
) STRICT, WITHOUT ROWID;

-- SHA-256 of the payloads that lost against another payload under the same id.
CREATE TABLE message_variant (
  message INTEGER NOT NULL REFERENCES message (idx),
  content BLOB NOT NULL CHECK (length(content) = 32),
  PRIMARY KEY (message, content)
) STRICT, WITHOUT ROWID;

-- Deleted messages, known only by the hash of their name.
CREATE TABLE tombstone (
  entity BLOB PRIMARY KEY CHECK (length(entity) = 32),
  at_us INTEGER NOT NULL,
  source INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  stamp INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The full-text index. It keeps no text: the view takes it out of the payload, with functions that every connection has.
-- `place` is the conversation's number as a word, so that a search in one conversation is one more word to intersect.
-- Beginnings of three letters have an index of their own: without it `abc*` merges the lists of all words that begin so.
CREATE VIEW message_words (idx, text, sender, place) AS
  SELECT idx, kinfolk_text(payload), kinfolk_sender(payload), conversation
  FROM message WHERE conversation IS NOT NULL;
CREATE VIRTUAL TABLE message_text USING fts5 (
  text, sender, place,
  content = 'message_words', content_rowid = 'idx', columnsize = 0, prefix = '3',
  tokenize = 'unicode61 remove_diacritics 2'
);
