import assert from "node:assert/strict";
import test from "node:test";
import * as list from "../../../src/http/console/web/virtual_list.js";

const short = { rows: 1000, rowHeight: 26, viewport: 520 };
const tall = { rows: 10_000_000, rowHeight: 26, viewport: 520 };

test("a short list scrolls by pixels", () => {
    assert.equal(list.contentHeight(short), 26_000);
    for (const scrollTop of [0, 1, 777, 25_480]) {
        assert.equal(list.topAfter(short, { top: 5, scrollTop: 5 }, scrollTop), scrollTop);
        assert.equal(list.scrollTopFor(short, scrollTop), scrollTop);
    }
});

test("a tall list is not taller than a browser allows, and reaches both ends", () => {
    assert.equal(list.contentHeight(tall), list.MAX_HEIGHT);
    assert.equal(list.topAt(tall, 0), 0);
    assert.equal(list.topAt(tall, list.MAX_HEIGHT - tall.viewport), list.maxTop(tall));
    const end = list.visibleRows(tall, list.maxTop(tall));
    assert.equal(end.last, tall.rows);
    assert.equal(end.first, tall.rows - 20);
});

test("a small movement is as long as it would be in a short list", () => {
    const from = { top: 123_456_789, scrollTop: list.scrollTopFor(tall, 123_456_789) };
    assert.equal(list.topAfter(tall, from, from.scrollTop + 100), from.top + 100);
    assert.equal(list.topAfter(tall, from, from.scrollTop - 1), from.top - 1);
});

test("a large movement goes to the proportional position", () => {
    const range = list.MAX_HEIGHT - tall.viewport;
    const top = list.topAfter(tall, { top: 0, scrollTop: 0 }, range / 2);
    assert.ok(Math.abs(top - list.maxTop(tall) / 2) < 1);
});

test("every row can be reached by small movements from either end", () => {
    const shape = { rows: 400_000, rowHeight: 26, viewport: 520 };
    let position = { top: list.maxTop(shape) - 2000, scrollTop: 0 };
    position.scrollTop = list.scrollTopFor(shape, position.top);
    for (let n = 0; n < 100 && position.top < list.maxTop(shape); n += 1) {
        const limit = list.MAX_HEIGHT - shape.viewport;
        const scrollTop = Math.min(position.scrollTop + 100, limit);
        assert.notEqual(scrollTop, position.scrollTop, "the bar is at its end, but the rows are not");
        const top = list.topAfter(shape, position, scrollTop);
        position = { top, scrollTop: list.scrollTopFor(shape, top) };
    }
    assert.equal(position.top, list.maxTop(shape));
    assert.equal(position.scrollTop, list.MAX_HEIGHT - shape.viewport);
});

test("the bar is at an end only if the rows are", () => {
    const range = list.MAX_HEIGHT - tall.viewport;
    assert.equal(list.scrollTopFor(tall, 0), 0);
    assert.equal(list.scrollTopFor(tall, 1), 1);
    assert.equal(list.scrollTopFor(tall, list.maxTop(tall) - 1), range - 1);
    assert.equal(list.scrollTopFor(tall, list.maxTop(tall)), range);
});

test("a list that fits into the view does not scroll", () => {
    for (const rows of [0, 1, 20]) {
        const shape = { ...short, rows };
        assert.equal(list.maxTop(shape), 0);
        assert.equal(list.topAfter(shape, { top: 0, scrollTop: 0 }, 50), 0);
        assert.deepEqual(list.visibleRows(shape, 0, 4), { first: 0, last: rows, shift: 0 });
    }
});

test("the rows in view, with their shift", () => {
    assert.deepEqual(list.visibleRows(short, 26 * 10 + 5), { first: 10, last: 31, shift: -5 });
    assert.deepEqual(list.visibleRows(short, 26 * 10 + 5, 4), { first: 6, last: 35, shift: -109 });
});

test("a selected row is brought into view, and not further", () => {
    assert.equal(list.topToShow(short, 2600, 100), 2600);
    assert.equal(list.topToShow(short, 2600, 99), 2574);
    assert.equal(list.topToShow(short, 2600, 120), 26 * 121 - 520);
    assert.equal(list.topToShow(short, 0, 999), list.maxTop(short));
});

test("new jobs do not change the offset of a job", () => {
    const before = list.offsetOfRow(3, 100, true);
    assert.equal(before, 96);
    assert.equal(list.offsetOfRow(3 + 7, 107, true), before);
    assert.equal(list.offsetOfRow(3, 100, false), 3);
});

test("the blocks of rows", () => {
    assert.deepEqual(list.blocksOf(0, 30, 1000, false, 100), [0]);
    assert.deepEqual(list.blocksOf(90, 130, 1000, false, 100), [0, 1]);
    assert.deepEqual(list.blocksOf(0, 30, 1010, true, 100), [9, 10]);
    assert.deepEqual(list.blocksOf(0, 1, 1000, true, 100), [9]);
    assert.deepEqual(list.blocksOf(5, 5, 1000, true, 100), []);
});
