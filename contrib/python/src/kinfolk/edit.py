"""Edits: writes that wait in an outbox, and how they are put together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from kinfolk.record import Record
from kinfolk.v1 import records_pb2

# A bundle holds at most 5,000 ops and 1 MiB; what a request has besides its ops fits into the rest.
MAX_OPS = 5_000
MAX_BYTES = 1_000_000


@dataclass(frozen=True)
class Edit:
    """A write that has not been confirmed."""

    number: int
    """Its place in this outbox."""
    op: records_pb2.Op
    """The write, with the version that it is based on."""
    base: Record | None
    """The record that it was made from, when the app gave it."""

    @property
    def _write(self) -> records_pb2.PutRecord | records_pb2.DeleteRecord:
        return self.op.delete_record if self.is_deletion else self.op.put_record

    @property
    def is_deletion(self) -> bool:
        """Whether it deletes its record."""
        return self.op.WhichOneof("op") == "delete_record"

    @property
    def collection(self) -> str:
        """The collection of its record."""
        return self._write.collection

    @property
    def key(self) -> str:
        """The key of its record."""
        return self._write.key

    @property
    def base_version(self) -> int | None:
        """The version that it is based on."""
        return self._write.base_row_version if self._write.HasField("base_row_version") else None

    def over(self, record: Record | None) -> Record | None:
        """The record as it will be when this edit is made on it; `None` for no record."""
        if self.is_deletion:
            return None
        write = self.op.put_record
        mine = Record.of(records_pb2.Record(collection=write.collection, key=write.key, fields=write.fields))
        if record is None:
            return mine
        kept = {name: value for name, value in record.fields.items() if name not in write.clear_fields}
        return replace(record, fields={**kept, **mine.fields})


def bundle_of(edits: Iterable[Edit]) -> list[Edit]:
    """The first edits, as many as one bundle holds, up to the second one of a record: what that is based on is known after the first."""
    bundle: list[Edit] = []
    names: set[tuple[str, str]] = set()
    size = 0
    for edit in edits:
        # Tag and length of an op have at most 5 bytes.
        size += edit.op.ByteSize() + 5
        name = (edit.collection, edit.key)
        if bundle and (name in names or len(bundle) == MAX_OPS or size > MAX_BYTES):
            break
        bundle.append(edit)
        names.add(name)
    return bundle


def add(first: records_pb2.PutRecord, second: records_pb2.PutRecord) -> None:
    """Makes `first` do what both do, one after the other."""
    for name in second.clear_fields:
        first.fields.pop(name, None)
    cleared = (set(first.clear_fields) | set(second.clear_fields)) - set(second.fields)
    del first.clear_fields[:]
    first.clear_fields.extend(sorted(cleared))
    for name, value in second.fields.items():
        first.fields[name].CopyFrom(value)


def based(op: records_pb2.Op, version: int | None) -> records_pb2.Op:
    """The same write on another version."""
    op = records_pb2.Op.FromString(op.SerializeToString())
    write = op.delete_record if op.WhichOneof("op") == "delete_record" else op.put_record
    if version is None:
        write.ClearField("base_row_version")
    else:
        write.base_row_version = version
    return op
