"""Records, and the writes that one bundle can hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from kinfolk.v1 import records_pb2
from kinfolk.values import Read, Written, from_fields, to_fields


@dataclass(frozen=True)
class Record:
    """One record as it stands on this device."""

    collection: str
    key: str
    fields: dict[str, Read]
    """Its fields by name."""
    version: int
    """The `bundle_seq` of its last change here."""
    conflicts: tuple[str, ...]
    """The fields for which siblings wrote different values at the same time; the shown one is the latest."""

    @classmethod
    def of(cls, record: records_pb2.Record) -> Record:
        """The record that the daemon sent."""
        fields = from_fields(record.fields)
        return cls(record.collection, record.key, fields, record.row_version, tuple(record.conflicts))


def put(collection: str, key: str, fields: Mapping[str, Written], clear: Iterable[str] = ()) -> records_pb2.Op:
    """Writes the named fields and makes those of `clear` absent; other fields of the record stay as they are."""
    op = records_pb2.PutRecord(collection=collection, key=key, fields=to_fields(fields), clear_fields=clear)
    return records_pb2.Op(put_record=op)


def delete(collection: str, key: str) -> records_pb2.Op:
    """Deletes a record. When it is not there, nothing changes."""
    return records_pb2.Op(delete_record=records_pb2.DeleteRecord(collection=collection, key=key))
