// How long a job waited and ran, as one bar.

import { html } from "../vendor/htm-preact.js";
import { formatDuration } from "../format.js";
import { t } from "../i18n.js";
import { timesOf } from "./time.js";

export function JobBars({ job, now }) {
    const { waited, ran } = timesOf(job, now);
    const whole = waited + (ran ?? 0);
    const share = whole === 0 ? 50 : (waited / whole) * 100;
    const isOpen = job.completedAt === undefined;
    const parts = [
        { name: "waited", ms: waited, percent: ran === null ? 100 : share },
        { name: "ran", ms: ran, percent: 100 - share },
    ];
    const shown = parts.filter(({ ms }) => ms !== null);
    return html`<div class="bars">
        <div class="bar" aria-hidden="true">${shown.map(({ name, percent }) => html`<span class=${`bar-${name}`} style=${{ width: `${percent}%` }}></span>`)}</div>
        <dl class="legend">${shown.map(({ name, ms }, n) => html`<div>
            <dt class=${`key-${name}`}>${t(`column.${name}`)}</dt>
            <dd>${formatDuration(ms)}${isOpen && n === shown.length - 1 ? ` ${t("job.soFar")}` : ""}</dd>
            </div>`)}</dl>
    </div>`;
}
