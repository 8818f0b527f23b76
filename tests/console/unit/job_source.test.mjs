import assert from "node:assert/strict";
import test from "node:test";

// A server with numbered jobs, oldest first.
let jobs = [];
let requests = [];
globalThis.document = {
    baseURI: "http://server/ops/console/",
    querySelector: () => ({ getAttribute: () => "../" }),
};
globalThis.fetch = async (url, { method }) => {
    const { pathname, searchParams } = new URL(url);
    requests.push(`${method} ${pathname} ${searchParams}`);
    const [offset, limit] = ["offset", "limit"].map((key) => Number(searchParams.get(key) ?? 0));
    const isNewestFirst = searchParams.get("order") === "newest_first";
    const from = Number(searchParams.get("cursor") ?? offset);
    const page = (isNewestFirst ? jobs.toReversed() : jobs).slice(from, from + limit);
    const headers = new Headers({ "content-type": "application/json" });
    if (!isNewestFirst) headers.set("x-total-count", String(jobs.length));
    if (from + limit < jobs.length) headers.set("x-next-cursor", String(from + limit));
    return new Response(method === "HEAD" ? null : JSON.stringify({ jobs: page }), { headers });
};

const { CursorSource, OffsetSource, asListed } = await import("../../../src/http/console/web/job_source.js");
const { paths } = await import("../../../src/http/console/web/api.js");

const path = paths.list({ projectId: "1", name: "a b" });
const made = (count, status = "complete") => Array.from({ length: count }, (_, n) => ({ jobId: `job-${n}`, status }));
const ids = (source, first, last) => Array.from({ length: last - first }, (_, n) => source.row(first + n)?.jobId);

test("the newest job is in the first row, and any row can be loaded", async () => {
    [jobs, requests] = [made(1050), []];
    const source = new OffsetSource(path, [], true);
    await source.load(0, 3);
    assert.equal(source.total, 1050);
    assert.deepEqual(ids(source, 0, 3), ["job-1049", "job-1048", "job-1047"]);
    await source.load(700, 702);
    assert.deepEqual(ids(source, 700, 702), ["job-349", "job-348"]);
    assert.equal(source.row(500), undefined);
    assert.equal(requests.length, 3);
    assert.match(
        requests[1],
        /^GET \/ops\/ges\/v1.0\/1\/graphs\/a%20b\/jobs\/status offset=1000&limit=100&detail=true$/,
    );
    await source.load(700, 702);
    assert.equal(requests.length, 3, "loaded rows are not asked for again");
});

test("jobs that arrive do not shift the rows until they are shown", async () => {
    jobs = made(250);
    const source = new OffsetSource(path, [], true);
    await source.load(0, 2);
    jobs = made(260);
    assert.equal(await source.refresh(), 10);
    assert.deepEqual(ids(source, 0, 2), ["job-249", "job-248"]);
    source.showNewer(10);
    await source.load(0, 12);
    assert.deepEqual(ids(source, 0, 12).slice(9), ["job-250", "job-249", "job-248"]);
});

test("after a purge, the rows are loaded again", async () => {
    jobs = made(250);
    const source = new OffsetSource(path, [], false);
    await source.load(0, 2);
    jobs = jobs.slice(100);
    assert.equal(await source.refresh(), 0);
    assert.equal(source.row(0), undefined);
    await source.load(0, 2);
    assert.deepEqual(ids(source, 0, 2), ["job-100", "job-101"]);
});

test("a job that a repair quarantined leaves a row without a job", async () => {
    jobs = made(250);
    const source = new OffsetSource(path, [], false);
    await source.load(0, 2);
    const served = globalThis.fetch;
    // The server skips the job, but counts it.
    globalThis.fetch = async (...request) => {
        const response = await served(...request);
        const page = (await response.json()).jobs.filter(({ jobId }) => jobId !== "job-120");
        return new Response(JSON.stringify({ jobs: page }), { headers: response.headers });
    };
    await source.load(100, 200);
    requests = [];
    assert.equal(await source.load(100, 200), false);
    globalThis.fetch = served;
    assert.deepEqual([requests.length, source.row(198).jobId, source.row(199)], [0, "job-199", null]);
});

test("only jobs that can change are loaded again", async () => {
    jobs = [...made(100), ...made(10, "running")];
    const source = new OffsetSource(path, [], false);
    await source.load(0, 110);
    requests = [];
    await source.reload(0, 110);
    assert.equal(requests.length, 1);
    assert.match(requests[0], /offset=100/);
});

test("a list that needs a scan is loaded from its beginning on", async () => {
    jobs = made(150);
    const source = new CursorSource(path, [["outcome", "failed"]], true);
    assert.equal(source.count, 1);
    await source.load(0, 20);
    assert.deepEqual([source.count, source.total], [101, null]);
    await source.load(90, 101);
    assert.deepEqual([source.count, source.total], [150, 150]);
    assert.equal(source.row(149).jobId, "job-0");
    assert.equal(await source.load(140, 150), false);
});

test("a job of an export has the members of a listed one", () => {
    const job = asListed({ jobId: "a", outcome: { kind: "failed" }, progress: { percent: 4, text: "x" } });
    assert.deepEqual([job.progress, job.progressText], [4, "x"]);
    assert.equal(asListed({ jobId: "a" }).progress, undefined);
});
