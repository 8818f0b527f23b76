// One job: its times, outcome, and request, and what can be done with it.

import { html, useState } from "../vendor/htm-preact.js";
import { ApiFailure, apiUrl, getJson, paths, send } from "../api.js";
import { asCurl, quoted } from "../filters.js";
import { formatFullTime } from "../format.js";
import { t } from "../i18n.js";
import { ofLines } from "../job_source.js";
import { formatTree, nodeAt, parseTree } from "../json_tree.js";
import { useKeys } from "../keys.js";
import { useLoad } from "../live.js";
import { CopyButton } from "../parts/copy_button.js";
import { Dialog } from "../parts/dialog.js";
import { JobBars } from "../parts/job_bars.js";
import { JsonView } from "../parts/json_view.js";
import { Failure, Loading, isMissingRoute } from "../parts/notice.js";
import { StateWord, stateOf } from "../parts/state_word.js";
import { Age, Time } from "../parts/time.js";
import { formatRoute, navigate } from "../router.js";
import { token } from "../settings.js";

const REFRESH_MS = 2000;

const listQuery = (id) => `job_id=${encodeURIComponent(id)}&detail=true`;

/** Loads the job, and the same as a tree that keeps the text of numbers. */
async function loadJob(graph, id, signal) {
    const response = await send(paths.list(graph), { query: listQuery(id), signal });
    const text = await response.text();
    const [job] = JSON.parse(text).jobs;
    if (!job) throw new ApiFailure(400, "GES.8301", `can not find job, jobId is ${id}`);
    return { job, tree: nodeAt(parseTree(text), "jobs", 0), at: Date.now() };
}

function Timeline({ job, now }) {
    const events = [
        ["submitted", job.submittedAt],
        ["started", job.startedAt],
        ["completed", job.completedAt],
    ];
    return html`<ol class="timeline">
        ${events.map(([name, ms]) => html`<li class=${ms === undefined ? "future" : ""}>
            <b>${t(`event.${name}`)}</b> ${ms === undefined ? html`<span class="quiet">${t("event.notYet")}</span>` : html`<span class="mono">${formatFullTime(ms)}</span> <span class="quiet">
            <${Age} ms=${ms} now=${now} /></span>`}</li>`)}
    </ol>`;
}

function Progress({ job }) {
    if (job.status !== "running") return null;
    return html`<section><h2>${t("job.progress")}</h2>
        ${
            job.progress === undefined
                ? html`<p class="quiet">${t("job.noProgress")}</p>`
                : html`<p>
                    <progress max="100" value=${job.progress} aria-label=${t("job.progress")}></progress> ${job.progress} % ${job.progressText}</p>`
        }
        ${job.cancelRequested && html`<p class="warn">${t("job.cancelRequested.title")}</p>`}
    </section>`;
}

function Outcome({ job, tree }) {
    const { outcome } = job;
    const detail = nodeAt(tree, "outcome", "detail");
    if (!outcome) return null;
    const rows = [
        ["outcome.code", outcome.code],
        ["outcome.message", outcome.message],
        ["outcome.resultRef", outcome.resultRef],
        [
            "outcome.recoveredAtOpen",
            outcome.recoveredAtOpen && t("outcome.recovered", { open: outcome.recoveredAtOpen }),
        ],
    ].filter(([, text]) => text);
    return html`<section><h2>${t("job.outcome")}</h2>
        <dl class="facts">
            <div><dt>${t("column.state")}</dt><dd><${StateWord} state=${outcome.kind} /></dd></div>
            ${rows.map(([key, text]) => html`<div><dt>${t(key)}</dt><dd class="wrap">${text}</dd></div>`)}
        </dl>
        ${detail && html`<div class="json"><${JsonView} node=${detail} name="detail" /></div>`}
    </section>`;
}

