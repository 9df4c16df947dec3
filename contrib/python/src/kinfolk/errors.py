"""Errors: one class for each way in which a call can fail, all of them `kinfolk.Error`.

What the daemon refuses carries a detail (`google.rpc.Status` in the trailer `grpc-status-details-bin`, holding one
`kinfolk.v1.ErrorDetail`) and becomes `Refused` or one of its subclasses. What happens before or beside the daemon (nobody listens, a
connection that breaks, a deadline) has classes of its own. Programs look at the class or at `code`, never at the text.
"""

from __future__ import annotations

from typing import ClassVar

import grpc
from grpc_status import rpc_status

from kinfolk.v1.error_pb2 import ErrorDetail


class Error(Exception):
    """Why a call to the daemon did not succeed."""

    def __init__(self, message: str, *, code: str, hint: str = "", retryable: bool = False) -> None:
        super().__init__(message)
        self.message = message
        """What happened, for a person."""
        self.code = code
        """What happened, for programs: the name of a `kinfolk.v1.ErrorCode` such as `not_found`, or one of this module's own."""
        self.hint = hint
        """What to do about it; may be empty."""
        self.retryable = retryable
        """Whether the same call may succeed later without any change."""


class ConfigurationError(Error):
    """The environment leads nowhere: no home directory, a socket path that is too long."""

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message, code="configuration", hint=hint)


class Unreachable(Error):
    """Nothing answers on the socket."""

    def __init__(self, message: str, *, hint: str = "start it with `kin up`") -> None:
        super().__init__(message, code="daemon_unreachable", hint=hint, retryable=True)


class TurnedAway(Error):
    """The daemon took the connection and closed it unanswered: it serves as many clients as it can, or is stopping."""

    def __init__(self, message: str) -> None:
        super().__init__(
            message,
            code="busy",
            hint="try again in a moment; if it stays so, end programs that keep connections open",
            retryable=True,
        )


