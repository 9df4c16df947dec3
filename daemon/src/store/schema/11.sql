-- Version 11: sources that have two histories.

-- Evidence that ends a source, signed by its device: the one piece that ends it earliest. `times` counts how often it was ended, ever
-- earlier.
CREATE TABLE evidence (
  source BLOB NOT NULL CHECK (length(source) = 16),
  device BLOB NOT NULL CHECK (length(device) = 16),
  times INTEGER NOT NULL,
  bytes BLOB NOT NULL,
  PRIMARY KEY (source, device)
) STRICT;

-- How often a sibling had ended sources by evidence when it gave its receipt.
ALTER TABLE sibling ADD COLUMN trials INTEGER NOT NULL DEFAULT 0;

-- Bundles that were taken back, as before; of two histories each may have one at a position.
CREATE TABLE aside (
  bundle_seq INTEGER PRIMARY KEY,
  source INTEGER NOT NULL REFERENCES source (idx),
  seq INTEGER NOT NULL,
  hash BLOB NOT NULL CHECK (length(hash) = 32),
  at INTEGER NOT NULL,
  body BLOB NOT NULL,
  UNIQUE (source, seq, hash)
) STRICT;
INSERT INTO aside SELECT bundle_seq, source, seq, hash, at, body FROM cut_bundle;
DROP TABLE cut_bundle;
ALTER TABLE aside RENAME TO cut_bundle;
