// What happened to the jobs of a graph: how many were submitted and completed, and how long they
// waited and ran.

import { html } from "../vendor/htm-preact.js";
import { getJson, paths } from "../api.js";
import { failures, formatQuery, parseQuery, valueOf } from "../filters.js";
import { formatInteger, formatTime, toRfc3339 } from "../format.js";
import { t } from "../i18n.js";
import {
    BOUNDS_MS,
    allRuns,
    completedInAll,
    completedWith,
    failedIn,
    formatBound,
    quantile,
} from "../job_counts.js";
import { useLoad } from "../live.js";
import { BarChart, StepChart } from "../parts/chart.js";
import { Empty, Failure, Loading, isMissingRoute } from "../parts/notice.js";
import { Time } from "../parts/time.js";
import { formatRoute } from "../router.js";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const REFRESH_MS = 60_000;

const RANGES = {
    hour: { length: HOUR, step: MINUTE },
    night: { length: 12 * HOUR, step: 5 * MINUTE },
    day: { length: DAY, step: 10 * MINUTE },
    week: { length: 7 * DAY, step: HOUR },
    month: { length: 30 * DAY, step: 6 * HOUR },
    year: { length: 365 * DAY, step: 3 * DAY },
};

/** The outcomes of the bars, from the bottom to the top. */
const KINDS = ["succeeded", "cancelled", "interrupted", "partially_failed", "failed"];

async function loadHistory(graph, { length, step }, signal) {
    const to = Math.ceil(Date.now() / step) * step;
    const from = to - length;
    const query = formatQuery([
        ["from", String(from)],
        ["to", String(to)],
        ["step_ms", String(step)],
    ]);
    const { points } = await getJson(paths.graph(graph, "history"), { query, signal });
    return { points, from, to };
}

function Charts({ graph, points, from, to }) {
    /** The jobs to which something happened within some of the points, with more filters. */
    const jobsBetween = (first, last, what, pairs) =>
        formatRoute({
            view: "jobs",
            graph,
            query: formatQuery([
                ...pairs,
                [`${what}_from`, toRfc3339(first.start)],
                [`${what}_before`, toRfc3339(last.start + last.lengthMs)],
            ]),
        });
    const jobsOf = (point, what, pairs = []) => jobsBetween(point, point, what, pairs);
    const failedOf = (command) =>
        jobsBetween(points[0], points.at(-1), "completed", [...failures(), ["command", command]]);
    const of = (what, values, label) =>
        points.map((point) => ({
            start: point.start,
            lengthMs: point.lengthMs,
            href: jobsOf(point, what),
            values: values(point.counts),
            label: `${formatTime(point.start)} · ${label(point.counts)}`,
        }));
    const submitted = of(
        "submitted",
        (counts) => [counts.submitted],
        (counts) => t("history.submittedN", { n: counts.submitted }),
    );
    const named = (counts) =>
        KINDS.filter((kind) => completedWith(counts, kind) > 0)
            .map((kind) => `${t(`state.${kind}`)} ${formatInteger(completedWith(counts, kind))}`)
            .join(", ");
    const completed = of("completed", (counts) => KINDS.map((kind) => completedWith(counts, kind)), named);
    const pair = (histogram) => [quantile(histogram, 0.5), quantile(histogram, 0.95)];
    const bounds = (histogram) =>
        pair(histogram)
            .map((value) => (value === undefined ? "–" : formatBound(value)))
            .join(" / ");
    const waits = of(
        "started",
        (counts) => pair(counts.waits),
        (counts) => bounds(counts.waits),
    );
    const runs = of(
        "completed",
        (counts) => pair(allRuns(counts)),
        (counts) => bounds(allRuns(counts)),
    );
    const steps = { from, to, series: ["p50", "p95"], bounds: BOUNDS_MS, format: (value) => formatBound(value) };
    const figure = (key, legend, chart) =>
        html`<figure><figcaption><b>${t(key)}</b> ${legend}</figcaption>${chart}</figure>`;
    const keys = (names, text) =>
        html`<span class="legend-line">${names.map((name) => html`<span class=${`key-${name}`}>${text(name)}</span>`)}</span>`;
    const outcomes = KINDS.toReversed();
    return html`<div class="charts">
        ${figure("history.submitted", null, html`<${BarChart} title=${t("history.submitted")} ...${{ from, to }} points=${submitted} series=${["submitted"]} />`)}
        ${figure(
            "history.completed",
            keys(outcomes, (kind) => t(`state.${kind}`)),
            html`<${BarChart} title=${t("history.completed")} ...${{ from, to }} points=${completed} series=${KINDS} />`,
        )}
        ${figure(
            "history.waits",
            keys(steps.series, (name) => name),
            html`<${StepChart} title=${t("history.waits")} ...${steps} points=${waits} />`,
        )}
        ${figure(
            "history.runs",
            keys(steps.series, (name) => name),
            html`<${StepChart} title=${t("history.runs")} ...${steps} points=${runs} />`,
        )}
        </div>
        <${Table} points=${points} jobsOf=${jobsOf} bounds=${bounds} />
        <${Commands} points=${points} failedOf=${failedOf} />
    `;
}

