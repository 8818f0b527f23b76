// The jobs of a list, for a table that shows any part of it.
//
// Two kinds of source have the same members:
//
//     count        number of rows that the table has
//     total        number of jobs in the list, or null if unknown
//     row(n)       the job in row n, undefined while it is not loaded, or null if there is none,
//                  because a repair quarantined it
//     load(a, b)   loads the rows a to b - 1; resolves to whether anything changed
//     refresh()    asks for the total again; resolves to the number of newer jobs
//
// `OffsetSource` goes to any row at once, in a list that the server has indexed. `CursorSource`
// goes from the newest row on, in a list that the server scans.

import { send } from "./api.js";
import { formatQuery } from "./filters.js";
import { blocksOf, offsetOfRow } from "./virtual_list.js";

export const BLOCK_JOBS = 100;
const BLOCKS_MAX = 60;

/**
 * @typedef {Object} Page
 * @property {Object[]} jobs
 * @property {number | null} total
 * @property {string | null} cursor
 */

/** Whether a response has one job a line, as in an export, instead of a document. */
const isLines = (response) => response.headers.get("content-type")?.includes("ndjson") ?? false;

/** The jobs of lines. */
export const ofLines = (text) =>
    text
        .split("\n")
        .filter(Boolean)
        .map((line) => asListed(JSON.parse(line)));

/** Gives a job of an export the members that it has in a detailed list. */
export function asListed(job) {
    const { progress } = job;
    return { ...job, progress: progress?.percent, progressText: progress?.text };
}

/** @returns {Promise<Page>} */
export async function fetchPage(path, pairs, signal) {
    const response = await send(path, { query: formatQuery(pairs), signal });
    const jobs = isLines(response) ? ofLines(await response.text()) : (await response.json()).jobs;
    return { jobs, total: totalOf(response), cursor: response.headers.get("x-next-cursor") };
}

function totalOf(response) {
    const total = response.headers.get("x-total-count");
    return total === null ? null : Number(total);
}

/** Returns the number of jobs in an indexed list, without reading a job. */
export async function fetchTotal(path, pairs, signal) {
    const query = formatQuery([...pairs, ["limit", "1"]]);
    return totalOf(await send(path, { method: "HEAD", query, signal }));
}

const isOpen = (job) => job !== undefined && job.status !== "complete";

export class OffsetSource {
    #path;
    #pairs;
    #isNewestFirst;
    #signal;
    /**
     * Blocks by number, least recently loaded first: the jobs, and the number of rows for which they
     * were loaded. Block n begins at offset n * BLOCK_JOBS.
     */
    #blocks = new Map();
    #loading = new Map();
    total = null;

    constructor(path, pairs, isNewestFirst, signal) {
        this.#path = path;
        this.#pairs = pairs;
        this.#isNewestFirst = isNewestFirst;
        this.#signal = signal;
    }

    get count() {
        return this.total ?? 0;
    }

