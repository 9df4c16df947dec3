"""History, undo, conditions, and conflicts between two real devices."""

import asyncio
from collections.abc import Callable

from device import PATIENCE, WithDevices

import kinfolk
from kinfolk import MY_SIDE, SHOWN, THEIR_SIDE, Gone, Whole


class Past(WithDevices):
    def test_history_tells_what_was_done_and_undo_takes_one_change_back(self) -> None:
        records = self.client(self.first()).records
        records.put("c", "k", {"title": "milk", "count": 1})
        records.put("c", "k", {"title": "oats"}, clear=["count"])
        newest, oldest = records.history("c", "k")
        self.assertEqual((newest.kind, newest.fields, newest.cleared), ("put", {"title": "oats"}, ("count",)))
        self.assertEqual(oldest.fields, {"title": "milk", "count": 1})
        self.assertEqual(records.undo("c", "k").undone_bundle_seq, newest.bundle_seq)
        self.assertEqual(records.get("c", "k").fields, {"title": "milk", "count": 1})
        records.delete("c", "k")
        self.assertEqual(next(records.history("c", "k")).kind, "delete")
        with self.assertRaises(kinfolk.NotFound):
            list(records.history("c", "never"))

    def test_records_are_found_by_what_they_hold(self) -> None:
        records = self.client(self.first()).records
        records.push([kinfolk.put("c", f"{n}", {"n": n, "title": f"{'ab'[n % 2]}{n}"}) for n in range(6)])

        def found(field: str, **bounds: object) -> list[str]:
            condition = kinfolk.where(field, **bounds)  # type: ignore[arg-type]
            return [record.key for record in records.list("c", condition=condition, page_size=2)]

        self.assertEqual(found("n", equals=3), ["3"])
        self.assertEqual(found("n", at_least=1, below=4), ["1", "2", "3"])
        self.assertEqual(found("n", above=3, at_most=5), ["4", "5"])
        self.assertEqual(found("title", begins_with="b"), ["1", "3", "5"])
        self.assertEqual(found("n", equals=None), [])


class Disagreeing(WithDevices):
    def disagree(self) -> tuple[kinfolk.Records, kinfolk.Records, Callable[[], object]]:
        """Two devices that wrote different titles to one record while they could not hear each other, the second one last; and what
        waits until the second one hears of the next write of the first."""
        desk, laptop = self.first("desk"), self.blank("laptop")
        desk.pair_with(laptop)
        a, b = self.client(desk), self.client(laptop)
        watch_a, watch_b = a.records.watch(collections=["c"]), b.records.watch(collections=["c"])

        def hear(watch: kinfolk.Watch, client: kinfolk.Client) -> object:
            return next(bundle for bundle in watch if bundle.device_id != client.info.device_id)

        a.records.put("c", "k", {"title": "milk", "shop": "market"})
        hear(watch_b, b)
        for device in (desk, laptop):
            device.kin("sync", "mode", "off")
        a.records.put("c", "k", {"title": "oats"})
        b.records.put("c", "k", {"title": "rye"})
        for device in (desk, laptop):
            device.kin("sync", "mode", "realtime")
        hear(watch_a, a)
        hear(watch_b, b)
        return a.records, b.records, lambda: hear(watch_b, b)

    def test_both_devices_show_the_conflict_and_settling_it_closes_it_on_both(self) -> None:
        a, b, b_hears = self.disagree()
        for records in (a, b):
            (listed,) = records.conflicts("c")
            self.assertEqual((listed.key, len(listed.fields)), ("k", 1))
        conflict = a.conflict("c", "k")
        (field,) = conflict.fields
        self.assertEqual(field.field, "title")
        self.assertEqual({version.value: version.mine for version in field.versions}, {"oats": True, "rye": False})
        assert field.base is not None and conflict.current is not None
        self.assertEqual(field.base.value, "milk")
        self.assertEqual(conflict.current.conflicts, ("title",))
        a.settle(conflict, MY_SIDE)
        b_hears()
        for records in (a, b):
            self.assertEqual(records.get("c", "k").fields, {"title": "oats", "shop": "market"})
            self.assertEqual(list(records.conflicts()), [])
            with self.assertRaises(kinfolk.NotFound):
                records.conflict("c", "k")

    def test_a_watch_tells_of_a_conflict_of_its_end_and_of_what_ended_while_the_daemon_was_away(self) -> None:
        a, _, _ = self.disagree()
        with a.watch_conflicts("c", patience=PATIENCE) as watch:
            told = next(watch)
            assert isinstance(told, kinfolk.RecordConflict)
            self.assertEqual((told.key, list(watch.known)), ("k", [("c", "k")]))

            async def followed() -> kinfolk.ConflictEvent:
                async with kinfolk.aio.follow(a.watch_conflicts, "c") as events:
                    return await anext(events)

            self.assertEqual(asyncio.run(followed()), told)
            (desk,) = (device for device in self.devices if device.name == "desk")
            desk.end()
            desk.start()
            a.settle(a.conflict("c", "k"), MY_SIDE)
            # Also told anew by the daemon that came back, it would not be handed out again.
            self.assertEqual(next(watch), kinfolk.Closed("c", "k"))
            self.assertEqual(dict(watch.known), {})

    def test_each_way_to_settle(self) -> None:
        a, _, _ = self.disagree()
        conflict = a.conflict("c", "k")
        with self.assertRaises(kinfolk.InvalidArgument):
            a.settle(conflict, Whole({"title": "oats and rye"}))
        self.assertEqual(len(list(a.conflicts())), 1)
        a.settle(conflict, Whole({"title": "oats and rye"}, clear=["shop"]))
        self.assertEqual(a.get("c", "k").fields, {"title": "oats and rye"})
        with self.assertRaises(kinfolk.Refused):
            a.settle(conflict, SHOWN)

    def test_their_side_is_taken(self) -> None:
        a, b, b_hears = self.disagree()
        a.settle(a.conflict("c", "k"), THEIR_SIDE)
        b_hears()
        for records in (a, b):
            self.assertEqual(records.get("c", "k").fields, {"title": "rye", "shop": "market"})

    def test_a_record_that_nobody_wants_goes(self) -> None:
        a, _, _ = self.disagree()
        a.settle(a.conflict("c", "k"), Gone())
        with self.assertRaises(kinfolk.NotFound):
            a.get("c", "k")

    def test_a_collection_where_the_last_write_wins_asks_nobody(self) -> None:
        a, _, _ = self.disagree()
        self.assertEqual(a.policy("c"), "keep")
        a.set_policy("c", "lww")
        self.assertEqual((a.policy("c"), list(a.conflicts())), ("lww", []))
