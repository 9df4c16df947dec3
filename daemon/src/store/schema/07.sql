-- Version 7: where siblings look for mail, and what was left for them there.

-- Ids of relays, 16 bytes each.
ALTER TABLE sibling ADD COLUMN relays BLOB NOT NULL DEFAULT x'';
-- For each relay: relay 16, own source 16, position 8, parcels 4, sealed bytes 8, milliseconds since 1970 when the first was put 8.
ALTER TABLE sibling ADD COLUMN posted BLOB NOT NULL DEFAULT x'';
