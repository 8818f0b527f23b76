"""Opening a store."""

from __future__ import annotations

import os
from typing import Union

from ._errors import call
from ._store import Store
from ._values import Handle, handle, text

#: The value of an option.
Option = Union[str, int, bool]


class _Options(Handle):
    _free = "options_free"

    def __init__(self, options: "dict[str, Option]") -> None:
        super().__init__(handle("options_new"))
        for name, value in options.items():
            word = str(value).lower() if isinstance(value, bool) else str(value)
            call("options_set", self._handle, text(name), text(word))


def open(directory: "str | os.PathLike[str]", **options: Option) -> Store:
    """Opens the store in a directory, and creates both if they do not exist. Options are set by
    their names: ``open("data", recovery="requeue", page_threads=1)``."""
    with _Options(options) as c_options:
        return Store(handle("open", text(os.fspath(directory)), c_options._handle))


def open_in_memory(**options: Option) -> Store:
    """Opens a new store in memory, for tests."""
    with _Options(options) as c_options:
        return Store(handle("open_in_memory", c_options._handle))


def follow(directory: "str | os.PathLike[str]", replica: str, **options: Option) -> Store:
    """Opens a copy that shows what another process writes to its replica."""
    with _Options({"replica": replica, **options}) as c_options:
        return Store(handle("follow", text(os.fspath(directory)), c_options._handle))
