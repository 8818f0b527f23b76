// The query string of a list, and the same query as commands.

/**
 * The parameters that filter a list, in the order in which they are shown. `option` is the option
 * of the command `jobstore`; `kind` chooses the input; `isOnce` allows one value only.
 */
export const FILTERS = [
    { key: "state", option: "--state", kind: "choice", values: ["pending", "running", "complete"] },
    {
        key: "outcome",
        option: "--outcome",
        kind: "choice",
        values: ["succeeded", "partially_failed", "failed", "cancelled", "interrupted"],
    },
    { key: "command", option: "--command", kind: "text" },
    { key: "origin", option: "--origin", kind: "text" },
    { key: "url_prefix", option: "--url-prefix", kind: "text" },
    { key: "url_contains", option: "--url-contains", kind: "text" },
    { key: "body_contains", option: "--body-contains", kind: "text" },
    { key: "body_pointer", option: "--body-pointer", kind: "text" },
    { key: "body_value", option: "--body-value", kind: "text" },
    { key: "submitted_from", option: "--submitted-from", kind: "time", isOnce: true },
    { key: "submitted_before", option: "--submitted-before", kind: "time", isOnce: true },
    { key: "started_from", option: "--started-from", kind: "time", isOnce: true },
    { key: "started_before", option: "--started-before", kind: "time", isOnce: true },
    { key: "completed_from", option: "--completed-from", kind: "time", isOnce: true },
    { key: "completed_before", option: "--completed-before", kind: "time", isOnce: true },
];

/** The outcomes that count as failed: those of `OutcomeKind::is_failure`. */
export const FAILURES = ["failed", "partially_failed", "interrupted"];

/** The filters that select failed jobs. @returns {Pairs} */
export const failures = () => FAILURES.map((kind) => ["outcome", kind]);

const FILTER_KEYS = new Map(FILTERS.map((filter) => [filter.key, filter]));
/** Parameters that arrange a list without selecting jobs. The console sets the others itself. */
const ARRANGING = ["order", "offset"];

/**
 * A parsed query: pairs in the order given. Words separated by commas become separate pairs.
 *
 * @typedef {[string, string][]} Pairs
 * @returns {Pairs}
 */
export function parseQuery(text) {
    const pairs = [...new URLSearchParams(text.replace(/^\?/, ""))];
    return pairs.flatMap(([key, value]) => {
        const words = FILTER_KEYS.get(key)?.kind === "choice" ? value.split(",") : [value];
        return words.map((word) => [key, word]);
    });
}

/** @param {Pairs} pairs */
export function formatQuery(pairs) {
    const plain = (text) => encodeURIComponent(text).replace(/%(2F|3A|2C)/g, (escape) => decodeURIComponent(escape));
    return pairs.map(([key, value]) => `${plain(key)}=${plain(value)}`).join("&");
}

/** The pairs that select jobs. Unknown keys are kept, so that the server can refuse them. */
export const filtersOf = (pairs) => pairs.filter(([key]) => !ARRANGING.includes(key));

/** The pairs without filters by state: those for which totals by state can be shown. */
export const withoutKeys = (pairs, ...keys) => pairs.filter(([key]) => !keys.includes(key));

export const valueOf = (pairs, key) => pairs.find(([name]) => name === key)?.[1];

export const isNewestFirst = (pairs) => valueOf(pairs, "order") !== "oldest_first";

/** Whether the server can go to any offset of this list without a scan, and knows its total. */
export const isIndexed = (pairs) => filtersOf(pairs).every(([key]) => key === "state");

/** Adds a pair, and replaces the value of a key that allows only one. */
export function withPair(pairs, key, value) {
    const kept = FILTER_KEYS.get(key)?.isOnce || ARRANGING.includes(key) ? withoutKeys(pairs, key) : pairs;
    const isThere = kept.some(([name, text]) => name === key && text === value);
    return isThere ? kept : [...kept, [key, value]];
}

export const withoutPair = (pairs, key, value) => pairs.filter(([name, text]) => name !== key || text !== value);

/** Quotes a word for a POSIX shell. */
export const quoted = (word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`);

/** The list as a `curl` command. The token is read from a variable, never copied. */
export function asCurl(url, pairs, hasToken) {
    const words = ["curl -G"];
    if (hasToken) words.push('-H "X-Auth-Token: $JOBSTORE_TOKEN"');
    for (const [key, value] of pairs) words.push(`--data-urlencode ${quoted(`${key}=${value}`)}`);
    return [...words, quoted(url)].join(" ");
}

/** The list as a `jobstore list` command. */
export function asCommand(graph, pairs) {
    const words = ["jobstore list"];
    if (graph) words.push(`--graph ${quoted(`${graph.projectId}/${graph.name}`)}`);
    for (const [key, value] of filtersOf(pairs)) {
        const filter = FILTER_KEYS.get(key);
        if (filter) words.push(`${filter.option} ${quoted(filter.kind === "time" ? asTime(value) : value)}`);
    }
    if (isNewestFirst(pairs)) words.push("--newest-first");
    return words.join(" ");
}

/** The command accepts no milliseconds since 1970. */
function asTime(value) {
    return /^\d+$/.test(value) ? new Date(Number(value)).toISOString() : value;
}
