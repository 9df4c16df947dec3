"""The outbox against the real daemon: edits that wait, clash, are resolved, and count once."""

import contextlib
import os
import sqlite3
import stat
import threading
from collections.abc import Callable
from unittest import mock

from device import PATIENCE, WithDevices

import kinfolk
from kinfolk import MINE, THEIRS, Choice, Clash, Merged
from kinfolk.v1 import records_pb2


class WithOutbox(WithDevices):
    def outbox(self, name: str = "outbox") -> kinfolk.Outbox:
        outbox = kinfolk.Outbox(self.directory / name)
        self.addCleanup(outbox.close)
        return outbox

    def clashing(self, fields: dict[str, str]) -> tuple[kinfolk.Records, kinfolk.Outbox]:
        """An edit of these fields, made from a record that was changed since: {title: milk, count: 1} became {title: oats, shop: market}."""
        records, outbox = self.client(self.first()).records, self.outbox()
        records.put("todo", "k", {"title": "milk", "count": 1})
        seen = records.get("todo", "k")
        records.put("todo", "k", {"title": "oats", "shop": "market"}, clear=["count"])
        outbox.put("todo", "k", fields, base=seen)
        return records, outbox


class Waiting(WithOutbox):
    def test_edits_outlive_the_program_and_are_pushed_as_one_bundle(self) -> None:
        records, outbox = self.client(self.first()).records, self.outbox()
        for key in ("1", "2", "3"):
            outbox.put("todo", key, {"title": key}, base=0)
        outbox.close()
        outbox = self.outbox()
        self.assertEqual([edit.key for edit in outbox.edits()], ["1", "2", "3"])
        with records.watch() as watch:
            self.assertEqual(outbox.flush(records), 3)
            self.assertEqual(len(next(watch).changes), 3)
        self.assertEqual((outbox.edits(), outbox.flush(records)), ([], 0))
        self.assertEqual([record.key for record in records.list("todo")], ["1", "2", "3"])

    def test_the_file_is_for_its_user_only(self) -> None:
        self.outbox()
        for name in os.listdir(self.directory):
            if name.startswith("outbox"):
                self.assertEqual(stat.S_IMODE(os.stat(self.directory / name).st_mode), 0o600, name)

    def test_an_outbox_of_another_version_is_left_alone(self) -> None:
        with contextlib.closing(sqlite3.connect(self.directory / "outbox")) as db:
            db.execute("PRAGMA user_version = 7")
        with self.assertRaises(kinfolk.InvalidOutbox):
            self.outbox()

    def test_edits_of_one_record_become_one_that_keeps_its_base(self) -> None:
        records, outbox = self.client(self.first()).records, self.outbox()
        records.put("todo", "k", {"a": 1, "b": 2, "c": 3})
        seen = records.get("todo", "k")
        outbox.put("todo", "k", {"a": 10, "d": 4}, clear=["b"], base=seen)
        (shown,) = outbox.over("todo", [seen])
        self.assertEqual((shown.fields, shown.version), ({"a": 10, "c": 3, "d": 4}, seen.version))
        outbox.put("todo", "k", {"b": 20}, clear=["d"], base=shown)
        (edit,) = outbox.edits()
        self.assertEqual((edit.base_version, edit.base), (seen.version, seen))
        outbox.flush(records)
        self.assertEqual(records.get("todo", "k").fields, {"a": 10, "b": 20, "c": 3})

    def test_a_record_that_was_made_and_deleted_here_was_never_there(self) -> None:
        outbox = self.outbox()
        outbox.put("todo", "k", {"a": 1}, base=0)
        outbox.delete("todo", "k", base=0)
        self.assertEqual((outbox.edits(), outbox.over("todo", [])), ([], []))

    def test_what_is_made_anew_after_a_deletion_comes_after_it(self) -> None:
        records, outbox = self.client(self.first()).records, self.outbox()
        records.put("todo", "k", {"old": True})
        outbox.delete("todo", "k", base=records.get("todo", "k"))
        outbox.put("todo", "k", {"new": True}, base=0)
        self.assertEqual(len(outbox.edits()), 2)
        self.assertEqual(outbox.flush(records), 2)
        self.assertEqual(records.get("todo", "k").fields, {"new": True})

    def test_an_edit_that_breaks_a_rule_keeps_the_others_until_it_is_dropped(self) -> None:
        records, outbox = self.client(self.first()).records, self.outbox()
        outbox.put("todo", "good", {"n": 1}, base=0)
        outbox.put("todo", "x" * 300, {"n": 2}, base=0)
        with self.assertRaises(kinfolk.Refused) as caught:
            outbox.flush(records)
        self.assertEqual(caught.exception.op_index, 1)
        self.assertEqual(len(outbox.edits()), 2)
        self.assertTrue(outbox.drop(outbox.edits()[1]))
        self.assertEqual(outbox.flush(records), 1)

    def test_more_than_one_bundle_holds_is_pushed_as_several(self) -> None:
        records, outbox = self.client(self.first()).records, self.outbox()
        for number in range(5):
            outbox.put("todo", f"{number}", {"body": bytes(400_000)}, base=0)
        with records.watch(collections=["todo"]) as watch:
            self.assertEqual(outbox.flush(records), 5)
            self.assertEqual([len(next(watch).changes) for _ in range(3)], [2, 2, 1])


