import assert from "node:assert/strict";
import test from "node:test";
import { formatBytes, formatDuration, formatFullTime, formatTime } from "../../../src/http/console/web/format.js";

process.env.TZ = "Asia/Shanghai";

test("durations", () => {
    for (const [ms, text] of [
        [0, "0 ms"],
        [-5, "0 ms"],
        [999, "999 ms"],
        [1000, "1.0 s"],
        [59_940, "59.9 s"],
        [65_000, "1 min 05 s"],
        [3_600_000, "1 h 00 min"],
        [90_000_000, "1 d 1 h"],
        [2_592_000_000, "30 d"],
    ]) {
        assert.equal(formatDuration(ms), text);
    }
});

test("times in UTC and in the reader's zone", () => {
    const at = Date.UTC(2026, 10, 30, 22, 15, 3, 7);
    assert.equal(formatTime(at, { isUtc: true }), "2026-11-30 22:15:03");
    assert.equal(formatTime(at, { isUtc: false }), "2026-12-01 06:15:03");
    assert.equal(formatFullTime(at, { isUtc: true }), "2026-11-30 22:15:03.007 UTC");
    assert.equal(formatFullTime(at, { isUtc: false }), "2026-12-01 06:15:03.007 +08:00");
});

test("sizes", () => {
    assert.deepEqual([0, 1023, 1024, 3 * 2 ** 30].map(formatBytes), ["0 B", "1023 B", "1.0 KiB", "3.0 GiB"]);
});
