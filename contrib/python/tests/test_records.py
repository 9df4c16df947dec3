"""Records against the real daemon: values, pushes that count once, pages, refusals."""

import signal
import threading
from datetime import datetime, timedelta, timezone

import grpc
from device import PATIENCE, WithDevices

import kinfolk
from kinfolk.errors import from_call
from kinfolk.v1 import info_pb2
from kinfolk.values import Written

SOURCE = "4f9c1c0e-tests"


class Values(WithDevices):
    def test_every_type_of_value_comes_back_as_it_was_written(self) -> None:
        records = self.client(self.first()).records
        fields: dict[str, Written] = {
            "nothing": None,
            "yes": True,
            "small": -(2**63),
            "great": 2**63 - 1,
            "float": 0.1,
            "infinite": float("-inf"),
            "text": "ærø 🐑",
            "bytes": bytes(range(256)),
            "when": kinfolk.Timestamp("2026-03-01T12:00:00.123456789+01:00"),
            "document": kinfolk.Json('{"b": [1, 2.50], "a": null}'),
        }
        records.put("values", "all", fields)
        self.assertEqual(records.get("values", "all").fields, fields)

    def test_times_and_documents_of_python_are_written_as_such(self) -> None:
        records = self.client(self.first()).records
        noon = datetime(2026, 3, 1, 12, tzinfo=timezone(timedelta(hours=1)))
        records.put("values", "own", {"when": noon, "tags": ["a", "b"], "map": {"k": 1}})
        fields = records.get("values", "own").fields
        self.assertEqual(fields["when"], kinfolk.Timestamp("2026-03-01T12:00:00+01:00"))
        self.assertEqual(fields["tags"], kinfolk.Json('["a","b"]'))
        self.assertEqual(fields["map"], kinfolk.Json('{"k":1}'))

    def test_what_is_no_value_is_refused_before_it_is_sent(self) -> None:
        with self.assertRaises(ValueError):
            kinfolk.put("c", "k", {"naive": datetime(2026, 3, 1)})
        with self.assertRaises(ValueError):
            kinfolk.put("c", "k", {"too great": 2**63})
        with self.assertRaises(TypeError):
            kinfolk.put("c", "k", {"set": {1, 2}})  # type: ignore[dict-item]

    def test_a_timestamp_is_an_instant_in_each_of_its_spellings(self) -> None:
        instant = datetime(2026, 3, 1, 11, 0, 0, 120000, timezone.utc)
        for text in ("2026-03-01T11:00:00.12Z", "2026-03-01t12:00:00.1200009+01:00", "2026-03-01T11:00:00.120z"):
            self.assertEqual(kinfolk.Timestamp(text).instant, instant)
        self.assertEqual(kinfolk.Timestamp("2026-03-01T11:00:00Z").instant, instant.replace(microsecond=0))
        self.assertEqual(kinfolk.Timestamp.of(instant).instant, instant)

    def test_a_document_reads_as_python(self) -> None:
        self.assertEqual(kinfolk.Json.of({"a": [1, None]}).document, {"a": [1, None]})


