"""Typed values of records, as Python values.

| the API | read as | written from |
|---|---|---|
| null, bool, string, bytes | `None`, `bool`, `str`, `bytes` | the same |
| int (64 bits, signed) | `int` | `int` |
| float | `float` | `float` |
| timestamp | `Timestamp` | `Timestamp`, or a `datetime` that knows its offset |
| JSON | `Json` | `Json`, or a `dict` or `list` |

Timestamps and JSON documents keep their text as it was written, on all devices; so they are read as values of their own that hold it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from kinfolk.errors import VersionMismatch
from kinfolk.v1 import records_pb2


@dataclass(frozen=True)
class Timestamp:
    """An instant: RFC 3339 with an offset."""

    text: str
    """As it was written."""

    @classmethod
    def of(cls, instant: datetime) -> Timestamp:
        """That of `instant`, which must know its offset."""
        if instant.utcoffset() is None:
            raise ValueError(f"{instant} has no offset from UTC: it is not an instant")
        return cls(instant.isoformat())

    @property
    def instant(self) -> datetime:
        """The instant, to the microsecond."""
        # Before Python 3.11, fromisoformat knows neither Z nor fractions of other than 3 or 6 digits.
        text = self.text[:-1] + "+00:00" if self.text[-1:] in "Zz" else self.text
        head, point, tail = text.partition(".")
        if point:
            digits = len(tail) - len(tail.lstrip("0123456789"))
            text = f"{head}.{tail[:digits][:6]:0<6}{tail[digits:]}"
        return datetime.fromisoformat(text.replace("t", "T"))


@dataclass(frozen=True)
class Json:
    """A JSON document."""

    text: str
    """As it was written."""

    @classmethod
    def of(cls, document: Any) -> Json:
        """The document of a Python value."""
        return cls(json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False))

    @property
    def document(self) -> Any:
        """The document as Python values."""
        return json.loads(self.text)


# What a field reads as.
Read: TypeAlias = "None | bool | int | float | str | bytes | Timestamp | Json"
# What a field can be written from.
Written: TypeAlias = "Read | datetime | dict[str, Any] | list[Any]"


def to_value(value: Written) -> records_pb2.Value:
    """The value as the API wants it. Errors: `TypeError` for other types, `ValueError` for what the type cannot hold."""
    Value = records_pb2.Value
    # bool before int, of which it is a subclass.
    if value is None:
        return Value(null=True)
    if isinstance(value, bool):
        return Value(bool=value)
    if isinstance(value, int):
        return Value(int=value)
    if isinstance(value, float):
        return Value(float=value)
    if isinstance(value, str):
        return Value(string=value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return Value(bytes=bytes(value))
    if isinstance(value, datetime):
        return Value(timestamp=Timestamp.of(value).text)
    if isinstance(value, Timestamp):
        return Value(timestamp=value.text)
    if isinstance(value, Json):
        return Value(json=value.text)
    if isinstance(value, (dict, list)):
        return Value(json=Json.of(value).text)
    raise TypeError(f"a field cannot hold a {type(value).__name__}")


def from_value(value: records_pb2.Value) -> Read:
    """The value as Python holds it. Errors: `VersionMismatch` for a type that is newer than this package."""
    kind = value.WhichOneof("kind")
    if kind == "null":
        return None
    if kind == "timestamp":
        return Timestamp(value.timestamp)
    if kind == "json":
        return Json(value.json)
    if kind is None:
        raise VersionMismatch("a value has a type that this client does not know", hint="upgrade the package kinfolk")
    read: bool | int | float | str | bytes = getattr(value, kind)
    return read


def to_fields(fields: Mapping[str, Written]) -> dict[str, records_pb2.Value]:
    """All of a record's fields, written."""
    return {name: to_value(value) for name, value in fields.items()}


def from_fields(fields: Mapping[str, records_pb2.Value]) -> dict[str, Read]:
    """All of a record's fields, read; in the order of their names."""
    return {name: from_value(fields[name]) for name in sorted(fields)}
