"""The C library: where it is found, its types, and the prototypes of its functions."""

import ctypes
import ctypes.util
import os
from ctypes import POINTER, byref, c_bool, c_char, c_char_p, c_int32, c_int64, c_size_t, c_uint8
from ctypes import c_uint64, c_void_p
from pathlib import Path

SONAME = "libjobstore.so.0.1"


def _load() -> "tuple[ctypes.CDLL, str]":
    here = Path(__file__).parent
    named = os.environ.get("JOBSTORE_LIBRARY")
    if named:
        return ctypes.CDLL(named), named
    for path in [here / SONAME, here / "libjobstore.so"]:
        if path.exists():
            return ctypes.CDLL(str(path)), str(path)
    try:
        return ctypes.CDLL(SONAME), SONAME
    except OSError as error:
        raise ImportError(
            f"cannot load {SONAME}: {error}; install it with capi/install, or set JOBSTORE_LIBRARY "
            "to its path"
        ) from None


library, LIBRARY_PATH = _load()


class Text(ctypes.Structure):
    _fields_ = [("ptr", c_char_p), ("len", c_size_t)]

    def bytes(self) -> bytes:
        return ctypes.string_at(self.ptr_address(), self.len) if self.len else b""

    def ptr_address(self) -> int:
        return ctypes.cast(ctypes.addressof(self), POINTER(c_void_p))[0] or 0


class RequestText(ctypes.Structure):
    _fields_ = [("command", Text), ("url", Text), ("body", Text), ("origin", Text)]


class Bytes(ctypes.Structure):
    _fields_ = [("ptr", c_void_p), ("len", c_size_t)]


class JobId(ctypes.Structure):
    _fields_ = [("text", c_char * 129)]


Write = ctypes.CFUNCTYPE(c_int32, c_void_p, c_void_p, c_size_t)
Read = ctypes.CFUNCTYPE(ctypes.c_ssize_t, c_void_p, c_void_p, c_size_t)

_OUT = POINTER(c_void_p)
_HANDLE = c_void_p
_BYTES = POINTER(Bytes)

# The arguments of the functions that return a code, without the last one, the error.
_PROTOTYPES = {
    "options_new": [_OUT],
    "options_set": [_HANDLE, Text, Text],
    "open": [Text, _HANDLE, _OUT],
    "open_in_memory": [_HANDLE, _OUT],
    "follow": [Text, _HANDLE, _OUT],
    "recovered": [_HANDLE, _BYTES],
    "close": [_HANDLE],
    "create_graph": [_HANDLE, Text, Text, _OUT],
    "get_graph": [_HANDLE, Text, Text, _OUT],
    "get_or_create_graph": [_HANDLE, Text, Text, _OUT],
    "drop_graph": [_HANDLE, Text, Text],
    "graphs": [_HANDLE, _BYTES],
    "submit": [_HANDLE, POINTER(RequestText), POINTER(JobId)],
    "submit_as": [_HANDLE, Text, POINTER(RequestText), POINTER(c_bool)],
    "submit_once": [_HANDLE, Text, POINTER(RequestText), POINTER(JobId), POINTER(c_bool)],
    "submit_many": [_HANDLE, POINTER(RequestText), c_size_t, POINTER(JobId)],
    "start": [_HANDLE, Text],
    "complete": [_HANDLE, Text, Text, POINTER(c_int32)],
    "cancel": [_HANDLE, Text, POINTER(c_int32)],
    "cancel_all": [_HANDLE, Text, c_bool, _BYTES],
    "claim_next": [_HANDLE, c_int64, _OUT],
    "claim": [_HANDLE, Text, _OUT],
    "attach": [_HANDLE, Text, _OUT],
    "run_request": [_HANDLE, POINTER(RequestText)],
    "run_progress": [_HANDLE, c_uint8, Text],
    "run_wait_cancelled": [_HANDLE, c_int64, POINTER(c_bool)],
    "run_complete": [_HANDLE, Text, POINTER(c_int32)],
    "run_requeue": [_HANDLE, POINTER(c_int32)],
    "job": [_HANDLE, Text, _BYTES],
    "job_request": [_HANDLE, Text, _BYTES],
    "tombstone": [_HANDLE, Text, _BYTES],
    "count": [_HANDLE, Text, POINTER(c_uint64)],
    "wait": [_HANDLE, Text, c_int64, _BYTES],
    "find": [_HANDLE, POINTER(RequestText), c_uint64, Write, c_void_p],
    "list": [_HANDLE, Text, _OUT],
    "page_next": [_HANDLE, _BYTES],
    "page_write": [_HANDLE, Write, c_void_p],
    "page_read": [_HANDLE, c_void_p, c_size_t, POINTER(c_size_t)],
    "page_size": [_HANDLE, POINTER(c_size_t)],
    "tally": [_HANDLE, Text, _BYTES],
    "tally_all": [_HANDLE, Text, _BYTES],
    "history": [_HANDLE, Text, _BYTES],
    "open_changes": [_HANDLE, Text, _OUT],
    "changes_next": [_HANDLE, c_int64, _BYTES],
    "position": [_HANDLE, _BYTES],
    "set_retention": [_HANDLE, Text],
    "retention": [_HANDLE, _BYTES],
    "purge": [_HANDLE, Text, c_bool, POINTER(c_uint64)],
    "export": [_HANDLE, Text, c_bool, Write, c_void_p],
    "import": [_HANDLE, c_bool, Read, c_void_p, _BYTES],
    "stats": [_HANDLE, _BYTES],
    "health": [_HANDLE, _BYTES],
    "backup": [_HANDLE, Text, _BYTES],
    "verify": [Text, POINTER(c_bool), _BYTES],
    "open_control": [_HANDLE, _OUT],
    "control_path": [_HANDLE, _BYTES],
    "queue_new": [_OUT],
    "queue_next": [_HANDLE, c_int64, _OUT],
    "queue_cancel": [_HANDLE, c_uint64],
    "submit_async": [_HANDLE, POINTER(RequestText), _HANDLE, c_uint64],
    "start_async": [_HANDLE, Text, _HANDLE, c_uint64],
    "complete_async": [_HANDLE, Text, Text, _HANDLE, c_uint64],
    "cancel_async": [_HANDLE, Text, _HANDLE, c_uint64],
    "claim_next_async": [_HANDLE, _HANDLE, c_uint64],
    "run_complete_async": [_HANDLE, Text, _HANDLE, c_uint64],
    "wait_async": [_HANDLE, Text, _HANDLE, c_uint64],
    "completion_take_run": [_HANDLE, _OUT],
}

