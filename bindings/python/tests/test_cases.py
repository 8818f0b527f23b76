"""Runs the calls of cases.txt, and compares their results."""

import io
import json
import re
import time
import unittest
from pathlib import Path

import jobstore
from jobstore._options import _Options

CASES = Path(__file__).parents[3] / "capi/tests/cases/cases.txt"


class World:
    def __init__(self):
        self.options, self.store, self.graph, self.run = {}, None, None, None
        self.id = self.cursor = self.position = ""

    def open(self):
        if self.store is None:
            self.store = jobstore.open_in_memory(**self.options)
        return self.store

    def expand(self, text):
        text = re.sub("⟦(.*?)\\*(\\d+)⟧", lambda found: found[1] * int(found[2]), text)
        text = text.replace("$id", self.id).replace("$cursor", self.cursor)
        return text.replace("$position", self.position)

    def list(self, query):
        page = self.graph.list(query)
        self.cursor = page.next or ""
        text, buffer = page.json(), bytearray(page.size())
        assert page.readinto(buffer) == len(text) and buffer == text
        return page, text.decode()

    def call(self, name, args):
        graph, run = self.graph, self.run
        if name == "option":
            _Options({args[0]: args[1]}).free()
            self.options[args[0]] = args[1]
        elif name == "graph":
            self.graph = self.open().get_or_create_graph(*args)
        elif name == "create":
            self.graph = self.open().create_graph(*args)
        elif name == "get":
            self.graph = self.open().graph(*args)
        elif name == "drop":
            self.open().drop_graph(*args)
        elif name == "graphs":
            names = [{"graphName": n, "projectId": p} for p, n in self.open().graphs()]
            return compact({"graphs": names})
        elif name == "health":
            return compact(self.open().health())
        elif name == "tally_all":
            return compact(self.open().tally(*args))
        elif name == "close":
            self.open().close()
        elif name == "submit":
            self.id = graph.submit(*args)
            return self.id
        elif name == "submit_from":
            self.id = graph.submit(*args[1:], origin=args[0])
            return self.id
        elif name == "submit_as":
            return "created" if graph.submit_as(*args) else "exists"
        elif name == "submit_once":
            self.id, created = graph.submit_once(*args)
            return "created" if created else "exists"
        elif name == "fill":
            for start in range(0, int(args[0]), 1000):
                numbers = range(start, min(start + 1000, int(args[0])))
                graph.submit_many(("fill", "/ges", {"n": n}) for n in numbers)
            return args[0]
        elif name == "start":
            graph.start(*args)
        elif name == "complete":
            return "done" if graph.complete(*args) else "already_complete"
        elif name == "cancel":
            return graph.cancel(*args).name.lower()
        elif name == "cancel_all":
            return compact(graph.cancel_all(args[0], args[1] == "true"))
        elif name == "claim":
            self.run = graph.claim(*args)
            return self.run.id
        elif name == "claim_next":
            self.run = graph.claim_next()
            return "none" if self.run is None else self.run.id
        elif name == "run_origin":
            return run.origin
        elif name == "run_request":
            return f"{run.command} {run.url} {run.body}"
        elif name == "progress":
            run.progress(int(args[0]), args[1])
        elif name == "cancel_requested":
            return str(run.cancel_requested).lower()
        elif name == "run_complete":
            return "done" if run.complete(*args) else "already_complete"
        elif name == "requeue":
            return run.requeue().name.lower()
        elif name == "run_free":
            run.free()
        elif name == "detach":
            run.detach()
        elif name == "job":
            return graph.job_json(*args)
        elif name == "job_request":
            return graph.job_request(*args)
        elif name == "wait":
            job = graph.wait(args[0], int(args[1]) / 1000)
            return "none" if job is None else compact(job)
        elif name == "wait_state":
            while graph.job(args[0])["status"] != args[1]:
                time.sleep(0.001)
        elif name == "count":
            return str(graph.count(*args))
        elif name == "list":
            return self.list(*args)[1]
        elif name == "size":
            page, text = self.list(*args)
            return f"{len(page)} {len(text.encode())}"
        elif name == "find":
            return str(len(graph.find(*args)))
        elif name == "tally":
            return compact(graph.tally(*args))
        elif name == "history":
            return compact(graph.history(*args))
        elif name == "changes":
            kinds = []
            for change in graph.changes(*args):
                kinds.append(change["kind"])
                self.position = change["position"]
            return " ".join(kinds)
        elif name == "retention":
            graph.set_retention(args[0])
        elif name == "get_retention":
            return "none" if graph.retention is None else compact(graph.retention)
        elif name == "purge":
            return str(graph.purge(args[0], args[1] == "true"))
        elif name == "tombstone":
            tombstone = graph.tombstone(*args)
            return "none" if tombstone is None else compact(tombstone)
        elif name == "export":
            file = io.BytesIO()
            graph.export(file, args[0], args[1] == "true")
            return file.getvalue().decode()
        elif name == "import":
            file = io.BytesIO(args[0].replace("␤", "\n").encode())
            return compact(graph.import_jobs(file, args[1] == "true"))
        else:
            raise AssertionError(f"unknown call {name}")
        return "ok"


def compact(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def matches(pattern, text):
    first, *rest = pattern.split("…")
    if not rest:
        return text == pattern
    if not text.startswith(first):
        return False
    at, last = len(first), rest.pop()
    for part in rest:
        at = text.find(part, at)
        if at < 0:
            return False
        at += len(part)
    return len(text) - at >= len(last) and text.endswith(last)


class Cases(unittest.TestCase):
    def test_every_call_has_the_result_of_the_table(self):
        lines = iter(CASES.read_text(encoding="utf-8").split("\n"))
        world, calls = World(), 0
        for line in lines:
            if not line or line.startswith("#"):
                continue
            name, *args = line.split("\t")
            if name == "case":
                world = World()
                continue
            try:
                result = world.call(name, [world.expand(arg) for arg in args])
                got = "= " + result.replace("\n", "␤")
            except jobstore.Error as error:
                got = f"! {error.name}\t{error.json}"
            expected = world.expand(next(lines))
            if expected.startswith("!") and "\t" not in expected:
                expected += "\t…"
            calls += 1
            if not matches(expected, got):
                self.fail(f"{line[:200]}\nexpected {expected[:1000]}\ngot      {got[:1000]}")
        self.assertGreater(calls, 200)


if __name__ == "__main__":
    unittest.main()
