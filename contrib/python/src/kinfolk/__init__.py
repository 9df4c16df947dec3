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

from kinfolk.client import PROTOCOL_MAX, PROTOCOL_MIN, Client, connect
from kinfolk.conversations import Conversations
from kinfolk.errors import (
    BundleDiffers,
    Busy,
    ConfigurationError,
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
    Refused,
    ShuttingDown,
    StoreFull,
    TooLarge,
    TooSlow,
    TurnedAway,
    Unreachable,
    VersionMismatch,
)
from kinfolk.paths import Paths
from kinfolk.record import Record, delete, put
from kinfolk.records import Records
from kinfolk.values import Json, Timestamp
from kinfolk.watch import Bundle, Change, MessageChange, RecordChange, UnknownChange, Watch

__all__ = [
    "PROTOCOL_MAX",
    "PROTOCOL_MIN",
    "Bundle",
    "BundleDiffers",
    "Busy",
    "Change",
    "Client",
    "ConfigurationError",
    "ConnectionLost",
    "Conversations",
    "DeadlineExceeded",
    "Error",
    "ForeignSocket",
    "InvalidArgument",
    "Json",
    "Locked",
    "MessageChange",
    "MessageDiffers",
    "NotFound",
    "NotSetUp",
    "OutOfOrder",
    "Paths",
    "PermissionDenied",
    "Record",
    "RecordChange",
    "Records",
    "Refused",
    "ShuttingDown",
    "StoreFull",
    "Timestamp",
    "TooLarge",
    "TooSlow",
    "TurnedAway",
    "UnknownChange",
    "Unreachable",
    "VersionMismatch",
    "Watch",
    "connect",
    "delete",
    "put",
]
