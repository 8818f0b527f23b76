// Counts of what happened to jobs, as the server sends them: submitted, completed by outcome, and
// histograms of how long jobs waited and ran.

import { FAILURES } from "./filters.js";
import { formatDuration } from "./format.js";

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

/** The upper bounds of the buckets, in milliseconds: those of `JobHistogram::bounds`. */
export const BOUNDS_MS = [
    10,
    30,
    100,
    300,
    SECOND,
    3 * SECOND,
    10 * SECOND,
    30 * SECOND,
    MINUTE,
    5 * MINUTE,
    15 * MINUTE,
    HOUR,
    4 * HOUR,
    24 * HOUR,
];

/** @typedef {{counts: number[], sumMs: number}} Histogram */

export const completedWith = (counts, kind) => counts.completed?.[kind] ?? 0;

const sum = (numbers) => numbers.reduce((all, one) => all + one, 0);

/** How many jobs completed with one of the outcomes that count as failed. */
export const failedIn = (counts) => sum(FAILURES.map((kind) => completedWith(counts, kind)));

export const completedInAll = (counts) => sum(Object.values(counts.completed ?? {}));

/**
 * The sum of histograms.
 *
 * @param {Histogram[]} histograms
 */
export function added(histograms) {
    const counts = [...BOUNDS_MS, Infinity].map((_, n) => sum(histograms.map((one) => one.counts[n] ?? 0)));
    return { counts, sumMs: sum(histograms.map((one) => one.sumMs)) };
}

/** The run times of all jobs, whatever their outcome. */
export const allRuns = (counts) => added(Object.values(counts.runs ?? {}));

/**
 * The bound of the bucket that contains a quantile: so many of the times are not longer than that.
 * `undefined` if there are no times, and `Infinity` if it is longer than a day.
 *
 * @param {Histogram | undefined} histogram
 */
export function quantile(histogram, part) {
    const all = histogram ? sum(histogram.counts) : 0;
    if (all === 0) return undefined;
    const rank = Math.max(1, Math.ceil(part * all));
    let seen = 0;
    const bucket = histogram.counts.findIndex((count) => (seen += count) >= rank);
    return BOUNDS_MS[bucket] ?? Infinity;
}

/** `≤ 3 s` */
export function formatBound(ms) {
    return ms === Infinity ? "> 24 h" : `≤ ${formatDuration(ms).replace(/\.0| 00 \S+$/, "")}`;
}
