-- Version 14: prekeys change.

-- The prekeys of this device whose seeds are held; the seeds are wrapped outside. `made`: when, by the wall clock, 0 when it is to be
-- replaced at once. `quiet`: since when every live sibling is known to know a later one.
CREATE TABLE prekey (
  slot INTEGER PRIMARY KEY,
  public BLOB NOT NULL,
  made INTEGER NOT NULL,
  quiet INTEGER,
  seed BLOB NOT NULL
) STRICT;
-- The seed of the only one that an earlier version knew comes from the table of secrets.
INSERT INTO prekey (slot, public, made, seed) SELECT prekey_slot, prekey, 1, x'' FROM device;

-- The newest slot of this device's prekeys that the sibling knew when it spoke last.
ALTER TABLE sibling ADD COLUMN knows_slot INTEGER;
