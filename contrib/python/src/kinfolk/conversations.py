"""The service `Conversations`: messages that never change, with a status that only rises and a deletion that is final."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, TypeAlias

import grpc

from kinfolk.calls import Manner
from kinfolk.conversation import Conversation, Kind, ReadMarkers
from kinfolk.v1 import conversation_pb2, message_pb2
from kinfolk.v1 import conversations_pb2 as pb
from kinfolk.v1.conversations_pb2_grpc import ConversationsStub
from kinfolk.watch import Stream, Watch

Status: TypeAlias = Literal["sent", "delivered", "read"]


class Conversations:
    """Reads and writes messages. Everything here counts once however often it is sent, so all of it is made again while the daemon
    restarts: a message has its id before it leaves us, a status only rises, and a deletion is final."""

    def __init__(self, channel: grpc.Channel, manner: Manner) -> None:
        self._stub = ConversationsStub(channel)
        self._manner = manner

    def post(
        self,
        conversation: str,
        text: str | None = None,
        *,
        data: bytes | None = None,
        content_type: str = "",
        sender: str = "",
        recipients: Iterable[str] = (),
        group: str = "",
        outbound: bool = False,
        id: str = "",
        created_at: str = "",
        reply_to: str = "",
        attachments: Iterable[message_pb2.Attachment] = (),
    ) -> str:
        """Posts a message and gives its id. With an id that is here and the same content nothing changes.

        Errors: `MessageDiffers`, `InvalidArgument`, `TooLarge`, `StoreFull`.
        """
        if text is not None and data is not None:
            raise TypeError("a message has text or data, not both")
        message = message_pb2.Message(
            conversation=conversation,
            id=id or str(uuid.uuid4()),
            content_type=content_type,
            sender=sender,
            recipients=recipients,
            group=group,
            outbound=outbound,
            created_at=created_at,
            reply_to=reply_to,
            attachments=attachments,
        )
        if text is not None:
            message.text = text
        if data is not None:
            message.data = data
        return self._manner.safely(self._stub.Post, pb.PostRequest(message=message)).id

    def set_status(self, id: str, status: Status, *, at_us: int | None = None) -> bool:
        """Raises the status of a message on all devices; says whether that changed anything. Errors: `NotFound`."""
        value = message_pb2.MessageStatus.Value(f"MESSAGE_STATUS_{status.upper()}")
        request = pb.SetStatusRequest(status=message_pb2.SetMessageStatus(id=id, status=value, at_us=at_us))
        return not self._manner.safely(self._stub.SetStatus, request).no_op

    def delete(self, id: str) -> bool:
        """Deletes a message on all devices, for good; says whether that changed anything. Errors: `NotFound`."""
        return not self._manner.safely(self._stub.Delete, pb.DeleteRequest(id=id)).no_op

    def list(self) -> Iterator[Conversation]:
        """Conversations, those with the newest message first; those without a message last."""
        request = pb.ListConversationsRequest()
        while True:
            page = self._manner.safely(self._stub.ListConversations, request)
            yield from map(Conversation.of, page.conversations)
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def get(self, conversation: str) -> Conversation:
        """One conversation. Errors: `NotFound` when it has neither messages nor metadata."""
        request = pb.GetConversationRequest(conversation=conversation)
        return Conversation.of(self._manner.safely(self._stub.GetConversation, request).conversation)

    def set(
        self,
        conversation: str,
        *,
        kind: Kind | Literal["none"] | None = None,
        title: str | None = None,
        add: Iterable[str] = (),
        remove: Iterable[str] = (),
        attributes: Mapping[str, str] | None = None,
        clear: Iterable[str] = (),
        read_markers: ReadMarkers | Literal["none"] | None = None,
    ) -> None:
        """Writes metadata of a conversation on all devices; what is not named stays as it is. `add` and `remove` name members, `clear` attributes that go;
        an empty title and `none` take back what was said. Errors: `InvalidArgument`, `TooLarge`."""
        change = conversation_pb2.SetConversation(
            name=conversation,
            title=title,
            add_members=add,
            remove_members=remove,
            attributes=attributes,
            clear_attributes=clear,
        )
        if kind is not None:
            name = "UNSPECIFIED" if kind == "none" else kind.upper()
            change.kind = conversation_pb2.ConversationKind.Value(f"CONVERSATION_KIND_{name}")
        if read_markers is not None:
            name = "UNSPECIFIED" if read_markers == "none" else read_markers.upper()
            change.read_markers = conversation_pb2.ReadMarkers.Value(f"READ_MARKERS_{name}")
        self._manner.safely(self._stub.SetMetadata, pb.SetMetadataRequest(conversation=change))

    def mark_read(self, conversation: str, up_to: str = "") -> int:
        """Moves the read marker of a conversation to the message of that id, or to the newest one; gives how many messages are unread then. It never
        moves back. Errors: `NotFound` when there is no such message in the conversation."""
        request = pb.MarkReadRequest(conversation=conversation, up_to_id=up_to)
        return self._manner.safely(self._stub.MarkRead, request).unread

    def message(self, id: str) -> message_pb2.Message:
        """One message. Errors: `NotFound`, also after its deletion."""
        return self._manner.safely(self._stub.GetMessage, pb.GetMessageRequest(id=id)).message

    def messages(
        self,
        conversation: str,
        *,
        before: str = "",
        after: str = "",
        created_from: str = "",
        created_before: str = "",
        oldest_first: bool = False,
    ) -> Iterator[message_pb2.Message]:
        """The messages of a conversation, newest first unless asked otherwise: all, or those before or after the message of an id, or created in a
        stretch of time (RFC 3339). What arrives meanwhile neither repeats nor hides any other one."""
        request = pb.ListMessagesRequest(
            conversation=conversation,
            before_id=before,
            after_id=after,
            created_from=created_from,
            created_before=created_before,
            order=pb.MESSAGE_ORDER_OLDEST_FIRST if oldest_first else pb.MESSAGE_ORDER_NEWEST_FIRST,
        )
        while True:
            page = self._manner.safely(self._stub.ListMessages, request)
            yield from page.messages
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def search(
        self,
        query: str,
        conversation: str = "",
        *,
        sender: str = "",
        created_from: str = "",
        created_before: str = "",
    ) -> Iterator[pb.SearchHit]:
        """Messages whose text or sender holds all the words; `"red wine"` asks for words side by side, `vine*` for words that begin so. Only those of a
        conversation, of exactly this sender, and of a stretch of time (RFC 3339), where these are given."""
        request = pb.SearchRequest(
            query=query,
            conversation=conversation,
            sender=sender,
            created_from=created_from,
            created_before=created_before,
        )
        while True:
            page = self._manner.safely(self._stub.Search, request)
            yield from page.hits
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def watch(
        self,
        after: int | None = None,
        conversations: Sequence[str] = (),
        *,
        order: str = "",
        patience: float | None = 60.0,
    ) -> Watch:
        """As `Records.watch`, only for messages and conversations: these ones, or all."""

        def open_stream(cursor: int | None, order: str) -> Stream:
            request = pb.WatchMessagesRequest(after_bundle_seq=cursor, conversations=conversations, order_id=order)
            return self._stub.Watch(request, metadata=tuple(self._manner.metadata))

        return Watch(open_stream, after, patience, order)
