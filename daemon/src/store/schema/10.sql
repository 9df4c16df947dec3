-- Version 10: apps follow this device's order.

-- Up to where each consumer has dealt with this device's order.
CREATE TABLE app_cursor (
  name TEXT PRIMARY KEY,
  bundle_seq INTEGER NOT NULL,
  at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Records and messages that changed at a place in this device's order where there is no bundle: the end of a removed device's source
-- was moved back, or ops were understood late.
CREATE TABLE revision (
  bundle_seq INTEGER NOT NULL,
  collection TEXT NOT NULL,
  key TEXT NOT NULL,
  PRIMARY KEY (bundle_seq, collection, key)
) STRICT, WITHOUT ROWID;
