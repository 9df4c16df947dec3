"""A conversation: how many messages it has, what is known of it beside them, and up to where it was read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from kinfolk.v1 import conversation_pb2, message_pb2

Kind: TypeAlias = Literal["direct", "group"]
ReadMarkers: TypeAlias = Literal["local", "synced"]


@dataclass(frozen=True)
class Metadata:
    """What is known of a conversation beside its messages."""

    kind: Kind | None
    """What it is; `None` when nobody said so."""
    title: str
    """How it is called; may be empty."""
    members: tuple[str, ...]
    """Who is in it, in byte order."""
    attributes: Mapping[str, str]
    """What else apps keep of it."""
    read_markers: ReadMarkers | None
    """Whether its read markers reach the other devices; `None` leaves it to each device."""


@dataclass(frozen=True)
class Conversation:
    """A conversation in short."""

    name: str
    messages: int
    unread: int
    last_message: message_pb2.Message | None
    """The newest message; `None` when there is none."""
    metadata: Metadata
    read_to: str | None
    """The id of the last message that a read marker covers; `None` without a marker. That message may be deleted."""
    read_markers_synced: bool
    """Whether a read marker that is set here reaches the other devices."""

    @classmethod
    def of(cls, conversation: conversation_pb2.Conversation) -> Conversation:
        """The conversation that the daemon sent."""
        shown = conversation
        return cls(
            shown.name,
            shown.messages,
            shown.unread,
            shown.last_message if shown.HasField("last_message") else None,
            Metadata(
                _KINDS.get(shown.metadata.kind),
                shown.metadata.title,
                tuple(shown.metadata.members),
                dict(shown.metadata.attributes),
                _MARKERS.get(shown.metadata.read_markers),
            ),
            shown.read_marker.id if shown.HasField("read_marker") else None,
            shown.read_marker_synced,
        )


_KINDS: dict[conversation_pb2.ConversationKind.ValueType, Kind] = {
    conversation_pb2.CONVERSATION_KIND_DIRECT: "direct",
    conversation_pb2.CONVERSATION_KIND_GROUP: "group",
}
_MARKERS: dict[conversation_pb2.ReadMarkers.ValueType, ReadMarkers] = {
    conversation_pb2.READ_MARKERS_LOCAL: "local",
    conversation_pb2.READ_MARKERS_SYNCED: "synced",
}
