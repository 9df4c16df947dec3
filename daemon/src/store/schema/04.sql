-- Version 4: devices leave.

-- Bundles of removed devices beyond the ends of their sources, as they stood in the log. They have no effect. If the source
-- turns out to run on, they are fetched again and leave this table.
CREATE TABLE cut_bundle (
  bundle_seq INTEGER PRIMARY KEY,
  source INTEGER NOT NULL REFERENCES source (idx),
  seq INTEGER NOT NULL,
  hash BLOB NOT NULL CHECK (length(hash) = 32),
  at INTEGER NOT NULL,
  body BLOB NOT NULL,
  UNIQUE (source, seq)
) STRICT;

-- How many roster records the sibling held when it said what it holds.
ALTER TABLE sibling ADD COLUMN term INTEGER NOT NULL DEFAULT 0;
