import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import test from "node:test";
import * as filters from "../../../src/http/console/web/filters.js";

test("a query string survives parsing and formatting", () => {
    for (const query of [
        "",
        "state=pending&state=running",
        "command=import_graph&url_prefix=/ges/v1.0",
        "body_contains=a%26b%3Dc%20%2B%25&body_contains=%E5%9B%BE",
        "body_pointer=/a~1b/0&body_value=%22x%22",
        "completed_from=2026-11-30T22:00:00.000Z&order=oldest_first&offset=12",
        "unknown=1",
    ]) {
        assert.equal(filters.formatQuery(filters.parseQuery(query)), query);
    }
    assert.deepEqual(filters.parseQuery("?state=pending,running"), [
        ["state", "pending"],
        ["state", "running"],
    ]);
    assert.deepEqual(filters.parseQuery("command=a,b"), [["command", "a,b"]]);
});

test("only a list by state is indexed", () => {
    for (const [query, expected] of [
        ["", true],
        ["state=pending&order=oldest_first&offset=7", true],
        ["outcome=failed", false],
        ["state=complete&command=a", false],
        ["unknown=1", false],
    ]) {
        assert.equal(filters.isIndexed(filters.parseQuery(query)), expected, query);
    }
});

test("a filter that allows one value is replaced, and others are added once", () => {
    let pairs = filters.withPair([], "state", "pending");
    pairs = filters.withPair(pairs, "state", "running");
    assert.deepEqual(filters.withPair(pairs, "state", "running"), pairs);
    pairs = filters.withPair(pairs, "submitted_from", "1");
    pairs = filters.withPair(pairs, "submitted_from", "2");
    assert.equal(filters.formatQuery(pairs), "state=pending&state=running&submitted_from=2");
    assert.equal(filters.formatQuery(filters.withoutPair(pairs, "state", "pending")), "state=running&submitted_from=2");
});

test("a word is quoted so that a shell reads it back", () => {
    for (const word of ["plain", "a b", "it's", 'say "no"', "$(id)", "`id`", "a\\b", "*", "", "图"]) {
        const printed = execFileSync("sh", ["-c", `printf %s ${filters.quoted(word)}`], { encoding: "utf8" });
        assert.equal(printed, word);
    }
});

test("a list as commands", () => {
    const pairs = filters.parseQuery("outcome=failed&completed_from=1700000000000&command=it's&offset=5");
    const graph = { projectId: "10001", name: "movie" };
    assert.equal(
        filters.asCommand(graph, pairs),
        "jobstore list --graph 10001/movie --outcome failed --completed-from 2023-11-14T22:13:20.000Z --command 'it'\\''s' --newest-first",
    );
    assert.equal(
        filters.asCommand(graph, filters.parseQuery("order=oldest_first")),
        "jobstore list --graph 10001/movie",
    );
    const curl = filters.asCurl("http://h/jobs/status", pairs, true);
    assert.match(curl, /^curl -G -H "X-Auth-Token: \$JOBSTORE_TOKEN" --data-urlencode outcome=failed /);
    assert.match(curl, / http:\/\/h\/jobs\/status$/);
});