# Functions that cannot fail: their result and arguments.
_OTHERS = {
    "version": (c_char_p, []),
    "bytes_free": (None, [_BYTES]),
    "error_code": (c_int32, [_HANDLE]),
    "error_name": (c_char_p, [_HANDLE]),
    "error_message": (c_char_p, [_HANDLE]),
    "error_json": (c_char_p, [_HANDLE]),
    "error_status": (c_int32, [_HANDLE]),
    "error_free": (None, [_HANDLE]),
    "options_free": (None, [_HANDLE]),
    "free": (None, [_HANDLE]),
    "graph_name": (Text, [_HANDLE]),
    "graph_project_id": (Text, [_HANDLE]),
    "graph_free": (None, [_HANDLE]),
    "run_id": (Text, [_HANDLE]),
    "run_cancel_requested": (c_bool, [_HANDLE]),
    "run_detach": (None, [_HANDLE]),
    "run_free": (None, [_HANDLE]),
    "page_len": (c_size_t, [_HANDLE]),
    "page_total": (c_int64, [_HANDLE]),
    "page_free": (None, [_HANDLE]),
    "changes_free": (None, [_HANDLE]),
    "control_free": (None, [_HANDLE]),
    "queue_fd": (c_int32, [_HANDLE]),
    "queue_free": (None, [_HANDLE]),
    "completion_tag": (c_uint64, [_HANDLE]),
    "completion_error": (_HANDLE, [_HANDLE]),
    "completion_text": (Text, [_HANDLE]),
    "completion_done": (c_int32, [_HANDLE]),
    "completion_free": (None, [_HANDLE]),
}

for _name, _arguments in _PROTOTYPES.items():
    _function = getattr(library, f"jobstore_{_name}")
    _function.restype, _function.argtypes = c_int32, [*_arguments, POINTER(c_void_p)]
for _name, (_result, _arguments) in _OTHERS.items():
    _function = getattr(library, f"jobstore_{_name}")
    _function.restype, _function.argtypes = _result, _arguments


def function(name: str):
    """A function of the library, such as ``function("page_len")``."""
    return getattr(library, f"jobstore_{name}")


def version() -> str:
    """The version of the C library."""
    return function("version")().decode()


__all__ = ["LIBRARY_PATH", "Bytes", "JobId", "Read", "RequestText", "Text", "Write", "byref"]