/** The same numbers as the charts. */
function Table({ points, jobsOf, bounds }) {
    const number = (value, href) => html`<td class=${`number ${value === 0 ? "quiet" : ""}`}>
        ${value > 0 && href ? html`<a href=${href}>${formatInteger(value)}</a>` : formatInteger(value)}</td>`;
    const row = (point) => html`<tr>
        <th scope="row"><a href=${jobsOf(point, "completed")}><${Time} ms=${point.start} /></a></th>
        ${number(point.counts.submitted)}
        ${KINDS.map((kind) => number(completedWith(point.counts, kind), jobsOf(point, "completed", [["outcome", kind]])))}
        <td class="number">${bounds(point.counts.waits)}</td>
        <td class="number">${bounds(allRuns(point.counts))}</td>
    </tr>`;
    return html`<details class="behind"><summary>${t("history.table", { n: points.length })}</summary>
        <div class="scroll-x" tabindex="0" role="region" aria-label=${t("nav.history")}><table>
            <thead><tr><th scope="col">${t("history.from")}</th>
                <th scope="col" class="number">${t("event.submitted")}</th>
                ${KINDS.map((kind) => html`<th scope="col" class="number">${t(`state.${kind}`)}</th>`)}
                <th scope="col" class="number">${t("column.waitMs")}</th>
                    <th scope="col" class="number">${t("column.runMs")}</th></tr></thead>
            <tbody>${points.toReversed().map(row)}</tbody>
        </table></div>
    </details>`;
}

/** The counts by command, over the whole range. The number of failed jobs links to their list. */
function Commands({ points, failedOf }) {
    const commands = new Map();
    for (const point of points) {
        for (const counts of point.commands) {
            const known = commands.get(counts.command) ?? { submitted: 0, completed: 0, failed: 0 };
            known.submitted += counts.submitted;
            known.completed += completedInAll(counts);
            known.failed += failedIn(counts);
            commands.set(counts.command, known);
        }
    }
    const rows = [...commands].sort(([, a], [, b]) => b.failed - a.failed || b.completed - a.completed);
    return html`<h2>${t("history.commands")}</h2>
        <div class="scroll-x" tabindex="0" role="region" aria-label=${t("history.commands")}><table>
        <thead><tr>
            <th scope="col">${t("column.command")}</th>${["event.submitted", "event.completed", "column.failed"].map((key) => html`<th scope="col" class="number">${t(key)}</th>`)}</tr>
            </thead>
        <tbody>${rows.map(([command, counts]) => html`<tr>
            <th scope="row">${command ?? t("history.otherCommands")}</th>
            <td class="number">${formatInteger(counts.submitted)}</td>
            <td class="number">${formatInteger(counts.completed)}</td>
            <td class=${`number ${counts.failed > 0 ? "bad" : "quiet"}`}>
                ${counts.failed > 0 && command !== null ? html`<a href=${failedOf(command)}>${formatInteger(counts.failed)}</a>` : formatInteger(counts.failed)}</td>
            </tr>`)}</tbody>
    </table></div>`;
}

/** @param {{route: import("../router.js").Route}} props */
export function History({ route: { graph, query } }) {
    const chosen = valueOf(parseQuery(query), "range");
    const name = chosen in RANGES ? chosen : "day";
    const load = (signal) => loadHistory(graph, RANGES[name], signal);
    const { data, failure, reload } = useLoad(load, [graph.projectId, graph.name, name], REFRESH_MS);
    const content = () => {
        if (isMissingRoute(failure))
            return html`<${Empty} title=${t("history.missing.title")}><p>${t("history.missing")}</p><//>`;
        if (failure && !data) return html`<${Failure} failure=${failure} onRetry=${reload} />`;
        if (!data) return html`<${Loading} />`;
        if (data.points.length === 0)
            return html`<${Empty} title=${t("history.none.title")}><p>${t("history.none")}</p><//>`;
        return html`<${Charts} graph=${graph} ...${data} />`;
    };
    const link = (range) =>
        html`<a class="total" href=${formatRoute({ view: "history", graph, query: `range=${range}` })} aria-current=${range === name ? "true" : undefined}>${t(`range.${range}`)}</a>`;
    return html`<main class="view" id="main"><h1>${t("nav.history")}</h1>
        <nav class="totals" aria-label=${t("history.range")}>${Object.keys(RANGES).map(link)}</nav>
        ${content()}
    </main>`;
}
