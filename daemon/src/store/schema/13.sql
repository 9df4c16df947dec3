-- Version 13: apps with tokens of their own.

-- `token` is the SHA-256 of 256 random bits. Scopes: 1 read, 2 write. Times are milliseconds since 1970.
CREATE TABLE app (
  name TEXT PRIMARY KEY,
  token BLOB NOT NULL UNIQUE CHECK (length(token) = 32),
  collection_scope INTEGER NOT NULL,
  conversation_scope INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  used_at INTEGER
) STRICT, WITHOUT ROWID;

-- Where it may go: kind 1 among collections, 2 among conversations.
CREATE TABLE app_prefix (
  app TEXT NOT NULL REFERENCES app (name),
  kind INTEGER NOT NULL,
  prefix TEXT NOT NULL,
  PRIMARY KEY (app, kind, prefix)
) STRICT, WITHOUT ROWID;
