"""One call to the daemon: its deadline, its errors, and when it is made again.

A call that changes nothing when it is made twice is made again for as long as `patience` while the daemon restarts or is busy. Any other is
made once: whether it happened is for its caller to find out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import grpc

from kinfolk.errors import PASSING, Error, from_call

Request = TypeVar("Request")
Reply = TypeVar("Reply")
T = TypeVar("T")

# Between two attempts: the first pause, doubled each time up to the last.
FIRST_PAUSE = 0.02
LAST_PAUSE = 1.0


@dataclass(frozen=True)
class Manner:
    """How calls are made."""

    timeout: float
    """Seconds that one call may take."""
    patience: float
    """Seconds for which a call that is safe to repeat is made again."""
    metadata: Sequence[tuple[str, str]]
    """What every call carries: the app's token."""

    def once(self, method: grpc.UnaryUnaryMultiCallable[Request, Reply], request: Request) -> Reply:
        """Makes a call."""
        try:
            return method(request, timeout=self.timeout, metadata=tuple(self.metadata))
        except grpc.RpcError as error:
            raise from_call(error) from error

    def safely(self, method: grpc.UnaryUnaryMultiCallable[Request, Reply], request: Request) -> Reply:
        """Makes a call that is safe to repeat, again after errors that pass."""
        return again(lambda: self.once(method, request), self.patience)


def again(attempt: Callable[[], T], patience: float) -> T:
    """Calls `attempt` until it succeeds, fails for good, or the next try would begin after `patience` seconds."""
    begin = time.monotonic()
    pause = FIRST_PAUSE
    while True:
        try:
            return attempt()
        except Error as error:
            if not isinstance(error, PASSING) or time.monotonic() - begin + pause > patience:
                raise
        time.sleep(pause)
        pause = min(pause * 2, LAST_PAUSE)
