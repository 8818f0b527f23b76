// The health of the store, its reason, and what to do about it.

import { html } from "../vendor/htm-preact.js";
import { t } from "../i18n.js";

/** @param {{health: {state: string, why?: string}}} props */
export function HealthBox({ health }) {
    return html`<section class=${`health-box health-${health.state}`}>
        <h2>${t(`health.${health.state}`)}</h2>
        ${health.why && html`<p class="wrap">${health.why}</p>`}
        <p>${t(`health.${health.state}.remedy`)}</p>
    </section>`;
}
