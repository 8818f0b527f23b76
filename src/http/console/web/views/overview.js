// All graphs, one a row: what is waiting, running, and failing.

import { html, useState } from "../vendor/htm-preact.js";
import { getJson, paths } from "../api.js";
import { failures, formatQuery } from "../filters.js";
import { formatInteger, toRfc3339 } from "../format.js";
import { t } from "../i18n.js";
import { allRuns, failedIn, formatBound, quantile } from "../job_counts.js";
import { useLoad } from "../live.js";
import { useKeys } from "../keys.js";
import { HealthBox } from "../parts/health_box.js";
import { Empty, Failure, Loading, isMissingRoute } from "../parts/notice.js";
import { OpenGraph } from "../parts/open_graph.js";
import { Sparkline } from "../parts/sparkline.js";
import { Age } from "../parts/time.js";
import { formatRoute } from "../router.js";

const REFRESH_MS = 5000;
const RECENT_MS = 60_000;

const nameOf = ({ projectId, name }) => `${projectId}/${name}`;

/** The columns: a key, the value by which the rows are sorted, and whether the largest is first. */
const COLUMNS = [
    { key: "graph", of: nameOf },
    { key: "pending", of: (graph) => graph.pending, isNumber: true },
    { key: "running", of: (graph) => graph.running, isNumber: true },
    { key: "complete", of: (graph) => graph.complete, isNumber: true },
    { key: "failedLastHour", of: failedLastHour, isNumber: true },
    { key: "oldestPendingAt", of: (graph) => graph.oldestPendingAt },
    { key: "longestRunningAt", of: (graph) => graph.longestRunningAt },
    { key: "waitMs", of: (graph) => quantile(graph.recent?.counts.waits, 0.95), isNumber: true },
    { key: "runMs", of: (graph) => quantile(graph.recent && allRuns(graph.recent.counts), 0.95), isNumber: true },
];

/** `undefined` if the server does not report it. */
function failedLastHour({ recent }) {
    return recent && failedIn(recent.counts);
}

/** `graph-9` is before `graph-10`. */
const names = new Intl.Collator("en", { numeric: true });

/** Sorts by a column: numbers with the largest first, times with the oldest first. Unknown is last. */
function sorted(graphs, key) {
    const { of, isNumber } = COLUMNS.find((column) => column.key === key);
    const order = (a, b) => (isNumber ? b - a : typeof a === "string" ? names.compare(a, b) : a - b);
    return graphs.toSorted((x, y) => {
        const [a, b] = [of(x), of(y)].map((value) => value ?? undefined);
        if (a === undefined || b === undefined) return Number(a === undefined) - Number(b === undefined);
        return order(a, b);
    });
}

function percentiles(histogram) {
    const [half, most] = [0.5, 0.95].map((part) => quantile(histogram, part));
    return half === undefined ? html`<span class="quiet">–</span>` : `${formatBound(half)} / ${formatBound(most)}`;
}

function Row({ graph, now }) {
    const to = { projectId: graph.projectId, name: graph.name };
    const jobs = (pairs) => formatRoute({ view: "jobs", graph: to, query: formatQuery(pairs) });
    const count = (value, pairs) =>
        value === undefined
            ? "–"
            : html`<a class=${value === 0 ? "quiet" : ""} href=${jobs(pairs)}>${formatInteger(value)}</a>`;
    const hourAgo = toRfc3339(graph.recent?.start ?? now - 3_600_000);
    const age = (ms, state) =>
        ms
            ? html`<a href=${jobs([
                  ["state", state],
                  ["order", "oldest_first"],
              ])}><${Age} ms=${ms} now=${now} /></a>`
            : html`<span class="quiet">–</span>`;
    return html`<tr>
        <th scope="row"><a href=${jobs([])}>${graph.projectId}/<b>${graph.name}</b></a></th>
        <td class="number">${count(graph.pending, [["state", "pending"]])}</td>
        <td class="number">${count(graph.running, [["state", "running"]])}</td>
        <td class="number">${count(graph.complete, [["state", "complete"]])}</td>
        <td class=${`number ${failedLastHour(graph) > 0 ? "bad" : ""}`}>${count(failedLastHour(graph), [
            ...failures(),
            ["completed_from", hourAgo],
        ])}</td>
        <td class="number">${age(graph.oldestPendingAt, "pending")}</td>
        <td class="number">${age(graph.longestRunningAt, "running")}</td>
        <td class="number">${percentiles(graph.recent?.counts.waits)}</td>
        <td class="number">${percentiles(graph.recent && allRuns(graph.recent.counts))}</td>
        <td>${graph.recent && html`<${Sparkline} values=${graph.recent.completedPer5Minutes} label=${t("overview.recent", { list: graph.recent.completedPer5Minutes.join(", ") })} />`}</td>
    </tr>`;
}

