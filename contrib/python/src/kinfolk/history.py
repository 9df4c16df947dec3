"""What was done to a record, and finding records by what they hold."""

from __future__ import annotations

from dataclasses import dataclass
from types import EllipsisType
from typing import Literal

from kinfolk.v1 import records_pb2
from kinfolk.values import Read, Written, from_fields, to_value


@dataclass(frozen=True)
class PastChange:
    """One change of a record."""

    bundle_seq: int
    """Its place in this device's order of apply."""
    device_id: str
    """The device that made it, 32 hex digits."""
    written_at_ms: int
    """That device's clock, Unix milliseconds."""
    kind: Literal["put", "delete"]
    fields: dict[str, Read]
    """The fields that it wrote."""
    cleared: tuple[str, ...]
    """The fields that it made absent."""

    @classmethod
    def of(cls, change: records_pb2.PastChange) -> PastChange:
        """The change that the daemon sent."""
        deleted = change.kind == records_pb2.CHANGE_KIND_RECORD_DELETE
        return cls(
            change.bundle_seq,
            change.device_id,
            change.written_at_ms,
            "delete" if deleted else "put",
            from_fields(change.fields),
            tuple(change.cleared_fields),
        )


def where(
    field: str,
    *,
    equals: Written | EllipsisType = ...,
    at_least: Written | EllipsisType = ...,
    above: Written | EllipsisType = ...,
    at_most: Written | EllipsisType = ...,
    below: Written | EllipsisType = ...,
    begins_with: str | None = None,
) -> records_pb2.FieldCondition:
    """What a field is to show: a value, a range of values of one type, or text that begins so. For `Records.list`."""
    condition = records_pb2.FieldCondition(field=field, begins_with=begins_with)
    bounds = {"equals": equals, "at_least": at_least, "above": above, "at_most": at_most, "below": below}
    for name, value in bounds.items():
        if not isinstance(value, EllipsisType):
            getattr(condition, name).CopyFrom(to_value(value))
    return condition
