"""An embedded, durable store for the asynchronous jobs of a graph engine.

    import jobstore

    with jobstore.open("data") as store:
        movie = store.get_or_create_graph("10001", "movie")
        job_id = movie.submit("import_graph", "/ges/...", {"edgesetPath": "obs://a.csv"})
        with movie.claim_next() as run:
            run.complete("succeeded", result_ref="results/42.csv")
        print(movie.list("order=newest_first&limit=10").json())

Objects can be used by any number of threads at the same time, except change feeds. Calls release
the GIL. ``jobstore.aio`` has calls for asyncio.
"""

from ._errors import Error
from ._graph import Graph
from ._library import LIBRARY_PATH, version
from ._options import follow, open, open_in_memory
from ._page import Page
from ._changes import Changes
from ._run import Run
from ._store import Control, Store, verify
from ._values import Cancellation

__all__ = [
    "Cancellation",
    "Changes",
    "Control",
    "Error",
    "Graph",
    "LIBRARY_PATH",
    "Page",
    "Run",
    "Store",
    "follow",
    "open",
    "open_in_memory",
    "verify",
    "version",
]
