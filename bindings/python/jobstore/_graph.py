"""Graphs: the calls for jobs."""

from __future__ import annotations

import json
from ctypes import byref, c_bool, c_int32, c_uint64
from typing import Any, BinaryIO, Iterable, Iterator, List, Optional, Tuple

from ._changes import Changes
from ._errors import Error, call
from ._library import JobId, RequestText, function
from ._page import Page
from ._run import Run
from ._streams import reader, write_to, written
from ._values import Cancellation, Handle, Json, get_bytes, get_json, get_text, handle, json_text
from ._values import milliseconds, outcome, request, text

#: Command, URL, and body.
Request = Tuple[str, str, Json]


class Graph(Handle):
    """A graph of a store. Bodies are JSON: text, which is recorded to the letter, or a value."""

    _free = "graph_free"

    @property
    def name(self) -> str:
        return function("graph_name")(self._handle).bytes().decode()

    @property
    def project_id(self) -> str:
        return function("graph_project_id")(self._handle).bytes().decode()

    def submit(self, command: str, url: str, body: Json = "{}", origin: str = "") -> str:
        """Submits a request, and returns the id of the new job. It is durable afterward.

        ``origin`` is who or what submitted the request, such as a user or a trace id."""
        job_id = JobId()
        call("submit", self._handle, byref(request(command, url, body, origin)), byref(job_id))
        return job_id.text.decode()

    def submit_as(
        self, job_id: str, command: str, url: str, body: Json = "{}", origin: str = ""
    ) -> bool:
        """Submits a request under an id of the caller. Returns ``False`` if it exists already."""
        created = c_bool()
        c_request = request(command, url, body, origin)
        call("submit_as", self._handle, text(job_id), byref(c_request), byref(created))
        return created.value

    def submit_once(
        self, key: str, command: str, url: str, body: Json = "{}", origin: str = ""
    ) -> "Tuple[str, bool]":
        """Submits a request once per idempotency key. Returns the job's id, and whether the call
        created it."""
        created, job_id, c_request = c_bool(), JobId(), request(command, url, body, origin)
        call(
            "submit_once", self._handle, text(key), byref(c_request), byref(job_id), byref(created)
        )
        return job_id.text.decode(), created.value

    def submit_many(self, requests: "Iterable[Request]") -> "List[str]":
        """Submits requests in one commit: either all of them or none."""
        given = [request(*each) for each in requests]
        c_requests, ids = (RequestText * len(given))(*given), (JobId * len(given))()
        call("submit_many", self._handle, c_requests, len(given), ids)
        return [job_id.text.decode() for job_id in ids]

    def start(self, job_id: str) -> None:
        call("start", self._handle, text(job_id))

    def complete(
        self,
        job_id: str,
        kind: str = "succeeded",
        *,
        message: Optional[str] = None,
        code: Optional[str] = None,
        result_ref: Optional[str] = None,
        detail: Optional[Json] = None,
    ) -> bool:
        """Completes a running job. Returns ``False`` if it was already complete."""
        done = c_int32()
        arguments = outcome(kind, message, code, result_ref, detail)
        call("complete", self._handle, text(job_id), arguments, byref(done))
        return done.value == 0

    def cancel(self, job_id: str) -> Cancellation:
        done = c_int32()
        call("cancel", self._handle, text(job_id), byref(done))
        return Cancellation(done.value)

    def cancel_all(self, query: str = "", dry_run: bool = False) -> "dict[str, int]":
        """Cancels all pending and running jobs that match a query, or only counts them. Returns
        their numbers."""
        return get_json("cancel_all", self._handle, text(query), dry_run)

    def claim_next(self, timeout: Optional[float] = 0) -> Optional[Run]:
        """Claims the oldest pending job. Waits for one for at most ``timeout`` seconds; ``None``
        waits without limit."""
        run = handle("claim_next", self._handle, milliseconds(timeout))
        return None if run is None else Run(run)

    def claim(self, job_id: str) -> Run:
        return Run(handle("claim", self._handle, text(job_id)))

    def attach(self, job_id: str) -> Run:
        return Run(handle("attach", self._handle, text(job_id)))

    def job(self, job_id: str) -> "dict[str, Any]":
        """The job, with its secrets masked."""
        return get_json("job", self._handle, text(job_id))

    def job_json(self, job_id: str) -> str:
        """The job as JSON text, in which the body is as it was recorded."""
        return get_text("job", self._handle, text(job_id))

    def job_request(self, job_id: str) -> str:
        """The request as JSON text, with its real secrets."""
        return get_text("job_request", self._handle, text(job_id))

    def tombstone(self, job_id: str) -> "Optional[dict[str, Any]]":
        return get_json("tombstone", self._handle, text(job_id))

    def count(self, state: str) -> int:
        jobs = c_uint64()
        call("count", self._handle, text(state), byref(jobs))
        return jobs.value

    def wait(self, job_id: str, timeout: Optional[float] = None) -> "Optional[dict[str, Any]]":
        """The job once it is complete, unless the timeout passes first."""
        return get_json("wait", self._handle, text(job_id), milliseconds(timeout))

    def list(self, query: str = "") -> Page:
        """Lists jobs by a query string, such as ``"state=pending&limit=20"``."""
        return Page(handle("list", self._handle, text(query)))

    def pages(self, query: str = "") -> Iterator[Page]:
        """All pages of a list, from the given one on."""
        page = self.list(query)
        while True:
            yield page
            cursor = page.next
            if cursor is None:
                return
            page = self.list(f"{query}&cursor={cursor}" if query else f"cursor={cursor}")

    def find(
        self, command: str, url: str, body: Json = "{}", limit: int = 0
    ) -> "List[dict[str, Any]]":
        """The jobs that have exactly this request, newest first."""
        lines = written("find", self._handle, byref(request(command, url, body)), limit)
        return [json.loads(line) for line in lines.splitlines()]

    def tally(self, query: str) -> "dict[str, Any]":
        """Counts jobs by a property, and returns the counts. The query contains the property and
        filters, such as ``"by=outcome&command=import_graph"``."""
        return get_json("tally", self._handle, text(query))

    def history(self, query: str = "") -> "dict[str, Any]":
        """The history of the period that a query string selects, such as
        ``"from=1700000000000&step_ms=60000"``."""
        return get_json("history", self._handle, text(query))

    def changes(self, position: str = "") -> Changes:
        """The change feed after a position, or from the beginning."""
        return Changes(handle("open_changes", self._handle, text(position)))

    @property
    def position(self) -> str:
        """The current end of the change feed."""
        return get_text("position", self._handle)

    @property
    def retention(self) -> "Optional[dict[str, Any]]":
        """The retention policy."""
        return get_json("retention", self._handle)

    def set_retention(self, policy: Json = None) -> None:
        """Sets the retention policy; ``None`` removes it."""
        call("set_retention", self._handle, text("" if policy is None else json_text(policy)))

    def purge(self, query: str = "", dry_run: bool = False) -> int:
        """Purges the complete jobs that match a query, and returns their number."""
        jobs = c_uint64()
        call("purge", self._handle, text(query), dry_run, byref(jobs))
        return jobs.value

    def export(self, file: BinaryIO, query: str = "", reveal_secrets: bool = False) -> None:
        """Writes jobs as JSON lines."""
        write_to(file.write, "export", self._handle, text(query), reveal_secrets)

    def import_jobs(self, file: BinaryIO, skip_bad_lines: bool = False) -> "dict[str, Any]":
        """Imports jobs from JSON lines, and returns a report."""
        raised: "list[BaseException]" = []
        read = reader(file, raised)
        try:
            report = get_bytes("import", self._handle, skip_bad_lines, read, None)
        except Error:
            if raised:
                raise raised[0] from None
            raise
        return json.loads(report or b"{}")
