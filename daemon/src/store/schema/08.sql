-- Version 8: compaction, and catching up with a log that was compacted.

-- Up to where each source was compacted. At or below it bundles may be gone, and a body is what is kept of its bundle, with its
-- context as the difference from the kept bundle before. `context` is all that the author of the bundle there had seen.
CREATE TABLE floor (
  source INTEGER PRIMARY KEY REFERENCES source (idx),
  seq INTEGER NOT NULL,
  hash BLOB NOT NULL CHECK (length(hash) = 32),
  stamp INTEGER NOT NULL,
  context BLOB NOT NULL
) STRICT;

-- Up to where nothing of a source can be taken back: somebody has compacted it.
CREATE TABLE standing (
  source BLOB PRIMARY KEY CHECK (length(source) = 16),
  seq INTEGER NOT NULL,
  hash BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;

-- How often the log lost something in its middle, the last place at which something went, and the last place that was given out when the
-- log may not show it.
CREATE TABLE compaction (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  times INTEGER NOT NULL,
  upto INTEGER NOT NULL,
  last INTEGER NOT NULL
) STRICT;
INSERT INTO compaction (one, times, upto, last) VALUES (1, 0, 0, 0);

-- The snapshot under way to here, and what of it has come.
CREATE TABLE hydration (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  sender BLOB NOT NULL CHECK (length(sender) = 16),
  snapshot INTEGER NOT NULL,
  after INTEGER NOT NULL,
  last INTEGER NOT NULL,
  staged INTEGER NOT NULL
) STRICT;
CREATE TABLE staged (
  n INTEGER PRIMARY KEY,
  source BLOB NOT NULL CHECK (length(source) = 16),
  seq INTEGER NOT NULL,
  hash BLOB NOT NULL CHECK (length(hash) = 32),
  body BLOB NOT NULL
) STRICT;
