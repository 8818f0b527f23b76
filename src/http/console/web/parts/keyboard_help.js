// The keyboard shortcuts.

import { html } from "../vendor/htm-preact.js";
import { t } from "../i18n.js";
import { Dialog } from "./dialog.js";

const SHORTCUTS = [
    ["/", "key.filter"],
    ["j", "key.next"],
    ["k", "key.previous"],
    ["Enter", "key.open"],
    ["Home / End", "key.ends"],
    ["Esc", "key.back"],
    ["o", "key.overview"],
    ["a", "key.allJobs"],
    ["s", "key.store"],
    ["?", "key.help"],
];

export function KeyboardHelp({ onClose }) {
    return html`<${Dialog} title=${t("help.title")} onClose=${onClose}>
        <dl class="facts">${SHORTCUTS.map(([key, text]) => html`<div><dt><kbd>${key}</kbd></dt>
            <dd>${t(text)}</dd></div>`)}</dl>
        <div class="buttons"><button onClick=${onClose}>${t("action.back")}</button></div>
    <//>`;
}
