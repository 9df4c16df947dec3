"""kinfolk for Python: one person's records and messages, the same on all of their devices.

    import kinfolk

    with kinfolk.connect("example/1.0") as client:
        client.records.put("notes", "shopping", {"title": "milk", "count": 3})
        print(client.records.get("notes", "shopping").fields)
        for bundle in client.records.watch(after=0, collections=["notes"]):
            print(bundle.changes)

The daemon `kinfolkd` of this device must run and be set up; `kin up` and `kin init` do that. What is written here is on disk when a call
returns, and comes to the other devices by itself, now or when they are online again.
"""

from kinfolk import aio
from kinfolk.clash import MINE, THEIRS, Choice, Clash, InvalidResolution, Merged, Resolve
from kinfolk.client import PROTOCOL_MAX, PROTOCOL_MIN, Client, connect
from kinfolk.conflict_watch import Closed, ConflictEvent, ConflictWatch
from kinfolk.conflicts import (
    MY_SIDE,
    SHOWN,
    THEIR_SIDE,
    FieldConflict,
    Gone,
    RecordConflict,
    Settlement,
    Side,
    Version,
    Whole,
)
from kinfolk.conversation import Conversation, Metadata
from kinfolk.conversations import Conversations
from kinfolk.edit import Edit
from kinfolk.errors import (
    BundleDiffers,
    Busy,
    ConfigurationError,
    Conflict,
    ConnectionLost,
    DeadlineExceeded,
    Error,
    ForeignSocket,
    InvalidArgument,
    Locked,
    MessageDiffers,
    NotFound,
    NotSetUp,
    OutOfOrder,
    PermissionDenied,
    QuotaExceeded,
    Refused,
    ResyncRequired,
    ShuttingDown,
    StampRegression,
    StoreFull,
    TooLarge,
    TooSlow,
    TurnedAway,
    Unauthenticated,
    Unreachable,
    VersionMismatch,
)
from kinfolk.history import PastChange, where
from kinfolk.outbox import InvalidOutbox, Outbox
from kinfolk.paths import Paths
from kinfolk.pull import Pull
from kinfolk.record import Record, delete, put
from kinfolk.records import Records
from kinfolk.snapshot import Snapshot
from kinfolk.values import Json, Timestamp
from kinfolk.watch import Bundle, Change, ConversationChange, MessageChange, RecordChange, UnknownChange, Watch

__all__ = [
    "MINE",
    "MY_SIDE",
    "PROTOCOL_MAX",
    "PROTOCOL_MIN",
    "SHOWN",
    "THEIRS",
    "THEIR_SIDE",
    "Bundle",
    "BundleDiffers",
    "Busy",
    "Change",
    "Choice",
    "Clash",
    "Client",
    "Closed",
    "ConfigurationError",
    "Conflict",
    "ConflictEvent",
    "ConflictWatch",
    "ConnectionLost",
    "Conversation",
    "ConversationChange",
    "Conversations",
    "DeadlineExceeded",
    "Edit",
    "Error",
    "FieldConflict",
    "ForeignSocket",
    "Gone",
    "InvalidArgument",
    "InvalidOutbox",
    "InvalidResolution",
    "Json",
    "Locked",
    "Merged",
    "MessageChange",
    "MessageDiffers",
    "Metadata",
    "NotFound",
    "NotSetUp",
    "OutOfOrder",
    "Outbox",
    "PastChange",
    "Paths",
    "PermissionDenied",
    "Pull",
    "QuotaExceeded",
    "Record",
    "RecordChange",
    "RecordConflict",
    "Records",
    "Refused",
    "Resolve",
    "ResyncRequired",
    "Settlement",
    "ShuttingDown",
    "Side",
    "Snapshot",
    "StampRegression",
    "StoreFull",
    "Timestamp",
    "TooLarge",
    "TooSlow",
    "TurnedAway",
    "Unauthenticated",
    "UnknownChange",
    "Unreachable",
    "Version",
    "VersionMismatch",
    "Watch",
    "Whole",
    "aio",
    "connect",
    "delete",
    "put",
    "where",
]
