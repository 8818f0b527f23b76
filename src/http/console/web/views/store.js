// The store: its health and what to do about it, its files, its commits, and its copies.

import { html } from "../vendor/htm-preact.js";
import { getJson, paths } from "../api.js";
import { formatBytes, formatDuration, formatInteger } from "../format.js";
import { t } from "../i18n.js";
import { useLoad } from "../live.js";
import { HealthBox } from "../parts/health_box.js";
import { Empty, Failure, Loading, isMissingRoute } from "../parts/notice.js";
import { Age } from "../parts/time.js";

const REFRESH_MS = 5000;

/** Statistics, or, for callers that may not see them, only the health. */
async function loadStore(signal) {
    const health = await getJson(paths.health, { signal, accepts: [503] });
    try {
        return { health, stats: await getJson(paths.store, { signal }), at: Date.now() };
    } catch (failure) {
        if (isMissingRoute(failure) || failure.status === 403) return { health, failure, at: Date.now() };
        throw failure;
    }
}

const micros = (us) =>
    us === null || us === undefined ? undefined : us < 1000 ? `${us} µs` : formatDuration(us / 1000);
const bytes = (value) => (value === undefined ? undefined : formatBytes(value));
const count = (value) => (value === undefined || value === null ? undefined : formatInteger(value));

/** The mean of a histogram, in microseconds. */
function mean(histogram) {
    const number = histogram?.counts?.reduce((all, one) => all + one, 0) ?? 0;
    return number === 0 ? undefined : Math.round(histogram.sumUs / number);
}

/** The bound of the bucket that contains a quantile, as text. */
function bound(histogram, part) {
    const number = histogram?.counts?.reduce((all, one) => all + one, 0) ?? 0;
    if (number === 0) return undefined;
    let seen = 0;
    const bucket = histogram.counts.findIndex((one) => (seen += one) >= Math.ceil(part * number));
    const us = histogram.boundsUs[bucket];
    return us === undefined ? `> ${micros(histogram.boundsUs.at(-1))}` : `≤ ${micros(us)}`;
}

/** Known facts as a list. Facts that the server does not tell are left out. */
function Facts({ title, facts }) {
    const known = facts.filter(([, value]) => value !== undefined && value !== null);
    if (known.length === 0) return null;
    return html`<section><h2>${t(title)}</h2><dl class="facts">${known.map(([key, value]) => html`<div>
        <dt>${t(`store.${key}`)}</dt><dd>${value}</dd></div>`)}</dl></section>`;
}

function Statistics({ stats, at }) {
    const { totals, replica, follower } = stats;
    const syncs = (histogram) =>
        [bound(histogram, 0.5), bound(histogram, 0.99)].filter(Boolean).join(" / ") || undefined;
    return html`<div class="tiles">
        <${Facts} title="store.jobs" facts=${[
            ["graphs", count(totals.graphs)],
            ["pending", count(totals.pending)],
            ["running", count(totals.running)],
            ["complete", count(totals.complete)],
            ["quarantined", count(totals.quarantined)],
            ["oldestPending", totals.oldestPendingAt && html`<${Age} ms=${totals.oldestPendingAt} now=${at} />`],
            ["longestRunning", totals.longestRunningAt && html`<${Age} ms=${totals.longestRunningAt} now=${at} />`],
        ]} />
        <${Facts} title="store.files" facts=${[
            ["packs", count(stats.packs)],
            ["packBytes", bytes(stats.packBytes)],
            ["segmentBytes", bytes(stats.segmentBytes)],
            ["segmentsToPack", count(stats.segmentsToPack)],
            ["indexBytes", bytes(stats.indexBytes)],
            ["indexLag", count(stats.indexLag)],
            ["preallocatedBytes", bytes(stats.preallocatedBytes)],
        ]} />
        <${Facts} title="store.commits" facts=${[
            ["opens", count(stats.opens)],
            ["events", count(stats.events)],
            ["syncs", syncs(stats.syncs)],
            ["syncMean", micros(mean(stats.syncs))],
            ["commitWaits", syncs(stats.commitWaits)],
            [
                "queued",
                `${formatInteger(stats.queued)} (${formatBytes(stats.queuedBytes)} / ${formatBytes(stats.maxQueueBytes)})`,
            ],
            ["writesRefused", count(stats.writesRefused)],
            ["version", stats.version],
            ["format", stats.format && String(stats.format)],
        ]} />
        <${Facts} title="store.retention" facts=${[
            ["purged", count(stats.purged)],
            ["lastPurge", stats.lastPurgeAt && html`<${Age} ms=${stats.lastPurgeAt} now=${at} />`],
            ["purgeLag", micros(totals.purgeLagUs)],
            ["oldestPin", micros(stats.oldestPinUs)],
        ]} />
        ${
            replica &&
            html`<${Facts} title="store.replica" facts=${[
                ["place", replica.place],
                ["reign", String(replica.reign)],
                ["lastChunk", count(replica.lastChunk)],
                ["replicaBytes", bytes(replica.bytes)],
                ["retries", count(replica.retries)],
                ["waiting", micros(replica.waitingUs)],
                [
                    "lastCheckpoint",
                    replica.lastCheckpointAt && html`<${Age} ms=${replica.lastCheckpointAt} now=${at} />`,
                ],
                ["chunksSinceCheckpoint", count(replica.chunksSinceCheckpoint)],
            ]} />`
        }
        ${
            follower &&
            html`<${Facts} title="store.follower" facts=${[
                ["place", follower.place],
                ["lag", micros(follower.lagUs)],
                ["asOf", follower.asOfAt && html`<${Age} ms=${follower.asOfAt} now=${at} />`],
                ["silent", micros(follower.silentUs)],
                ["restores", count(follower.restores)],
            ]} />`
        }
    </div>`;
}

export function Store() {
    const { data, failure, reload } = useLoad(loadStore, [], REFRESH_MS);
    const missing = () =>
        html`<${Empty} title=${t(data.failure.status === 403 ? "store.forbidden.title" : "store.missing.title")}>
            <p>${t(data.failure.status === 403 ? "store.forbidden" : "store.missing")}</p><//>`;
    return html`<main class="view" id="main"><h1>${t("nav.store")}</h1>
        ${failure && html`<${Failure} failure=${failure} onRetry=${reload} />`}
        ${!data && !failure && html`<${Loading} />`}
        ${data && html`<${HealthBox} health=${data.health} />`}
        ${data?.stats && html`<${Statistics} stats=${data.stats} at=${data.at} />`}
        ${data && !data.stats && missing()}
    </main>`;
}
