"""Messages against the real daemon."""

import threading

from device import PATIENCE, WithDevices

import kinfolk
from kinfolk.v1 import message_pb2


class Messages(WithDevices):
    def test_messages_are_posted_listed_found_read_and_deleted(self) -> None:
        conversations = self.client(self.first()).conversations
        times = ("2026-03-01T18:00:00Z", "2026-03-01T18:01:00Z")
        dinner = conversations.post("family", "dinner at eight", sender="mum", created_at=times[0])
        answer = conversations.post("family", "with red wine", outbound=True, reply_to=dinner, created_at=times[1])
        self.assertEqual([message.id for message in conversations.messages("family")], [answer, dinner])
        (family,) = conversations.list()
        self.assertEqual((family.name, family.messages, family.unread), ("family", 2, 1))
        assert family.last_message is not None
        self.assertEqual(family.last_message.reply_to, dinner)

        self.assertTrue(conversations.set_status(dinner, "read"))
        self.assertEqual(next(conversations.list()).unread, 0)

        (hit,) = conversations.search('"red wine"')
        self.assertEqual(hit.message.id, answer)
        self.assertEqual([part.text for part in hit.snippet if part.matched], ["red wine"])

        self.assertTrue(conversations.delete(answer))
        self.assertFalse(conversations.delete(answer))
        self.assertEqual(list(conversations.search("wine")), [])
        with self.assertRaises(kinfolk.NotFound):
            conversations.set_status("never-here", "read")

    def test_a_message_keeps_its_bytes_and_its_attachments(self) -> None:
        conversations = self.client(self.first()).conversations
        photo = message_pb2.Attachment(name="beach.jpg", content_type="image/jpeg", size=3, sha256=bytes(32))
        conversations.post("family", data=b"\x00\xff", content_type="application/x-sketch", attachments=[photo])
        (message,) = conversations.messages("family")
        self.assertEqual((message.data, message.content_type), (b"\x00\xff", "application/x-sketch"))
        self.assertEqual(list(message.attachments), [photo])
        with self.assertRaises(TypeError):
            conversations.post("family", "text", data=b"and data")

    def test_the_same_id_with_other_content_is_refused_and_named(self) -> None:
        conversations = self.client(self.first()).conversations
        at = "2026-03-01T18:00:00Z"
        for _ in range(2):
            self.assertEqual(conversations.post("family", "one", id="m1", created_at=at), "m1")
        with self.assertRaises(kinfolk.MessageDiffers) as caught:
            conversations.post("family", "two", id="m1", created_at=at)
        self.assertEqual(list(caught.exception.detail.message_differs.fields), ["text"])
        self.assertEqual(len(list(conversations.messages("family"))), 1)

    def test_a_post_goes_on_when_the_daemon_is_away_and_is_there_once(self) -> None:
        device = self.first()
        conversations = self.client(device).conversations
        device.end()
        posting = threading.Thread(target=conversations.post, args=("family", "while it was away"))
        posting.start()
        device.start()
        posting.join(PATIENCE)
        self.assertEqual([message.text for message in conversations.messages("family")], ["while it was away"])

    def test_a_watch_of_a_conversation_tells_of_no_other(self) -> None:
        client = self.client(self.first())
        with client.conversations.watch(conversations=["family"]) as watch:
            client.conversations.post("work", "not this")
            client.records.put("c", "k", {"n": 1})
            id = client.conversations.post("family", "but this")
            (change,) = next(watch).changes
        assert isinstance(change, kinfolk.MessageChange)
        self.assertEqual(change.id, id)

    def test_a_conversation_has_a_title_members_and_a_read_marker(self) -> None:
        conversations = self.client(self.first()).conversations
        conversations.set("family", kind="group", title="The family", add=["bob", "ann"], attributes={"colour": "red"})
        family = conversations.get("family")
        self.assertEqual((family.messages, family.last_message, family.read_to), (0, None, None))
        self.assertEqual((family.metadata.kind, family.metadata.title), ("group", "The family"))
        self.assertEqual((family.metadata.members, family.metadata.attributes), (("ann", "bob"), {"colour": "red"}))
        conversations.set("family", kind="none", title="", remove=["bob"], clear=["colour"], read_markers="synced")
        family = conversations.get("family")
        self.assertEqual(family.metadata, kinfolk.Metadata(None, "", ("ann",), {}, "synced"))
        self.assertTrue(family.read_markers_synced)

        times = [f"2026-03-01T18:0{minute}:00Z" for minute in range(4)]
        ids = [conversations.post("family", f"text {time}", sender="ann", created_at=time) for time in times]
        self.assertEqual(conversations.mark_read("family", ids[1]), 2)
        self.assertEqual(conversations.get("family").read_to, ids[1])
        self.assertEqual([conversations.message(id).unread for id in ids], [False, False, True, True])
        self.assertEqual(conversations.mark_read("family"), 0)
        with self.assertRaises(kinfolk.NotFound):
            conversations.mark_read("family", "never-here")
        with self.assertRaises(kinfolk.NotFound):
            conversations.get("nowhere")

    def test_stretches_of_a_conversation_are_listed_and_searched(self) -> None:
        conversations = self.client(self.first()).conversations
        times = [f"2026-03-01T18:0{minute}:00Z" for minute in range(4)]
        ids = [conversations.post("c", "red wine", sender=f"s{n}", created_at=time) for n, time in enumerate(times)]

        def listed(**bounds: str) -> list[str]:
            return [message.id for message in conversations.messages("c", **bounds, oldest_first=True)]

        self.assertEqual(listed(after=ids[0], before=ids[3]), ids[1:3])
        self.assertEqual(listed(created_from=times[1], created_before=times[3]), ids[1:3])
        hits = conversations.search("wine", sender="s2")
        self.assertEqual([hit.message.id for hit in hits], [ids[2]])
        self.assertEqual(len(list(conversations.search("wine", created_before=times[1]))), 1)

    def test_a_watch_tells_of_metadata_and_of_markers_that_reach_all_devices(self) -> None:
        conversations = self.client(self.first()).conversations
        conversations.post("family", "text")
        with conversations.watch(conversations=["family"]) as watch:
            conversations.set("family", title="The family", read_markers="synced")
            conversations.mark_read("family")
            changes = [next(watch).changes[0] for _ in range(2)]
        kinds = []
        for change in changes:
            assert isinstance(change, kinfolk.ConversationChange)
            kinds.append((change.kind, change.conversation.metadata.title))
        self.assertEqual(kinds, [("metadata", "The family"), ("read_marker", "The family")])
