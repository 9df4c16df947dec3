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
    """The `bundle_seq` of its last change on this device."""
    conflicts: tuple[str, ...]
    """The fields for which siblings wrote different values at the same time; the shown one is the latest."""

    @classmethod
    def of(cls, record: records_pb2.Record) -> Record:
        """The record that the daemon sent."""
        fields = from_fields(record.fields)
        return cls(record.collection, record.key, fields, record.row_version, tuple(record.conflicts))


    def to_proto(self) -> records_pb2.Record:
        """The record as the API has it."""
        return records_pb2.Record(
            collection=self.collection,
            key=self.key,
            fields=to_fields(self.fields),
            row_version=self.version,
            conflicts=self.conflicts,
        )


def put(
    collection: str,
    key: str,
    fields: Mapping[str, Written],
    clear: Iterable[str] = (),
    *,
    base: Record | int | None = None,
) -> records_pb2.Op:
    """Writes the named fields and makes those of `clear` absent; other fields of the record stay as they are.

    `base` is the record that the write was made from, or its version; 0 when there was none and never had been. When the record has changed
    since, the whole push is refused with `Conflict`. `None` writes whatever is there.
    """
    op = records_pb2.PutRecord(
        collection=collection,
        key=key,
        fields=to_fields(fields),
        clear_fields=clear,
        base_row_version=_version(base),
    )
    return records_pb2.Op(put_record=op)


def delete(collection: str, key: str, *, base: Record | int | None = None) -> records_pb2.Op:
    """Deletes a record. When it is not there, nothing changes. `base` is as in `put`."""
    op = records_pb2.DeleteRecord(collection=collection, key=key, base_row_version=_version(base))
    return records_pb2.Op(delete_record=op)


def _version(base: Record | int | None) -> int | None:
    return base.version if isinstance(base, Record) else base
