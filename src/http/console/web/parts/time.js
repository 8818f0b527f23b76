// Times and durations as elements.

import { html } from "../vendor/htm-preact.js";
import { formatDuration, formatFullTime, formatTime } from "../format.js";
import { t } from "../i18n.js";

export function Time({ ms }) {
    if (ms === undefined || ms === null) return null;
    return html`<time datetime=${new Date(ms).toISOString()} title=${formatFullTime(ms)}>${formatTime(ms)}</time>`;
}

/** How long ago a time was. */
export function Age({ ms, now = Date.now() }) {
    if (ms === undefined || ms === null) return null;
    return html`<time datetime=${new Date(ms).toISOString()} title=${formatFullTime(ms)}>${t("time.ago", { time: formatDuration(now - ms) })}</time>`;
}

/** How long a job waited and ran, in milliseconds; `now` bounds what is not over. */
export function timesOf(job, now = Date.now()) {
    const over = job.completedAt ?? now;
    const waited = Math.max(0, (job.startedAt ?? over) - job.submittedAt);
    return { waited, ran: job.startedAt === undefined ? null : Math.max(0, over - job.startedAt) };
}
