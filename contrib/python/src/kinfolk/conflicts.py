"""Conflicts: records in which devices disagree, because they changed them before they heard of each other. docs/conflicts.md says what is one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from kinfolk.record import Record
from kinfolk.v1 import records_pb2
from kinfolk.values import Read, Written, from_value, to_fields

Policy: TypeAlias = Literal["keep", "lww"]


@dataclass(frozen=True)
class Version:
    """One of the writes that disagree."""

    value: Read
    """What it wrote; `None` also when it cleared the field, and when it is about existence."""
    exists: bool
    """Whether there is a value, or whether the record is to exist."""
    device_id: str
    """The device that wrote it, 32 hex digits."""
    written_at_ms: int
    """That device's clock, Unix milliseconds."""
    mine: bool
    """Whether this device wrote it."""
    shown: bool
    """Whether it is what is shown meanwhile."""


@dataclass(frozen=True)
class FieldConflict:
    """A field in which devices disagree, or whether the record exists."""

    field: str
    """The field; empty when it is about existence."""
    versions: tuple[Version, ...]
    """What was written at the same time, the latest first."""
    base: Version | None
    """What all of the writers had seen; `None` when there was nothing, it is not known any more, or in a list."""


@dataclass(frozen=True)
class RecordConflict:
    """A record in which devices disagree."""

    collection: str
    key: str
    version: int
    """Its version here: what a resolution is based on."""
    current: Record | None
    """The record as it is shown meanwhile; `None` when its deletion is."""
    fields: tuple[FieldConflict, ...]

    @classmethod
    def of(cls, conflict: records_pb2.Conflict) -> RecordConflict:
        """The conflict that the daemon sent."""
        current = Record.of(conflict.current) if conflict.HasField("current") else None
        fields = tuple(
            FieldConflict(
                field.field,
                tuple(map(_version, field.versions)),
                _version(field.base) if field.HasField("base") else None,
            )
            for field in conflict.fields
        )
        return cls(conflict.collection, conflict.key, conflict.row_version, current, fields)


def _version(version: records_pb2.ConflictVersion) -> Version:
    value = from_value(version.value) if version.HasField("value") else None
    return Version(value, version.exists, version.device_id, version.written_at_ms, version.mine, version.shown)


@dataclass(frozen=True)
class Side:
    """One side of a conflict, in all that is in conflict."""

    side: records_pb2.Side.ValueType


MY_SIDE = Side(records_pb2.SIDE_MINE)
"""What this device wrote; refused when it did not write all of it."""
THEIR_SIDE = Side(records_pb2.SIDE_THEIRS)
"""What others wrote; refused when they wrote different values."""
SHOWN = Side(records_pb2.SIDE_SHOWN)
"""What is shown: the latest write."""


@dataclass(frozen=True)
class Whole:
    """The record as a whole: every field that it shows or that is in conflict must be here or in `clear`."""

    fields: Mapping[str, Written]
    clear: Iterable[str] = ()


@dataclass(frozen=True)
class Gone:
    """The record is to be gone."""


Settlement: TypeAlias = Side | Whole | Gone


def settlement_of(conflict: RecordConflict, settlement: Settlement) -> records_pb2.ResolveConflictRequest:
    """What settles a conflict so."""
    asked = records_pb2.ResolveConflictRequest(
        collection=conflict.collection, key=conflict.key, row_version=conflict.version
    )
    if isinstance(settlement, Side):
        asked.take = settlement.side
    elif isinstance(settlement, Whole):
        asked.merged.CopyFrom(
            records_pb2.MergedRecord(fields=to_fields(settlement.fields), clear_fields=settlement.clear)
        )
    else:
        asked.delete = True
    return asked
