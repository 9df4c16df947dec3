-- Version 2: which ops the state understands.

-- The greatest kind of op whose effect is in the state, and how many ops of the log have none: those of a later kind, which wait
-- for an upgrade, and those that break a rule. No numbers: not counted yet.
CREATE TABLE level (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  ops INTEGER NOT NULL,
  unknown INTEGER,
  invalid INTEGER
) STRICT;
-- Before this migration there were kinds 1 to 5.
INSERT INTO level (one, ops) VALUES (1, 5);
