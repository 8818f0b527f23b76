"""Outputs and inputs that are passed through callbacks."""

from __future__ import annotations

import ctypes
from typing import Any, BinaryIO, Callable

from ._errors import Error
from ._library import Read, Write
from ._errors import call


def write_to(write: Callable[[bytes], Any], name: str, *arguments: Any) -> None:
    """Calls a function that writes an output. An exception of ``write`` ends it."""
    raised: "list[BaseException]" = []

    def pass_on(_user: int, data: int, length: int) -> int:
        try:
            write(ctypes.string_at(data, length))
            return 0
        except BaseException as exception:
            raised.append(exception)
            return 1

    try:
        call(name, *arguments, Write(pass_on), None)
    except Error:
        if raised:
            raise raised[0] from None
        raise


def written(name: str, *arguments: Any) -> bytes:
    """Calls a function that writes an output, and returns it."""
    parts: "list[bytes]" = []
    write_to(parts.append, name, *arguments)
    return b"".join(parts)


def reader(source: BinaryIO, raised: "list[BaseException]") -> Any:
    """The callback that reads from a file."""

    def provide(_user: int, buffer: int, capacity: int) -> int:
        try:
            data = source.read(capacity)
            ctypes.memmove(buffer, data, len(data))
            return len(data)
        except BaseException as exception:
            raised.append(exception)
            return -1

    return Read(provide)
