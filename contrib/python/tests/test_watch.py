"""Watches: nothing skipped, nothing repeated, whatever happens to the daemon meanwhile."""

import contextlib
import signal
import threading

from device import PATIENCE, WithDevices

import kinfolk

SOURCE = "a-writer"


class Watching(WithDevices):
    def test_a_watch_goes_on_over_kills_and_restarts_and_neither_skips_nor_repeats(self) -> None:
        device = self.first()
        client = self.client(device)
        seen: list[object] = []
        reached = {30: threading.Event(), 60: threading.Event(), 90: threading.Event()}

        def read() -> None:
            with self.client(device).records.watch(after=0, collections=["c"], patience=PATIENCE) as watch:
                for bundle in watch:
                    for change in bundle.changes:
                        assert isinstance(change, kinfolk.RecordChange)
                        seen.append(change.key)
                    if len(seen) in reached:
                        reached[len(seen)].set()
                    if len(seen) >= 100:
                        return

        def write() -> None:
            for number in range(1, 101):
                ops = [kinfolk.put("c", f"{number:03}", {"n": number})]
                client.records.push(ops, source_id=SOURCE, source_bundle_id=number)

        reader, writer = threading.Thread(target=read), threading.Thread(target=write)
        reader.start()
        writer.start()
        for place, how in ((30, signal.SIGKILL), (60, signal.SIGTERM), (90, signal.SIGKILL)):
            self.assertTrue(reached[place].wait(PATIENCE), f"{len(seen)} seen")
            device.end(how)
            device.start()
        writer.join(PATIENCE)
        reader.join(PATIENCE)
        self.assertEqual(seen, [f"{number:03}" for number in range(1, 101)])

    def test_from_now_on_begins_when_the_call_returns(self) -> None:
        records = self.client(self.first()).records
        records.put("c", "before", {"n": 1})
        with records.watch() as watch:
            records.put("c", "after", {"n": 2})
            bundle = next(watch)
        self.assertEqual([change.key for change in bundle.changes if isinstance(change, kinfolk.RecordChange)], ["after"])
        self.assertEqual(watch.cursor, bundle.bundle_seq)

    def test_a_cursor_that_was_kept_goes_on_in_another_program(self) -> None:
        device = self.first()
        records = self.client(device).records
        for number in range(4):
            records.put("c", f"{number}", {"n": number})
        with records.watch(after=0, collections=["c"]) as watch:
            kept = [next(watch), next(watch)][-1].bundle_seq
        with self.client(device).records.watch(after=kept, collections=["c"]) as watch:
            bundles = [next(watch), next(watch)]
        keys = [change.key for bundle in bundles for change in bundle.changes if isinstance(change, kinfolk.RecordChange)]
        self.assertEqual(keys, ["2", "3"])

    def test_changes_say_what_was_done_and_how_it_stands(self) -> None:
        client = self.client(self.first())
        with client.records.watch() as watch:
            client.records.put("c", "k", {"n": 1})
            client.records.delete("c", "k")
            id = client.conversations.post("family", "hello")
            client.conversations.set_status(id, "read")
            client.conversations.delete(id)
            changes = [change for _ in range(5) for change in next(watch).changes]
        kinds = [change.kind for change in changes if not isinstance(change, kinfolk.UnknownChange)]
        self.assertEqual(kinds, ["put", "delete", "post", "status", "delete"])
        gone, deleted = changes[1], changes[4]
        assert isinstance(gone, kinfolk.RecordChange) and isinstance(deleted, kinfolk.MessageChange)
        self.assertEqual((gone.collection, gone.key, gone.record), ("c", "k", None))
        self.assertEqual((deleted.id, deleted.message), (id, None))

    def test_another_thread_ends_a_watch_that_waits(self) -> None:
        watch = self.client(self.first()).records.watch()
        waiting = threading.Thread(target=lambda: list(watch))
        waiting.start()
        watch.close()
        waiting.join(PATIENCE)
        self.assertFalse(waiting.is_alive())

    def test_a_daemon_that_stays_away_is_an_error_after_which_the_watch_goes_on(self) -> None:
        device = self.first()
        records = self.client(device).records
        with records.watch(patience=0.3) as watch:
            records.put("c", "1", {"n": 1})
            first = next(watch)
            device.end()
            with self.assertRaises(kinfolk.ConnectionLost):
                next(watch)
            device.start()
            self.client(device).records.put("c", "2", {"n": 2})
            second = None
            while second is None:
                # The connection may take longer to come back than this watch is patient.
                with contextlib.suppress(kinfolk.ConnectionLost):
                    second = next(watch)
        self.assertEqual(second.bundle_seq, first.bundle_seq + 1)

    def test_a_cursor_beyond_the_end_or_in_what_was_compacted_asks_for_a_resync(self) -> None:
        device = self.first()
        records = self.client(device).records
        with self.assertRaises(kinfolk.ResyncRequired):
            next(records.watch(after=10**9))
        for number in range(3):
            records.put("c", "k", {"n": number})
        device.kin("store", "compact")
        with self.assertRaises(kinfolk.ResyncRequired) as caught:
            list(records.pull(after=1))
        self.assertGreater(caught.exception.compacted_up_to, 1)
        with records.snapshot() as snapshot:
            (record,) = snapshot
        assert isinstance(record, kinfolk.Record)
        self.assertEqual((record.fields, list(records.pull(after=snapshot.bundle_seq))), ({"n": 2}, []))

    def test_a_consumer_goes_on_after_what_it_acknowledged(self) -> None:
        device = self.first()
        records = self.client(device).records
        for number in range(4):
            records.put("c", f"{number}", {"n": number})
        with records.watch(consumer="mirror", collections=["c"]) as watch:
            second = [next(watch), next(watch)][-1]
        self.assertEqual(records.ack("mirror", second.bundle_seq), second.bundle_seq)
        self.assertEqual(records.ack("mirror", 1), second.bundle_seq)
        device.end(signal.SIGTERM)
        device.start()
        bundles = list(records.pull(consumer="mirror", collections=["c"]))
        self.assertEqual([bundle.bundle_seq for bundle in bundles], [second.bundle_seq + 1, second.bundle_seq + 2])

    def test_a_snapshot_and_what_comes_after_it_are_everything(self) -> None:
        client = self.client(self.first())
        records = client.records
        for number in range(50):
            records.put("c", f"{number}", {"n": number})
        id = client.conversations.post("family", "hello")
        client.conversations.set("family", title="The family")
        with records.snapshot() as snapshot:
            records.put("c", "later", {"n": 0})
            items = list(snapshot)
        keys = {item.key for item in items if isinstance(item, kinfolk.Record)}
        self.assertEqual(keys, {str(number) for number in range(50)})
        messages = {item.id for item in items if not isinstance(item, (kinfolk.Record, kinfolk.Conversation))}
        self.assertEqual(messages, {id})
        titles = [item.metadata.title for item in items if isinstance(item, kinfolk.Conversation)]
        self.assertEqual(titles, ["The family"])
        pull = records.pull(after=snapshot.bundle_seq)
        (bundle,) = pull
        self.assertEqual(pull.stable_bundle_seq, bundle.bundle_seq)
        self.assertEqual([change.key for change in bundle.changes if isinstance(change, kinfolk.RecordChange)], ["later"])

    def test_what_a_sibling_writes_arrives(self) -> None:
        a, b = self.first("a"), self.blank("b")
        a.pair_with(b)
        with self.client(b).records.watch(collections=["c"]) as watch:
            self.client(a).records.put("c", "k", {"from": "a"})
            bundle = next(watch)
        change = bundle.changes[0]
        assert isinstance(change, kinfolk.RecordChange) and change.record is not None
        self.assertEqual(change.record.fields, {"from": "a"})
        self.assertEqual(bundle.device_id, self.client(a).info.device_id)
