"""The service `Records`: typed rows, bundles of writes, and the live stream of what was applied."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import grpc

from kinfolk.calls import Manner
from kinfolk.conflict_watch import ConflictWatch
from kinfolk.conflicts import Policy, RecordConflict, Settlement, settlement_of
from kinfolk.errors import StampRegression
from kinfolk.history import PastChange
from kinfolk.pull import Pull
from kinfolk.record import Record, delete, put
from kinfolk.snapshot import Snapshot
from kinfolk.v1 import records_pb2
from kinfolk.v1.records_pb2_grpc import RecordsStub
from kinfolk.values import Written
from kinfolk.watch import Stream, Watch

# How often the stamp of one push is set beyond the stored one: another program that uses the same source may be faster.
SET_FORWARD = 2


class Records:
    """Reads and writes records. Reads are made again while the daemon restarts."""

    def __init__(self, channel: grpc.Channel, manner: Manner) -> None:
        self._stub = RecordsStub(channel)
        self._manner = manner

    def push(
        self,
        ops: Iterable[records_pb2.Op],
        *,
        source_id: str = "",
        source_bundle_id: int = 0,
        stamp: int | None = None,
    ) -> records_pb2.PushResponse:
        """Writes one bundle: all of its ops or none. When it returns, the bundle is on disk and on its way to the siblings.

        `source_id` is the app's own writer stream, any text that no other writer uses, and `source_bundle_id` counts its bundles:
        1, 2, 3 … With them a push counts once however often it is sent, so it is sent again after failures that pass; and after any
        error, send the same ops with the same two again, also in the next run of the program. Without them it is sent once.

        `stamp` is the app's own clock: greater for each bundle of a source. One that runs backwards is set beyond the stored one and pushed
        again, twice at most; then `StampRegression` comes out.

        Errors: `InvalidArgument`, `TooLarge`, `MessageDiffers`, `NotFound`, `Conflict`, `OutOfOrder`, `BundleDiffers`, `StoreFull`; the refused op is
        in `op_index`.
        """
        request = records_pb2.PushRequest(
            ops=ops, source_id=source_id, source_bundle_id=source_bundle_id, stamp=stamp
        )
        for _ in range(SET_FORWARD):
            try:
                return self.push_request(request)
            except StampRegression as error:
                request.stamp = error.stored_max + 1
        return self.push_request(request)

    def push_request(self, request: records_pb2.PushRequest) -> records_pb2.PushResponse:
        """As `push`, for a request that was made before."""
        call = self._manner.safely if request.source_id else self._manner.once
        return call(self._stub.Push, request)

    def put(
        self,
        collection: str,
        key: str,
        fields: Mapping[str, Written],
        clear: Iterable[str] = (),
        *,
        base: Record | int | None = None,
    ) -> records_pb2.PushResponse:
        """Writes the named fields of a record, as a bundle of its own; see `kinfolk.put`."""
        return self.push([put(collection, key, fields, clear, base=base)])

    def delete(self, collection: str, key: str, *, base: Record | int | None = None) -> records_pb2.PushResponse:
        """Deletes a record, as a bundle of its own; see `kinfolk.delete`."""
        return self.push([delete(collection, key, base=base)])

    def get(self, collection: str, key: str) -> Record:
        """A record as it stands. Errors: `NotFound`, also after a deletion."""
        request = records_pb2.GetRequest(collection=collection, key=key)
        return Record.of(self._manner.safely(self._stub.Get, request).record)

    def list(
        self,
        collection: str,
        prefix: str = "",
        *,
        condition: records_pb2.FieldCondition | None = None,
        page_size: int = 0,
    ) -> Iterator[Record]:
        """The records of a collection in the byte order of their keys, fetched page by page; with a condition (see `kinfolk.where`) those that meet
        it, in the order of the values of its field."""
        request = records_pb2.ListRequest(
            collection=collection, prefix=prefix, condition=condition, page_size=page_size
        )
        while True:
            page = self._manner.safely(self._stub.List, request)
            yield from map(Record.of, page.records)
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def history(self, collection: str, key: str) -> Iterator[PastChange]:
        """What was done to a record, newest first, as far as it was not compacted away. Errors: `NotFound` when there never was such a record."""
        request = records_pb2.HistoryRequest(collection=collection, key=key)
        while True:
            page = self._manner.safely(self._stub.History, request)
            yield from map(PastChange.of, page.changes)
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def undo(self, collection: str, key: str, bundle_seq: int = 0) -> records_pb2.UndoResponse:
        """Makes a record show what it would without one of its changes, the newest one unless another is named. That is a change like any other.
        Errors: `NotFound` when there is no such change, or when what it replaced was compacted away."""
        request = records_pb2.UndoRequest(collection=collection, key=key, bundle_seq=bundle_seq)
        return self._manner.once(self._stub.Undo, request)

    def conflicts(self, collection: str = "") -> Iterator[RecordConflict]:
        """The records in conflict, of all collections unless one is named; those only where somebody is asked, see `set_policy`."""
        request = records_pb2.ListConflictsRequest(collection=collection)
        while True:
            page = self._manner.safely(self._stub.ListConflicts, request)
            yield from map(RecordConflict.of, page.conflicts)
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def conflict(self, collection: str, key: str) -> RecordConflict:
        """One record in conflict, with what the writers went out from. Errors: `NotFound` when nothing of it is in conflict."""
        request = records_pb2.GetConflictRequest(collection=collection, key=key)
        return RecordConflict.of(self._manner.safely(self._stub.GetConflict, request).conflict)

    def watch_conflicts(self, collection: str = "", *, patience: float | None = 60.0) -> ConflictWatch:
        """First the records in conflict, of all collections unless one is named, then each that comes into one, changes in it, or leaves it, without
        end. Reconnects as `watch` does; what was told and has not changed is not told again."""
        request = records_pb2.WatchConflictsRequest(collection=collection)
        return ConflictWatch(
            lambda: self._stub.WatchConflicts(request, metadata=tuple(self._manner.metadata)), patience
        )

    def settle(self, conflict: RecordConflict, settlement: Settlement) -> None:
        """Settles a conflict on all devices. Errors: `Conflict` when the record has changed since it was looked at, `InvalidArgument` when the
        settlement leaves something open, `NotFound`; then nothing happens."""
        self._manner.once(self._stub.ResolveConflict, settlement_of(conflict, settlement))

    def policy(self, collection: str) -> Policy:
        """What becomes of conflicts in a collection."""
        answer = self._manner.safely(self._stub.GetPolicy, records_pb2.GetPolicyRequest(collection=collection))
        return "lww" if answer.policy == records_pb2.CONFLICT_POLICY_LWW else "keep"

    def set_policy(self, collection: str, policy: Policy) -> None:
        """Sets what becomes of conflicts in a collection, on all devices: `keep` lists them until somebody settles them, with `lww` the last write
        wins."""
        value = records_pb2.ConflictPolicy.Value(f"CONFLICT_POLICY_{policy.upper()}")
        self._manner.safely(self._stub.SetPolicy, records_pb2.SetPolicyRequest(collection=collection, policy=value))

    def watch(
        self,
        after: int | None = None,
        collections: Sequence[str] = (),
        *,
        consumer: str = "",
        order: str = "",
        patience: float | None = 60.0,
    ) -> Watch:
        """Bundles after the place `after`, then live ones, without end; 0 is the beginning. With `None`, those after what `consumer` acknowledged,
        and without a consumer everything that is applied from now on.

        With `collections` only records of these; without, all records and messages. Reconnects when the daemon restarts; an error comes
        out when that takes longer than `patience` seconds (`None`: never). `ResyncRequired` when the place was compacted away, and when
        `order`, kept with it (`Watch.order`), is not this device's any more because that was put back.
        """

        def open_stream(cursor: int | None, order: str) -> Stream:
            request = records_pb2.WatchRequest(
                after_bundle_seq=cursor, collections=collections, consumer=consumer, order_id=order
            )
            return self._stub.Watch(request, metadata=tuple(self._manner.metadata))

        return Watch(open_stream, after, patience, order)

    def pull(
        self, after: int | None = None, collections: Sequence[str] = (), *, consumer: str = "", order: str = ""
    ) -> Pull:
        """Bundles after a place, as with `watch` but from the start without any, up to the last one that is here when the pull begins.
        `ResyncRequired` as with `watch`."""
        request = records_pb2.PullRequest(
            after_bundle_seq=after, collections=collections, consumer=consumer, order_id=order
        )
        return Pull(lambda request: self._manner.safely(self._stub.Pull, request), request)

    def snapshot(self, collections: Sequence[str] = ()) -> Snapshot:
        """All records and messages as they stand at one place, from which `watch` goes on; with `collections` only records of these."""
        request = records_pb2.SnapshotRequest(collections=collections)
        return Snapshot(lambda: self._stub.Snapshot(request, metadata=tuple(self._manner.metadata)))

    def ack(self, consumer: str, bundle_seq: int, *, order: str = "") -> int:
        """Says that `consumer` has dealt with everything up to this place, for good; gives its place, which never moves backwards. `ResyncRequired`
        when `order` is given and is not this device's any more."""
        request = records_pb2.AckRequest(consumer=consumer, bundle_seq=bundle_seq, order_id=order)
        return self._manner.safely(self._stub.Ack, request).bundle_seq
