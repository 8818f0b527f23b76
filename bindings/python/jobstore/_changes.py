"""Change feeds."""

from __future__ import annotations

import json
from typing import Any, Iterator, Optional

from ._values import Handle, get_bytes, milliseconds


class Changes(Handle):
    """The change feed of a graph: an iterator over the changes that have happened. It can be
    iterated again when there are more. Only one thread at a time may use it."""

    _free = "changes_free"

    def next(self, timeout: Optional[float] = 0) -> "Optional[dict[str, Any]]":
        """The next change, unless the timeout passes first. ``None`` as a timeout never passes."""
        change = get_bytes("changes_next", self._handle, milliseconds(timeout))
        return None if change is None else json.loads(change)

    def __iter__(self) -> "Iterator[dict[str, Any]]":
        return self

    def __next__(self) -> "dict[str, Any]":
        change = self.next()
        if change is None:
            raise StopIteration
        return change
