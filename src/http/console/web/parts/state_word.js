// The state of a job: a word, with a mark and a color that repeat it.

import { html } from "../vendor/htm-preact.js";
import { t } from "../i18n.js";

const MARKS = {
    pending: "○",
    running: "◐",
    complete: "●",
    succeeded: "✓",
    partially_failed: "◩",
    failed: "✕",
    cancelled: "⊘",
    interrupted: "⚡︎",
};

/** `pending`, `running`, or the kind of the outcome. */
export const stateOf = (job) => job.outcome?.kind ?? job.status;

export function StateWord({ state }) {
    return html`<span class=${`state state-${state}`}>
        <span class="mark" aria-hidden="true">${MARKS[state] ?? "?"}</span>${" "}${MARKS[state] ? t(`state.${state}`) : state}</span>`;
}
