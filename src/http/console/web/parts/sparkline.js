// A tiny bar chart. The numbers are also in its text, for those who cannot see it.

import { html } from "../vendor/htm-preact.js";

const [WIDTH, HEIGHT] = [96, 20];

/** @param {{values: number[], label: string}} props */
export function Sparkline({ values, label }) {
    const most = Math.max(1, ...values);
    const step = WIDTH / Math.max(1, values.length);
    const bar = (value, n) => {
        const height = value === 0 ? 0 : Math.max(1, (value / most) * HEIGHT);
        return html`<rect x=${n * step} y=${HEIGHT - height} width=${Math.max(0.5, step - 0.5)} height=${height} />`;
    };
    return html`<svg class="spark" viewBox=${`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label=${label}>${values.map(bar)}</svg>`;
}
