"""The counterpart of examples/bench.rs in Python."""

import sys
import time

import jobstore

ROUNDS = 25


def fastest(call):
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
    return round(best * 1e6)


class Counter:
    total = 0

    def write(self, data):
        self.total += len(data)


with jobstore.open(sys.argv[1]) as store:
    page = store.graph("10001", "movie").list()
    print("write", fastest(lambda: page.write(Counter())))
    buffer = bytearray(page.size())
    print("read", fastest(lambda: page.readinto(buffer)))
    print("bytes", fastest(page.json))
