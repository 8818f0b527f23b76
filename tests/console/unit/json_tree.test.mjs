import assert from "node:assert/strict";
import test from "node:test";
import { formatTree, nodeAt, parseTree } from "../../../src/http/console/web/json_tree.js";

test("compact JSON is kept to the letter", () => {
    for (const text of [
        '{"a":0.00001,"b":123456789012345678901234567890,"a":1e5}',
        '[[],{},"",null,true,false,-0,"\\"\\\\"]',
        '"图"',
        "12",
    ]) {
        assert.equal(formatTree(parseTree(text)), text);
    }
    assert.equal(formatTree(parseTree(' { "a" : [ 1 , 2 ] } ')), '{"a":[1,2]}');
});

test("a node at a path", () => {
    const tree = parseTree('{"jobs":[{"request":{"body":{"x":0.10}}}]}');
    assert.equal(formatTree(nodeAt(tree, "jobs", 0, "request", "body")), '{"x":0.10}');
    assert.equal(nodeAt(tree, "jobs", 1, "request"), undefined);
});

test("invalid JSON is refused", () => {
    for (const text of ["", "{", "[1,]", '{"a"}', "01", "[1] 2", "nul", '{"a":1,}', '"\\x"']) {
        assert.throws(() => parseTree(text), SyntaxError, text);
    }
});
