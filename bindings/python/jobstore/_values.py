"""Python values as arguments of the library, and its results as Python values."""

from __future__ import annotations

import ctypes
import json
from ctypes import byref, c_void_p
from enum import Enum
from typing import Any, Optional, Union

from ._errors import call
from ._library import Bytes, RequestText, Text, function

#: A JSON document: its text, or a value for ``json.dumps``.
Json = Union[str, bytes, dict, list, int, float, bool, None]


class Cancellation(Enum):
    """What a call did with a job."""

    DONE = 0
    CANCELLED_BEFORE_START = 1
    CANCEL_REQUESTED = 2
    ALREADY_COMPLETE = 3


def text(value: "str | bytes") -> Text:
    data = value.encode() if isinstance(value, str) else bytes(value)
    return Text(data, len(data))


def json_text(value: Json) -> "str | bytes":
    return value if isinstance(value, (str, bytes)) else json.dumps(value, ensure_ascii=False)


def request(command: str, url: str, body: Json, origin: str = "") -> RequestText:
    return RequestText(text(command), text(url), text(json_text(body)), text(origin))


def outcome(
    kind: str,
    message: Optional[str],
    code: Optional[str],
    result_ref: Optional[str],
    detail: Optional[Json],
) -> Text:
    """An outcome; ``kind`` is a word, or the whole outcome as JSON text."""
    if kind.startswith("{"):
        return text(kind)
    members = {"kind": kind, "code": code, "message": message, "resultRef": result_ref}
    members = {name: value for name, value in members.items() if value is not None}
    if not isinstance(detail, (str, bytes)):
        if detail is not None:
            members["detail"] = detail
        return text(json.dumps(members, ensure_ascii=False))
    # The text of a detail is kept as it is.
    detail = detail.decode() if isinstance(detail, bytes) else detail
    return text(json.dumps(members, ensure_ascii=False)[:-1] + f', "detail": {detail}}}')


def milliseconds(seconds: Optional[float]) -> int:
    """A timeout; ``None`` never passes."""
    return -1 if seconds is None else max(0, round(seconds * 1000))


def handle(name: str, *arguments: Any) -> Optional[int]:
    """Calls a function that returns a handle."""
    out = c_void_p()
    call(name, *arguments, byref(out))
    return out.value


def get_bytes(name: str, *arguments: Any) -> Optional[bytes]:
    """Calls a function that returns bytes or nothing."""
    out = Bytes()
    call(name, *arguments, byref(out))
    try:
        return ctypes.string_at(out.ptr, out.len) if out.ptr else None
    finally:
        function("bytes_free")(byref(out))


def get_text(name: str, *arguments: Any) -> str:
    return (get_bytes(name, *arguments) or b"").decode()


def get_json(name: str, *arguments: Any) -> Any:
    result = get_bytes(name, *arguments)
    return None if result is None else json.loads(result)


class Handle:
    """An object of the library. It is freed by ``free``, at the end of ``with``, or by the garbage
    collector."""

    _free: str

    def __init__(self, pointer: Optional[int]) -> None:
        self._pointer = pointer

    @property
    def _handle(self) -> int:
        if self._pointer is None:
            raise ValueError(f"this {type(self).__name__} has been freed")
        return self._pointer

    def free(self) -> None:
        """Frees the object. Calling this again has no effect."""
        pointer, self._pointer = getattr(self, "_pointer", None), None
        if pointer is not None:
            function(self._free)(pointer)

    def __enter__(self):
        return self

    def __exit__(self, *exception: object) -> None:
        self.free()

    def __del__(self) -> None:
        self.free()
