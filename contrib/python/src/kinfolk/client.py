"""The client: one connection to this device's daemon over its local socket.

*Finding and waiting.* An explicit socket is the only place asked. Else `endpoint.json` comes first (it knows of sockets that a service manager
handed over), then the computed path. A daemon counts as starting while the process named in `endpoint.json` lives or `wait` has not passed;
only an answered `Info.GetInfo` counts as ready.

*Trust.* The user behind the socket must be ours before anything is sent: a squatter on the path learns nothing.

*Life.* The connection comes back by itself after the daemon was restarted.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import TypeAlias

import grpc

from kinfolk.calls import FIRST_PAUSE, Manner
from kinfolk.conversations import Conversations
from kinfolk.credential import metadata
from kinfolk.endpoint import Endpoint
from kinfolk.errors import (
    ConfigurationError,
    ConnectionLost,
    DeadlineExceeded,
    ForeignSocket,
    TurnedAway,
    Unreachable,
    VersionMismatch,
)
from kinfolk.paths import Paths
from kinfolk.records import Records
from kinfolk.v1.info_pb2 import GetInfoRequest, GetInfoResponse
from kinfolk.v1.info_pb2_grpc import InfoStub

# The versions of the local API that this package speaks.
PROTOCOL_MIN = 1
PROTOCOL_MAX = 1

# How long a daemon whose process lives may take until it answers, in seconds: the time of a database migration.
STARTING = 10.0
LAST_PAUSE = 0.2
# How long one `GetInfo` may take: it is answered from memory.
HANDSHAKE = 5.0
# The largest reply of a daemon, in bytes; the default of gRPC is a quarter of it.
MAX_REPLY_BYTES = 16 << 20

_OPTIONS = [
    # Over a Unix socket the authority would be the path, which HTTP/2 servers refuse.
    ("grpc.default_authority", "kinfolk.localhost"),
    ("grpc.max_receive_message_length", MAX_REPLY_BYTES),
    # A restarted daemon is found again soon: dialling a local socket costs nothing.
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 250),
    # Connections are not shared between clients: closing one ends it.
    ("grpc.use_local_subchannel_pool", 1),
]


class Client:
    """A connection to a daemon of a version that this package understands. May be used by several threads."""

    def __init__(self, channel: grpc.Channel, info: GetInfoResponse, address: Path, manner: Manner) -> None:
        self.channel = channel
        """The connection, for stubs that this package does not wrap; give their calls `metadata=client.metadata`."""
        self.info = info
        """Who answered when the connection was made."""
        self.address = address
        """The socket."""
        self.metadata = tuple(manner.metadata)
        """What every call carries."""
        self.records = Records(channel, manner)
        """Records, and bundles of writes."""
        self.conversations = Conversations(channel, manner)
        """Messages."""
        self._manner = manner

    def get_info(self) -> GetInfoResponse:
        """Asks anew who is there."""
        return self._manner.safely(InfoStub(self.channel).GetInfo, GetInfoRequest())

    def close(self) -> None:
        """Ends the connection, and all calls and watches on it."""
        self.channel.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def connect(
    name: str = "",
    *,
    paths: Paths | None = None,
    wait: float = 0.0,
    timeout: float = 30.0,
    patience: float = 10.0,
    token: str | None = None,
) -> Client:
    """Connects to the daemon, and asks who is there.

    `name` is what the daemon's log calls this program, such as `todo/1.0`. `wait` is for how many seconds a daemon that does not listen yet
    is waited for; one that is starting is waited for in any case. `timeout` is the deadline of each call, and `patience` for how long a call
    that is safe to repeat is made again while the daemon restarts. `token` is the app's; without it the one in the
    file that `KINFOLK_TOKEN_FILE` names is shown, else the owner's where it can be read, and with an empty one nothing.

    Errors: `Unreachable`, `TurnedAway`, `ForeignSocket`, `VersionMismatch`, `ConfigurationError`.
    """
    if sys.platform == "win32":
        raise ConfigurationError("gRPC for Python knows no named pipes", hint="use the Rust client on Windows")
    paths = Paths.discover() if paths is None else paths
    begin = time.monotonic()
    pause = FIRST_PAUSE
    while True:
        endpoint = Endpoint.read(paths.endpoint_file)
        try:
            info, channel, address = _try_connect(name, paths, endpoint)
            break
        except (Unreachable, TurnedAway):
            starting = endpoint is not None and _may_answer(paths, endpoint)
            longest = max(wait, STARTING) if starting else wait
            if time.monotonic() - begin + pause > longest:
                raise
        time.sleep(pause)
        pause = min(pause * 2, LAST_PAUSE)
    try:
        # The daemon has put the owner's token there before it answers.
        manner = Manner(timeout, patience, metadata(paths, token))
    except BaseException:
        channel.close()
        raise
    return Client(channel, info, address, manner)


# Who answered, over which connection, and where.
Found: TypeAlias = "tuple[GetInfoResponse, grpc.Channel, Path]"


def _may_answer(paths: Paths, endpoint: Endpoint) -> bool:
    """Whether that daemon lives and is one that is asked: the daemon of this home is not when another socket was named."""
    asked = not paths.socket_is_explicit or endpoint.address == paths.socket
    return asked and endpoint.process_exists()


def _try_connect(name: str, paths: Paths, endpoint: Endpoint | None) -> Found:
    candidates = [] if paths.socket_is_explicit or endpoint is None else [endpoint.address]
    if paths.socket not in candidates:
        candidates.append(paths.socket)
    for address in candidates[:-1]:
        try:
            _check_peer(address)
        except Unreachable:
            continue
        return _shake_hands(name, address)
    _check_peer(candidates[-1])
    return _shake_hands(name, candidates[-1])


def _shake_hands(name: str, address: Path) -> Found:
    channel = grpc.insecure_channel(f"unix:{address}", options=_OPTIONS)
    try:
        once = Manner(HANDSHAKE, 0.0, ())
        try:
            info = once.once(InfoStub(channel).GetInfo, GetInfoRequest(client=name))
        except DeadlineExceeded:
            raise Unreachable(
                f"the daemon at {address} did not answer within {HANDSHAKE:.0f} s",
                hint="look into its log; `kin paths` says where it is",
            ) from None
        except ConnectionLost as error:
            # A daemon that is there answers this, or says why not: it has closed the connection.
            raise TurnedAway(f"the daemon at {address} serves as many clients as it can, or is stopping") from error
        if info.protocol_max < PROTOCOL_MIN or info.protocol_min > PROTOCOL_MAX:
            raise VersionMismatch(
                f"the daemon {info.version} speaks versions {info.protocol_min} to {info.protocol_max} of the local API,"
                f" this client {PROTOCOL_MIN} to {PROTOCOL_MAX}"
            )
    except BaseException:
        channel.close()
        raise
    return info, channel, address


def _check_peer(address: Path) -> None:
    """Fails unless somebody listens there, and is us. gRPC dials by itself, so this looks at a connection of its own: only who may write
    the directory of the socket could put another in its place meanwhile."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(HANDSHAKE)
        try:
            probe.connect(os.fspath(address))
            owner = _peer(probe)
        except OSError as error:
            owner = _owner(address)
            if owner in (None, os.geteuid()):
                raise Unreachable(f"no daemon answers at {address}: {error.strerror or error}") from error
        owner = _owner(address) if owner is None else owner
    if owner is not None and owner != os.geteuid():
        raise ForeignSocket(f"the socket {address} belongs to user {owner}, not to you")


def _peer(connection: socket.socket) -> int | None:
    """The user behind a connection, where the system tells."""
    if sys.platform == "linux":
        # struct ucred: process, user, group.
        size = struct.calcsize("iII")
        _, user, _ = struct.unpack("iII", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
        return int(user)
    return None


def _owner(address: Path) -> int | None:
    try:
        return os.lstat(address).st_uid
    except OSError:
        return None