class Clashing(WithOutbox):
    def test_mine_makes_the_edit_on_the_record_as_it_is_now(self) -> None:
        records, outbox = self.clashing({"title": "soy milk"})
        clashes: list[Clash] = []

        def resolve(clash: Clash) -> Choice:
            clashes.append(clash)
            return MINE

        self.assertEqual(outbox.flush(records, resolve), 1)
        self.assertEqual(records.get("todo", "k").fields, {"title": "soy milk", "shop": "market"})
        (clash,) = clashes
        assert clash.mine.base is not None and clash.theirs is not None
        self.assertEqual(clash.mine.base.fields, {"title": "milk", "count": 1})
        self.assertEqual(clash.theirs.fields, {"title": "oats", "shop": "market"})

    def test_theirs_drops_the_edit(self) -> None:
        records, outbox = self.clashing({"title": "soy milk"})
        outbox.put("todo", "other", {"title": "bread"}, base=0)
        self.assertEqual(outbox.flush(records, lambda clash: THEIRS), 1)
        self.assertEqual(records.get("todo", "k").fields, {"title": "oats", "shop": "market"})
        self.assertEqual(records.get("todo", "other").fields, {"title": "bread"})

    def test_a_merged_record_is_written_whole(self) -> None:
        records, outbox = self.clashing({"title": "soy milk"})
        self.assertEqual(outbox.flush(records, lambda clash: Merged({"title": "oats and soy milk"})), 1)
        self.assertEqual(records.get("todo", "k").fields, {"title": "oats and soy milk"})

    def test_each_record_that_clashes_is_resolved(self) -> None:
        records, outbox = self.client(self.first()).records, self.outbox()
        for key in "abcd":
            records.put("todo", key, {"n": 1})
            outbox.put("todo", key, {"n": 3}, base=records.get("todo", key))
            records.put("todo", key, {"n": 2})
        self.assertEqual(outbox.flush(records, lambda clash: MINE), 4)
        self.assertEqual([record.fields["n"] for record in records.list("todo")], [3] * 4)

    def test_without_a_resolution_nothing_is_pushed_and_everything_stays(self) -> None:
        records, outbox = self.clashing({"title": "soy milk"})
        outbox.put("todo", "other", {"title": "bread"}, base=0)
        for _ in range(2):
            with self.assertRaises(kinfolk.Conflict) as caught:
                outbox.flush(records)
            self.assertEqual(caught.exception.detail.conflict.key, "k")
        self.assertEqual([edit.key for edit in outbox.edits()], ["k", "other"])
        with self.assertRaises(kinfolk.NotFound):
            records.get("todo", "other")
        self.assertEqual(outbox.flush(records, lambda clash: MINE), 2)

    def test_an_edit_that_clashes_after_two_resolutions_stays_and_can_be_pushed_later(self) -> None:
        records, outbox = self.clashing({"title": "soy milk"})
        resolved = []

        def resolve(clash: Clash) -> Choice:
            # Somebody else is faster each time.
            resolved.append(clash)
            records.put("todo", "k", {"title": f"oats {len(resolved)}"})
            return MINE

        with self.assertRaises(kinfolk.Conflict):
            outbox.flush(records, resolve)
        self.assertEqual(len(resolved), 2)
        self.assertEqual(records.get("todo", "k").fields["title"], "oats 2")
        self.assertEqual(outbox.flush(records, lambda clash: MINE), 1)
        self.assertEqual(records.get("todo", "k").fields["title"], "soy milk")

    def test_a_record_that_is_too_large_for_the_refusal_is_fetched(self) -> None:
        records, outbox = self.clashing({"title": "soy milk"})
        records.put("todo", "k", {"body": "x" * 10_000})

        def resolve(clash: Clash) -> Merged:
            assert clash.theirs is not None
            return Merged({**clash.theirs.fields, "title": "merged"})

        self.assertEqual(outbox.flush(records, resolve), 1)
        fields = records.get("todo", "k").fields
        self.assertEqual(fields, {"title": "merged", "shop": "market", "body": "x" * 10_000})

    def test_an_edit_of_a_record_that_was_deleted_can_only_be_dropped(self) -> None:
        records, outbox = self.clashing({"title": "soy milk"})
        records.delete("todo", "k")
        wrong: list[Callable[[Clash], Choice | Merged]] = [lambda clash: MINE, lambda clash: Merged({"title": "x"})]
        for resolve in wrong:
            with self.assertRaises(kinfolk.InvalidResolution):
                outbox.flush(records, resolve)
            self.assertEqual(len(outbox.edits()), 1)
        self.assertEqual(outbox.flush(records, lambda clash: THEIRS), 0)
        self.assertEqual(outbox.edits(), [])

    def test_a_new_record_whose_key_was_used_is_made_on_its_grave(self) -> None:
        records, outbox = self.client(self.first()).records, self.outbox()
        records.put("todo", "k", {"old": True})
        records.delete("todo", "k")
        outbox.put("todo", "k", {"new": True}, base=0)
        self.assertEqual(outbox.flush(records, lambda clash: MINE), 1)
        self.assertEqual(records.get("todo", "k").fields, {"new": True})

    def test_a_deletion_clashes_with_a_change_and_not_with_a_deletion(self) -> None:
        records, outbox = self.client(self.first()).records, self.outbox()
        for key in ("changed", "deleted"):
            records.put("todo", key, {"n": 1})
            outbox.delete("todo", key, base=records.get("todo", key))
        records.put("todo", "changed", {"n": 2})
        records.delete("todo", "deleted")
        with self.assertRaises(kinfolk.InvalidResolution):
            outbox.flush(records, lambda clash: Merged({"n": 3}))
        asked = []

        def resolve(clash: Clash) -> Choice:
            asked.append(clash.mine.key)
            return MINE

        outbox.flush(records, resolve)
        self.assertEqual((asked, list(records.list("todo"))), (["changed"], []))

    def test_a_resolver_that_fails_loses_nothing(self) -> None:
        records, outbox = self.clashing({"title": "soy milk"})

        def resolve(clash: Clash) -> Choice:
            raise KeyboardInterrupt

        with self.assertRaises(KeyboardInterrupt):
            outbox.flush(records, resolve)
        self.assertEqual(outbox.flush(records, lambda clash: MINE), 1)


