"""Snapshots: all records and messages as they stood at one place of this device's order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Protocol, TypeAlias

import grpc

from kinfolk.conversation import Conversation
from kinfolk.errors import ConnectionLost, from_call
from kinfolk.record import Record
from kinfolk.v1 import message_pb2, records_pb2

Item: TypeAlias = Record | message_pb2.Message | Conversation


class Stream(Protocol):
    """What gRPC answers a snapshot with."""

    def __next__(self) -> records_pb2.SnapshotResponse: ...
    def cancel(self) -> bool: ...


class Snapshot(Iterator[Item]):
    """An iterator of messages, records, and conversations with no more than their metadata. It is whole only when it ends without an error; after an error, take another one."""

    def __init__(self, open_stream: Callable[[], Stream]) -> None:
        self._stream = open_stream()
        self._items: deque[Item] = deque()
        self._ended = False
        begin = self._read().begin
        self.bundle_seq = begin.snapshot_bundle_seq
        """The place at which everything stands so: where a watch or a pull goes on."""
        self.order = begin.order_id
        """The order that it is a place of: to be kept with it."""

    def __next__(self) -> Item:
        """The next item. Errors: `ConnectionLost` when the rest did not come, `Busy`, and others of the daemon."""
        while not self._items and not self._ended:
            part = self._read()
            self._ended = part.WhichOneof("event") == "end"
            self._items.extend(_item(item) for item in part.items.items)
        if not self._items:
            raise StopIteration
        return self._items.popleft()

    def close(self) -> None:
        """Ends the snapshot early."""
        self._stream.cancel()

    def __enter__(self) -> Snapshot:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _read(self) -> records_pb2.SnapshotResponse:
        try:
            return next(self._stream)
        except StopIteration:
            raise ConnectionLost("the daemon ended the snapshot") from None
        except grpc.RpcError as error:
            raise from_call(error) from error


def _item(item: records_pb2.SnapshotItem) -> Item:
    if item.WhichOneof("item") == "conversation":
        return Conversation.of(item.conversation)
    return Record.of(item.record) if item.WhichOneof("item") == "record" else item.message
