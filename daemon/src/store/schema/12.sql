-- Version 12: what records were, and where they are found by what they hold.

-- The places of the bundles that changed a row. Of a row that was written once there are none: its version is the place.
CREATE TABLE history (
  row INTEGER NOT NULL,
  bundle_seq INTEGER NOT NULL,
  PRIMARY KEY (row, bundle_seq)
) STRICT, WITHOUT ROWID;
-- Whether all of the log is in it.
CREATE TABLE history_state (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  filled INTEGER NOT NULL
) STRICT;
INSERT INTO history_state (one, filled) SELECT 1, count(*) = 0 FROM row;

-- Fields by whose values records are looked up.
CREATE TABLE indexed (
  collection INTEGER NOT NULL REFERENCES collection (idx),
  field TEXT NOT NULL,
  PRIMARY KEY (collection, field)
) STRICT, WITHOUT ROWID;
-- What living records show in these fields, in an encoding whose byte order is that of the values.
CREATE TABLE field_value (
  collection INTEGER NOT NULL,
  field TEXT NOT NULL,
  value BLOB NOT NULL,
  key TEXT NOT NULL,
  PRIMARY KEY (collection, field, value, key)
) STRICT, WITHOUT ROWID;