class Failing(WithOutbox):
    def test_a_bundle_whose_answer_was_lost_is_sent_again_as_it_was_and_counts_once(self) -> None:
        device = self.first()
        records, outbox = self.client(device, patience=0).records, self.outbox()
        records.put("todo", "k", {"n": 1})
        outbox.put("todo", "k", {"n": 2}, base=records.get("todo", "k"))

        def push_and_break(request: records_pb2.PushRequest) -> None:
            """The daemon commits, and is gone before its answer is here."""
            kinfolk.Records.push_request(records, request)
            device.end()
            raise kinfolk.ConnectionLost("lost")

        with mock.patch.object(records, "push_request", push_and_break), self.assertRaises(kinfolk.ConnectionLost):
            outbox.flush(records)
        outbox.close()
        # This program ends too, and the next one edits on before anything is pushed.
        outbox = self.outbox()
        outbox.put("todo", "k", {"m": 3}, base=outbox.edits()[0].over(None))
        device.start()
        records = self.client(device).records
        with records.watch(after=0, collections=["todo"]) as watch:
            self.assertEqual(outbox.flush(records), 2)
            bundles = [next(watch) for _ in range(3)]
        self.assertEqual(records.get("todo", "k").fields, {"n": 2, "m": 3})
        self.assertEqual(records.get("todo", "k").version, bundles[-1].bundle_seq)

    def test_a_deletion_after_a_write_that_may_be_at_the_daemon_is_not_forgotten(self) -> None:
        records, outbox = self.client(self.first()).records, self.outbox()
        outbox.put("todo", "k", {"n": 1}, base=0)
        real = records.push_request

        def push_and_lose(request: records_pb2.PushRequest) -> None:
            real(request)
            raise kinfolk.ConnectionLost("lost")

        with mock.patch.object(records, "push_request", push_and_lose), self.assertRaises(kinfolk.ConnectionLost):
            outbox.flush(records)
        outbox.put("todo", "k", {"n": 2}, base=0)
        outbox.delete("todo", "k", base=0)
        self.assertEqual(outbox.over("todo", []), [])
        outbox.flush(records)
        self.assertEqual(list(records.list("todo")), [])

    def test_edits_made_while_a_bundle_is_under_way_wait_and_build_on_it(self) -> None:
        records, outbox = self.client(self.first()).records, self.outbox()
        outbox.put("todo", "k", {"n": 1}, base=0)
        real = records.push_request

        def push_and_edit(request: records_pb2.PushRequest) -> records_pb2.PushResponse:
            if request.source_bundle_id == 1:
                outbox.put("todo", "k", {"n": 2}, base=0)
                self.assertEqual(len(outbox.edits()), 2)
            return real(request)

        with mock.patch.object(records, "push_request", push_and_edit):
            self.assertEqual(outbox.flush(records), 2)
        self.assertEqual(records.get("todo", "k").fields, {"n": 2})

    def test_an_outbox_that_was_put_back_writes_under_a_fresh_source(self) -> None:
        records, outbox = self.client(self.first()).records, self.outbox()
        outbox.put("todo", "1", {"n": 1}, base=0)
        copy = kinfolk.Outbox(self.directory / "copy")
        with contextlib.closing(sqlite3.connect(self.directory / "outbox")) as db:
            db.backup(copy._db)
        copy.close()
        outbox.flush(records)
        # The copy knows nothing of that push, and uses its number for something else.
        copy = self.outbox("copy")
        copy.put("todo", "2", {"n": 2}, base=0)
        self.assertEqual(copy.flush(records, lambda clash: THEIRS), 1)
        self.assertEqual([record.key for record in records.list("todo")], ["1", "2"])

    def test_threads_share_an_outbox(self) -> None:
        records, outbox = self.client(self.first()).records, self.outbox()

        def work(thread: int) -> None:
            for number in range(10):
                outbox.put("todo", f"{thread}-{number}", {"n": number}, base=0)
                outbox.flush(records)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        self.assertEqual((len(list(records.list("todo"))), outbox.edits()), (40, []))
