"""The service `Conversations`: messages that never change, with a status that only rises and a deletion that is final."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, TypeAlias

import grpc

from kinfolk.calls import Manner
from kinfolk.v1 import conversations_pb2 as pb
from kinfolk.v1 import message_pb2
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

    def list(self) -> Iterator[pb.Conversation]:
        """Conversations, those with the newest message first."""
        request = pb.ListConversationsRequest()
        while True:
            page = self._manner.safely(self._stub.ListConversations, request)
            yield from page.conversations
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def messages(self, conversation: str) -> Iterator[message_pb2.Message]:
        """The messages of a conversation, newest first. What arrives meanwhile neither repeats nor hides any older one."""
        request = pb.ListMessagesRequest(conversation=conversation)
        while True:
            page = self._manner.safely(self._stub.ListMessages, request)
            yield from page.messages
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def search(self, query: str, conversation: str = "") -> Iterator[pb.SearchHit]:
        """Messages whose text or sender holds all the words; `"red wine"` asks for words side by side, `vine*` for words that begin so."""
        request = pb.SearchRequest(query=query, conversation=conversation)
        while True:
            page = self._manner.safely(self._stub.Search, request)
            yield from page.hits
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def watch(
        self, after: int | None = None, conversations: Sequence[str] = (), *, patience: float | None = 60.0
    ) -> Watch:
        """As `Records.watch`, only for messages: those of these conversations, or of all."""

        def open_stream(cursor: int | None) -> Stream:
            request = pb.WatchMessagesRequest(after_bundle_seq=cursor, conversations=conversations)
            return self._stub.Watch(request, metadata=tuple(self._manner.metadata))

        return Watch(open_stream, after, patience)
