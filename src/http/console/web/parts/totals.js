// Exact totals of the listed jobs by state and outcome. Each leads to the list of its jobs.
//
// Totals by state cost the server nothing, so they are kept up to date. Totals by outcome, or with
// other filters, are a pass over the jobs: they are counted once in a while, and if the filter needs
// the requests, only when asked for.

import { html, useState } from "../vendor/htm-preact.js";
import { getJson, paths } from "../api.js";
import * as filters from "../filters.js";
import { formatInteger } from "../format.js";
import { t } from "../i18n.js";
import { fetchTotal } from "../job_source.js";
import { useLoad } from "../live.js";
import { isMissingRoute } from "./notice.js";
import { StateWord } from "./state_word.js";

const STATES_MS = 5000;
const TALLY_MS = 60_000;
const STATES = ["pending", "running", "complete"];
const OUTCOMES = ["failed", "partially_failed", "interrupted", "cancelled", "succeeded"];
/** Filters for which no request is read. */
const CHEAP = /^(command|(submitted|started|completed)_(from|before))$/;

/** Numbers by state; for `complete`, the sum of the outcomes. */
function byState(groups) {
    const numbers = Object.fromEntries([...STATES, ...OUTCOMES].map((name) => [name, 0]));
    for (const { state, outcome, jobs } of groups) {
        numbers[outcome ?? state] += jobs;
        if (outcome) numbers.complete += jobs;
    }
    return numbers;
}

async function tally(graph, pairs, signal) {
    const query = filters.formatQuery([...pairs, ["by", "outcome"]]);
    const { groups, isPartial } = await getJson(paths.graph(graph, "tally"), { query, signal });
    return { ...byState(groups), isPartial };
}

async function states(graph, signal) {
    const totals = await Promise.all(STATES.map((state) => fetchTotal(paths.list(graph), [["state", state]], signal)));
    return Object.fromEntries(STATES.map((state, n) => [state, totals[n]]));
}

/** @param {{graph: import("../router.js").Graph, pairs: filters.Pairs, linkTo: (pairs) => string}} props */
export function Totals({ graph, pairs, linkTo }) {
    const others = filters.withoutKeys(filters.filtersOf(pairs), "state", "outcome");
    const query = filters.formatQuery(others);
    const isCheap = others.every(([key]) => CHEAP.test(key));
    const [isAsked, setAsked] = useState(false);
    const name = [graph.projectId, graph.name, query];
    const isCounted = isCheap || isAsked;
    const exact = useLoad(
        (signal) => (query === "" ? states(graph, signal) : Promise.resolve({})),
        name,
        query === "" ? STATES_MS : null,
    );
    const counted = useLoad(
        (signal) => (isCounted ? tally(graph, others, signal) : Promise.resolve({})),
        [...name, isCounted],
        (data) => (isCounted && data ? TALLY_MS : null),
    );
    const numbers = { ...counted.data, ...exact.data };
    const chosen = pairs.filter(([key]) => key === "state" || key === "outcome");
    const entry = (key, value, total) => {
        const isChosen = value ? chosen.length === 1 && chosen[0][1] === value : chosen.length === 0;
        const to = value ? [...others, [key, value]] : others;
        return html`<a class="total" href=${linkTo(to)} aria-current=${isChosen ? "true" : undefined}>
            ${value ? html`<${StateWord} state=${value} />` : t("jobs.all")}${total !== undefined && html` <b>${formatInteger(total)}${numbers.isPartial ? "+" : ""}</b>`}
        </a>`;
    };
    const all = numbers.pending === undefined ? undefined : numbers.pending + numbers.running + numbers.complete;
    const isAskable = !isCounted && !isMissingRoute(counted.failure);
    return html`<nav class="totals" aria-label=${t("jobs.totals")}>
        ${entry(null, null, all)}
        ${STATES.map((state) => entry("state", state, numbers[state]))}
        ${OUTCOMES.map((outcome) => entry("outcome", outcome, numbers[outcome]))}
        ${isAskable && html`<button class="small" onClick=${() => setAsked(true)}>${t("jobs.countStates")}</button>`}
    </nav>`;
}
