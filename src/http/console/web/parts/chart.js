// Charts over time: bars for counts, and steps for durations. Each point links to its jobs.
//
// The scale for durations is logarithmic. What a chart shows is also in a table.

import { html } from "../vendor/htm-preact.js";
import { formatInteger, formatTime } from "../format.js";

const [WIDTH, HEIGHT] = [720, 150];
const MARGIN = { left: 64, right: 8, top: 8, bottom: 20 };
const PLOT = { width: WIDTH - MARGIN.left - MARGIN.right, height: HEIGHT - MARGIN.top - MARGIN.bottom };
const TIME_LABELS = 6;

/** A round number that is not less than `value`. */
function roundUp(value) {
    const power = 10 ** Math.floor(Math.log10(Math.max(value, 1)));
    return [1, 2, 3, 4, 6, 8, 10].map((factor) => factor * power).find((bound) => bound >= value);
}

function Frame({ title, from, to, marks, children }) {
    const x = (at) => MARGIN.left + ((at - from) / (to - from)) * PLOT.width;
    const times = Array.from({ length: TIME_LABELS }, (_, n) => from + ((to - from) * (n + 0.5)) / TIME_LABELS);
    const isLong = to - from > 2 * 86_400_000;
    const label = (at) => (isLong ? formatTime(at).slice(5, 16) : formatTime(at).slice(11, 16));
    return html`<svg class="chart" viewBox=${`0 0 ${WIDTH} ${HEIGHT}`} role="group" aria-label=${title}>
        ${marks.map(({ y, text }) => html`<g aria-hidden="true">
            <line class="grid" x1=${MARGIN.left} x2=${WIDTH - MARGIN.right} y1=${y} y2=${y} />
            <text x=${MARGIN.left - 6} y=${y + 3.5} text-anchor="end">${text}</text></g>`)}
        ${times.map((at) => html`<text aria-hidden="true" x=${x(at)} y=${HEIGHT - 5} text-anchor="middle">${label(at)}</text>`)}
        ${children(x)}
    </svg>`;
}

/**
 * @typedef {{start: number, lengthMs: number, label: string, href: string, values: number[]}} Point
 * @param {{title: string, from: number, to: number, points: Point[], series: string[]}} props
 *     `series` are the classes of the values, from the bottom of a bar to its top
 */
export function BarChart({ title, from, to, points, series }) {
    const sums = points.map(({ values }) => values.reduce((all, one) => all + one, 0));
    const most = roundUp(Math.max(1, ...sums));
    const y = (value) => MARGIN.top + PLOT.height * (1 - value / most);
    const marks = [0, most / 2, most]
        .filter(Number.isInteger)
        .map((value) => ({ y: y(value), text: formatInteger(value) }));
    const bars = (x) => (point) => {
        const [left, right] = [Math.max(from, point.start), Math.min(to, point.start + point.lengthMs)].map(x);
        let below = 0;
        const parts = point.values.map((value, n) => {
            below += value;
            const height = (value / most) * PLOT.height;
            return (
                value > 0 &&
                html`<rect class=${`bar-${series[n]}`} x=${left} width=${Math.max(0.75, right - left - 0.75)} y=${y(below)} height=${height} />`
            );
        });
        return html`<a href=${point.href} tabindex="-1" aria-hidden="true"><title>${point.label}</title>
            <rect class="hit" x=${left} width=${Math.max(1, right - left)} y=${MARGIN.top} height=${PLOT.height} />${parts}</a>`;
    };
    return html`<${Frame} ...${{ title, from, to, marks }}>${(x) => points.map(bars(x))}<//>`;
}

/**
 * @param {{title: string, from: number, to: number, points: Point[], series: string[], bounds: number[], format: (value) => string}} props
 *     each value is one of the `bounds`, which are equally far apart
 */
export function StepChart({ title, from, to, points, series, bounds, format }) {
    const place = (value) => (value === Infinity ? bounds.length : bounds.indexOf(value));
    const y = (value) => MARGIN.top + PLOT.height * (1 - (place(value) + 0.5) / (bounds.length + 1));
    const marks = bounds.filter((_, n) => n % 3 === 1).map((value) => ({ y: y(value), text: format(value) }));
    const steps = (x) => (point) => {
        const [left, right] = [Math.max(from, point.start), Math.min(to, point.start + point.lengthMs)].map(x);
        const lines = point.values.map(
            (value, n) =>
                value !== undefined &&
                html`<line class=${`line-${series[n]}`} x1=${left} x2=${Math.max(left + 1, right)} y1=${y(value)} y2=${y(value)} />`,
        );
        return html`<a href=${point.href} tabindex="-1" aria-hidden="true"><title>${point.label}</title>
            <rect class="hit" x=${left} width=${Math.max(1, right - left)} y=${MARGIN.top} height=${PLOT.height} />${lines}</a>`;
    };
    return html`<${Frame} ...${{ title, from, to, marks }}>${(x) => points.map(steps(x))}<//>`;
}
