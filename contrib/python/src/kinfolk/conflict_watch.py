"""Conflicts as they come and go, across restarts of the daemon.

The daemon tells first of all conflicts there are, then of changes. When the stream breaks, another is opened and the daemon begins anew; what was told
before and has not changed is not handed out again, and what was settled meanwhile is handed out as closed. So whoever follows comes to hold what the
daemon shows, whatever breaks in between.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType, TracebackType
from typing import Protocol, TypeAlias

import grpc

from kinfolk.calls import FIRST_PAUSE, LAST_PAUSE
from kinfolk.conflicts import RecordConflict
from kinfolk.errors import ConnectionLost, Error, from_call
from kinfolk.v1 import records_pb2


class Stream(Protocol):
    """What gRPC answers a watch of conflicts with."""

    def __next__(self) -> records_pb2.WatchConflictsResponse: ...
    def cancel(self) -> bool: ...


@dataclass(frozen=True)
class Closed:
    """A record that was in conflict and is not any more."""

    collection: str
    key: str


ConflictEvent: TypeAlias = RecordConflict | Closed
Name: TypeAlias = tuple[str, str]


class ConflictWatch(Iterator[ConflictEvent]):
    """An endless iterator of conflicts, new or changed, and of those that were closed. Close it, or use it in a `with` statement; `close` may be
    called by another thread."""

    def __init__(self, open_stream: Callable[[], Stream], patience: float | None) -> None:
        self._open = open_stream
        self._patience = patience
        self._stream: Stream | None = None
        self._known: dict[Name, RecordConflict] = {}
        # What the daemon has told since the stream was opened, until that is all there is.
        self._told: set[Name] | None = None
        self._ready: deque[ConflictEvent] = deque()
        self._closed = threading.Event()

    @property
    def known(self) -> Mapping[Name, RecordConflict]:
        """The records in conflict, by collection and key, as far as they were read."""
        return MappingProxyType(self._known)

    def __next__(self) -> ConflictEvent:
        """The next event; waits for it. Errors: the daemon's, and that of a connection that stays broken for `patience` seconds; in each case
        `next` may be called again and goes on where it was."""
        broken_since: float | None = None
        pause = FIRST_PAUSE
        while not self._closed.is_set():
            if self._ready:
                return self._ready.popleft()
            try:
                self._read()
                broken_since, pause = None, FIRST_PAUSE
                continue
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
        raise StopIteration

    def close(self) -> None:
        """Ends the watch: whoever waits for the next event stops waiting."""
        self._closed.set()
        stream = self._stream
        if stream is not None:
            stream.cancel()

    def __enter__(self) -> ConflictWatch:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _read(self) -> None:
        """Takes in one event of the stream, which is opened when there is none."""
        try:
            stream = self._stream
            if stream is None:
                stream = self._stream = self._open()
                self._told = set()
                if self._closed.is_set():
                    stream.cancel()
            event = next(stream)
        except StopIteration:
            raise ConnectionLost("the daemon ended the stream") from None
        except grpc.RpcError as error:
            raise from_call(error) from error
        kind = event.WhichOneof("event")
        if kind == "conflict":
            self._open_conflict(RecordConflict.of(event.conflict))
        elif kind == "closed":
            self._close_conflict((event.closed.collection, event.closed.key))
        elif kind == "position" and self._told is not None:
            for name in [name for name in self._known if name not in self._told]:
                self._close_conflict(name)
            self._told = None

    def _open_conflict(self, conflict: RecordConflict) -> None:
        name = (conflict.collection, conflict.key)
        if self._told is not None:
            self._told.add(name)
        if self._known.get(name) != conflict:
            self._known[name] = conflict
            self._ready.append(conflict)

    def _close_conflict(self, name: Name) -> None:
        if self._known.pop(name, None) is not None:
            self._ready.append(Closed(*name))
