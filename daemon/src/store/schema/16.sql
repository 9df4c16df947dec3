-- Version 16: how much an app may store; without a number as much as is usual.

ALTER TABLE app ADD COLUMN quota_bytes INTEGER;
ALTER TABLE app ADD COLUMN quota_items INTEGER;
