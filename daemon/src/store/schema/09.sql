-- Version 9: a retry is answered as the first time.

-- Which ops of the push changed nothing: their numbers, four bytes each.
ALTER TABLE app_bundle ADD COLUMN no_ops BLOB NOT NULL DEFAULT x'';
