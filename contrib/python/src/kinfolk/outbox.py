"""An outbox: edits that an app makes whether or not the daemon answers, and what becomes of them.

    outbox = kinfolk.Outbox("todo.outbox")
    outbox.put("todo", record.key, {"done": True}, base=record)       # on disk when it returns
    outbox.flush(client.records, resolve=lambda clash: kinfolk.MINE)  # now, or whenever there is a daemon

An edit is based on the record that its person saw. `flush` pushes all edits as one bundle, all or nothing. Before a bundle is sent for the first
time it is *frozen*: written to the file with its number, so that whatever happens, also to this program, the same bundle is sent again until it is
answered, and counts once.

When a record has changed since, the daemon refuses the bundle and describes the first such record. The app's `resolve` decides: `THEIRS` drops the
edit, `MINE` makes it once more on the record as it is now, `Merged` writes a whole record instead. The surviving edits are frozen anew and sent
under the same number, which was not used. An edit that clashes again after two resolutions, or that nobody can resolve, stays in the outbox, and with
it those that were pushed along; the next `flush` tries again.

An edit of a record that was edited since the last push is merged into that edit and keeps its base. One made while its record is being pushed waits for
the answer and is based on what was committed.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from kinfolk.clash import THEIRS, Choice, Clash, Merged, Resolve, current_of, resolve_by
from kinfolk.edit import Edit, add, based, bundle_of
from kinfolk.errors import BundleDiffers, Conflict, Error, OutOfOrder, Refused
from kinfolk.record import Record, delete, put
from kinfolk.records import Records
from kinfolk.v1 import records_pb2
from kinfolk.values import Written

# How often one edit is made once more after it was resolved.
RETRIES = 2


class InvalidOutbox(Error):
    """The file is no outbox that this version of the package understands."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="invalid_outbox", hint="open it with the version that wrote it, or name another file")