class ForeignSocket(Error):
    """The socket is someone else's: whoever it is must not see our data."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="permission_denied", hint="set KINFOLK_SOCKET to a path that only you can write")


class VersionMismatch(Error):
    """Client and daemon have no version of the local API in common."""

    def __init__(
        self, message: str, *, hint: str = "restart the daemon after an upgrade: `kin down`, then `kin up`"
    ) -> None:
        super().__init__(message, code="version_mismatch", hint=hint)


class ConnectionLost(Error):
    """The connection broke during the call, or the daemon closed it unanswered. What was asked for may have happened."""

    def __init__(self, message: str) -> None:
        super().__init__(
            f"the call to the daemon failed: {message}",
            code="connection_lost",
            hint="look whether the daemon runs (`kin up`) and into its log; `kin paths` says where it is",
            retryable=True,
        )


class DeadlineExceeded(Error):
    """The daemon did not finish the call in time. What was asked for may have happened."""

    def __init__(self) -> None:
        super().__init__(
            "the daemon did not finish the call in time",
            code="deadline_exceeded",
            hint="ask for the state before you try again",
            retryable=True,
        )


class Refused(Error):
    """The daemon said no. `detail` holds everything that it said."""

    codes: ClassVar[dict[str, type[Refused]]] = {}

    def __init__(self, detail: ErrorDetail) -> None:
        super().__init__(detail.message, code=detail.code, hint=detail.hint, retryable=detail.retryable)
        self.detail = detail
        """The detail as it came, with its typed payload."""

    def __init_subclass__(cls, code: str) -> None:
        Refused.codes[code] = cls

    @property
    def op_index(self) -> int | None:
        """Which op of a push was refused, from 0."""
        return self.detail.op_index if self.detail.HasField("op_index") else None


class InvalidArgument(Refused, code="invalid_argument"):
    """The request breaks a rule; the message says which."""


class NotFound(Refused, code="not_found"):
    """No such record, message, device or relay."""


class NotSetUp(Refused, code="not_set_up"):
    """This device has no identity yet."""


class Locked(Refused, code="locked"):
    """The keys or the store cannot be opened now."""


class PermissionDenied(Refused, code="permission_denied"):
    """The caller may not do this."""


class Conflict(Refused, code="conflict"):
    """A record is not what a write was based on. `detail.conflict` describes the first such record; `kinfolk.Outbox` deals with it."""


class Unauthenticated(Refused, code="unauthenticated"):
    """The caller showed no token, or one that is unknown or was revoked."""


class MessageDiffers(Refused, code="message_differs"):
    """A message with this id is here and its content is not the same."""


class BundleDiffers(Refused, code="bundle_differs"):
    """This `source_bundle_id` was committed with other ops."""


class OutOfOrder(Refused, code="out_of_order"):
    """This `source_bundle_id` is not the next one of its source."""

    @property
    def expected(self) -> int:
        """The next `source_bundle_id` that is taken."""
        return self.detail.sequence.expected


class StampRegression(Refused, code="stamp_regression"):
    """The stamp of a push is not greater than those of its source before."""

    @property
    def stored_max(self) -> int:
        """The greatest stamp of a bundle that was committed."""
        return self.detail.stamp.stored_max


class ResyncRequired(Refused, code="resync_required"):
    """A cursor lies below the place up to which the log was compacted, beyond its end, or in an order that ended when the device was put back. Take a snapshot, or read everything again after 0."""

    @property
    def compacted_up_to(self) -> int:
        """Whoever has dealt with this place or a later one can go on."""
        return self.detail.resync.compacted_up_to


class TooLarge(Refused, code="too_large"):
    """Something is longer than its limit."""


class StoreFull(Refused, code="store_full"):
    """The disk is full: what was asked is not stored, what was stored before is safe."""


class Busy(Refused, code="busy"):
    """Too much is under way; try again."""


class ShuttingDown(Refused, code="shutting_down"):
    """The daemon is stopping."""


class TooSlow(Refused, code="too_slow"):
    """A subscriber reads too slowly and was disconnected; it resumes from its cursor and misses nothing."""

    @property
    def resume_after(self) -> int | None:
        """Everything up to this place was sent before; None for a stream that has no cursor."""
        return self.detail.resume.bundle_seq if self.detail.HasField("resume") else None


class QuotaExceeded(Refused, code="quota_exceeded"):
    """The app has as much stored under its prefixes as it may. `detail.limit` says which limit; deleting makes room."""


# Errors that pass when the daemon is asked again, and after which it may or may not have done what it was asked for.
PASSING = (Unreachable, ConnectionLost, DeadlineExceeded, Busy, ShuttingDown, TooSlow)


def from_call(error: grpc.RpcError) -> Error:
    """What a failed call of gRPC means."""
    if not isinstance(error, grpc.Call):
        return ConnectionLost(str(error))
    detail = _detail(error)
    if detail is not None:
        return Refused.codes.get(detail.code, Refused)(detail)
    code, text = error.code(), error.details() or ""
    if code == grpc.StatusCode.DEADLINE_EXCEEDED:
        return DeadlineExceeded()
    if code == grpc.StatusCode.UNIMPLEMENTED:
        return VersionMismatch(
            f"the daemon does not know this call: {text}",
            hint="the daemon is older than this client; restart it: `kin down`, then `kin up`",
        )
    if code in (grpc.StatusCode.OUT_OF_RANGE, grpc.StatusCode.RESOURCE_EXHAUSTED):
        # Refused by the transport, before anybody could add a detail.
        return TooLarge(ErrorDetail(code="too_large", message=text, hint="send or ask for it in smaller parts"))
    return ConnectionLost(text)


def _detail(call: grpc.Call) -> ErrorDetail | None:
    try:
        status = rpc_status.from_call(call)
    except ValueError:
        return None
    for entry in status.details if status is not None else ():
        detail = ErrorDetail()
        if entry.Unpack(detail):
            return detail
    return None
