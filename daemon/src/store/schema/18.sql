-- Version 18: apps with clocks of their own.

-- The greatest stamp of a committed push of each source of an app, where it gave any: a number without a sign.
CREATE TABLE app_stamp (
  app TEXT PRIMARY KEY,
  stamp INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