class Outbox:
    """Edits on disk. May be used by several threads; one program at a time."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Opens the outbox in the file `path`, or makes it, for its user only. The file is its own: give it to nothing else."""
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        self._lock = threading.Lock()
        self._flushing = threading.Lock()
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        with self._transaction() as db:
            (schema,) = db.execute("PRAGMA user_version").fetchone()
            if schema == 0:
                for statement in _SCHEMA:
                    db.execute(statement)
                db.execute("INSERT INTO source VALUES (1, ?, 1, NULL)", (_fresh_source(),))
            elif schema != _VERSION:
                raise InvalidOutbox(f"{os.fspath(path)} is the outbox of another version of this package")

    def put(
        self,
        collection: str,
        key: str,
        fields: Mapping[str, Written],
        clear: Iterable[str] = (),
        *,
        base: Record | int | None,
    ) -> None:
        """Keeps a write of these fields. `base` is the record as its person saw it, or 0 for a new one; with `None` it never clashes."""
        self._keep(Edit(0, put(collection, key, fields, clear, base=base), base if isinstance(base, Record) else None))

    def delete(self, collection: str, key: str, *, base: Record | int | None) -> None:
        """Keeps a deletion; `base` is as in `put`."""
        self._keep(Edit(0, delete(collection, key, base=base), base if isinstance(base, Record) else None))

    def edits(self) -> list[Edit]:
        """What waits, in order."""
        with self._transaction() as db:
            return _edits(db)

    def over(self, collection: str, records: Iterable[Record]) -> list[Record]:
        """The records of a collection as they will be when what waits is made on them, in the order of their keys."""
        shown = {record.key: record for record in records}
        for edit in self.edits():
            if edit.collection == collection:
                record = edit.over(shown.pop(edit.key, None))
                if record is not None:
                    shown[edit.key] = record
        return [shown[key] for key in sorted(shown, key=str.encode)]

    def drop(self, edit: Edit) -> bool:
        """Gives up an edit, as after `InvalidArgument`; says whether it did. One that is frozen may be at the daemon already and is kept."""
        with self._transaction() as db:
            return db.execute("DELETE FROM edit WHERE number = ? AND NOT frozen", (edit.number,)).rowcount > 0

    def flush(self, records: Records, resolve: Resolve | None = None) -> int:
        """Pushes all that waits; gives how many edits were committed.

        Errors: `Conflict` for an edit that could not be resolved, `InvalidResolution`, `InvalidArgument` and `TooLarge` for an edit that breaks
        a rule, and those of a daemon that is not there. After each, the edits are still here.
        """
        with self._flushing:
            committed, renumbered = 0, False
            resolved: dict[int, int] = {}
            while True:
                frozen = self._freeze()
                if frozen is None:
                    return committed
                request, edits = frozen
                try:
                    reply = records.push_request(request)
                except Conflict as conflict:
                    edit = edits[conflict.op_index or 0]
                    self._settle(records, conflict, edit, resolve if resolved.get(edit.number, 0) < RETRIES else None)
                    resolved[edit.number] = resolved.get(edit.number, 0) + 1
                except (OutOfOrder, BundleDiffers):
                    # This file or the daemon's store was put back to an older state: that stream of bundles has ended.
                    if renumbered:
                        raise
                    renumbered = True
                    self._thaw(fresh_source=True)
                except Refused as refusal:
                    # What is refused for good is not committed; of what just did not work out nobody knows.
                    if not refusal.retryable:
                        self._thaw()
                    raise
                else:
                    self._commit(reply, edits)
                    committed += len(edits)

    def close(self) -> None:
        """Closes the file."""
        self._db.close()

    def _keep(self, edit: Edit) -> None:
        with self._transaction() as db:
            same = [row for row in _edits(db) if (row.collection, row.key) == (edit.collection, edit.key)]
            waiting = [row for row in _edits(db, "NOT frozen") if row in same]
            before = waiting[-1] if waiting else None
            if before is None or before.is_deletion:
                db.execute("INSERT INTO edit (op, base, frozen) VALUES (?, ?, 0)", _row(edit))
                return
            # It is made from what the edit before it made, so the base is that one's.
            if edit.is_deletion and before.base_version == 0 and all(row.is_deletion for row in same[:-1][-1:]):
                # It was made here and never sent: nobody needs to hear of it.
                db.execute("DELETE FROM edit WHERE number = ?", (before.number,))
                return
            op = edit.op
            if not edit.is_deletion:
                op = records_pb2.Op.FromString(before.op.SerializeToString())
                add(op.put_record, edit.op.put_record)
            _update(db, Edit(before.number, based(op, before.base_version), before.base))

    def _freeze(self) -> tuple[records_pb2.PushRequest, list[Edit]] | None:
        """The bundle that is to be sent, with its edits: the one that was frozen, or one of what waits."""
        with self._transaction() as db:
            source_id, number, request = db.execute("SELECT source_id, next, request FROM source").fetchone()
            if request is not None:
                return records_pb2.PushRequest.FromString(request), _edits(db, "frozen")
            edits = bundle_of(_edits(db))
            if not edits:
                return None
            push = records_pb2.PushRequest(
                ops=[edit.op for edit in edits], source_id=source_id, source_bundle_id=number
            )
            db.execute("UPDATE source SET request = ?", (push.SerializeToString(),))
            db.executemany("UPDATE edit SET frozen = 1 WHERE number = ?", [(edit.number,) for edit in edits])
            return push, edits

    def _thaw(self, *, fresh_source: bool = False, settled: Callable[[sqlite3.Connection], None] | None = None) -> None:
        """Gives up the frozen bundle, which the daemon has not committed: its edits wait again."""
        with self._transaction() as db:
            db.execute("UPDATE source SET request = NULL")
            db.execute("UPDATE edit SET frozen = 0")
            if fresh_source:
                db.execute("UPDATE source SET source_id = ?, next = 1", (_fresh_source(),))
            if settled is not None:
                settled(db)

    def _commit(self, reply: records_pb2.PushResponse, edits: Sequence[Edit]) -> None:
        with self._transaction() as db:
            db.execute("UPDATE source SET request = NULL, next = next + 1")
            db.execute("DELETE FROM edit WHERE frozen")
            wrote = {
                (edit.collection, edit.key)
                for edit, result in zip(edits, reply.results, strict=True)
                if not result.no_op
            }
            for edit in _edits(db):
                if (edit.collection, edit.key) in wrote and edit.base_version is not None:
                    _update(db, replace(edit, op=based(edit.op, reply.bundle_seq)))

    def _settle(self, records: Records, conflict: Conflict, edit: Edit, resolve: Resolve | None) -> None:
        """Resolves a clash and thaws; raises when it cannot be resolved, thawed as well."""
        try:
            version, theirs = current_of(records, conflict)
            if edit.is_deletion and theirs is None:
                resolution: Choice | Merged = THEIRS
            elif resolve is None:
                raise conflict
            else:
                resolution = resolve(Clash(edit, theirs))
            op = resolve_by(edit, theirs, version, resolution)
        except BaseException:
            self._thaw()
            raise

        def settled(db: sqlite3.Connection) -> None:
            if op is None:
                db.execute("DELETE FROM edit WHERE number = ?", (edit.number,))
            else:
                _update(db, Edit(edit.number, op, theirs))

        self._thaw(settled=settled)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")


_VERSION = 1
_SCHEMA = (
    # One row: our writer stream, the number of its next bundle, and that bundle once it is frozen.
    "CREATE TABLE source (id INTEGER PRIMARY KEY CHECK (id = 1), source_id TEXT NOT NULL, next INTEGER NOT NULL, request BLOB)",
    # A serialized Op, the serialized Record that it was made from, and whether it is part of the frozen bundle.
    "CREATE TABLE edit (number INTEGER PRIMARY KEY AUTOINCREMENT, op BLOB NOT NULL, base BLOB, frozen INTEGER NOT NULL)",
    f"PRAGMA user_version = {_VERSION}",
)


def _fresh_source() -> str:
    return str(uuid.uuid4())


def _edits(db: sqlite3.Connection, which: str = "TRUE") -> list[Edit]:
    rows = db.execute(f"SELECT number, op, base FROM edit WHERE {which} ORDER BY number").fetchall()
    return [Edit(number, records_pb2.Op.FromString(op), _base(base)) for number, op, base in rows]


def _base(blob: bytes | None) -> Record | None:
    return None if blob is None else Record.of(records_pb2.Record.FromString(blob))


def _row(edit: Edit) -> tuple[bytes, bytes | None]:
    return edit.op.SerializeToString(), None if edit.base is None else edit.base.to_proto().SerializeToString()


def _update(db: sqlite3.Connection, edit: Edit) -> None:
    db.execute("UPDATE edit SET op = ?, base = ? WHERE number = ?", (*_row(edit), edit.number))
