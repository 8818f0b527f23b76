"""Errors, and the calls that raise them."""

from __future__ import annotations

from ctypes import byref, c_void_p
from typing import Any

from ._library import function


class Error(Exception):
    """Why a call failed. The message states the problem and its remedy."""

    #: The number of the error in ``jobstore.h``.
    code: int
    #: The name of the error, such as ``"UnknownGraph"``.
    name: str
    #: The response to the client in the GES job-list API.
    json: str
    #: The HTTP status of that response.
    status: int

    def __init__(self, handle: Any) -> None:
        super().__init__(function("error_message")(handle).decode())
        self.code = function("error_code")(handle)
        self.name = function("error_name")(handle).decode()
        self.json = function("error_json")(handle).decode()
        self.status = function("error_status")(handle)


def call(name: str, *arguments: Any) -> None:
    """Calls a function of the library, and raises its error if it fails."""
    error = c_void_p()
    if function(name)(*arguments, byref(error)) != 0:
        try:
            raise Error(error)
        finally:
            function("error_free")(error)
