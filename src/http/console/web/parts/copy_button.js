// A button that copies a text, and reports that it did.

import { html, useEffect, useState } from "../vendor/htm-preact.js";
import { t } from "../i18n.js";

/** `navigator.clipboard` exists only on loopback and under HTTPS. */
async function copy(text) {
    if (navigator.clipboard) return navigator.clipboard.writeText(text);
    const area = document.createElement("textarea");
    area.value = text;
    area.setAttribute("readonly", "");
    document.body.append(area);
    area.select();
    const isCopied = document.execCommand("copy");
    area.remove();
    if (!isCopied) throw new Error("the browser did not copy the text");
}

export function CopyButton({ text, label }) {
    const [state, setState] = useState("ready");
    useEffect(() => {
        const timer = setTimeout(() => setState("ready"), 2000);
        return () => clearTimeout(timer);
    }, [state]);
    const press = () =>
        copy(text).then(
            () => setState("copied"),
            () => setState("refused"),
        );
    const shown = { ready: label, copied: t("copy.done"), refused: t("copy.refused") }[state];
    return html`<button class="small" title=${text} onClick=${press}><span aria-live="polite">${shown}</span></button>`;
}