    row(row) {
        const offset = offsetOfRow(row, this.count, this.#isNewestFirst);
        const block = this.#blocks.get(Math.floor(offset / BLOCK_JOBS));
        const place = offset % BLOCK_JOBS;
        return place < (block?.rows ?? 0) ? (block.jobs[place] ?? null) : undefined;
    }

    async load(first, last) {
        if (this.total === null) await this.refresh();
        const end = Math.min(last, this.count);
        const wanted = blocksOf(first, end, this.count, this.#isNewestFirst, BLOCK_JOBS);
        const missing = wanted.filter((block) => !this.#isWhole(block));
        const changed = await Promise.all(missing.map((block) => this.#loadBlock(block)));
        this.#forget(wanted);
        return changed.some(Boolean);
    }

    /** Loads the blocks of these rows again if a job in them can still change. */
    async reload(first, last) {
        const wanted = blocksOf(first, Math.min(last, this.count), this.count, this.#isNewestFirst, BLOCK_JOBS);
        const open = wanted.filter((block) => this.#blocks.get(block)?.jobs.some(isOpen));
        const changed = await Promise.all(open.map((block) => this.#loadBlock(block)));
        return changed.some(Boolean);
    }

    /** The first call sets the total. Later, jobs that arrive are reported, but not yet shown. */
    async refresh() {
        const total = await fetchTotal(this.#path, this.#pairs, this.#signal);
        if (this.total === null) this.total = total;
        else if (total < this.total) this.#restart(total);
        return total - this.total;
    }

    /** Shows the jobs that have arrived since. */
    showNewer(newer) {
        this.total += newer;
        // In a list by state, jobs before these may have left, and others have arrived.
        if (this.#pairs.length > 0) this.#blocks.clear();
    }

    /** The number of rows of a block. */
    #rowsOf(block) {
        return Math.min(BLOCK_JOBS, this.count - block * BLOCK_JOBS);
    }

    #isWhole(block) {
        return this.#blocks.get(block)?.rows >= this.#rowsOf(block);
    }

    /** Jobs were purged or have left the list, so offsets have shifted. */
    #restart(total) {
        this.total = total;
        this.#blocks.clear();
    }

    #loadBlock(block) {
        if (!this.#loading.has(block)) {
            const loading = this.#fetchBlock(block).finally(() => this.#loading.delete(block));
            this.#loading.set(block, loading);
        }
        return this.#loading.get(block);
    }

    async #fetchBlock(block) {
        const page = [
            ["offset", String(block * BLOCK_JOBS)],
            ["limit", String(BLOCK_JOBS)],
        ];
        const query = [...this.#pairs, ...page, ["detail", "true"]];
        const { jobs, total } = await fetchPage(this.#path, query, this.#signal);
        if (total !== null && total < this.total) this.#restart(total);
        this.#blocks.delete(block);
        this.#blocks.set(block, { jobs, rows: this.#rowsOf(block) });
        return true;
    }

    #forget(kept) {
        for (const block of this.#blocks.keys()) {
            if (this.#blocks.size <= BLOCKS_MAX) return;
            if (!kept.includes(block)) this.#blocks.delete(block);
        }
    }
}

export class CursorSource {
    #path;
    #pairs;
    #signal;
    #jobs = [];
    #cursor = undefined;
    #loading = null;
    total = null;

    /** `hasDetail` if the server must be asked for details. */
    constructor(path, pairs, isNewestFirst, signal, hasDetail = true) {
        this.#path = path;
        this.#pairs = isNewestFirst ? [...pairs, ["order", "newest_first"]] : [...pairs];
        if (hasDetail) this.#pairs.push(["detail", "true"]);
        this.#signal = signal;
    }

    /** One more row than is loaded, unless the end is reached: coming into view, it is loaded. */
    get count() {
        return this.#jobs.length + (this.isAtEnd ? 0 : 1);
    }

    get isAtEnd() {
        return this.#cursor === null;
    }

    row(row) {
        return this.#jobs[row];
    }

    async load(first, last) {
        if (last <= this.#jobs.length || this.isAtEnd) return false;
        this.#loading ??= this.#fetchNext().finally(() => (this.#loading = null));
        await this.#loading;
        return true;
    }

    async #fetchNext() {
        const pairs = [...this.#pairs, ["limit", String(BLOCK_JOBS)]];
        if (this.#cursor) pairs.push(["cursor", this.#cursor]);
        const { jobs, cursor, total } = await fetchPage(this.#path, pairs, this.#signal);
        this.#jobs.push(...jobs);
        this.#cursor = cursor;
        if (cursor === null) this.total = this.#jobs.length;
        else if (total !== null) this.total = total;
    }

    /** Counts all matching jobs by a scan. */
    async countAll() {
        const query = formatQuery([...this.#pairs, ["count_total", "true"], ["limit", "1"]]);
        this.total = totalOf(await send(this.#path, { method: "HEAD", query, signal: this.#signal }));
    }

    async reload() {
        return false;
    }

    async refresh() {
        return 0;
    }

    showNewer() {}
}
