import assert from "node:assert/strict";
import test from "node:test";
import { mayOf } from "../../../src/http/console/web/permissions.js";

test("only what the server allows is offered", () => {
    const may = mayOf(["read", "cancel"], null);
    assert.deepEqual(["read", "cancel", "purge"].map(may), [true, true, false]);
});

test("nothing is offered until the server responds, or if it refuses the caller", () => {
    assert.equal(mayOf(undefined, null)("cancel"), undefined);
    for (const status of [401, 403]) assert.equal(mayOf(undefined, { status })("cancel"), false, status);
});

test("everything is offered if the server does not report permissions", () => {
    for (const status of [0, 404, 405, 503]) assert.equal(mayOf(undefined, { status })("purge"), true, status);
});
