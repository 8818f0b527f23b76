// The jobs of a graph: filters, totals by state, and a table.

import { html, useEffect, useMemo, useRef, useState } from "../vendor/htm-preact.js";
import { apiUrl, paths } from "../api.js";
import * as filters from "../filters.js";
import { toRfc3339 } from "../format.js";
import { t } from "../i18n.js";
import { CursorSource, OffsetSource } from "../job_source.js";
import { useLoad } from "../live.js";
import { CopyButton } from "../parts/copy_button.js";
import { FilterBar } from "../parts/filter_bar.js";
import { JobTable } from "../parts/job_table.js";
import { Empty, Failure, Loading } from "../parts/notice.js";
import { Totals } from "../parts/totals.js";
import { formatRoute, navigate, replaceAddress } from "../router.js";
import { token } from "../settings.js";

const REFRESH_MS = 5000;
/** At most this many rows are in view, so their states are kept up to date. */
const VIEW_ROWS = 100;

/** Frequent questions. */
function Questions({ linkTo }) {
    const hoursAgo = (hours) => toRfc3339(Math.floor((Date.now() - hours * 3_600_000) / 60_000) * 60_000);
    const questions = {
        "question.failed": [
            ...filters.failures(),
            ["completed_from", hoursAgo(12)],
        ],
        "question.stuck": [
            ["state", "running"],
            ["started_before", hoursAgo(1)],
            ["order", "oldest_first"],
        ],
        "question.waiting": [
            ["state", "pending"],
            ["order", "oldest_first"],
        ],
    };
    return html`<nav class="questions" aria-label=${t("question.title")}>
        ${Object.entries(questions).map(([key, pairs]) => html`<a href=${linkTo(pairs)}>${t(key)}</a>`)}
    </nav>`;
}

function Status({ source, pairs, newer, isStale, hasCount, onNewer, onCount }) {
    const isNewestFirst = filters.isNewestFirst(pairs);
    const total = source.total;
    return html`<p class="status" aria-live="polite">
        ${total === null ? t("jobs.unknownTotal") : t("jobs.count", { n: total })}
        ${" · "}${t(isNewestFirst ? "order.newest" : "order.oldest")}
        ${source.countAll && hasCount && total === null && html` <button class="small" onClick=${onCount}>${t("jobs.countAll")}</button>`}
        ${isStale && html` <strong class="bad">${t("jobs.stale")}</strong>`}
        ${newer > 0 && html` <button class="small" onClick=${onNewer}>${t("jobs.newer", { n: newer })}</button>`}
    </p>`;
}

function Nothing({ pairs, graph }) {
    const hasFilters = filters.filtersOf(pairs).length > 0;
    return html`<${Empty} title=${t(hasFilters ? "jobs.noMatch.title" : "jobs.none.title")}>
        <p>${t(hasFilters ? "jobs.noMatch" : "jobs.none")}</p>
        ${hasFilters && html`<p>
            <a href=${formatRoute({ view: "jobs", graph, query: "" })}>${t("jobs.showAll")}</a></p>`}
    <//>`;
}

/**
 * The list itself, of one graph or, without `graph`, of all graphs. Lists of different queries need
 * different keys.
 */
