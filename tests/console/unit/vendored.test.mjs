import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import test from "node:test";

const vendor = new URL("../../../src/http/console/web/vendor/", import.meta.url);

test("each vendored file has the recorded hash", () => {
    const table = readFileSync(new URL("README.md", vendor), "utf8");
    const recorded = [...table.matchAll(/^\| `(.+?\.js)` .* ([0-9a-f]{64}) \|$/gm)];
    assert.deepEqual(
        recorded.map(([, file]) => file),
        readdirSync(vendor).filter((file) => file.endsWith(".js")),
    );
    for (const [, file, hash] of recorded) {
        const contents = readFileSync(new URL(file, vendor));
        assert.equal(createHash("sha256").update(contents).digest("hex"), hash, file);
    }
});