function Table({ graphs, now }) {
    const [key, setKey] = useState("graph");
    const heading = (
        column,
    ) => html`<th scope="col" class=${column.key === "graph" ? "" : "number"} aria-sort=${column.key === key ? (column.isNumber ? "descending" : "ascending") : undefined}>
        <button class="plain" onClick=${() => setKey(column.key)}>${t(`column.${column.key}`)}${column.key === key ? (column.isNumber ? " ↓" : " ↑") : ""}</button>
    </th>`;
    return html`<div class="scroll-x" tabindex="0" role="region" aria-label=${t("nav.overview")}><table>
        <thead><tr>${COLUMNS.map(heading)}<th scope="col">${t("column.recent")}</th></tr></thead>
        <tbody>${sorted(graphs, key).map((graph) => html`<${Row} key=${nameOf(graph)} graph=${graph} now=${now} />`)}</tbody>
    </table></div>`;
}

/** What happened in the last hour, by the graph's name. */
async function loadRecent(signal) {
    const { graphs } = await getJson(paths.recent, { signal });
    return new Map(graphs.map((graph) => [nameOf(graph), graph]));
}

export function Overview() {
    const load = async (signal) => {
        const answers = [getJson(paths.graphs, { signal }), getJson(paths.health, { signal, accepts: [503] })];
        const [{ graphs }, health] = await Promise.all(answers);
        return { graphs, health, at: Date.now() };
    };
    const { data, failure, reload } = useLoad(load, [], REFRESH_MS);
    const { data: recent } = useLoad(loadRecent, [], RECENT_MS);
    const [search, setSearch] = useState("");
    useKeys({ "/": () => document.getElementById("search")?.focus() });
    const cannotList = isMissingRoute(failure) || failure?.status === 403;
    const content = () => {
        if (cannotList) {
            return html`<${Empty} title=${t(failure.status === 403 ? "overview.forbidden.title" : "overview.missing.title")}>
                <p>${t("overview.openOne")}</p><${OpenGraph} /><//>`;
        }
        if (failure && !data) return html`<${Failure} failure=${failure} onRetry=${reload} />`;
        if (!data) return html`<${Loading} />`;
        if (data.graphs.length === 0)
            return html`<${Empty} title=${t("overview.none.title")}><p>${t("overview.none")}</p><//>`;
        const found = data.graphs.filter((graph) => nameOf(graph).includes(search));
        const shown = found.map((graph) => ({ ...graph, recent: recent?.get(nameOf(graph)) }));
        return html`
            ${failure && html`<${Failure} failure=${failure} onRetry=${reload} />`}
            ${data.health.state !== "ok" && html`<${HealthBox} health=${data.health} />`}
            <div class="line">
                <label for="search">${t("overview.search")}</label> <input id="search" value=${search} onInput=${(event) => setSearch(event.target.value)} autocomplete="off" />
            <span class="quiet" role="status">${t("overview.count", { n: shown.length, all: data.graphs.length })}</span>
                </div>
            <${Table} graphs=${shown} now=${data.at} />`;
    };
    return html`<main class="view" id="main"><h1>${t("nav.overview")}</h1>${content()}</main>`;
}
