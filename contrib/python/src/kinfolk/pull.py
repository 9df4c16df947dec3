"""Pulls: complete bundles up to the last one that was here when the pull began."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

from kinfolk.v1 import records_pb2
from kinfolk.watch import Bundle


class Pull(Iterator[Bundle]):
    """An iterator of bundles that ends."""

    def __init__(
        self,
        fetch: Callable[[records_pb2.PullRequest], records_pb2.PullResponse],
        request: records_pb2.PullRequest,
    ) -> None:
        self._fetch, self._request = fetch, request
        self._bundles: deque[Bundle] = deque()
        self._whole = False
        self.stable_bundle_seq = 0
        """Where the pull ends, known once the first bundle was asked for. When it has ended, this is the cursor: it may lie beyond the last bundle."""
        self.order = ""
        """The order that this is a place of: to be kept with it."""

    def __next__(self) -> Bundle:
        """The next bundle, from the next page when there is one. After an error it may be called again."""
        while not self._bundles and not self._whole:
            page = self._fetch(self._request)
            self.stable_bundle_seq, self.order = page.stable_bundle_seq, page.order_id
            self._bundles.extend(map(Bundle.of, page.bundles))
            self._request.page_token = page.next_page_token
            self._whole = not page.next_page_token
        if not self._bundles:
            raise StopIteration
        return self._bundles.popleft()