function Request({ job, tree }) {
    const body = nodeAt(tree, "request", "body");
    return html`<section><h2>${t("job.request")}</h2>
        <dl class="facts">
            <div><dt>${t("column.command")}</dt><dd>${job.request.command}</dd></div>
            <div><dt>URL</dt><dd class="mono wrap">${job.request.url}</dd></div>
            ${job.origin && html`<div><dt>${t("job.origin")}</dt><dd class="wrap">${job.origin}</dd></div>`}
        </dl>
        ${job.masked && html`<p class="quiet">${t("json.masked.title")}</p>`}
        <div class="json" tabindex="0" role="region" aria-label=${t("job.body")}>${body && html`<${JsonView} node=${body} name="body" />`}</div>
    </section>`;
}

async function findSame(graph, tree, signal) {
    const request = nodeAt(tree, "request");
    const options = { method: "POST", query: "limit=20", body: formatTree(request), signal };
    const response = await send(paths.graph(graph, "find"), options);
    return ofLines(await response.text());
}

/** Jobs that have the same request. They are looked up only when asked for. */
function SameRequest({ graph, job, tree }) {
    const [isAsked, setAsked] = useState(false);
    const load = (signal) => (isAsked ? findSame(graph, tree, signal) : Promise.resolve(null));
    const { data, failure } = useLoad(load, [job.jobId, isAsked]);
    const content = () => {
        // The server compares the hidden values, too, and only it knows them.
        if (job.masked) return html`<p class="quiet">${t("job.sameMasked")}</p>`;
        if (!isAsked) return html`<button onClick=${() => setAsked(true)}>${t("job.findSame")}</button>`;
        if (isMissingRoute(failure)) return html`<p class="quiet">${t("job.noSameRoute")}</p>`;
        if (failure) return html`<${Failure} failure=${failure} />`;
        if (!data) return html`<${Loading} />`;
        const others = data.filter(({ jobId }) => jobId !== job.jobId);
        if (others.length === 0) return html`<p class="quiet">${t("job.noneSame")}</p>`;
        return html`<ul class="plain-list">${others.map((other) => html`<li>
            <${StateWord} state=${stateOf(other)} /> <a class="mono" href=${formatRoute({ view: "job", graph, jobId: other.jobId })}>${other.jobId}</a> <${Time} ms=${other.submittedAt} /></li>`)}</ul>`;
    };
    return html`<section><h2>${t("job.same")}</h2>${content()}</section>`;
}

/** Why a job cannot be shown; for a purged one, when and why it was purged. */
function Missing({ graph, jobId, failure, onRetry }) {
    const isPurged = failure.code === "GES.8301" && failure.message.includes(" was purged at ");
    const load = (signal) =>
        isPurged ? getJson(paths.graph(graph, "jobs", jobId, "tombstone"), { signal }) : Promise.resolve(null);
    const { data } = useLoad(load, [jobId, isPurged]);
    return html`<${Failure} failure=${failure} onRetry=${onRetry} />
        ${
            data &&
            html`<dl class="facts">
            <div><dt>${t("job.purgedAt")}</dt><dd class="mono">${formatFullTime(data.purgedAt)}</dd></div>
            <div><dt>${t("job.purgeReason")}</dt><dd>${t(`purge.${data.reason}`)}</dd></div>
            ${data.resultRef && html`<div><dt>${t("outcome.resultRef")}</dt>
                <dd class="wrap">${data.resultRef}</dd></div>`}
        </dl>`
        }`;
}

