"""Watches for programs that run on asyncio.

    async with kinfolk.aio.follow(client.records.watch, after=0, collections=["notes"]) as bundles:
        async for bundle in bundles:
            print(bundle.changes)

A watch waits in a thread of its own; the event loop is never held up, and neither are other watches. Nothing is lost when a wait is given up, as by
`asyncio.wait_for` or a cancelled task: what comes meanwhile is handed out by the next wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Generic, ParamSpec, Protocol, TypeVar

Item = TypeVar("Item")
Told = TypeVar("Told", covariant=True)
P = ParamSpec("P")


class Watched(Protocol[Told]):
    """What can be followed: `Watch` and `ConflictWatch`."""

    def __next__(self) -> Told: ...
    def close(self) -> None: ...


def follow(open_watch: Callable[P, Watched[Item]], *args: P.args, **kwargs: P.kwargs) -> Following[Item]:
    """Follows the watch that `open_watch` opens with these arguments: `client.records.watch`, `client.conversations.watch` or
    `client.records.watch_conflicts`. To be used in an `async with` statement, which opens and closes it."""
    return Following(lambda: open_watch(*args, **kwargs))


class Following(AsyncIterator[Item], Generic[Item]):
    """An endless asynchronous iterator of what a watch hands out, for one task at a time."""

    def __init__(self, open_watch: Callable[[], Watched[Item]]) -> None:
        self._open = open_watch
        self._watch: Watched[Item] | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="kinfolk-watch")
        # The wait that is under way, also when nobody waits for it any more.
        self._waiting: asyncio.Future[tuple[Item] | None] | None = None

    async def __aenter__(self) -> Following[Item]:
        """Opens the watch; what is applied after this returns is handed out."""
        opening = asyncio.get_running_loop().run_in_executor(self._thread, self._open)
        try:
            self._watch = await asyncio.shield(opening)
        except asyncio.CancelledError:
            # It may still open: then it is closed at once.
            opening.add_done_callback(_close_opened)
            self._thread.shutdown(wait=False)
            raise
        except BaseException:
            self._thread.shutdown(wait=False)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.aclose()

    async def __anext__(self) -> Item:
        """The next one; waits for it. Errors as those of the watch, after which the next wait goes on where it was."""
        watch = self._watch
        if watch is None:
            raise RuntimeError("a watch is followed in an `async with` statement")
        if self._waiting is None:
            self._waiting = asyncio.get_running_loop().run_in_executor(self._thread, _next, watch)
        try:
            told = await asyncio.shield(self._waiting)
        finally:
            if self._waiting is not None and self._waiting.done():
                self._waiting = None
        if told is None:
            raise StopAsyncIteration
        return told[0]

    async def aclose(self) -> None:
        """Ends the watch: whoever waits for the next one stops waiting."""
        if self._watch is not None:
            self._watch.close()
        if self._waiting is not None:
            # What it came to, a failure too, is nothing to anybody any more.
            await asyncio.gather(self._waiting, return_exceptions=True)
            self._waiting = None
        self._thread.shutdown(wait=False)


def _next(watch: Watched[Item]) -> tuple[Item] | None:
    """The next one; `None` at the end, for which no future may raise `StopIteration`."""
    try:
        return (watch.__next__(),)
    except StopIteration:
        return None


def _close_opened(opening: asyncio.Future[Watched[Item]]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()
