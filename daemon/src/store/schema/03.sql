-- Version 3: what the person has set.

-- Settings of this device, by name. They never leave it.
CREATE TABLE setting (
  name TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
