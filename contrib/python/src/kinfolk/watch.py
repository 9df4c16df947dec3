"""Watches: complete bundles in this device's order of apply, live, across restarts of the daemon.

A watch is a cursor and a stream. The stream may break at any time (the daemon restarts, or found us too slow to read); then another is
opened after the cursor, which moves only when a bundle is handed out. So nothing is skipped and nothing repeated for as long as the `Watch`
lives. To go on in the next run of the program, keep `bundle_seq` of the last bundle that was dealt with and the `order` of the watch, together with
what was made of it, and give them as `after` and `order`.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Protocol, TypeAlias

import grpc

from kinfolk.calls import FIRST_PAUSE, LAST_PAUSE
from kinfolk.conversation import Conversation
from kinfolk.errors import ConnectionLost, Error, from_call
from kinfolk.record import Record
from kinfolk.v1 import message_pb2, records_pb2


class Stream(Protocol):
    """What gRPC answers a watch with."""

    def __next__(self) -> records_pb2.WatchResponse: ...
    def cancel(self) -> bool: ...


OfRecord: TypeAlias = Literal["put", "delete", "revised"]
OfMessage: TypeAlias = Literal["post", "status", "delete", "revised"]
OfConversation: TypeAlias = Literal["metadata", "read_marker", "revised"]


@dataclass(frozen=True)
class RecordChange:
    """A record that a bundle wrote or deleted."""

    kind: OfRecord
    """What the bundle did; `revised` when it changed otherwise, as when bundles of a removed device were taken back."""
    collection: str
    key: str
    record: Record | None
    """How it stands now; `None` when it is not there (any more)."""


@dataclass(frozen=True)
class MessageChange:
    """A message that a bundle posted, touched or deleted."""

    kind: OfMessage
    """What the bundle did; `revised` as with records."""
    conversation: str
    """Empty when this device does not know it."""
    id: str
    message: message_pb2.Message | None
    """How it stands now; `None` when it is not there (any more)."""


@dataclass(frozen=True)
class ConversationChange:
    """A conversation whose metadata were written, or whose read marker was moved for all devices."""

    kind: OfConversation
    """What the bundle did; `revised` as with records."""
    conversation: Conversation
    """How it stands now."""


@dataclass(frozen=True)
class UnknownChange:
    """Something that the daemon, or this package, is too old to understand."""


Change: TypeAlias = RecordChange | MessageChange | ConversationChange | UnknownChange


@dataclass(frozen=True)
class Bundle:
    """Writes that took effect together, as this device applied them."""

    bundle_seq: int
    """Its place in this device's order of apply: the cursor after it."""
    device_id: str
    """The device that wrote it, 32 hex digits; empty for a change that no bundle brought."""
    written_at_ms: int
    """That device's clock, Unix milliseconds."""
    changes: tuple[Change, ...]
    """What it touched, in order, each as it stands when the bundle is sent."""

    @classmethod
    def of(cls, bundle: records_pb2.Bundle) -> Bundle:
        """The bundle that the daemon sent."""
        changes = tuple(_change(change) for change in bundle.changes)
        return cls(bundle.bundle_seq, bundle.device_id, bundle.written_at_ms, changes)