/** Asks for confirmation, repeating what will be changed, and then acts. */
function Confirmation({ kind, graph, job, onClose, onDone }) {
    const [failure, setFailure] = useState(null);
    const [isBusy, setBusy] = useState(false);
    const act = async (event) => {
        event.preventDefault();
        setBusy(true);
        setFailure(null);
        try {
            if (kind === "cancel") {
                await send(paths.cancel(graph, job.jobId), { method: "DELETE" });
            } else {
                const message = event.target.elements.message.value;
                const body = JSON.stringify({ outcome: "failed", ...(message ? { message } : {}) });
                await send(paths.graph(graph, "jobs", job.jobId, "complete"), { method: "POST", body });
            }
            onDone();
        } catch (error) {
            setFailure(error);
            setBusy(false);
        }
    };
    return html`<${Dialog} title=${t(`${kind}.title`)} onClose=${onClose}>
        <form onSubmit=${act}>
            <dl class="facts">
                <div><dt>${t("column.job")}</dt><dd class="mono wrap">${job.jobId}</dd></div>
                <div><dt>${t("column.command")}</dt><dd>${job.request.command}</dd></div>
                <div><dt>${t("column.graph")}</dt><dd>${graph.projectId}/${graph.name}</dd></div>
                <div><dt>${t("column.state")}</dt><dd><${StateWord} state=${stateOf(job)} /></dd></div>
            </dl>
            <p>${t(`${kind}.${job.status}`)}</p>
            ${kind === "complete" && html`<label>${t("complete.message")} <input name="message" autocomplete="off" /></label>`}
            ${failure && html`<${Failure} failure=${failure} />`}
            <div class="buttons">
                <button type="button" onClick=${onClose}>${t("action.back")}</button>
                <button class="danger" disabled=${isBusy}>${t(`${kind}.confirm`)}</button>
            </div>
        </form>
    <//>`;
}

/** @param {{route: import("../router.js").Route, may: import("../permissions.js").May}} props */
export function Job({ route: { graph, jobId }, may }) {
    const load = (signal) => loadJob(graph, jobId, signal);
    const until = (data) => (data?.job.status === "complete" ? null : REFRESH_MS);
    const { data, failure, reload } = useLoad(load, [graph.projectId, graph.name, jobId], until);
    const [asked, setAsked] = useState(null);
    useKeys({ Escape: () => navigate({ view: "jobs", graph, query: "" }) });
    const { job, tree, at } = data ?? {};
    const done = () => {
        setAsked(null);
        reload();
    };
    const copies = html`
        <${CopyButton} text=${jobId} label=${t("copy.id")} />
        <${CopyButton} text=${asCurl(
            apiUrl(paths.list(graph)),
            [
                ["job_id", jobId],
                ["detail", "true"],
            ],
            token.get() !== null,
        )} label=${t("copy.curl")} />
        <${CopyButton} text=${`jobstore show --graph ${quoted(`${graph.projectId}/${graph.name}`)} ${quoted(jobId)}`} label=${t("copy.show")} />`;
    return html`<main class="view view-job" id="main">
        <div class="line spread">
            <div class="line">${job && html`<p class="headline">
                <${StateWord} state=${stateOf(job)} /></p>`}<h1 class="mono wrap">${jobId}</h1>${job && html`<span>${job.request.command}</span>`}</div>
            <div class="line">
                ${job && job.status !== "complete" && may("cancel") && html`<button class="danger" onClick=${() => setAsked("cancel")}>${t("cancel.button")}</button>`}
                ${job?.status === "running" && may("complete") && html`<button class="danger" onClick=${() => setAsked("complete")}>${t("complete.button")}</button>`}
                ${copies}
            </div>
        </div>
        ${failure && html`<${Missing} ...${{ graph, jobId, failure }} onRetry=${reload} />`}
        ${!job && !failure && html`<${Loading} />`}
        ${
            job &&
            html`
            <div class="columns">
                <div>
                    <section><h2>${t("job.times")}</h2><${Timeline} job=${job} now=${at} />
                        <${JobBars} job=${job} now=${at} /></section>
                    <${Progress} job=${job} />
                    <${Outcome} job=${job} tree=${tree} />
                    <${SameRequest} ...${{ graph, job, tree }} />
                </div>
                <${Request} job=${job} tree=${tree} />
            </div>
        `
        }
        ${asked && job && html`<${Confirmation} kind=${asked} ...${{ graph, job }} onClose=${() => setAsked(null)} onDone=${done} />`}
    </main>`;
}
