"""Running jobs."""

from __future__ import annotations

from ctypes import byref, c_bool, c_int32
from typing import Optional

from ._errors import call
from ._library import RequestText, function
from ._values import Cancellation, Handle, Json, milliseconds, outcome, text


class Run(Handle):
    """A running job in the hands of its worker. If it is freed without an outcome, the job is
    treated as it would be after a crash; ``with`` frees it."""

    _free = "run_free"

    @property
    def id(self) -> str:
        return function("run_id")(self._handle).bytes().decode()

    def _request(self) -> RequestText:
        request = RequestText()
        call("run_request", self._handle, byref(request))
        return request

    @property
    def command(self) -> str:
        return self._request().command.bytes().decode()

    @property
    def url(self) -> str:
        return self._request().url.bytes().decode()

    @property
    def body(self) -> str:
        """The body as JSON text, with its real secrets."""
        return self._request().body.bytes().decode()

    @property
    def origin(self) -> str:
        """Who or what submitted the request; empty if unknown."""
        return self._request().origin.bytes().decode()

    def progress(self, percent: int, message: str = "") -> None:
        call("run_progress", self._handle, percent, text(message))

    @property
    def cancel_requested(self) -> bool:
        return function("run_cancel_requested")(self._handle)

    def wait_cancelled(self, timeout: Optional[float] = None) -> bool:
        """Waits until the worker should stop."""
        requested = c_bool()
        call("run_wait_cancelled", self._handle, milliseconds(timeout), byref(requested))
        return requested.value

    def complete(
        self,
        kind: str = "succeeded",
        *,
        message: Optional[str] = None,
        code: Optional[str] = None,
        result_ref: Optional[str] = None,
        detail: Optional[Json] = None,
    ) -> bool:
        """Completes the job. Returns ``False`` if it was already complete."""
        done = c_int32()
        arguments = outcome(kind, message, code, result_ref, detail)
        call("run_complete", self._handle, arguments, byref(done))
        return done.value == 0

    def requeue(self) -> Cancellation:
        """Makes the job pending again."""
        done = c_int32()
        call("run_requeue", self._handle, byref(done))
        return Cancellation(done.value)

    def detach(self) -> None:
        """Frees the run, and leaves the job running."""
        pointer, self._pointer = self._handle, None
        function("run_detach")(pointer)
