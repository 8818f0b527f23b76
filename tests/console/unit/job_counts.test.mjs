import assert from "node:assert/strict";
import test from "node:test";
import {
    BOUNDS_MS,
    added,
    allRuns,
    completedInAll,
    failedIn,
    formatBound,
    quantile,
} from "../../../src/http/console/web/job_counts.js";

const histogram = (...times) => {
    const counts = [...BOUNDS_MS, Infinity].map(() => 0);
    for (const ms of times) counts[[...BOUNDS_MS, Infinity].findIndex((bound) => ms <= bound)] += 1;
    return { counts, sumMs: times.reduce((all, one) => all + one, 0) };
};

test("a quantile is the bound of the bucket that contains it", () => {
    const times = histogram(5, 5, 20, 2000);
    assert.equal(quantile(times, 0.5), 10);
    assert.equal(quantile(times, 0.75), 30);
    assert.equal(quantile(times, 0.95), 3000);
    assert.equal(quantile(histogram(100_000_000), 0.5), Infinity);
    assert.equal(quantile(histogram(), 0.5), undefined);
    assert.equal(quantile(undefined, 0.5), undefined);
});

test("histograms of all outcomes are added", () => {
    const counts = {
        completed: { succeeded: 2, failed: 1 },
        runs: { succeeded: histogram(5, 20), failed: histogram(20) },
    };
    assert.equal(completedInAll(counts), 3);
    assert.deepEqual(allRuns(counts), histogram(5, 20, 20));
    assert.equal(completedInAll({}), 0);
    assert.deepEqual(added([]), histogram());
});

test("a job that failed partially or was interrupted counts as failed", () => {
    const completed = { succeeded: 1, cancelled: 10, failed: 100, partially_failed: 1000, interrupted: 10_000 };
    assert.equal(failedIn({ completed }), 11_100);
    assert.equal(failedIn({}), 0);
});

test("bounds as text", () => {
    assert.deepEqual([10, 3000, 60_000, 300_000, 14_400_000, 86_400_000, Infinity].map(formatBound), [
        "≤ 10 ms",
        "≤ 3 s",
        "≤ 1 min",
        "≤ 5 min",
        "≤ 4 h",
        "≤ 1 d",
        "> 24 h",
    ]);
});
