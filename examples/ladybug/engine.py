"""A graph engine on LadybugDB that records its requests with jobstore.

    pip install ladybug ./bindings/python
    python examples/ladybug/engine.py target/ladybug          # again and again: the list grows
    python examples/ladybug/engine.py target/ladybug --die    # is killed at work; the next run goes on

Every request is recorded before it is executed. Worker threads claim jobs, run them on connections of
their own, and record a reference to the result. While the engine runs, the ``jobstore`` CLI can list
its jobs through the control socket.
"""

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import jobstore
import ladybug

CSV = Path(__file__).parent.parent / "graph_engine" / "data"
URL = "/ges/v1.0/10001/graphs/movie/action?action_id="
WORKERS = 2

SCHEMA = [
    "CREATE NODE TABLE IF NOT EXISTS Movie(id STRING PRIMARY KEY, title STRING, year INT64,"
    " genres STRING)",
    "CREATE NODE TABLE IF NOT EXISTS Person(id STRING PRIMARY KEY, gender STRING, age STRING,"
    " occupation STRING)",
    "CREATE REL TABLE IF NOT EXISTS Rated(FROM Person TO Movie, score INT64, rated_at DATE)",
]
FILES = {"Movie": "movies.csv", "Person": "users.csv", "Rated": "ratings.csv"}

BEST = (
    "MATCH (:Person)-[r:Rated]->(m:Movie) RETURN m.title AS title, avg(r.score) AS score,"
    " count(*) AS ratings ORDER BY score DESC, title LIMIT 10"
)
NEAR = (
    "MATCH p = (a:Movie {id: 'm1'})-[:Rated* SHORTEST 1..4]-(b:Movie) WHERE b.id <> 'm1'"
    " RETURN b.title AS title, length(p) AS distance ORDER BY distance, title"
)
SLOW = (
    "MATCH (a:Person), (b:Person), (c:Person), (d:Person), (e:Person)"
    " WHERE a.id < b.id AND c.occupation <> d.occupation RETURN count(*)"
)


class Engine:
    """Executes requests on a database. A request that fails raises ``RuntimeError``."""

    def __init__(self, directory: Path) -> None:
        self.database = ladybug.Database(str(directory / "movie.lbug"))
        self.results = directory / "results"
        self.results.mkdir(exist_ok=True)

    def execute(self, run: jobstore.Run) -> None:
        connection = ladybug.Connection(self.database)
        over = threading.Event()
        watch = threading.Thread(target=self.interrupt, args=(run, connection, over))
        watch.start()
        try:
            commands = {
                "import_graph": self.import_graph,
                "cypher_query": self.query,
                "execute_algorithm": self.query,
                "export_graph": self.query,
            }
            outcome = commands[run.command](connection, run)
            run.complete("succeeded", **outcome)
        except RuntimeError as error:
            if run.cancel_requested:
                run.complete("cancelled")
            else:
                run.complete("failed", code="GES.8302", message=str(error))
        finally:
            over.set()
            watch.join()

    @staticmethod
    def interrupt(run, connection, over) -> None:
        """Interrupts a query when its job is canceled."""
        while not over.is_set():
            if run.wait_cancelled(timeout=0.05):
                connection.interrupt()

    def import_graph(self, connection, run):
        for statement in SCHEMA:
            connection.execute(statement)
        # An import that was interrupted by a crash left either all rows of a table or none.
        counts = {}
        for n, (table, file) in enumerate(FILES.items()):
            pattern = "()-[x:Rated]->()" if table == "Rated" else f"(x:{table})"
            count = f"MATCH {pattern} RETURN count(*)"
            if connection.execute(count).get_next()[0] == 0:
                connection.execute(f'COPY {table} FROM "{CSV / file}" (HEADER = true)')
            counts[table] = connection.execute(count).get_next()[0]
            run.progress(100 * (n + 1) // len(FILES), f"{table} is there")
        return {"detail": counts}

    def query(self, connection, run):
        """Runs a query, whose result becomes a CSV file."""
        file = self.results / f"{run.id}.csv"
        query = json.loads(run.body)["query"]
        connection.execute(f'COPY ({query}) TO "{file}" (HEADER = true)')
        rows = sum(1 for _ in file.open()) - 1
        return {"result_ref": str(file), "detail": {"rows": rows}}


def work(engine: Engine, graph: jobstore.Graph, stop: threading.Event) -> None:
    while not stop.is_set():
        run = graph.claim_next(timeout=0.1)
        if run is not None:
            with run:
                engine.execute(run)


def submit(graph: jobstore.Graph, command: str, query: str) -> str:
    action = command.replace("_", "-")
    return graph.submit(command, URL + action, {"query": query})


def main(directory: Path, die: bool) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    # Requests that were running when the engine was killed run again.
    with jobstore.open(directory / "jobs", recovery="requeue") as store, store.control():
        graph = store.get_or_create_graph("10001", "movie")
        for job in store.recovered()["jobs"]:
            print(f"recovered: {job['jobId'][-12:]} {job['action']}", file=sys.stderr)
        engine = Engine(directory)
        stop = threading.Event()
        load = graph.submit("import_graph", URL + "import-graph", {"files": sorted(FILES.values())})
        with graph.claim(load) as run:  # first and alone, because the others need the graph
            engine.execute(run)

        submit(graph, "cypher_query", BEST)
        submit(graph, "execute_algorithm", NEAR)
        submit(graph, "export_graph", "MATCH (m:Movie) RETURN m.*")
        submit(graph, "cypher_query", "MATCH (m:Film) RETURN m")  # fails: no such table
        submit(graph, "cypher_query", SLOW)
        jobs = list(graph.list("state=pending"))  # with those of the engine that was killed
        workers = [
            threading.Thread(target=work, args=(engine, graph, stop)) for _ in range(WORKERS)
        ]
        for worker in workers:
            worker.start()
        if die:
            while graph.count("complete") == 0 or graph.count("running") == 0:
                time.sleep(0.001)
            os.kill(os.getpid(), signal.SIGKILL)
        for job in jobs:
            if job["request"]["body"] == {"query": SLOW}:
                while graph.job(job["jobId"])["status"] == "pending":
                    time.sleep(0.001)
                graph.cancel(job["jobId"])  # interrupts the query
            graph.wait(job["jobId"])
        stop.set()
        for worker in workers:
            worker.join()

        page = graph.list("order=newest_first")
        sys.stdout.buffer.write(page.json() + b"\n")
        for kind in ["succeeded", "failed", "cancelled", "interrupted"]:
            print(f"{len(graph.list('outcome=' + kind))} {kind}", file=sys.stderr)


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3) or sys.argv[2:] not in ([], ["--die"]):
        sys.exit("usage: engine.py DIRECTORY [--die]")
    main(Path(sys.argv[1]).resolve(), sys.argv[2:] == ["--die"])