class Watch(Iterator[Bundle]):
    """An endless iterator of bundles. Close it, or use it in a `with` statement; `close` may be called by another thread."""

    def __init__(
        self,
        open_stream: Callable[[int | None, str], Stream],
        after: int | None,
        patience: float | None,
        order: str = "",
    ) -> None:
        self._open = open_stream
        self._cursor = after
        self._order = order
        self._patience = patience
        self._stream: Stream | None = None
        self._ready: deque[Bundle] = deque()
        self._closed = threading.Event()
        if after is None:
            # From now on: what is applied after we return is handed out, so the place must be known before.
            first = self._next_event()
            if first is not None:
                self._ready.append(first)

    @property
    def cursor(self) -> int:
        """The place up to which everything has been handed out: `after` of a watch that goes on from here."""
        return self._cursor or 0

    @property
    def order(self) -> str:
        """The order that the cursor is a place of, to be kept with it; empty until something was read."""
        return self._order

    def __next__(self) -> Bundle:
        """The next bundle; waits for it. Errors: the daemon's, and that of a connection that stays broken for `patience` seconds; in each
        case `next` may be called again and goes on where it was."""
        while not self._closed.is_set():
            bundle = self._ready.popleft() if self._ready else self._next_event()
            if bundle is not None:
                self._cursor = bundle.bundle_seq
                return bundle
        raise StopIteration

    def close(self) -> None:
        """Ends the watch: whoever waits for the next bundle stops waiting."""
        self._closed.set()
        stream = self._stream
        if stream is not None:
            stream.cancel()

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _next_event(self) -> Bundle | None:
        """The next bundle, or `None` after a position or when the watch is closed."""
        broken_since: float | None = None
        pause = FIRST_PAUSE
        while not self._closed.is_set():
            try:
                return self._read()
            except Error as error:
                self._stream = None
                if self._closed.is_set():
                    break
                if not error.retryable:
                    raise
                now = time.monotonic()
                broken_since = now if broken_since is None else broken_since
                if self._patience is not None and now - broken_since + pause > self._patience:
                    raise
            self._closed.wait(pause)
            pause = min(pause * 2, LAST_PAUSE)
        return None

    def _read(self) -> Bundle | None:
        """One event of the stream, which is opened when there is none."""
        try:
            stream = self._stream
            if stream is None:
                stream = self._stream = self._open(self._cursor, self._order)
                if self._closed.is_set():
                    stream.cancel()
            event = next(stream)
        except StopIteration:
            raise ConnectionLost("the daemon ended the stream") from None
        except grpc.RpcError as error:
            raise from_call(error) from error
        self._order = event.order_id
        if event.WhichOneof("event") == "position":
            self._cursor = max(self.cursor, event.position.bundle_seq)
        if event.WhichOneof("event") != "bundle":
            return None
        return Bundle.of(event.bundle)


# What a change of a record or a message did; whatever else it was, how it stands now is told.
_RECORD: dict[records_pb2.ChangeKind.ValueType, OfRecord] = {
    records_pb2.CHANGE_KIND_RECORD_PUT: "put",
    records_pb2.CHANGE_KIND_RECORD_DELETE: "delete",
}
_MESSAGE: dict[records_pb2.ChangeKind.ValueType, OfMessage] = {
    records_pb2.CHANGE_KIND_MESSAGE_POST: "post",
    records_pb2.CHANGE_KIND_MESSAGE_STATUS: "status",
    records_pb2.CHANGE_KIND_MESSAGE_DELETE: "delete",
}

_CONVERSATION: dict[records_pb2.ChangeKind.ValueType, OfConversation] = {
    records_pb2.CHANGE_KIND_CONVERSATION: "metadata",
    records_pb2.CHANGE_KIND_READ_MARKER: "read_marker",
}


def _change(change: records_pb2.Change) -> Change:
    now = change.WhichOneof("now")
    of_record: OfRecord = _RECORD.get(change.kind, "revised")
    of_message: OfMessage = _MESSAGE.get(change.kind, "revised")
    if now == "record":
        return RecordChange(of_record, change.record.collection, change.record.key, Record.of(change.record))
    if now == "record_gone":
        return RecordChange(of_record, change.record_gone.collection, change.record_gone.key, None)
    if now == "message":
        return MessageChange(of_message, change.message.conversation, change.message.id, change.message)
    if now == "message_gone":
        return MessageChange(of_message, change.message_gone.conversation, change.message_gone.id, None)
    if now == "conversation":
        of_conversation = _CONVERSATION.get(change.kind, "revised")
        return ConversationChange(of_conversation, Conversation.of(change.conversation))
    return UnknownChange()
