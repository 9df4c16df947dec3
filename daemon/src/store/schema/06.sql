-- Version 6: the group takes new secrets.

-- Epochs whose secrets are held; the secrets are wrapped outside. `quiet`: since when no live sibling is known to live in an earlier
-- one than this device, by the wall clock. The one that a device of an earlier version holds comes from the table of secrets.
CREATE TABLE epoch (
  number INTEGER NOT NULL,
  id BLOB NOT NULL CHECK (length(id) = 16),
  quiet INTEGER,
  secret BLOB NOT NULL,
  PRIMARY KEY (number, id)
) STRICT, WITHOUT ROWID;

-- The epoch that the sibling showed last (its number is in `epoch`), and the last one it showed that is held here.
ALTER TABLE sibling ADD COLUMN epoch_id BLOB NOT NULL DEFAULT x'00000000000000000000000000000000';
ALTER TABLE sibling ADD COLUMN under INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sibling ADD COLUMN under_id BLOB NOT NULL DEFAULT x'00000000000000000000000000000000';
