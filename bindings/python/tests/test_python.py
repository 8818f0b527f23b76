"""What is specific to Python: context managers, iterators, exceptions, asyncio."""

import asyncio
import gc
import io
import tempfile
import threading
import time
import unittest
from pathlib import Path

import jobstore
import jobstore.aio


class Python(unittest.TestCase):
    def setUp(self):
        self.store = jobstore.open_in_memory()
        self.movie = self.store.create_graph("10001", "movie")

    def test_a_store_on_disk(self):
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "store"
            with jobstore.open(path, page_threads=1) as store:
                store.create_graph("1", "movie").submit_as("a", "c", "/ges", {"n": 1})
                with store.control() as control:
                    self.assertTrue(control.path.endswith("control.sock"))
                store.backup(Path(directory) / "backup")
            with self.assertRaises(ValueError):
                store.health()
            sound, report = jobstore.verify(Path(directory) / "backup")
            self.assertTrue(sound, report)
            with jobstore.open(path, create=False) as store:
                self.assertEqual(store.graphs(), [("1", "movie")])
                self.assertEqual(store.recovered()["opens"], 2)
                self.assertEqual(store.graph("1", "movie").job("a")["request"]["body"], {"n": 1})

    def test_pages_and_jobs_are_iterators(self):
        self.movie.submit_many(("c", "/ges", n) for n in range(5))
        pages = list(self.movie.pages("limit=2"))
        self.assertEqual([len(page) for page in pages], [2, 2, 1])
        bodies = [job["request"]["body"] for page in pages for job in page]
        self.assertEqual(bodies, list(range(5)))

    def test_a_run_that_leaves_its_block_is_settled(self):
        self.movie.submit_as("a", "c", "/ges")
        with self.assertRaises(RuntimeError):
            with self.movie.claim("a"):
                raise RuntimeError("the worker failed")
        self.assertEqual(self.movie.wait("a")["outcome"]["kind"], "interrupted")

    def test_exceptions_of_callbacks_arrive(self):
        class Broken(io.RawIOBase):
            def write(self, _data):
                raise OSError("full")

            def read(self, _size=-1):
                raise OSError("broken")

        self.movie.submit("c", "/ges")
        with self.assertRaisesRegex(OSError, "full"):
            self.movie.list().write(Broken())
        with self.assertRaisesRegex(OSError, "broken"):
            self.movie.import_jobs(Broken())

    def test_errors_have_codes_and_documents(self):
        with self.assertRaises(jobstore.Error) as raised:
            self.movie.job("z")
        self.assertEqual((raised.exception.name, raised.exception.status), ("UnknownJob", 400))
        self.assertIn('"errorCode":"GES.8301"', raised.exception.json)

    def test_a_feed_waits_without_the_gil(self):
        feed = self.movie.changes(self.movie.position)
        thread = threading.Thread(target=lambda: self.movie.submit_as("a", "c", "/ges"))
        thread.start()
        self.assertEqual(feed.next(timeout=None)["jobId"], "a")
        thread.join()
        self.assertIsNone(feed.next(timeout=0.01))

    def test_objects_are_freed_in_any_order(self):
        page = self.movie.list()
        del self.store, self.movie
        gc.collect()
        self.assertEqual(page.json(), b'{"jobs":[],"result":"success"}')

    def test_asyncio(self):
        async def work():
            async with jobstore.aio.Queue() as queue:
                claim = asyncio.ensure_future(queue.claim_next(self.movie))
                submits = [queue.submit(self.movie, "c", "/ges", n) for n in range(100)]
                ids = await asyncio.gather(*submits)
                self.assertEqual(len(set(ids)), 100)
                with await claim as run:
                    waiting = asyncio.ensure_future(queue.wait(self.movie, run.id))
                    await asyncio.sleep(0)
                    self.assertTrue(await queue.complete(run, "failed", message="m"))
                self.assertEqual((await waiting)["outcome"]["message"], "m")
                with self.assertRaises(jobstore.Error):
                    await queue.cancel(self.movie, "unknown")
                # A claim that is canceled takes no job, whether it has found one or not.
                for pause in [0, 0.01]:
                    claim = asyncio.ensure_future(queue.claim_next(self.movie))
                    await asyncio.sleep(0)
                    time.sleep(pause)  # without the event loop
                    claim.cancel()
                    with self.assertRaises(asyncio.CancelledError):
                        await claim
            deadline = asyncio.get_running_loop().time() + 60
            while self.movie.count("pending") < 99:
                self.assertLess(asyncio.get_running_loop().time(), deadline)
                await asyncio.sleep(0.01)
            self.assertEqual(self.movie.count("complete"), 1)

        asyncio.run(work())


if __name__ == "__main__":
    unittest.main()
