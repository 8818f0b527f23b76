// Cancels or purges all jobs that match a filter, on the server. They are counted first.

import { html, useState } from "../vendor/htm-preact.js";
import { paths, send } from "../api.js";
import * as filters from "../filters.js";
import { formatInteger } from "../format.js";
import { t } from "../i18n.js";
import { Dialog } from "../parts/dialog.js";
import { FilterBar } from "../parts/filter_bar.js";
import { Empty, Failure, Loading, isMissingRoute } from "../parts/notice.js";
import { Retention } from "../parts/retention.js";
import { formatRoute, navigate } from "../router.js";

/** Sends the action to the server until it has handled all jobs, and returns how many there were. */
async function perform(graph, action, pairs, isDryRun, onProgress) {
    let jobs = 0;
    for (;;) {
        const query = filters.formatQuery(isDryRun ? [...pairs, ["dry_run", "true"]] : pairs);
        const response = await send(paths.graph(graph, action), { method: "POST", query });
        const report = await response.json();
        jobs += report.jobs;
        onProgress?.(jobs);
        if (!report.isPartial || isDryRun) return { jobs, isPartial: report.isPartial === true };
        // Without progress, a repetition would not end.
        if (report.jobs === 0) return { jobs, isPartial: true };
    }
}

function Confirmation({ graph, action, pairs, counted, onClose, onDone }) {
    const [failure, setFailure] = useState(null);
    const [progress, setProgress] = useState(null);
    const [typed, setTyped] = useState("");
    const act = async (event) => {
        event.preventDefault();
        setFailure(null);
        setProgress(0);
        try {
            onDone(await perform(graph, action, pairs, false, setProgress));
        } catch (error) {
            setFailure(error);
            setProgress(null);
        }
    };
    const query = filters.formatQuery(pairs);
    return html`<${Dialog} title=${t(`bulk.${action}.title`, { n: counted.jobs })} onClose=${onClose}>
        <form onSubmit=${act}>
            <dl class="facts">
                <div><dt>${t("column.graph")}</dt><dd>${graph.projectId}/${graph.name}</dd></div>
                <div><dt>${t("filter.query")}</dt><dd class="mono wrap">${query || t("bulk.noFilter")}</dd></div>
                <div><dt>${t("bulk.jobs")}</dt><dd>
                    <b>${formatInteger(counted.jobs)}</b>${counted.isPartial ? " +" : ""}</dd></div>
            </dl>
            <p>${t(`bulk.${action}.consequence`)}</p>
            <label>${t("bulk.type", { number: String(counted.jobs) })} <input value=${typed} inputmode="numeric" autocomplete="off" onInput=${(event) => setTyped(event.target.value)} /></label>
            ${progress !== null && html`<p role="status">${t("bulk.progress", { n: progress })}</p>`}
            ${failure && html`<${Failure} failure=${failure} />`}
            <div class="buttons">
                <button type="button" onClick=${onClose}>${t("action.back")}</button>
                <button class="danger" disabled=${progress !== null || typed.trim() !== String(counted.jobs)}>${t(`bulk.${action}.confirm`)}</button>
            </div>
        </form>
    <//>`;
}

function Action({ graph, action, pairs, may }) {
    const [state, setState] = useState({ step: "ready" });
    const count = async () => {
        setState({ step: "counting" });
        try {
            setState({ step: "counted", counted: await perform(graph, action, pairs, true) });
        } catch (failure) {
            setState({ step: "failed", failure });
        }
    };
    const back = () => setState({ ...state, step: "counted" });
    const content = {
        ready: () => null,
        counting: () => html`<${Loading} />`,
        failed: () =>
            isMissingRoute(state.failure)
                ? html`<${Empty} title=${t("bulk.missing.title")}><p>${t("bulk.missing")}</p><//>`
                : html`<${Failure} failure=${state.failure} onRetry=${count} />`,
        counted: () => html`<p role="status"><b>${t(`bulk.${action}.counted`, { n: state.counted.jobs })}</b>
            ${state.counted.jobs > 0 && html` <button class="danger" onClick=${() => setState({ ...state, step: "asking" })}>${t(`bulk.${action}.button`, { n: state.counted.jobs })}</button>`}</p>`,
        asking: () =>
            html`<${Confirmation} ...${{ graph, action, pairs }} counted=${state.counted} onClose=${back} onDone=${(done) => setState({ step: "done", done })} />`,
        done: () =>
            html`<p role="status">
                <b>${t(`bulk.${action}.done`, { n: state.done.jobs })}</b> ${state.done.isPartial ? t("bulk.partial") : ""}</p>`,
    };
    return html`<section><h2>${t(`bulk.${action}`)}</h2>
        <p>${t(`bulk.${action}.explanation`)}</p>
        ${may(action) && html`<button onClick=${count}>${t("bulk.count")}</button>`}
        ${may(action) === false && html`<p class="quiet">${t("bulk.notAllowed")}</p>`}
        ${content[state.step]()}
    </section>`;
}

/** @param {{route: import("../router.js").Route, may: import("../permissions.js").May}} props */
export function Bulk({ route: { graph, query }, may }) {
    const pairs = filters.filtersOf(filters.parseQuery(query));
    const go = (next) => navigate({ view: "bulk", graph, query: filters.formatQuery(filters.filtersOf(next)) });
    const list = formatRoute({ view: "jobs", graph, query });
    return html`<main class="view" id="main"><h1>${t("nav.bulk")}</h1>
        <${FilterBar} pairs=${pairs} onChange=${go}><a class="button" href=${list}>${t("bulk.show")}</a><//>
        <div class="columns">
            <${Action} key=${`cancel ${query}`} action="cancel" ...${{ graph, pairs, may }} />
            <${Action} key=${`purge ${query}`} action="purge" ...${{ graph, pairs, may }} />
            <${Retention} graph=${graph} />
        </div>
    </main>`;
}
