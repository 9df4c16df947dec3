"""Clashes: edits whose record has changed since, and the ways out.

| the edit | the record is there | it was deleted, or never was |
|---|---|---|
| writes fields of a record | `THEIRS`, `MINE`, `Merged` | `THEIRS` |
| makes a new record (base 0) | `THEIRS`, `MINE`, `Merged` | `THEIRS`, `MINE`, `Merged` |
| deletes | `THEIRS`, `MINE` | dropped, nobody is asked |

Any other resolution is refused, and the edit stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from kinfolk.edit import Edit, based
from kinfolk.errors import Conflict, Error, NotFound
from kinfolk.record import Record, put
from kinfolk.records import Records
from kinfolk.v1 import records_pb2
from kinfolk.values import Written


@dataclass(frozen=True)
class Clash:
    """An edit whose record has changed since: all that is needed to decide."""

    mine: Edit
    """The edit; `mine.base` is the record that it was made from."""
    theirs: Record | None
    """The record as it is now; `None` when it was deleted."""


@dataclass(frozen=True)
class Merged:
    """Resolves a clash by a whole record: the fields that it is to have, all others become absent."""

    fields: Mapping[str, Written]


class Choice(str):
    """`MINE` or `THEIRS`."""


MINE = Choice("mine")
"""Resolves a clash by making the edit on the record as it is now: its fields win, all others stay as they are there."""
THEIRS = Choice("theirs")
"""Resolves a clash by dropping the edit."""

Resolve: TypeAlias = Callable[[Clash], "Choice | Merged"]


class InvalidResolution(Error):
    """The app resolved a clash in a way that this clash does not allow. The edit stays in the outbox."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="invalid_resolution", hint="resolve it with THEIRS, or edit the record anew")


def current_of(records: Records, error: Conflict) -> tuple[int, Record | None]:
    """The record that a push clashed with, and its version."""
    conflict = error.detail.conflict
    if conflict.HasField("current"):
        return conflict.row_version, Record.of(conflict.current)
    if conflict.deleted or conflict.row_version == 0:
        return conflict.row_version, None
    try:
        # Too large to come along.
        record = records.get(conflict.collection, conflict.key)
        return record.version, record
    except NotFound:
        # Gone meanwhile: the next push says at which version.
        return conflict.row_version, None


def resolve_by(edit: Edit, theirs: Record | None, version: int, resolution: Choice | Merged) -> records_pb2.Op | None:
    """What becomes of an edit; `None` when it is dropped."""
    if resolution is THEIRS:
        return None
    if theirs is None and edit.base_version != 0:
        raise InvalidResolution(f"{edit.collection}/{edit.key} was deleted: an edit of it cannot be kept")
    if resolution is MINE:
        return based(edit.op, version)
    if not isinstance(resolution, Merged):
        raise InvalidResolution(f"{resolution!r} is no resolution")
    if edit.is_deletion:
        raise InvalidResolution(f"{edit.collection}/{edit.key} is to be deleted: there is nothing to merge")
    gone: set[str] = set() if theirs is None else set(theirs.fields) - set(resolution.fields)
    return put(edit.collection, edit.key, resolution.fields, sorted(gone), base=version)
