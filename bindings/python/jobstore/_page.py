"""Pages of the list."""

from __future__ import annotations

import ctypes
import json
import sys
from ctypes import byref, c_char, c_size_t, c_ssize_t, c_void_p, py_object
from typing import Any, BinaryIO, Iterator, Optional

from ._errors import Error, call
from ._library import function
from ._streams import write_to, written
from ._values import Handle, get_bytes


_CAN_FILL_BYTES = sys.implementation.name == "cpython"
if _CAN_FILL_BYTES:
    _new_bytes = ctypes.PYFUNCTYPE(py_object, c_void_p, c_ssize_t)(
        ("PyBytes_FromStringAndSize", ctypes.pythonapi)
    )
    _address = ctypes.PYFUNCTYPE(c_void_p, py_object)(("PyBytes_AsString", ctypes.pythonapi))


class Page(Handle):
    """A page of the list: a snapshot of one instant."""

    _free = "page_free"

    def __len__(self) -> int:
        return function("page_len")(self._handle)

    @property
    def total(self) -> Optional[int]:
        """The number of matching jobs, if it is known."""
        total = function("page_total")(self._handle)
        return None if total < 0 else total

    @property
    def next(self) -> Optional[str]:
        """The cursor of the next page, unless this is the last one."""
        cursor = get_bytes("page_next", self._handle)
        return None if cursor is None else cursor.decode()

    def json(self) -> bytes:
        """The page as JSON: ``{"jobs":[..],"result":"success"}``."""
        if not _CAN_FILL_BYTES:
            return written("page_write", self._handle)
        # The page is written into the bytes object itself, before anyone else can see it.
        capacity = self.size()
        while True:
            result = _new_bytes(None, capacity)
            size = c_size_t()
            try:
                call("page_read", self._handle, _address(result), capacity, byref(size))
            except Error as error:
                # A detailed page can grow, because it contains the progress of running jobs.
                if error.name != "BufferTooSmall":
                    raise
                capacity = size.value
                continue
            return result if size.value == capacity else result[: size.value]

    def write(self, file: BinaryIO) -> None:
        """Writes the page as JSON."""
        write_to(file.write, "page_write", self._handle)

    def size(self) -> int:
        """The length of the page as JSON. To find it, the page is read once."""
        size = c_size_t()
        call("page_size", self._handle, byref(size))
        return size.value

    def readinto(self, buffer: "bytearray | memoryview") -> int:
        """Writes the page as JSON into a buffer, and returns its length."""
        size = c_size_t()
        memory = (c_char * len(buffer)).from_buffer(buffer)
        call("page_read", self._handle, memory, len(buffer), byref(size))
        return size.value

    def __iter__(self) -> "Iterator[dict[str, Any]]":
        """The jobs of the page."""
        return iter(json.loads(self.json())["jobs"])