class Writing(WithDevices):
    def test_a_push_is_all_or_nothing_and_names_the_refused_op(self) -> None:
        records = self.client(self.first()).records
        with self.assertRaises(kinfolk.InvalidArgument) as caught:
            records.push([kinfolk.put("c", "good", {"n": 1}), kinfolk.put("", "no collection", {"n": 2})])
        self.assertEqual((caught.exception.op_index, caught.exception.retryable), (1, False))
        self.assertEqual(list(records.list("c")), [])

    def test_fields_are_cleared_and_records_deleted(self) -> None:
        records = self.client(self.first()).records
        records.put("c", "k", {"a": 1, "b": 2})
        records.put("c", "k", {"c": 3}, clear=["a"])
        record = records.get("c", "k")
        self.assertEqual(record.fields, {"b": 2, "c": 3})
        self.assertEqual((record.collection, record.key, record.conflicts), ("c", "k", ()))
        records.delete("c", "k")
        with self.assertRaises(kinfolk.NotFound) as caught:
            records.get("c", "k")
        self.assertEqual((caught.exception.code, caught.exception.op_index), ("not_found", None))

    def test_a_repeated_push_is_answered_with_what_was_committed(self) -> None:
        records = self.client(self.first()).records
        ops = [kinfolk.put("c", "k", {"n": 1})]
        first = records.push(ops, source_id=SOURCE, source_bundle_id=1)
        again = records.push(ops, source_id=SOURCE, source_bundle_id=1)
        self.assertEqual((first.already_committed, again.already_committed), (False, True))
        self.assertEqual(first.bundle_seq, again.bundle_seq)

    def test_a_number_that_is_taken_or_too_great_is_refused_with_the_expected_one(self) -> None:
        records = self.client(self.first()).records
        records.push([kinfolk.put("c", "k", {"n": 1})], source_id=SOURCE, source_bundle_id=1)
        with self.assertRaises(kinfolk.BundleDiffers):
            records.push([kinfolk.put("c", "k", {"n": 2})], source_id=SOURCE, source_bundle_id=1)
        with self.assertRaises(kinfolk.OutOfOrder) as caught:
            records.push([kinfolk.put("c", "k", {"n": 2})], source_id=SOURCE, source_bundle_id=3)
        self.assertEqual(caught.exception.expected, 2)

    def test_a_push_goes_on_when_the_daemon_was_killed_and_counts_once(self) -> None:
        device = self.first()
        records = self.client(device).records
        pushed: list[int] = []
        halfway = threading.Event()

        def push_all() -> None:
            for number in range(1, 61):
                ops = [kinfolk.put("c", f"{number:03}", {"n": number})]
                pushed.append(records.push(ops, source_id=SOURCE, source_bundle_id=number).bundle_seq)
                if number % 20 == 0:
                    halfway.set()

        writer = threading.Thread(target=push_all)
        writer.start()
        for _ in range(2):
            self.assertTrue(halfway.wait(PATIENCE))
            halfway.clear()
            device.end()
            device.start()
        writer.join(PATIENCE)
        self.assertFalse(writer.is_alive())
        self.assertEqual(len(set(pushed)), 60)
        self.assertEqual([record.fields["n"] for record in records.list("c")], list(range(1, 61)))
        # Each push made one bundle.
        with records.watch(after=0, collections=["c"]) as watch:
            self.assertEqual([next(watch).bundle_seq for _ in range(60)], pushed)

    def test_a_push_without_a_source_is_sent_once(self) -> None:
        device = self.first()
        records = self.client(device).records
        device.end()
        with self.assertRaises(kinfolk.ConnectionLost) as caught:
            records.put("c", "k", {"n": 1})
        self.assertTrue(caught.exception.retryable)


class Reading(WithDevices):
    def test_a_list_goes_through_all_pages_in_the_order_of_keys(self) -> None:
        records = self.client(self.first()).records
        keys = [f"k{number:02}" for number in range(25)]
        records.push([kinfolk.put("c", key, {"of": key}) for key in reversed(keys)])
        records.put("c", "other", {"of": "other"})
        self.assertEqual([record.key for record in records.list("c", "k", page_size=10)], keys)
        self.assertEqual([record.key for record in records.list("c")], [*keys, "other"])

    def test_a_read_waits_for_a_daemon_that_restarts(self) -> None:
        device = self.first()
        records = self.client(device).records
        records.put("c", "k", {"n": 1})
        device.end()
        restart = threading.Thread(target=device.start)
        restart.start()
        try:
            self.assertEqual(records.get("c", "k").fields, {"n": 1})
        finally:
            restart.join()


class Refusals(WithDevices):
    def test_a_device_that_is_not_set_up_says_so(self) -> None:
        with self.assertRaises(kinfolk.NotSetUp) as caught:
            self.client(self.blank()).records.get("c", "k")
        self.assertIn("kin init", caught.exception.hint + caught.exception.message)

    def test_what_is_too_large_is_called_so_by_the_daemon_and_by_the_transport(self) -> None:
        records = self.client(self.first()).records
        for size in (3 << 19, 3 << 20):
            with self.assertRaises(kinfolk.TooLarge) as caught:
                records.put("c", "k", {"body": bytes(size)})
            self.assertEqual(caught.exception.code, "too_large")

    def test_a_deadline_is_kept_when_the_daemon_is_stuck(self) -> None:
        device = self.first()
        client = self.client(device, timeout=0.5, patience=0)
        device.signal(signal.SIGSTOP)
        try:
            with self.assertRaises(kinfolk.DeadlineExceeded) as caught:
                client.records.get("c", "k")
            self.assertTrue(caught.exception.retryable)
        finally:
            device.signal(signal.SIGCONT)

    def test_a_call_that_the_daemon_does_not_know_means_that_it_is_older(self) -> None:
        client = self.client(self.blank())
        call = client.channel.unary_unary(
            "/kinfolk.v1.Info/FromTheFuture",
            request_serializer=info_pb2.GetInfoRequest.SerializeToString,
            response_deserializer=info_pb2.GetInfoResponse.FromString,
        )
        with self.assertRaises(grpc.RpcError) as caught:
            call(info_pb2.GetInfoRequest(), timeout=PATIENCE)
        error = from_call(caught.exception)
        self.assertIsInstance(error, kinfolk.VersionMismatch)
        self.assertIn("older", error.hint)
