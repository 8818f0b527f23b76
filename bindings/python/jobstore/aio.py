"""Calls for asyncio. They wait on the event loop, not on a thread.

    async with jobstore.aio.Queue() as queue:
        job_id = await queue.submit(movie, "import_graph", "/ges/...", {})
        with await queue.claim_next(movie) as run:
            await queue.complete(run, "succeeded")
"""

from __future__ import annotations

import asyncio
import itertools
import json
from ctypes import byref
from typing import Any, Dict, Optional

from ._errors import Error, call
from ._graph import Graph
from ._library import function
from ._run import Run
from ._values import Cancellation, Handle, Json, handle, outcome, request, text

__all__ = ["Queue"]


class _Completion(Handle):
    _free = "completion_free"

    @property
    def tag(self) -> int:
        return function("completion_tag")(self._handle)

    def check(self) -> None:
        error = function("completion_error")(self._handle)
        if error:
            raise Error(error)

    @property
    def text(self) -> str:
        return function("completion_text")(self._handle).bytes().decode()

    @property
    def done(self) -> Cancellation:
        return Cancellation(function("completion_done")(self._handle))

    def take_run(self) -> Run:
        return Run(handle("completion_take_run", self._handle))


class Queue(Handle):
    """A completion queue on the running event loop. If a task that waits is canceled, its write is
    recorded all the same, and a job that it claimed is handed back."""

    _free = "queue_free"

    def __init__(self) -> None:
        super().__init__(handle("queue_new"))
        self._tags = itertools.count()
        self._waiting: "Dict[int, asyncio.Future[_Completion]]" = {}
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(function("queue_fd")(self._handle), self._collect)

    def _collect(self) -> None:
        while (pointer := handle("queue_next", self._handle, 0)) is not None:
            completion = _Completion(pointer)
            future = self._waiting.pop(completion.tag, None)
            if future is None or future.cancelled():
                completion.free()
            else:
                future.set_result(completion)

    async def _call(self, name: str, *arguments: Any) -> _Completion:
        tag = next(self._tags)
        future: "asyncio.Future[_Completion]" = self._loop.create_future()
        self._waiting[tag] = future
        try:
            call(name, *arguments, self._handle, tag)
            completion = await future
        except asyncio.CancelledError:
            if self._pointer is not None:
                call("queue_cancel", self._handle, tag)
            raise
        finally:
            self._waiting.pop(tag, None)
        completion.check()
        return completion

    async def submit(
        self, graph: Graph, command: str, url: str, body: Json = "{}", origin: str = ""
    ) -> str:
        """Submits a request, and returns the id of the new job. It is durable afterward."""
        c_request = request(command, url, body, origin)
        return (await self._call("submit_async", graph._handle, byref(c_request))).text

    async def claim_next(self, graph: Graph) -> Run:
        """Claims the oldest pending job as soon as there is one."""
        return (await self._call("claim_next_async", graph._handle)).take_run()

    async def complete(
        self,
        run: Run,
        kind: str = "succeeded",
        *,
        message: Optional[str] = None,
        code: Optional[str] = None,
        result_ref: Optional[str] = None,
        detail: Optional[Json] = None,
    ) -> bool:
        """Completes the job of a run. Returns ``False`` if it was already complete."""
        arguments = outcome(kind, message, code, result_ref, detail)
        done = (await self._call("run_complete_async", run._handle, arguments)).done
        return done == Cancellation.DONE

    async def cancel(self, graph: Graph, job_id: str) -> Cancellation:
        return (await self._call("cancel_async", graph._handle, text(job_id))).done

    async def wait(self, graph: Graph, job_id: str) -> "dict[str, Any]":
        """The job once it is complete."""
        return json.loads((await self._call("wait_async", graph._handle, text(job_id))).text)

    def free(self) -> None:
        if getattr(self, "_pointer", None) is not None:
            self._loop.remove_reader(function("queue_fd")(self._pointer))
            for future in self._waiting.values():
                future.cancel()
        super().free()

    async def __aenter__(self) -> "Queue":
        return self

    async def __aexit__(self, *exception: object) -> None:
        self.free()

    def __del__(self) -> None:
        # The event loop still refers to a queue that was not freed, so it is not collected before.
        super().free()
