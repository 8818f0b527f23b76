import assert from "node:assert/strict";
import test from "node:test";
import { formatRoute, parseRoute } from "../../../src/http/console/web/router.js";

const graph = { projectId: "p 1", name: "a/b?c#d 图" };

test("an address survives parsing and formatting", () => {
    for (const route of [
        { view: "overview", query: "" },
        { view: "store", query: "" },
        { view: "jobs", query: "outcome=failed" },
        { view: "jobs", graph, query: "state=pending&offset=5" },
        { view: "job", graph, jobId: "job-1", query: "" },
        { view: "history", graph, query: "range=week" },
        { view: "bulk", graph, query: "" },
    ]) {
        assert.deepEqual(parseRoute(formatRoute(route)), route);
    }
});

test("addresses that name no view", () => {
    for (const hash of ["#/nothing", "#/graphs/1/a", "#/graphs/1/a/none", "#/graphs/%/a/jobs", "#/graphs/1/a/bulk/x"]) {
        assert.equal(parseRoute(hash).view, "unknown", hash);
    }
    for (const hash of ["", "#", "#/"]) assert.equal(parseRoute(hash).view, "overview");
});
