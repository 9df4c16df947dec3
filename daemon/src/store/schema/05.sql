-- Version 5: quarantine says what it holds.

-- 1 an envelope, 2 a parcel or parts of one, 3 a source, 4 a bundle.
ALTER TABLE quarantine ADD COLUMN kind INTEGER NOT NULL DEFAULT 1;
-- The relay it came from, when that is known.
ALTER TABLE quarantine ADD COLUMN relay BLOB;
-- How many bytes it had; `bytes` holds all of them or the first.
ALTER TABLE quarantine ADD COLUMN size INTEGER NOT NULL DEFAULT 0;
-- A person does not want to see it any more.
ALTER TABLE quarantine ADD COLUMN hidden INTEGER NOT NULL DEFAULT 0;