export function JobList({ graph, pairs, path }) {
    const query = filters.formatQuery(filters.withoutKeys(pairs, "offset"));
    const isNewestFirst = filters.isNewestFirst(pairs);
    const [failure, setFailure] = useState(null);
    const [newer, setNewer] = useState(0);
    const [version, setVersion] = useState(0);
    const changed = () => setVersion((before) => before + 1);
    const { source, controller } = useMemo(() => {
        const controller = new AbortController();
        const Source = graph && filters.isIndexed(pairs) ? OffsetSource : CursorSource;
        const source = new Source(path, filters.filtersOf(pairs), isNewestFirst, controller.signal, Boolean(graph));
        return { controller, source };
    }, [path, query]);
    useEffect(() => () => controller.abort(), [source]);
    const firstRow = useRef(Number(filters.valueOf(pairs, "offset") ?? 0) || 0);

    const tick = async () => {
        const arrived = await source.refresh();
        const isReloaded = await source.reload(firstRow.current, firstRow.current + VIEW_ROWS);
        const isShown = arrived > 0 && (firstRow.current === 0 || !isNewestFirst);
        if (isShown) source.showNewer(arrived);
        setNewer(isShown ? 0 : arrived);
        if (isShown || isReloaded) changed();
        return true;
    };
    const live = useLoad(tick, [source], REFRESH_MS);
    const shown = failure ?? (source.count === 0 ? live.failure : null);
    const rested = (first) => {
        firstRow.current = first;
        const offset = first > 0 ? [["offset", String(first)]] : [];
        replaceAddress({
            view: "jobs",
            graph,
            query: filters.formatQuery([...filters.withoutKeys(pairs, "offset"), ...offset]),
        });
    };
    const showNewer = () => {
        source.showNewer(newer);
        setNewer(0);
        changed();
    };
    const count = () => source.countAll().then(changed, setFailure);
    const retry = () => {
        setFailure(null);
        live.reload();
    };
    const href = (job) =>
        formatRoute({
            view: "job",
            graph: graph ?? { projectId: job.projectId, name: job.graphName },
            jobId: job.jobId,
        });

    if (shown) return html`<${Failure} failure=${shown} onRetry=${retry} />`;
    if (source.count === 0 && live.isLoading) return html`<${Loading} />`;
    if (source.count === 0) return html`<${Nothing} pairs=${pairs} graph=${graph} />`;
    return html`
        <${Status} ...${{ source, pairs, newer }} isStale=${live.failure !== null} hasCount=${Boolean(graph)} onNewer=${showNewer} onCount=${count} />
        <${JobTable} key=${query} ...${{ source, version, href }} hasGraphs=${!graph} firstRow=${firstRow.current} onRest=${rested} onChange=${changed} onFailure=${setFailure} />
    `;
}

/** @param {{route: import("../router.js").Route, may: import("../permissions.js").May}} props */
export function Jobs({ route, may }) {
    const { graph } = route;
    const pairs = filters.parseQuery(route.query);
    const path = graph ? paths.list(graph) : paths.jobs;
    const go = (next) => navigate({ view: "jobs", graph, query: filters.formatQuery(next) });
    const linkTo = (next) => formatRoute({ view: "jobs", graph, query: filters.formatQuery(next) });
    const isNewestFirst = filters.isNewestFirst(pairs);
    const turn = () =>
        go(
            filters.withPair(
                filters.withoutKeys(pairs, "offset"),
                "order",
                isNewestFirst ? "oldest_first" : "newest_first",
            ),
        );
    const apiPairs = [
        ...filters.withoutKeys(pairs, "order"),
        ["order", isNewestFirst ? "newest_first" : "oldest_first"],
        ["limit", "100"],
        ...(graph ? [["detail", "true"]] : []),
    ];
    return html`<main class="view view-jobs" id="main">
        <h1 class="hidden">${t("nav.jobs")}</h1>
        ${graph && html`<${Totals} key=${filters.formatQuery(filters.withoutKeys(filters.filtersOf(pairs), "state", "outcome"))} ...${{ graph, pairs, linkTo }} />`}
        <${FilterBar} pairs=${pairs} onChange=${go} aside=${html`<${Questions} linkTo=${linkTo} />`}>
            <button type="button" onClick=${turn}>${t(isNewestFirst ? "order.toOldest" : "order.toNewest")}</button>
            <${CopyButton} text=${filters.asCurl(apiUrl(path), apiPairs, token.get() !== null)} label=${t("copy.curl")} />
            <${CopyButton} text=${filters.asCommand(graph, pairs)} label=${t("copy.command")} />
            ${graph && (may("cancel") || may("purge")) && html`<a class="button" href=${formatRoute({ view: "bulk", graph, query: filters.formatQuery(filters.filtersOf(pairs)) })}>${t("nav.bulk")}…</a>`}
        <//>
        <${JobList} key=${`${path}?${filters.formatQuery(filters.withoutKeys(pairs, "offset"))}`} ...${{ graph, pairs, path }} />
    </main>`;
}
